"""The fleet as placement sees it: one candidate in memory for each registered node, made of the views' rows."""

from collections.abc import Mapping
from copy import copy
from math import inf
from typing import TypeVar

from spear.domain.execution import ExecutionStatus
from spear.projections.executions import EXECUTIONS, ExecutionRow
from spear.projections.nodes import NODES, RESOURCES, NodeRow, ResourceRow
from spear.projections.reader import Reader
from spear.projections.views import Views
from spear.scheduling.placement import Candidate, Decision, LeastUsed, Offer, Want, offer
from spear.scheduling.roster import Roster

T = TypeVar("T")
_IN_FLIGHT = (ExecutionStatus.PENDING.value, ExecutionStatus.RUNNING.value)


class Fleet:
    """Candidates that follow the views. What a commit changed is known here before that commit is acknowledged.

    The log's writer says on its own thread which rows changed; whoever decides takes that in first. Only the newest row
    of each node is kept until then, so this stays as large as the fleet, however long nobody asks.
    """

    def __init__(self, reader: Reader, policy: LeastUsed, *, now_us: int) -> None:
        self.roster = Roster(policy)
        self._nodes: dict[str, NodeRow] = {}
        self._resources: dict[str, ResourceRow] = {}
        self._in_flight: dict[str, int] = {}
        self._node_news: dict[str, NodeRow | None] = {}
        self._resource_news: dict[str, ResourceRow | None] = {}
        self._in_flight_news: dict[str, int | None] = {}
        self._unfinished: dict[str, str] = {}  # this and the next are the writer's own
        self._counts: dict[str, int] = {}
        self._load(reader)
        self.catch_up(now_us)

    def _load(self, reader: Reader) -> None:
        self._nodes_changed({row.uuid: row for row in reader.rows(NODES, "1")})
        self._resources_changed({row.node_uuid: row for row in reader.rows(RESOURCES, "1")})
        marks = ",".join("?" * len(_IN_FLIGHT))
        sql = f"SELECT execution_id, node_uuid FROM executions WHERE status IN ({marks})"
        for execution_id, node_uuid in reader.values(sql, _IN_FLIGHT):
            self._move(execution_id, node_uuid)

    def follow(self, views: Views) -> None:
        """Hear of every row that changes from here on."""
        views.watch(NODES, self._nodes_changed)
        views.watch(RESOURCES, self._resources_changed)
        views.watch(EXECUTIONS, self._executions_changed)

    def _nodes_changed(self, rows: Mapping[str, NodeRow | None]) -> None:
        for uuid, row in rows.items():
            self._node_news[uuid] = copy(row)

    def _resources_changed(self, rows: Mapping[str, ResourceRow | None]) -> None:
        for uuid, row in rows.items():
            self._resource_news[uuid] = copy(row)

    def _executions_changed(self, rows: Mapping[str, ExecutionRow | None]) -> None:
        for execution_id, row in rows.items():
            if row is not None and row.status in _IN_FLIGHT:
                self._move(execution_id, row.node_uuid)
            elif execution_id in self._unfinished:
                self._move(execution_id, "")

    def _move(self, execution_id: str, node_uuid: str) -> None:
        before = self._unfinished.pop(execution_id, "")
        if node_uuid:
            self._unfinished[execution_id] = node_uuid
        if before != node_uuid:
            self._count(before, -1)
            self._count(node_uuid, 1)

    def _count(self, node_uuid: str, change: int) -> None:
        if node_uuid:
            now = self._counts.pop(node_uuid, 0) + change
            if now:
                self._counts[node_uuid] = now
            self._in_flight_news[node_uuid] = now or None

    def catch_up(self, now_us: int) -> None:
        """Take in what changed, so that the next decision finds little to do."""
        changed = _taken(self._node_news, self._nodes)
        changed |= _taken(self._resource_news, self._resources)
        changed |= _taken(self._in_flight_news, self._in_flight)
        for uuid in changed:
            self._take_in(uuid, now_us)
        self.roster.advance(now_us)

    def _take_in(self, uuid: str, now_us: int) -> None:
        row, before = self._nodes.get(uuid), self.roster.get(uuid)
        if row is None:
            self.roster.remove(uuid)
            return
        said = before.offer if before and before.offer.labels == row.metadata else offer(row.metadata)
        candidate = _candidate(row, said, self._resources.get(uuid), self._in_flight.get(uuid, 0))
        self.roster.put(candidate, now_us=now_us)

    def expect(self, uuid: str, *, now_us: int) -> None:
        """One more is about to be in flight on the node; until something is recorded there, or `recount`, it counts already."""
        self.catch_up(now_us)
        self._in_flight[uuid] = self._in_flight.get(uuid, 0) + 1
        self._take_in(uuid, now_us)

    def recount(self, uuid: str) -> None:
        """Only what is recorded counts."""
        self._in_flight_news[uuid] = self._counts.get(uuid)

    def get(self, uuid: str, *, now_us: int) -> Candidate | None:
        """What is known of a node now."""
        self.catch_up(now_us)
        return self.roster.get(uuid)

    def decide(self, want: Want, *, now_us: int, most: int) -> Decision:
        """The `most` best nodes for a task as of now, and why not the others."""
        self.catch_up(now_us)
        return self.roster.decide(want, now_us=now_us, most=most)


def _taken(news: dict[str, T | None], known: dict[str, T]) -> set[str]:
    changed = set()
    while news:  # the writer puts in, only this side takes out, and each step is one that nothing can divide
        uuid, value = news.popitem()
        changed.add(uuid)
        if value is None:
            known.pop(uuid, None)
        else:
            known[uuid] = value
    return changed


def _candidate(row: NodeRow, said: Offer, used: ResourceRow | None, in_flight: int) -> Candidate:
    r = used or ResourceRow(row.uuid, 0)
    return Candidate(
        node_uuid=row.uuid,
        ip_address=row.ip_address,
        port=row.port,
        status=row.status,
        last_heartbeat_us=row.last_heartbeat_us,
        offer=said,
        reported=used is not None,
        cpu_percent=r.cpu_usage_percent,
        memory_percent=r.memory_usage_percent,
        disk_percent=r.disk_usage_percent,
        load_1m=r.load_average_1m,
        failures=row.failures,
        failed_at_us=row.failed_at_us,
        in_flight=in_flight,
        drained=row.drained,
        drain_reason=row.drain_reason,
        free_cpu=inf if said.cpu_cores is None else said.cpu_cores * (100 - r.cpu_usage_percent) / 100,
        free_memory_mb=r.available_memory_bytes / 2**20 if r.total_memory_bytes else inf,
    )
