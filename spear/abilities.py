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
class Queued:
    """What waits in one direction of a user stream."""

    bytes: int
    most_bytes: int
    frames: int


class GuestStream(Protocol):
    """A user stream as its guest has it; only the guest's native thread calls, and nothing blocks."""

    @property
    def stream_id(self) -> int:
        """Its number, which stands in each of its frames."""
        ...

    @property
    def connected(self) -> bool:
        """Whether a client has said something on it."""
        ...

    @property
    def closed(self) -> bool:
        """Whether its client has left; what it said can still be read."""
        ...

    @property
    def broken(self) -> bool:
        """Whether a frame was refused, as there was no room for it."""
        ...

    @property
    def inbound(self) -> Queued:
        """What the client said and the guest did not read."""
        ...

    @property
    def outbound(self) -> Queued:
        """What the guest wrote and nobody took."""
        ...

    def first(self) -> bytes | None:
        """The oldest frame that was not read, without taking it; None when there is none."""
        ...

    def drop_first(self) -> None:
        """The oldest frame was read."""
        ...

    def fits(self) -> bool:
        """Whether any frame could be written now; if not, the guest is woken when there is room."""
        ...

    def write(self, frame: bytes) -> bool:
        """Whether the frame is on its way; there is no room for it otherwise, or nobody hears."""
        ...

    def close(self) -> None:
        """The guest is done with it; called once for each time that it was opened."""
        ...


class Notices(Protocol):
    """What a guest hears of its user streams, the oldest first; only the guest's native thread calls."""

    @property
    def most(self) -> int:
        """How many may wait; more, and the oldest are dropped."""
        ...

    def __len__(self) -> int:
        """How many wait."""
        ...

    def take(self) -> tuple[int, int] | None:
        """The next: a stream and what happened to it."""
        ...

    def close(self) -> None:
        """The guest listens no more."""
        ...


class GuestStreams(Protocol):
    """The user streams of a run; `wake` is called, from anywhere, when the guest should look again."""

    def open(self, by: RunSpec, stream_id: int, *, wake: Callable[[], None]) -> GuestStream:
        """The stream with what a client said on it so far; raises `Overloaded` when no more fit."""
        ...

    def listen(self, by: RunSpec, *, wake: Callable[[], None]) -> Notices:
        """What happens to the streams from now on, beginning with those that are connected."""
        ...


@dataclass(frozen=True, slots=True)
class Abilities:
    """Everything that a guest may ask the platform for.

    `recorded` blocks until the execution of this id is a fact: a guest may run ahead of that, what it asks for may not.
    """

    objects: GuestObjects
    models: ChatModels
    streams: GuestStreams
    recorded: Callable[[str], None]
