"""What all nodes together offer: their backends by name, and by the model that they serve."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from spear.domain.backend import Backend, BackendStatus
from spear.projections import backends as views
from spear.projections.reader import Reader

Key = tuple[str, ...]
_PAGE = 500
_PROVIDERS = {"ollama_chat": "ollama", "stub": "internal"}
DYNAMIC = "(dynamic)"


@dataclass(frozen=True, slots=True)
class Offer:
    """One backend of one node; only a node that is online can offer anything."""

    node_uuid: str
    backend: Backend
    online: bool

    @property
    def available(self) -> bool:
        """Whether calls may go there now."""
        return self.online and self.backend["status"] == BackendStatus.AVAILABLE

    @property
    def reason(self) -> str:
        """Why they may not, where somebody said so."""
        return self.backend["status_reason"] or ("" if self.online else "its node is not online")

    @property
    def provider(self) -> str:
        """Who provides the model, guessed from the kind where the node does not say."""
        kind = self.backend["kind"]
        guess = "openai" if kind.startswith("openai_") else _PROVIDERS.get(kind, "unknown")
        return self.backend["provider"] or guess

    @property
    def model(self) -> str:
        """The model that the backend is bound to, `DYNAMIC` for one that takes what callers ask for."""
        named = self.backend["name"].partition("/")[2] if self.backend["kind"] == "ollama_chat" else ""
        return self.backend["model"] or named or DYNAMIC

    def says(self, word: str) -> bool:
        """Whether its names or its URL contain the word, in any case of letters."""
        b = self.backend
        return contains(word, self.provider, self.model, b["name"], b["kind"], b["base_url"])


@dataclass(frozen=True, slots=True)
class Group:
    """Offers that have their `key` in common: kind and name, or provider, model and hosting."""

    key: Key
    offers: list[Offer]

    @property
    def available_nodes(self) -> int:
        """How many nodes can use it now."""
        return len({offer.node_uuid for offer in self.offers if offer.available})

    @property
    def total_nodes(self) -> int:
        """How many nodes know it."""
        return len({offer.node_uuid for offer in self.offers})

    def all(self, name: Literal["operations", "features", "transports"]) -> list[str]:
        """Whatever some of them can do, sorted."""
        return sorted({word for offer in self.offers for word in offer.backend[name]})


def backends(reader: Reader, *, q: str = "", status: str = "") -> list[Group]:
    """Backends by kind and name; those that most nodes can use first. `q` is part of the kind or name."""
    found = [g for g in _grouped(_offers(reader), _kind_and_name) if contains(q, *g.key)]
    if status:
        found = [g for g in found if (g.available_nodes > 0) == (status == BackendStatus.AVAILABLE)]
    return sorted(found, key=lambda g: (-g.available_nodes, g.key[1], g.key[0]))


def models(reader: Reader, *, q: str = "", provider: str = "", hosting: str = "") -> list[Group]:
    """Models by provider, name and hosting, in that order; `q` is part of what one of their backends says."""
    wanted = {0: provider, 2: hosting}
    found = [g for g in _grouped(_offers(reader), _model) if any(offer.says(q) for offer in g.offers)]
    found = [g for g in found if all(value in ("", g.key[place]) for place, value in wanted.items())]
    return sorted(found, key=lambda g: g.key)


def contains(word: str, *texts: str) -> bool:
    """Whether one of the texts contains the word, in any case of letters."""
    return any(word.lower() in text.lower() for text in texts)


def _kind_and_name(offer: Offer) -> Key:
    return offer.backend["kind"], offer.backend["name"]


def _model(offer: Offer) -> Key:
    return offer.provider, offer.model, offer.backend["hosting"]


def _offers(reader: Reader) -> Iterator[Offer]:
    online = views.online_nodes(reader)
    offset = 0
    while rows := views.list_backends(reader, limit=_PAGE, offset=offset).rows:
        yield from (Offer(row.node_uuid, b, row.node_uuid in online) for row in rows for b in row.backends)
        offset += _PAGE


def _grouped(found: Iterable[Offer], key: Callable[[Offer], Key]) -> list[Group]:
    groups: dict[Key, list[Offer]] = {}
    for offer in found:
        groups.setdefault(key(offer), []).append(offer)
    return [Group(*item) for item in groups.items()]
