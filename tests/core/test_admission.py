"""Who runs, who waits, who is refused."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spear.domain.task import Priority
from spear.errors import Overloaded
from spear.scheduling.admission import Admission


def test_entries_run_up_to_the_nodes_limit_then_wait_in_order() -> None:
    admission: Admission[str] = Admission(per_node=1, queue_limit=2)
    assert admission.enter("a", "t", per_task=9) is True
    assert admission.enter("b", "t", per_task=9) is False
    assert admission.enter("c", "t", per_task=9) is False
    assert admission.leave("t") == ["b"]
    assert admission.leave("t") == ["c"]


def test_a_full_queue_refuses() -> None:
    admission: Admission[str] = Admission(per_node=1, queue_limit=1)
    admission.enter("a", "t", per_task=1)
    admission.enter("b", "t", per_task=1)
    with pytest.raises(Overloaded, match="the queue is full"):
        admission.enter("c", "t", per_task=1)


def test_a_task_at_its_limit_does_not_hold_up_others() -> None:
    admission: Admission[str] = Admission(per_node=2, queue_limit=9)
    admission.enter("slow-1", "slow", per_task=1)
    assert admission.enter("slow-2", "slow", per_task=1) is False
    assert admission.enter("quick", "quick", per_task=1) is True
    assert admission.leave("quick") == []
    assert admission.leave("slow") == ["slow-2"]


def test_an_abandoned_entry_is_never_admitted() -> None:
    admission: Admission[str] = Admission(per_node=1, queue_limit=9)
    admission.enter("a", "t", per_task=1)
    admission.enter("b", "t", per_task=1)
    assert admission.abandon("b") is True
    assert admission.abandon("b") is False
    assert admission.leave("t") == []


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.booleans()), max_size=200))
def test_limits_hold_and_nobody_is_lost_whatever_comes_and_goes(steps: list[tuple[str, bool]]) -> None:
    admission: Admission[object] = Admission(per_node=3, queue_limit=5)
    running: list[tuple[object, str]] = []
    waiting: list[tuple[object, str]] = []
    for task, comes in steps:
        if comes:
            entry = object()
            try:
                (running if admission.enter(entry, task, per_task=2) else waiting).append((entry, task))
            except Overloaded:
                assert len(waiting) == 5
        elif running:
            _, done = running.pop(0)
            for admitted in admission.leave(done):
                found = next(w for w in waiting if w[0] is admitted)
                waiting.remove(found)
                running.append(found)
        assert len(running) == admission.running <= 3
        assert len(waiting) == admission.waiting <= 5
        assert all(sum(t == name for _, t in running) <= 2 for name in "xyz")


TURNS = sum(8 // stride for stride in (1, 2, 4, 8))
PRIORITIES = [priority.value for priority in Priority]


def full(queue_limit: int = 999) -> Admission[object]:
    """A node whose only place is taken by task `t`."""
    admission: Admission[object] = Admission(per_node=1, queue_limit=queue_limit)
    admission.enter(None, "t", per_task=1)
    return admission


def test_the_more_urgent_goes_first_and_those_who_came_first_among_equals() -> None:
    admission = full()
    for number in (1, 2):
        for priority in PRIORITIES:
            admission.enter(f"{priority} {number}", "t", per_task=1, priority=priority)
    order = " ".join(admission.leave("t")[0] for _ in range(8))
    assert order == "urgent 1 urgent 2 high 1 high 2 normal 1 normal 2 low 1 low 2"


def test_while_all_wait_turns_are_shared_eight_four_two_one() -> None:
    admission = full()
    for priority in PRIORITIES:
        for _ in range(2 * TURNS):
            admission.enter(priority, "t", per_task=1, priority=priority)
    taken = Counter(admission.leave("t")[0] for _ in range(2 * TURNS))
    assert taken == {"urgent": 16, "high": 8, "normal": 4, "low": 2}


def test_a_priority_saves_up_no_turns_while_nobody_of_it_waits() -> None:
    admission = full()
    for _ in range(40):
        admission.enter("urgent", "t", per_task=1, priority="urgent")
        assert admission.leave("t") == ["urgent"]
    for priority in ("low", "urgent") * 5:
        admission.enter(priority, "t", per_task=1, priority=priority)
    assert [admission.leave("t") for _ in range(4)] == [["urgent"]] * 4


def test_a_priority_saves_up_no_turns_while_its_task_is_at_its_limit() -> None:
    admission: Admission[str] = Admission(per_node=2, queue_limit=99)
    admission.enter("one", "limited", per_task=1)
    admission.enter("other", "free", per_task=9)
    for _ in range(20):
        admission.enter("low", "limited", per_task=1, priority="low")
        admission.enter("normal", "free", per_task=9, priority="normal")
    for _ in range(10):
        assert admission.leave("free") == ["normal"]
    ended, taken = "limited", Counter()
    for _ in range(9):
        (next_one,) = admission.leave(ended)
        ended = "limited" if next_one == "low" else "free"
        taken[next_one] += 1
    assert taken == {"normal": 6, "low": 3}


@given(st.lists(st.sampled_from(PRIORITIES), min_size=1, max_size=60), st.integers(0, 59), st.data())
def test_nobody_starves_however_many_urgent_ones_keep_coming(
    before: list[str], which: int, data: st.DataObject
) -> None:
    admission = full()
    for place, priority in enumerate(before):
        admission.enter(place, "t", per_task=1, priority=priority)
    which %= len(before)
    ahead = before[:which].count(before[which])
    waited = 0
    while which not in admission.leave("t"):
        waited += 1
        admission.enter("more", "t", per_task=1, priority=data.draw(st.sampled_from(PRIORITIES)))
        assert waited < (ahead + 1) * TURNS


STEPS = st.one_of(
    st.tuples(st.just("enter"), st.sampled_from("xyz"), st.sampled_from(PRIORITIES)),
    st.tuples(st.just("leave"), st.integers(0, 9), st.none()),
    st.tuples(st.just("abandon"), st.integers(0, 9), st.none()),
)


@given(st.lists(STEPS, max_size=200))
def test_order_is_kept_within_a_priority_and_no_place_is_lost_whatever_happens(steps: list[tuple]) -> None:
    admission: Admission[int] = Admission(per_node=3, queue_limit=9)
    tasks: dict[int, str] = {}
    running, waiting = list[int](), dict[int, str]()
    for number, (what, one, priority) in enumerate(steps):
        if what == "enter":
            tasks[number] = one
            try:
                if admission.enter(number, one, per_task=2, priority=priority):
                    running.append(number)
                else:
                    waiting[number] = priority
            except Overloaded:
                assert len(waiting) == 9
        elif what == "leave" and running:
            for admitted in admission.leave(tasks[running.pop(one % len(running))]):
                same = [n for n, p in waiting.items() if (p, tasks[n]) == (waiting[admitted], tasks[admitted])]
                assert admitted == same[0]
                del waiting[admitted]
                running.append(admitted)
        elif what == "abandon" and waiting:
            gone = list(waiting)[one % len(waiting)]
            assert admission.abandon(gone)
            del waiting[gone]
        assert (admission.running, admission.waiting) == (len(running), len(waiting))
        of_task = Counter(tasks[n] for n in running)
        could_run = [n for n in waiting if len(running) < 3 and of_task[tasks[n]] < 2]
        assert could_run == [] and len(running) <= 3 and max(of_task.values(), default=0) <= 2
