"""Which nodes a task may run on, and in which order."""

from dataclasses import replace

import pytest

from spear.scheduling.placement import Candidate, blocked_until_us, place, score

NOW = 1_000_000_000_000
IDLE = Candidate("b", "10.0.0.1", 1, "online", NOW, True, 0.0, 0.0, 0.0, 0.0, 0, 0)
S = 1_000_000


def placed(*candidates: Candidate, most: int = 3, pinned: str = "") -> list[str]:
    found = place(candidates, now_us=NOW, heartbeat_timeout_s=120, most=most, pinned=pinned)
    return [one.node_uuid for one in found]


def test_the_least_used_node_comes_first_and_ties_are_broken_by_id() -> None:
    busy = replace(IDLE, node_uuid="a", cpu_percent=90.0)
    twin = replace(IDLE, node_uuid="c")
    assert placed(twin, busy, IDLE) == ["b", "c", "a"]
    assert placed(IDLE, twin, busy, most=1) == ["b"]


def test_offline_and_silent_nodes_are_left_out() -> None:
    offline = replace(IDLE, node_uuid="x", status="offline")
    silent = replace(IDLE, node_uuid="y", last_heartbeat_us=NOW - 121 * S)
    active = replace(IDLE, node_uuid="z", status="active")
    assert placed(offline, silent, active) == ["z"]


def test_a_pinned_task_goes_to_its_node_or_nowhere() -> None:
    other = replace(IDLE, node_uuid="a")
    assert placed(IDLE, other, pinned="b") == ["b"]
    assert placed(other, pinned="b") == []


@pytest.mark.parametrize(("failures", "seconds"), [(1, 20), (2, 40), (3, 80), (4, 160), (5, 300), (9, 300)])
def test_a_failing_node_is_blocked_longer_each_time(failures: int, seconds: int) -> None:
    failed = replace(IDLE, failures=failures, failed_at_us=NOW)
    assert blocked_until_us(failed) == NOW + seconds * S
    assert placed(failed) == []
    assert placed(replace(failed, failed_at_us=NOW - seconds * S)) == ["b"]


def test_past_failures_cost_points_until_a_success() -> None:
    assert score(replace(IDLE, failures=3)) == score(IDLE) - 15


def test_a_node_that_never_reported_ranks_behind_an_idle_one() -> None:
    unknown = replace(IDLE, node_uuid="a", known=False)
    assert placed(unknown, IDLE) == ["b", "a"]
