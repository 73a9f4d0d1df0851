"""What each node last said of its model backends: rows, folds, queries."""

import msgspec

from spear.domain.backend import Backend, BackendsReported
from spear.domain.node import Node
from spear.events.record import Recorded
from spear.projections.nodes import NODES
from spear.projections.reader import Page, Reader
from spear.projections.tables import Sheets, Table


class BackendsRow(msgspec.Struct, gc=False):
    """The backends of one node."""

    node_uuid: str
    revision: int
    reported_at_ms: int
    backends: list[Backend]


BACKENDS = Table("backends", BackendsRow)


def _reported(sheets: Sheets, fact: Recorded, e: BackendsReported) -> None:
    kept = sheets[BACKENDS].look(e.node_uuid)
    at_ms = e.reported_at_ms or fact.time_us // 1000
    # a lower revision is a late report, or the first ones of a node that started again and counts anew
    late = kept is not None and e.revision < kept.revision and at_ms < kept.reported_at_ms
    if not late and sheets[NODES].look(e.node_uuid):
        sheets[BACKENDS][e.node_uuid] = BackendsRow(e.node_uuid, e.revision, at_ms, e.backends)


def _node_deleted(sheets: Sheets, fact: Recorded, e: Node.NodeDeleted) -> None:
    sheets[BACKENDS].remove(fact.originator_id)


FOLDS = {BackendsReported: _reported, Node.NodeDeleted: _node_deleted}


def get_backends(reader: Reader, node_uuid: str) -> BackendsRow | None:
    """The backends of one node."""
    return reader.get(BACKENDS, node_uuid)


def online_nodes(reader: Reader) -> set[str]:
    """The nodes that are there now."""
    return {row[0] for row in reader.values("SELECT uuid FROM nodes WHERE status IN ('online', 'active')")}


def list_backends(reader: Reader, *, limit: int, offset: int = 0) -> Page[BackendsRow]:
    """The backends of each node, by its uuid."""
    total: int = reader.values("SELECT count(*) FROM backends")[0][0]
    return Page(reader.rows(BACKENDS, "1 ORDER BY node_uuid LIMIT ? OFFSET ?", (limit, offset)), total, 0)
