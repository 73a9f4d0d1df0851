"""Notices silence: nodes that stopped beating, executions of nodes that were removed, instances whose process died."""

from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

from spear.domain.base import topic_of
from spear.domain.execution import ExecutionStatus
from spear.domain.node import Heartbeat, Node, observations
from spear.errors import NotFound
from spear.events.log import EventLog
from spear.events.record import Origin
from spear.ports import Clock
from spear.projections import executions, instances, nodes
from spear.projections.executions import ExecutionRow
from spear.projections.nodes import NodeRow
from spear.projections.reader import Reader
from spear.services.executions import Executions
from spear.services.instances import Instances
from spear.services.nodes import Nodes, OwnNode

ORIGIN = Origin("watchdog")
_S = 1_000_000
DIED = "the process that held it ended"


class Watchdog:
    """Turns silence into facts: offline after the heartbeat timeout, removed by a later cleanup."""

    def __init__(
        self, reader: Reader, service: Nodes, *, clock: Clock, heartbeat_timeout_s: int, node_removal_after_s: int
    ) -> None:
        self._reader, self._nodes, self._clock = reader, service, clock
        self._timeout_s, self._removal_s = heartbeat_timeout_s, node_removal_after_s
        self._listens_since_us = clock.now_us()

    def watch(self) -> None:
        """Mark nodes that have been silent for the heartbeat timeout as offline; it was deaf before it started."""
        if self._clock.now_us() - self._listens_since_us < self._timeout_s * _S:
            return
        for row in nodes.silent_nodes(self._reader, before_us=self._clock.now_us() - self._timeout_s * _S):
            silent_s = self._silent_s(row)
            if silent_s >= self._timeout_s:
                reason = f"no heartbeat for {silent_s} s; the timeout is {self._timeout_s} s"
                _unless_gone(partial(self._nodes.lose, ORIGIN, row.uuid, reason))

    def clean_up(self) -> None:
        """Remove nodes that are offline and have been silent for the timeout and the removal time."""
        silence_s = self._timeout_s + self._removal_s
        for row in nodes.offline_nodes(self._reader, before_us=self._clock.now_us() - silence_s * _S):
            reason = f"offline; no heartbeat for {self._silent_s(row)} s"
            _unless_gone(partial(self._nodes.remove_lost, ORIGIN, row.uuid, reason))

    def _silent_s(self, row: NodeRow) -> int:
        """How long the node has been silent by now; others of the same beat may have taken a while."""
        newest = nodes.get_node(self._reader, row.uuid) or row
        return (self._clock.now_us() - newest.last_heartbeat_us) // _S


def _unless_gone(command: Callable[[], object]) -> None:
    try:
        command()
    except NotFound:
        return  # somebody deleted it meanwhile


class Remains:
    """What removed nodes left behind: executions whose end nobody tells, unless their node is heard again."""

    def __init__(
        self, log: EventLog, reader: Reader, service: Executions, *, clock: Clock, heartbeat_timeout_s: int
    ) -> None:
        self._log, self._reader, self._service, self._clock = log, reader, service, clock
        self._timeout_us = heartbeat_timeout_s * _S
        self._listens_since_us = clock.now_us()

    def end(self) -> None:
        """End them as lost when nothing was heard of them, and of their node, for the heartbeat timeout.

        A node that was removed while it lives registers again before that, and goes on.
        """
        before_us = self._clock.now_us() - self._timeout_us
        if self._listens_since_us > before_us:
            return
        for row in self._left():
            removed = self._last(row.node_uuid, Node.NodeDeleted.TOPIC)
            if removed and self._heard_us(row) <= before_us:
                reason = f"nobody knows how it went on node {row.node_uuid}, which was removed"
                self._service.end_lost(ORIGIN.because_of(removed), row.execution_id, reason)

    def _left(self) -> Iterator[ExecutionRow]:
        for status in (ExecutionStatus.RUNNING, ExecutionStatus.PENDING):
            after = 0
            while page := executions.unfinished_of_removed(self._reader, status, after=after):
                yield from page
                after = page[-1].seq

    def _heard_us(self, row: ExecutionRow) -> int:
        beat = self._last(str(observations(UUID(row.node_uuid))), topic_of(Heartbeat))
        [newest] = self._log.since(max(beat, self._last(row.execution_id)) - 1, limit=1)
        return newest.time_us

    def _last(self, stream: str, *topics: str) -> int:
        return self._log.last(self._log.head, streams=(stream,), topics=topics)


def stop_what_died(reader: Reader, sandboxes: Instances, node: OwnNode) -> None:
    """After a start: record that this node's instances of an earlier process are gone."""
    after = 0
    while page := instances.live_instances(reader, node_uuid=node.uuid, after=after, limit=500).rows:
        for instance in page:
            origin = ORIGIN.because_of(instance.seq)
            sandboxes.record_stop(origin, instance.instance_id, instance.task_id, DIED)
        after = page[-1].seq
