"""What the platform does for guests that ask: small Protocols, one for each ability, done on the hub on behalf of one run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from spear.models import ChatAnswer, ChatRequest
from spear.ports import RunSpec


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What is known of an object without reading it; `version` counts from 1."""

    size: int
    version: int
    sha256: str
    content_type: str


class GuestObjects(Protocol):
    """The object store as one run may use it; every call raises `Forbidden` for a name that its task may not use."""

    def stat(self, by: RunSpec, name: str) -> ObjectStat:
        """What is known of the object; raises `NotFound`, `Unavailable`."""
        ...

    def read(self, by: RunSpec, name: str, *, first: int, size: int) -> bytes:
        """At most `size` bytes from byte `first` on; none beyond the end. Raises `NotFound`, `Corrupt`, `Unavailable`."""
        ...

    def write(self, by: RunSpec, name: str, data: bytes, *, version: int | None) -> int:
        """Write a new version and tell its number; raises `PreconditionFailed` unless the one there is `version` (0: none)."""
        ...

    def delete(self, by: RunSpec, name: str, *, version: int | None) -> None:
        """Remove the object; raises `NotFound`, `PreconditionFailed`, and `Refused` for one that is pinned."""
        ...


class ChatModels(Protocol):
    """The model backends as one run may use them."""

    def chat(self, by: RunSpec, request: ChatRequest) -> ChatAnswer:
        """Have a model continue a conversation; raises `Unavailable` when that it was asked cannot be recorded."""
        ...


@dataclass(frozen=True, slots=True)
class Abilities:
    """Everything that a guest may ask the platform for.

    `recorded` blocks until the execution of this id is a fact: a guest may run ahead of that, what it asks for may not.
    """

    objects: GuestObjects
    models: ChatModels
    recorded: Callable[[str], None]
