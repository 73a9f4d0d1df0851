"""Model backends: a node reports what it has; who asks sees them by node, by backend or by model."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from spear.domain.backend import Backend, BackendsReported, BackendStatus
from spear.domain.node import Node
from spear.domain.secret import check_url
from spear.events.record import Committed, Origin
from spear.projections import backends as views
from spear.projections.backends import BackendsRow
from spear.projections.reader import Reader
from spear.services.unit import Unit, as_uuid

K = TypeVar("K")
_PAGE = 500


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

    def of_node(self, node_uuid: str, *, reader: Reader | None = None) -> BackendsRow | None:
        """What the node last reported, if it did; raises `NotFound` for an id that names no node."""
        return views.get_backends(reader or self._reader, str(as_uuid("node", node_uuid)))


def _described(number: int, backend: Backend) -> Backend:
    if backend["base_url"]:
        check_url(f"backends.{number}.base_url", backend["base_url"])
    return {**backend, "kind": backend["kind"].strip() or "unknown"}


@dataclass(frozen=True, slots=True)
class Offer:
    """One backend of one node; only a node that is there can offer anything."""

    node_uuid: str
    backend: Backend
    online: bool

    @property
    def available(self) -> bool:
        """Whether calls may go there now."""
        return self.online and self.backend["status"] == BackendStatus.AVAILABLE


def offers(reader: Reader) -> Iterator[Offer]:
    """Every backend of every node, by the node's uuid."""
    online = views.online_nodes(reader)
    offset = 0
    while rows := views.list_backends(reader, limit=_PAGE, offset=offset).rows:
        yield from (Offer(row.node_uuid, b, row.node_uuid in online) for row in rows for b in row.backends)
        offset += _PAGE


def grouped(found: Iterable[Offer], key: Callable[[Offer], K]) -> dict[K, list[Offer]]:
    """Offers that have something in common."""
    groups: dict[K, list[Offer]] = {}
    for offer in found:
        groups.setdefault(key(offer), []).append(offer)
    return groups


def provider_of(backend: Backend) -> str:
    """Who provides the model, guessed from the kind where the node does not say."""
    if backend["provider"]:
        return backend["provider"]
    kind = backend["kind"]
    if kind.startswith("openai_"):
        return "openai"
    return {"ollama_chat": "ollama", "stub": "internal"}.get(kind, "unknown")


def model_of(backend: Backend) -> str:
    """The model that a backend is bound to, or "(dynamic)" for one that takes what callers ask for."""
    if backend["model"]:
        return backend["model"]
    named = backend["name"].partition("/")[2] if backend["kind"] == "ollama_chat" else ""
    return named or "(dynamic)"
