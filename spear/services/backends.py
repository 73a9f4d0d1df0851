"""Model backends: a node reports what it has."""

from spear.domain.backend import Backend, BackendsReported
from spear.domain.node import Node
from spear.domain.secret import check_url
from spear.events.record import Committed, Origin
from spear.projections import backends as views
from spear.projections.backends import BackendsRow
from spear.projections.reader import Reader
from spear.services.unit import Unit, as_uuid


class Backends:
    """Which models can be reached, and from where."""

    def __init__(self, unit: Unit, reader: Reader) -> None:
        self._unit, self._reader = unit, reader

    def report(
        self, origin: Origin, node_uuid: str, *, revision: int, reported_at_ms: int, backends: list[Backend]
    ) -> tuple[int, Committed]:
        """Replace what is known of a node's backends; returns the revision that is kept. Raises `NotFound`, `Invalid`.

        A report that says nothing new records nothing.
        """
        described = [_described(number, backend) for number, backend in enumerate(backends) if backend["name"].strip()]
        node = self._unit.get(Node, node_uuid)
        said = node.observe(BackendsReported, revision=revision, reported_at_ms=reported_at_ms, backends=described)
        kept = views.get_backends(self._reader, str(node.id))
        if kept and kept.backends == described:
            return revision, self._unit.save(origin, node)
        committed = self._unit.save(origin, node, more=[said])
        kept = views.get_backends(self._reader, str(node.id))
        return kept.revision if kept else revision, committed

    def told_by(self, node_uuid: str, backends: list[Backend]) -> None:
        """What this process's own node has; one that never had any is not spoken of."""
        if backends or self.of_node(node_uuid):
            self.report(Origin(f"node:{node_uuid}"), node_uuid, revision=1, reported_at_ms=0, backends=backends)

    def of_node(self, node_uuid: str, *, reader: Reader | None = None) -> BackendsRow | None:
        """What the node last reported, if it did; raises `NotFound` for an id that names no node."""
        return views.get_backends(reader or self._reader, str(as_uuid("node", node_uuid)))


def _described(number: int, backend: Backend) -> Backend:
    if backend["base_url"]:
        check_url(f"backends.{number}.base_url", backend["base_url"])
    return {**backend, "kind": backend["kind"].strip() or "unknown"}
