"""Who runs, who waits, who is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
