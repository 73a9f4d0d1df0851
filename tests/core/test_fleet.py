"""The fleet in memory says what the log says, from the commit on and after a restart; and where work goes is a fact."""

import pytest

from spear.domain.node import OutcomeClass
from spear.domain.placement import Rule
from spear.errors import NotFound, Unavailable
from spear.projections.fleet import Fleet
from spear.scheduling.explain import explain, explain_why_not
from spear.scheduling.placement import Reason, Want
from spear.services.calls import Call, Mode
from spear.services.placements import wanted
from tests.core._node import ORIGIN, node, until
from tests.crash._history import World

S = 1_000_000


@pytest.fixture
def here(tmp_path):
    with node(tmp_path) as opened:
        yield opened


def fits(here, want=None):
    """The nodes that may run a task, best first."""
    return [
        one.candidate.node_uuid for one in here.fleet.decide(want or Want(), now_us=here.clock.time_us, most=99).ranked
    ]


def counts(here, want=None):
    return here.fleet.decide(want or Want(), now_us=here.clock.time_us, most=99).counts


def judge(here, uuid, outcome=OutcomeClass.UNAVAILABLE):
    here.nodes.report_outcome(
        ORIGIN, uuid, decision_id="d", request_id="r", task_id="t", outcome=outcome, error_message=""
    )


def test_what_a_commit_changed_counts_in_the_next_decision(here):
    first, second = here.join(zone="a"), here.join()
    assert fits(here) == sorted([first, second])
    here.nodes.report_resources(ORIGIN, min(first, second), numbers={"cpu_usage_percent": 1}, resource_metadata={})
    assert fits(here) == sorted([first, second], reverse=True)
    assert fits(here, Want(labels={"zone": "a"})) == [first]
    here.nodes.update(ORIGIN, first, metadata={"zone": "b"})
    assert fits(here, Want(labels={"zone": "a"})) == []
    here.nodes.drain(ORIGIN, first, "")
    here.nodes.lose(ORIGIN, second, "silent")
    assert (fits(here), counts(here)) == ([], {Reason.DRAINED: 1, Reason.OFFLINE: 1})
    here.nodes.undrain(ORIGIN, first, "")
    here.nodes.heartbeat(ORIGIN, second, {})
    assert len(fits(here)) == 2
    here.nodes.delete(ORIGIN, second, "gone")
    assert (fits(here), len(here.fleet.roster)) == ([first], 1)


def test_a_heartbeat_without_figures_does_not_count_as_a_report(here):
    uuid, _ = here.nodes.register(ORIGIN, ip_address="h", port=1, http_port=1, metadata={})
    here.nodes.heartbeat(ORIGIN, uuid, {"note": "fine", "cpu_usage": "a lot"})
    reported = here.join()
    assert fits(here) == [reported, uuid]
    here.nodes.heartbeat(ORIGIN, uuid, {"cpu_usage": "0%"})
    assert fits(here) == sorted([reported, uuid])


def test_penalties_and_drains_survive_a_restart(tmp_path):
    with node(tmp_path) as here:
        failed, drained, well = here.join(), here.join(), here.join()
        judge(here, failed)
        here.nodes.drain(ORIGIN, drained, "a new kernel")
        now_us = here.clock.time_us
    (tmp_path / "views.db").unlink()
    with node(tmp_path) as here:
        here.clock.time_us = now_us
        assert (fits(here), counts(here)) == ([well], {Reason.BLOCKED: 1, Reason.DRAINED: 1})
        assert here.nodes.get(drained).drain_reason == "a new kernel"
        judge(here, failed, OutcomeClass.SUCCESS)
        assert failed in fits(here)


def test_work_in_flight_is_counted_where_it_is_until_it_ends_and_after_a_restart(tmp_path):
    with node(tmp_path, max_concurrent=1) as here:
        own = here.runs.node.uuid = here.join(slots="2")
        task = here.task()
        _, _, guest = here.begin(task, Mode.ASYNC)
        assert here.fleet.get(own, now_us=here.clock.time_us).in_flight == 1
        here.executions.request(ORIGIN, task, Call(mode=Mode.ASYNC))
        assert counts(here) == {Reason.FULL: 1}
        again = Fleet(here.reader, here.fleet.roster.policy, now_us=here.clock.time_us)
        assert again.roster.get(own).in_flight == 2
        here.guests.at_once = True
        guest.end()
        until(here.at_rest)
        assert (fits(here), here.fleet.get(own, now_us=here.clock.time_us).in_flight) == ([own], 0)
        assert here.fleet._unfinished == here.fleet._counts == {}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_fleet_that_followed_equals_one_made_anew_whatever_happened(here, seed):
    for events in World(seed).steps(300):
        here.log.commit(events, ORIGIN)
        if here.log.head % 7 == 0:
            here.fleet.catch_up(here.clock.time_us)
    now_us = here.clock.time_us
    anew = Fleet(here.reader, here.fleet.roster.policy, now_us=now_us)
    assert here.fleet.decide(Want(), now_us=now_us, most=99) == anew.decide(Want(), now_us=now_us, most=99)
    for uuid in anew._nodes:
        assert here.fleet.roster.get(uuid) == anew.roster.get(uuid)


def test_news_that_nobody_asks_for_stay_as_few_as_there_are_nodes(here):
    uuid = here.join()
    for _ in range(50):
        here.nodes.heartbeat(ORIGIN, uuid, {"cpu_usage": "1%"})
    assert (len(here.fleet._node_news), len(here.fleet._resource_news)) == (1, 1)


def test_a_drained_node_refuses_new_work_and_what_runs_there_goes_on(here):
    here.runs.node.uuid = here.join()
    task = here.task()
    caller, ident, guest = here.begin(task)
    here.nodes.drain(ORIGIN, here.runs.node.uuid, "a new kernel")
    before, here.guests.at_once = here.log.head, True
    with pytest.raises(Unavailable, match=r"is drained \(a new kernel\); it takes no new work") as refused:
        here.executions.request(ORIGIN, task, Call())
    assert (refused.value.code, refused.value.http_status, here.log.head) == ("NODE_DRAINED", 503, before)
    guest.end()
    caller.join(10)
    assert here.executions.get(ident).status == "completed"
    here.nodes.undrain(ORIGIN, here.runs.node.uuid, "")
    assert here.executions.request(ORIGIN, task, Call())[1] is not None


def test_a_call_repeated_with_its_key_on_a_drained_node_hears_of_the_first_one(here):
    here.runs.node.uuid, here.guests.at_once = here.join(), True
    task, call = here.task(), Call(idempotency_key="k")
    first, _ = here.executions.request(ORIGIN, task, call)
    here.nodes.drain(ORIGIN, here.runs.node.uuid, "")
    assert here.executions.request(ORIGIN, task, call) == (first, None)
    with pytest.raises(Unavailable):
        here.executions.request(ORIGIN, task, Call(idempotency_key="other"))


@pytest.mark.parametrize(
    ("asks", "words"),
    [({"capabilities": ["gpu"]}, "no capability gpu; it has cam"), ({"labels.zone": "b"}, "no label zone=b")],
)
def test_a_node_refuses_a_task_that_asks_for_what_it_lacks(here, asks, words):
    here.runs.node.uuid = here.join(zone="a", capabilities="cam")
    with pytest.raises(Unavailable, match=words) as refused:
        here.executions.request(ORIGIN, here.task(**asks), Call())
    assert refused.value.code == "NODE_UNSUITABLE"
    here.guests.at_once = True
    assert here.executions.request(ORIGIN, here.task(capabilities=["cam"], **{"labels.zone": "a"}), Call())[1]


MIB = 2**20


def measured(here, uuid, **numbers):
    """The node reports these numbers."""
    here.nodes.report_resources(ORIGIN, uuid, numbers=numbers, resource_metadata={})


def test_a_node_refuses_a_task_that_needs_more_than_is_free_there_until_it_is(here):
    own = here.runs.node.uuid = here.join(cpu_cores="4")
    task = here.task(**{"resources.cpu_cores": "2.5", "resources.memory_mb": "100"})
    refusals = {
        "2.00 of its 4 CPU cores are idle": {"cpu_usage_percent": 50},
        "99 MiB of its memory are free": {"total_memory_bytes": 1000 * MIB, "available_memory_bytes": 100 * MIB - 1},
    }
    for words, numbers in refusals.items():
        measured(here, own, **numbers)
        with pytest.raises(Unavailable, match=words) as refused:
            here.executions.request(ORIGIN, task, Call())
        assert refused.value.code == "NODE_UNSUITABLE"
    measured(here, own, cpu_usage_percent=37.5, total_memory_bytes=1000 * MIB, available_memory_bytes=100 * MIB)
    here.guests.at_once = True
    assert here.executions.request(ORIGIN, task, Call())[1]


def test_a_task_that_needs_much_goes_where_there_is_enough_and_what_a_node_never_said_is_not_held_against_it(here):
    small, large, silent = here.join(cpu_cores="1"), here.join(cpu_cores="8"), here.join()
    for uuid, free in ((small, 50), (large, 5000)):
        measured(here, uuid, total_memory_bytes=8000 * MIB, available_memory_bytes=free * MIB, memory_usage_percent=1)
    for config in ({"resources.cpu_cores": "2"}, {"resources.memory_mb": "51"}):
        assert fits(here, wanted(here.task(**config))) == [silent, large]
    assert counts(here, wanted(here.task(**{"resources.cpu_cores": "9"}))) == {Reason.CPU: 2}


def test_a_call_on_the_only_node_records_no_decision_and_is_explained_all_the_same(here):
    own, here.guests.at_once = here.join(), True
    here.runs.node.uuid = own
    ident, _ = here.executions.request(ORIGIN, here.task(), Call())
    assert "ExecutionPlaced" not in here.names(ident)
    placed = here.placements.of_execution(here.executions.get(ident))
    assert (placed.node_uuid, placed.rule, placed.decision) == (own, Rule.LOCAL, None)
    assert "There was no other node to choose from" in explain(placed.node_uuid, placed.rule, placed.decision)


@pytest.mark.parametrize(("pin", "rule", "fitting"), [(False, Rule.LOCAL, 2), (True, Rule.PINNED, 1)])
def test_where_there_was_a_choice_the_decision_is_in_the_commit_of_the_request(here, pin, rule, fitting):
    own, other, drained = here.join(slots="4"), here.join(), here.join()
    here.runs.node.uuid, here.guests.at_once = own, True
    here.nodes.drain(ORIGIN, drained, "a new kernel")
    task = here.task(node_uuid=own if pin else "")
    here.executions.request(ORIGIN, task, Call())
    commits = here.log.commits
    ident, _ = here.executions.request(ORIGIN, task, Call())
    assert here.log.commits - commits == 1
    assert here.names(ident) == ["ExecutionRequested", "ExecutionPlaced", "ExecutionStarted", "ExecutionCompleted"]
    placed = here.placements.of_execution(here.executions.get(ident))
    decision = placed.decision
    assert (placed.node_uuid, placed.rule) == (own, rule)
    assert (decision["policy"], decision["policy_version"]) == ("least-used", 1)
    assert (decision["nodes"], decision["fitting"]) == (3, fitting)
    assert decision["candidates"][0] | {"node_uuid": ""} == {
        "node_uuid": "", "score": 100.0, "reported": True, "cpu_percent": 0.0, "memory_percent": 0.0, "disk_percent": 0.0,
        "load_1m": 0.0, "failures": 0, "in_flight": 0, "slots": 4 if decision["candidates"][0]["node_uuid"] == own else 0,
    }  # fmt: skip
    text = explain(placed.node_uuid, placed.rule, decision)
    if pin:
        assert decision["refused_counts"] == {"pinned_elsewhere": 2}
        assert "was named by the call or by the task" in text
    else:
        assert {one["node_uuid"] for one in decision["candidates"]} == {own, other}
        assert decision["refused"] == [
            {"node_uuid": drained, "reason": "drained", "text": "it is drained: a new kernel"}
        ]
        assert f"Node {drained}: it is drained: a new kernel." in text
        assert "3 registered nodes: 2 may run it." in text


def test_a_recorded_decision_is_bounded_however_large_the_fleet(here):
    for number in range(40):
        uuid = here.join(zone="a")
        if number % 2:
            here.nodes.drain(ORIGIN, uuid, "")
    _, ranked, committed = here.placements.place(ORIGIN, here.task(), request_id="r", labels={"zone": "a"}, most=15)
    [fact] = here.log.since(committed.first - 1)
    assert fact.topic == "placement.InvocationPlaced"
    assert len(ranked) == 15
    assert fact.state.count(b'"score"') == fact.state.count(b'"text"') == 8
    assert b'"refused_counts":{"drained":20}' in fact.state


def test_why_not_tells_everything_that_keeps_a_task_off_a_node_or_its_rank(here):
    first, second = sorted([here.join(), here.join()])
    task = here.task()
    found = here.placements.why_not(task, second)
    assert (found.refused, found.score, found.rank, found.fitting) == ([], 100.0, 2, 2)
    here.nodes.drain(ORIGIN, first, "a new kernel")
    pinned = here.task(node_uuid=second)
    refused = here.placements.why_not(pinned, first).refused
    assert [one.reason for one in refused] == [Reason.PINNED, Reason.DRAINED]
    said = explain_why_not(first, refused, score=1.0, rank=0, fitting=0)
    assert said == f"Node {first} may not run it: the task is pinned to node {second}; it is drained: a new kernel."
    with pytest.raises(NotFound):
        here.placements.why_not(task, task.task_id)


def test_what_a_task_wants_is_its_runtime_its_capabilities_and_its_labels(here):
    task = here.task(capabilities=["gpu"], **{"labels.zone": "a", "limits.concurrency": "2"})
    want = wanted(task, labels={"disk": "ssd"})
    assert want == Want(runtime="wasm", capabilities=("gpu",), labels={"zone": "a", "disk": "ssd"})


def test_the_more_urgent_task_gets_the_next_place(tmp_path):
    with node(tmp_path, max_concurrent=1) as here:
        tasks = {priority: here.task(priority=priority) for priority in ("low", "urgent")}
        _, _, guest = here.begin(tasks["low"])
        waiting = {}
        for priority, task in tasks.items():
            waiting[priority], _ = here.executions.request(ORIGIN, task, Call(mode=Mode.ASYNC))
        assert here.runs.waiting == 2
        guest.end()
        until(lambda: waiting["urgent"] in here.guests.running)
        assert waiting["low"] not in here.guests.running
        here.guests.running[waiting["urgent"]].end()
        until(lambda: waiting["low"] in here.guests.running)
        here.guests.running[waiting["low"]].end()
        until(here.at_rest)
