"""Executions of nodes that were removed end once as lost, unless the node may still tell how they went."""

from uuid import UUID, uuid4

import pytest

from spear.domain.execution import ExecutionReport, ExecutionStatus
from spear.reactors.watchdog import Remains
from spear.services.nodes import OwnNode
from spear.services.reports import Reports
from tests.core._node import ORIGIN, node

S = 1_000_000
TIMEOUT_S = 90


@pytest.fixture
def here(tmp_path):
    with node(tmp_path, own="") as opened:
        yield opened


def reported(here, uuid, status=ExecutionStatus.RUNNING):
    """An execution of which this log knows nothing but that it is so on the node."""
    started = {"instance_id": str(uuid4()), "started_at_us": 1} if status is ExecutionStatus.RUNNING else {}
    seen = ExecutionReport(node_uuid=uuid, status=status, updated_at_us=here.clock.now_us(), **started)
    reports, ident = Reports(here.unit, here.reader, lines=None, node=OwnNode("")), str(uuid4())
    assert reports.execution(ORIGIN, ident, str(uuid4()), seen, mode="async")[0]
    return ident


def remains(here):
    return Remains(here.log, here.reader, here.executions, clock=here.clock, heartbeat_timeout_s=TIMEOUT_S)


def after(here, seconds, looks):
    """So many seconds later it looks twice."""
    here.clock.time_us += seconds * S
    looks.end()
    looks.end()


def removed(here, *statuses):
    """A node that was removed while it had executions of these statuses: its uuid, and theirs."""
    uuid = here.join()
    left = [reported(here, uuid, status) for status in statuses or [ExecutionStatus.RUNNING]]
    here.nodes.delete(ORIGIN, uuid, "gone")
    return uuid, left


@pytest.mark.parametrize("status", [ExecutionStatus.PENDING, ExecutionStatus.RUNNING])
def test_what_a_removed_node_left_ends_once_with_its_removal_as_the_cause(here, status):
    looks, (uuid, [ident]) = remains(here), removed(here, status)
    after(here, TIMEOUT_S, looks)
    row, [end] = here.executions.get(ident), [fact for fact in here.log.stream(ident) if "Failed" in fact.name]
    assert (row.status, row.reason) == ("failed", "lost")
    assert row.error == f"nobody knows how it went on node {uuid}, which was removed"
    assert here.log.stream(uuid)[-1].position == end.cause


def test_thousands_end_in_one_go_and_those_of_other_nodes_go_on(here):
    looks, lives = remains(here), here.join()
    theirs = reported(here, lives)
    _, left = removed(here, *[ExecutionStatus.RUNNING] * 600)
    after(here, TIMEOUT_S, looks)
    assert here.recorded()["ExecutionFailed"] == len(left) == here.counts()["failed"]
    assert here.executions.get(theirs).status == "running"


def test_a_node_that_was_removed_while_it_lived_has_time_to_come_back(here):
    looks, (uuid, [ident]) = remains(here), removed(here)
    after(here, TIMEOUT_S - 1, looks)
    here.nodes.register(ORIGIN, uuid=uuid, ip_address="h", port=1, http_port=1, metadata={})
    after(here, 10 * TIMEOUT_S, looks)
    assert here.executions.get(ident).status == "running"
    here.nodes.delete(ORIGIN, uuid, "gone again")
    after(here, 1, looks)
    assert here.executions.get(ident).status == "failed"


def test_what_a_removed_node_told_since_counts_as_a_sign_of_life(here):
    looks, (uuid, _) = remains(here), removed(here)
    here.clock.time_us += 10 * TIMEOUT_S * S
    later = reported(here, uuid)
    after(here, TIMEOUT_S - 1, looks)
    assert here.executions.get(later).status == "running"
    after(here, 2, looks)
    assert here.executions.get(later).status == "failed"


def test_a_node_that_never_registered_was_not_removed(here):
    looks, ident = remains(here), reported(here, str(UUID(int=7)))
    after(here, 10 * TIMEOUT_S, looks)
    assert here.executions.get(ident).status == "running"


def test_after_an_outage_of_the_sms_nodes_have_the_whole_timeout_to_come_back(here):
    _, [ident] = removed(here)
    here.clock.time_us += 10 * TIMEOUT_S * S
    looks = remains(here)
    after(here, TIMEOUT_S - 1, looks)
    assert here.executions.get(ident).status == "running"
    after(here, 1, looks)
    assert here.executions.get(ident).status == "failed"


def test_what_this_process_has_in_hand_is_its_own_to_end(here, monkeypatch):
    looks, (_, [ident]) = remains(here), removed(here)
    monkeypatch.setattr(here.executions, "has", lambda execution_id: True)
    after(here, TIMEOUT_S, looks)
    assert here.executions.get(ident).status == "running"
