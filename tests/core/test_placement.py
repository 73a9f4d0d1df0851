"""Which nodes a task may run on, in which order, and what is said of the others."""

from collections import Counter
from math import inf
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spear.scheduling.placement import Candidate, Decision, LeastUsed, Ranked, Reason, Want, blocked_until_us, offer
from spear.scheduling.roster import LISTED, Roster

NOW, S = 1_000_000_000_000, 1_000_000
POLICY = LeastUsed(120)
IDLE = Candidate("b", "10.0.0.1", 1, "online", NOW, offer({}), reported=True)


def changed(candidate: Candidate = IDLE, **fields: Any) -> Candidate:
    return msgspec.structs.replace(candidate, **fields)


def roster(*candidates: Candidate) -> Roster:
    found = Roster(POLICY)
    for candidate in candidates:
        found.put(candidate, now_us=NOW)
    return found


def decided(*candidates: Candidate, want: Want | None = None, most: int = 3) -> Decision:
    return roster(*candidates).decide(want or Want(), now_us=NOW, most=most)


def placed(*candidates: Candidate, want: Want | None = None, most: int = 3) -> list[str]:
    return [one.candidate.node_uuid for one in decided(*candidates, want=want, most=most).ranked]


def why(candidate: Candidate, want: Want | None = None) -> list[tuple[Reason, str]]:
    return [(one.reason, one.text) for one in POLICY.refusals(candidate, want or Want(), now_us=NOW)]


def test_the_least_used_node_comes_first_and_ties_are_broken_by_id() -> None:
    busy, twin = changed(node_uuid="a", cpu_percent=90.0), changed(node_uuid="c")
    assert placed(twin, busy, IDLE) == ["b", "c", "a"]
    assert placed(IDLE, twin, busy, most=1) == ["b"]


def test_the_score_is_the_contracts_formula() -> None:
    used = changed(cpu_percent=50.0, memory_percent=20.0, disk_percent=10.0, load_1m=4.0, failures=3)
    assert POLICY.score(IDLE) == 100
    assert POLICY.score(used) == 100 - 0.5 * 50 - 0.3 * 20 - 0.1 * 10 - 10 * 4 / 16 - 5 * 3


def test_a_node_that_never_reported_loses_to_the_worst_that_did() -> None:
    silent = changed(node_uuid="a", reported=False)
    full = {"cpu_percent": 100.0, "memory_percent": 100.0, "disk_percent": 100.0, "load_1m": 99.0}
    worst = changed(**full, failures=99, failed_at_us=NOW - 3600 * S, in_flight=999)
    assert placed(silent, worst) == ["b", "a"]


def test_work_in_flight_counts_before_the_next_report() -> None:
    slots = offer({"slots": "4"})
    assert placed(changed(offer=slots, in_flight=1), changed(node_uuid="c", offer=slots)) == ["c", "b"]
    assert placed(changed(in_flight=1), changed(node_uuid="c")) == ["c", "b"]


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"drained": True, "drain_reason": "a new kernel"}, Reason.DRAINED, "it is drained: a new kernel"),
        ({"status": "offline"}, Reason.OFFLINE, "it is offline"),
        ({"status": "draining"}, Reason.STATUS, "the status draining"),
        ({"last_heartbeat_us": NOW - 121 * S}, Reason.SILENT, "no heartbeat for 121 s; the timeout is 120 s"),
        (
            {"failures": 2, "failed_at_us": NOW - 30 * S},
            Reason.BLOCKED,
            "2 failed invocations in a row; it gets none for another 10 s",
        ),
        ({"offer": offer({"slots": "2"}), "in_flight": 2}, Reason.FULL, "2 executions are in flight on its 2 slots"),
    ],
)
def test_a_node_that_takes_no_work_says_why(fields: dict[str, Any], reason: Reason, words: str) -> None:
    closed = changed(**fields)
    ((found, text),) = why(closed)
    assert (found, words in text) == (reason, True), text
    decision = decided(closed, changed(node_uuid="z"))
    assert [one.candidate.node_uuid for one in decision.ranked] == ["z"]
    assert (decision.counts, [(one.node_uuid, one.text) for one in decision.refused]) == ({reason: 1}, [("b", text)])


@pytest.mark.parametrize(
    ("metadata", "want", "text"),
    [
        ({"zone": "a"}, Want(labels={"zone": "b", "disk": "ssd"}), "it has no label disk=ssd nor no label zone=b"),
        ({"runtimes": "wasm, process"}, Want(runtime="container"), "it cannot run container executables; it runs process, wasm"),
        ({"capabilities": ""}, Want(capabilities=("gpu",)), "it has no capability gpu; it has none"),
        ({"capabilities": "cpu"}, Want(capabilities=("cpu", "gpu")), "it has no capability gpu; it has cpu"),
    ],
)  # fmt: skip
def test_a_node_that_lacks_what_the_task_asks_for_says_what(metadata: dict[str, str], want: Want, text: str) -> None:
    lacking = changed(offer=offer(metadata))
    ((reason, found),) = why(lacking, want)
    assert found == text
    decision = decided(lacking, want=want)
    assert (decision.fitting, decision.counts, decision.refused[0].text) == (0, {reason: 1}, text)


@pytest.mark.parametrize(
    ("want", "reason", "text"),
    [
        (Want(cpu_cores=1.5), Reason.CPU, "1.25 of its 4 CPU cores are idle; the task needs 1.5"),
        (Want(memory_mb=513), Reason.MEMORY, "512 MiB of its memory are free; the task needs 513 MiB"),
    ],
)
def test_a_node_without_the_cpu_or_the_memory_that_a_task_needs_says_what_it_has(
    want: Want, reason: Reason, text: str
) -> None:
    short = changed(offer=offer({"cpu_cores": "4"}), free_cpu=1.25, free_memory_mb=512.5)
    assert why(short, want) == [(reason, text)]
    assert why(short, Want(cpu_cores=1.25, memory_mb=512)) == []
    assert decided(short, changed(node_uuid="z"), want=want).counts == {reason: 1}


@pytest.mark.parametrize(
    "want", [Want(runtime="container"), Want(capabilities=("gpu", "tpu")), Want(cpu_cores=9999), Want(memory_mb=10**7)]
)
def test_what_a_node_says_nothing_about_is_not_held_against_it(want: Want) -> None:
    assert placed(IDLE, want=want) == ["b"]


def test_a_node_is_told_everything_that_keeps_a_task_off_it() -> None:
    worst = changed(drained=True, status="offline", offer=offer({"runtimes": "process"}))
    found = [reason for reason, _ in why(worst, Want(pinned="x", runtime="wasm", labels={"zone": "a"}))]
    assert found == [Reason.PINNED, Reason.DRAINED, Reason.OFFLINE, Reason.LABEL, Reason.RUNTIME]


def test_a_pinned_task_goes_to_its_node_or_nowhere() -> None:
    other = changed(node_uuid="a")
    assert placed(IDLE, other, want=Want(pinned="b")) == ["b"]
    gone = decided(other, want=Want(pinned="b"))
    assert (gone.ranked, gone.counts) == ([], {Reason.PINNED: 1})
    drained = decided(changed(drained=True), other, want=Want(pinned="b"))
    assert (drained.fitting, drained.counts) == (0, {Reason.PINNED: 1, Reason.DRAINED: 1})
    assert drained.refused[0].text == "it is drained: no reason was given"


@pytest.mark.parametrize(("failures", "seconds"), [(1, 20), (2, 40), (3, 80), (4, 160), (5, 300), (9, 300)])
def test_a_failing_node_is_blocked_longer_each_time_and_comes_back_by_itself(failures: int, seconds: int) -> None:
    failed = changed(failures=failures, failed_at_us=NOW, last_heartbeat_us=NOW + 999 * S)
    assert blocked_until_us(failed) == NOW + seconds * S
    nodes = roster(failed)
    assert nodes.decide(Want(), now_us=NOW + seconds * S - 1, most=1).ranked == []
    assert nodes.decide(Want(), now_us=NOW + seconds * S, most=1).ranked != []


def test_when_failures_alone_keep_all_suited_nodes_out_the_first_end_of_a_block_is_known() -> None:
    blocked = [changed(node_uuid=f"b{n}", failures=n, failed_at_us=NOW) for n in (3, 1, 2)]
    drained, silent = changed(node_uuid="d", drained=True), changed(node_uuid="s", last_heartbeat_us=0)
    other = changed(node_uuid="o", offer=offer({"runtimes": "process"}), last_heartbeat_us=0)
    first, second = NOW + 20 * S, NOW + 40 * S
    wasm, unsuited = Want(runtime="wasm"), Want(runtime="wasm", labels={"zone": "a"})
    assert roster(*blocked, drained, other).opens_at_us(wasm, but="") == first
    assert roster(*blocked).opens_at_us(wasm, but="b1") == second
    assert roster(*blocked).opens_at_us(Want(pinned="b2"), but="") == second
    for nobody_knows in (roster(*blocked, silent), roster(drained), roster()):
        assert nobody_knows.opens_at_us(wasm, but="") == 0
    assert roster(*blocked).opens_at_us(unsuited, but="") == 0
    many = [changed(node_uuid=f"{n:04}", failures=1, failed_at_us=NOW) for n in range(501)]
    assert roster(*many).opens_at_us(wasm, but="") == 0
    assert roster(*many[1:]).opens_at_us(wasm, but="") == first


def test_a_node_that_beats_stays_and_one_that_falls_silent_is_left_out_by_time_alone() -> None:
    nodes = roster(IDLE, changed(node_uuid="c"))
    nodes.put(changed(last_heartbeat_us=NOW + 60 * S), now_us=NOW + 60 * S)
    assert nodes.decide(Want(), now_us=NOW + 120 * S, most=2).fitting == 2
    later = nodes.decide(Want(), now_us=NOW + 121 * S, most=2)
    assert ([one.candidate.node_uuid for one in later.ranked], later.counts) == (["b"], {Reason.SILENT: 1})


def test_a_decision_over_many_names_the_first_refused_and_counts_all() -> None:
    many = [changed(node_uuid=f"{i:04}", offer=offer({"zone": "b" if i % 100 else "a"})) for i in range(1000)]
    decision = decided(*many, want=Want(labels={"zone": "a"}), most=2)
    assert (decision.nodes, decision.fitting, decision.counts) == (1000, 10, {Reason.LABEL: 990})
    assert [one.candidate.node_uuid for one in decision.ranked] == ["0000", "0100"]
    assert [one.node_uuid for one in decision.refused] == [f"{i:04}" for i in range(1, LISTED + 1)]


METADATA = st.fixed_dictionaries(
    {},
    optional={
        "zone": st.sampled_from("ab"),
        "runtimes": st.sampled_from(["", "wasm", "wasm,process"]),
        "capabilities": st.sampled_from(["", "gpu", "gpu,cam"]),
        "slots": st.sampled_from(["0", "1", "2", "many"]),
    },
)
TIMES = st.integers(NOW - 200 * S, NOW)
CANDIDATES = st.builds(
    Candidate, st.sampled_from([f"n{i}" for i in range(12)]), st.just("h"), st.just(1), last_heartbeat_us=TIMES,
    status=st.sampled_from(["online", "online", "active", "offline", "odd"]), offer=METADATA.map(offer),
    reported=st.booleans(), cpu_percent=st.sampled_from([0.0, 50.0]), failures=st.sampled_from([0, 0, 1, 2]),
    failed_at_us=TIMES, in_flight=st.integers(0, 2), drained=st.booleans(),
    free_cpu=st.sampled_from([0.5, 1.0, 2.0, inf]), free_memory_mb=st.sampled_from([0.0, 100.0, 200.5, inf]),
)  # fmt: skip
WANTS = st.builds(
    Want, pinned=st.sampled_from(["", "", "", "n1"]), runtime=st.sampled_from(["", "wasm", "process"]),
    capabilities=st.sampled_from([(), ("gpu",), ("gpu", "cam")]),
    labels=st.fixed_dictionaries({}, optional={"zone": st.sampled_from("ab")}),
    cpu_cores=st.sampled_from([0, 0, 1.0, 4.0]), memory_mb=st.sampled_from([0, 0, 100, 201]),
)  # fmt: skip


def by_hand(candidates: list[Candidate], want: Want, *, now_us: int, most: int) -> Decision:
    """The policy said of one node after the other."""
    ranked, counts = [], Counter[Reason]()
    for candidate in candidates:
        refused = POLICY.refusals(candidate, want, now_us=now_us)
        counts.update(one.reason for one in refused[:1])
        if not refused:
            ranked.append(Ranked(candidate, POLICY.score(candidate)))
    ranked.sort(key=lambda one: (-one.score, one.candidate.node_uuid))
    return Decision(len(candidates), len(ranked), ranked[:most], [], dict(counts))


STEPS = st.lists(st.tuples(st.integers(0, 60), st.one_of(CANDIDATES, st.sampled_from(["n1", "n2"]))), max_size=40)


@given(STEPS, WANTS, st.integers(1, 5))
def test_a_roster_decides_as_if_it_asked_every_node_whatever_came_changed_and_went(
    steps: list[tuple[int, Candidate | str]], want: Want, most: int
) -> None:
    nodes, known, now_us = Roster(POLICY), dict[str, Candidate](), NOW
    for seconds, step in steps:
        now_us += seconds * S
        if isinstance(step, str):
            nodes.remove(step)
            known.pop(step, None)
        else:
            nodes.put(step, now_us=now_us)
            known[step.node_uuid] = step
        expected = by_hand(list(known.values()), want, now_us=now_us, most=most)
        found = nodes.decide(want, now_us=now_us, most=most)
        assert (found.nodes, found.fitting, found.ranked) == (expected.nodes, expected.fitting, expected.ranked)
        assert found.counts == expected.counts
        assert all(POLICY.refusals(known[one.node_uuid], want, now_us=now_us)[0] == one for one in found.refused)
        for place, one in enumerate(found.ranked, 1):
            assert nodes.rank(one.candidate.node_uuid, want, now_us=now_us) == (place, found.fitting)
