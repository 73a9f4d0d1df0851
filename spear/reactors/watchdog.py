"""Notices silence: nodes that stopped beating, instances whose process died."""

from collections.abc import Callable
from functools import partial

from spear.errors import NotFound
from spear.events.record import Origin
from spear.ports import Clock
from spear.projections import instances, nodes
from spear.projections.nodes import NodeRow
from spear.projections.reader import Reader
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


def stop_what_died(reader: Reader, sandboxes: Instances, node: OwnNode) -> None:
    """After a start: record that this node's instances of an earlier process are gone."""
    after = 0
    while page := instances.live_instances(reader, node_uuid=node.uuid, after=after, limit=500).rows:
        for instance in page:
            origin = ORIGIN.because_of(instance.seq)
            sandboxes.record_stop(origin, instance.instance_id, instance.task_id, DIED)
        after = page[-1].seq
