"""Notices silence: nodes that stopped beating, executions and instances whose process died."""

from collections.abc import Callable
from functools import partial

from spear.domain.execution import ExecutionStatus
from spear.errors import NotFound
from spear.events.record import Origin
from spear.ports import Clock
from spear.projections import executions, instances, nodes
from spear.projections.reader import Reader
from spear.services.executions import Executions
from spear.services.instances import Instances
from spear.services.nodes import Nodes
from spear.services.runs import Runs

ORIGIN = Origin("watchdog")
_S = 1_000_000
DIED = "the process that ran it ended before it did"


class Watchdog:
    """Turns silence into facts: offline after the heartbeat timeout, removed by a later cleanup."""

    def __init__(
        self, reader: Reader, service: Nodes, *, clock: Clock, heartbeat_timeout_s: int, node_removal_after_s: int
    ) -> None:
        self._reader, self._nodes, self._clock = reader, service, clock
        self._timeout_s, self._removal_s = heartbeat_timeout_s, node_removal_after_s

    def watch(self) -> None:
        """Mark nodes that have been silent for the heartbeat timeout as offline."""
        now = self._clock.now_us()
        for row in nodes.silent_nodes(self._reader, before_us=now - self._timeout_s * _S):
            silent_s = (now - row.last_heartbeat_us) // _S
            reason = f"no heartbeat for {silent_s} s; the timeout is {self._timeout_s} s"
            _unless_gone(partial(self._nodes.lose, ORIGIN, row.uuid, reason))

    def clean_up(self) -> None:
        """Remove nodes that are offline and have been silent for the timeout and the removal time."""
        now = self._clock.now_us()
        silence_s = self._timeout_s + self._removal_s
        for row in nodes.offline_nodes(self._reader, before_us=now - silence_s * _S):
            reason = f"offline; no heartbeat for {(now - row.last_heartbeat_us) // _S} s"
            _unless_gone(partial(self._nodes.delete, ORIGIN, row.uuid, reason))


def _unless_gone(command: Callable[[], object]) -> None:
    try:
        command()
    except NotFound:
        return  # somebody deleted it meanwhile


def end_what_died(reader: Reader, service: Executions, sandboxes: Instances, runs: Runs) -> None:
    """After a start: end what an earlier process left running, and stop its instances."""
    while left := executions.unfinished(reader, ExecutionStatus.RUNNING):
        for row in left:
            service.end_lost(ORIGIN, row.execution_id, DIED)
    after = 0
    while left := executions.unfinished(reader, ExecutionStatus.PENDING, after=after):
        after = left[-1].seq
        for row in left:
            if row.mode == "sync" and not runs.has(row.execution_id):
                service.end_lost(ORIGIN, row.execution_id, DIED)
    while page := instances.live_instances(reader, limit=500).rows:
        for instance in page:
            sandboxes.record_stop(ORIGIN, instance.instance_id, instance.task_id, DIED)
