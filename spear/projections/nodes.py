"""Nodes and their resources: rows, folds, queries."""

from functools import lru_cache
from operator import attrgetter

import msgspec

from spear.domain.node import Heartbeat, Node, NodeStatus, OutcomeClass, OutcomeReported, ResourcesReported
from spear.events.record import Recorded
from spear.projections.reader import Page, Reader
from spear.projections.tables import Rows, Sheets, Table


class NodeRow(msgspec.Struct, gc=False):
    """A registered node; times in microseconds since the epoch, `seq` is the position of its registration."""

    uuid: str
    seq: int
    ip_address: str
    port: int
    http_port: int
    status: str
    last_heartbeat_us: int
    registered_at_us: int
    metadata: dict[str, str]
    health_info: dict[str, str]
    failures: int = 0
    failed_at_us: int = 0
    drained: bool = False
    drain_reason: str = ""


class ResourceRow(msgspec.Struct, gc=False):
    """What a node last reported of itself; percents 0..100, bytes, bytes per second."""

    node_uuid: str
    updated_at_us: int
    cpu_usage_percent: float = 0.0
    memory_usage_percent: float = 0.0
    disk_usage_percent: float = 0.0
    total_memory_bytes: int = 0
    used_memory_bytes: int = 0
    available_memory_bytes: int = 0
    total_disk_bytes: int = 0
    used_disk_bytes: int = 0
    network_rx_bytes_per_sec: int = 0
    network_tx_bytes_per_sec: int = 0
    load_average_1m: float = 0.0
    load_average_5m: float = 0.0
    load_average_15m: float = 0.0
    resource_metadata: dict[str, str] = {}


NODES = Table("nodes", NodeRow)  # other queries look at every node: fleets are bounded, beats are not
RESOURCES = Table("resources", ResourceRow)


def _registered(sheets: Sheets, fact: Recorded, e: Node.NodeRegistered | Node.NodeRegisteredAgain) -> None:
    row = NodeRow(
        fact.originator_id, fact.position, e.ip_address, e.port, e.http_port, NodeStatus.ONLINE.value,
        fact.time_us, fact.time_us, e.metadata, {},
    )  # fmt: skip
    sheets[NODES][row.uuid] = row


def _registered_again(sheets: Sheets, fact: Recorded, e: Node.NodeRegisteredAgain) -> None:
    row = sheets[NODES][fact.originator_id]
    if row is None:  # it was deleted meanwhile
        _registered(sheets, fact, e)
        return
    row.ip_address, row.port, row.http_port, row.metadata = e.ip_address, e.port, e.http_port, e.metadata
    row.status = NodeStatus.ONLINE.value


def _updated(sheets: Sheets, fact: Recorded, e: Node.NodeUpdated) -> None:
    row = sheets[NODES][fact.originator_id]
    if row:
        row.ip_address, row.port, row.http_port = e.ip_address, e.port, e.http_port
        row.status, row.metadata = e.status, e.metadata


def _status(sheets: Sheets, ident: str, status: NodeStatus) -> None:
    row = sheets[NODES][ident]
    if row:
        row.status = status.value


def _lost(sheets: Sheets, fact: Recorded, e: Node.NodeLost) -> None:
    _status(sheets, fact.originator_id, NodeStatus.OFFLINE)


def _recovered(sheets: Sheets, fact: Recorded, e: Node.NodeRecovered) -> None:
    _status(sheets, fact.originator_id, NodeStatus.ONLINE)


def _drained(sheets: Sheets, fact: Recorded, e: Node.NodeDrained) -> None:
    row = sheets[NODES][fact.originator_id]
    if row:
        row.drained, row.drain_reason = True, e.reason


def _undrained(sheets: Sheets, fact: Recorded, e: Node.NodeUndrained) -> None:
    row = sheets[NODES][fact.originator_id]
    if row:
        row.drained, row.drain_reason = False, ""


def _deleted(sheets: Sheets, fact: Recorded, e: Node.NodeDeleted) -> None:
    sheets[NODES].remove(fact.originator_id)
    sheets[RESOURCES].remove(fact.originator_id)


def _beat(sheets: Sheets, fact: Recorded, e: Heartbeat) -> None:
    row = sheets[NODES][e.node_uuid]
    if row is None:
        return
    row.last_heartbeat_us = fact.time_us
    health = e.health_info
    if health:
        row.health_info = health
        _health_to_resources(sheets[RESOURCES], row.uuid, fact.time_us, health)


def _health_to_resources(rows: Rows[ResourceRow], uuid: str, time_us: int, health: dict[str, str]) -> None:
    cpu, memory = percent(health.get("cpu_usage", "")), percent(health.get("memory_usage", ""))
    disk = percent(health.get("disk_usage", ""))
    if cpu is None and memory is None and disk is None:
        return
    row = rows[uuid]
    if row is None:
        row = rows[uuid] = ResourceRow(uuid, time_us)
    if cpu is not None:
        row.cpu_usage_percent = cpu
    if memory is not None:
        row.memory_usage_percent = memory
    if disk is not None:
        row.disk_usage_percent = disk
    row.updated_at_us = time_us


@lru_cache(4096)
def percent(text: str) -> float | None:
    """The number in "45%" or "45"; None for anything else."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        return None
    return value if 0 <= value <= 100 else None


def _resources(sheets: Sheets, fact: Recorded, e: ResourcesReported) -> None:
    if sheets[NODES].look(e.node_uuid):
        sheets[RESOURCES][e.node_uuid] = ResourceRow(e.node_uuid, fact.time_us, *_REPORTED(e))


_REPORTED = attrgetter(*RESOURCES.columns[2:])
_COUNTED = (OutcomeClass.OVERLOADED, OutcomeClass.UNAVAILABLE, OutcomeClass.TIMEOUT)


def _outcome(sheets: Sheets, fact: Recorded, e: OutcomeReported) -> None:
    row = sheets[NODES][e.node_uuid]
    if row is None:
        return
    if e.outcome_class == OutcomeClass.SUCCESS:
        row.failures, row.failed_at_us = 0, 0
    elif e.outcome_class in _COUNTED:
        row.failures, row.failed_at_us = row.failures + 1, fact.time_us


FOLDS = {
    Node.NodeRegistered: _registered,
    Node.NodeRegisteredAgain: _registered_again,
    Node.NodeUpdated: _updated,
    Node.NodeLost: _lost,
    Node.NodeRecovered: _recovered,
    Node.NodeDrained: _drained,
    Node.NodeUndrained: _undrained,
    Node.NodeDeleted: _deleted,
    Heartbeat: _beat,
    ResourcesReported: _resources,
    OutcomeReported: _outcome,
}


def get_node(reader: Reader, uuid: str) -> NodeRow | None:
    """One node."""
    return reader.get(NODES, uuid)


def list_nodes(reader: Reader, *, status: str = "", after: int = 0, offset: int = 0, limit: int = 100) -> Page[NodeRow]:
    """Nodes in the order they were registered."""
    return reader.page(NODES, {"status": status}, after=after, limit=limit, offset=offset)


def silent_nodes(reader: Reader, *, before_us: int, limit: int = 100) -> list[NodeRow]:
    """Nodes that count as present and whose last heartbeat is older."""
    statuses = [s for (s,) in reader.values("SELECT DISTINCT status FROM nodes WHERE status != 'offline'")]
    return [
        row
        for status in statuses
        for row in reader.rows(
            NODES, "status = ? AND last_heartbeat_us < ? ORDER BY last_heartbeat_us LIMIT ?", (status, before_us, limit)
        )
    ]


def offline_nodes(reader: Reader, *, before_us: int, limit: int = 100) -> list[NodeRow]:
    """Offline nodes whose last heartbeat is older."""
    return reader.rows(
        NODES, "status = 'offline' AND last_heartbeat_us < ? ORDER BY last_heartbeat_us LIMIT ?", (before_us, limit)
    )


def get_resource(reader: Reader, uuid: str) -> ResourceRow | None:
    """One node's resources."""
    return reader.get(RESOURCES, uuid)


def list_resources(reader: Reader, uuids: list[str], *, after: str = "", limit: int = 100) -> list[ResourceRow]:
    """The resources of these nodes, or of all by id."""
    if uuids:
        marks = ",".join("?" * len(uuids))
        where = f"node_uuid IN ({marks}) AND node_uuid > ? ORDER BY node_uuid LIMIT ?"
        return reader.rows(RESOURCES, where, (*uuids, after, limit))
    return reader.rows(RESOURCES, "node_uuid > ? ORDER BY node_uuid LIMIT ?", (after, limit))
