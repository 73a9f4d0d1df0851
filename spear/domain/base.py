"""The ground that every aggregate stands on: stable topics, and events without a clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, TypeVar, cast
from uuid import NAMESPACE_OID, UUID, uuid5

from eventsourcing.domain import Aggregate as LibraryAggregate
from eventsourcing.domain import AggregateCreated, AggregateEvent
from eventsourcing.utils import register_topic

UNSTAMPED = datetime.min.replace(tzinfo=UTC)  # the log gives each event its time when it is recorded
NEXT = 0  # an originator version that the log fills in: for streams without rules of their own

A = TypeVar("A", bound="type[Aggregate]")
E = TypeVar("E", bound="type[AggregateEvent]")
TOPICS: dict[str, type[AggregateEvent]] = {}


class Aggregate(LibraryAggregate):
    """An aggregate whose events carry no clock: time, actor, cause and correlation belong to the recorded fact."""

    TOPIC: ClassVar[str]

    class Event(LibraryAggregate.Event):
        """Something that happened to the aggregate."""

        TOPIC: ClassVar[str]

        @staticmethod
        def create_timestamp() -> datetime:
            """Domain code has no clock."""
            return UNSTAMPED

    class Created(Event, LibraryAggregate.Created):
        """The first event of an aggregate."""

    @classmethod
    def blank(cls, ident: UUID) -> Self:
        """The aggregate before its first event, for streams that begin and begin again (keys, claimed names)."""
        aggregate = object.__new__(cls)
        aggregate.__base_init__(originator_id=ident, originator_version=0, timestamp=UNSTAMPED)
        aggregate.begin()
        return aggregate

    def begin(self) -> None:
        """Set the state before the first event; only aggregates that use `blank` have one."""


def topic(name: str) -> Callable[[A], A]:
    """Give an aggregate and its events stored names that do not depend on where the code lives: `node.NodeLost`."""

    def register(cls: A) -> A:
        cls.TOPIC = name
        register_topic(name, cls)
        for attribute, value in list(vars(cls).items()):
            if isinstance(value, type) and issubclass(value, AggregateEvent) and attribute not in ("Event", "Created"):
                event_topic(f"{name}.{attribute}")(value)
        return cls

    return register


def event_topic(name: str) -> Callable[[E], E]:
    """Register one event class under its stored name."""

    def register(cls: E) -> E:
        cls.TOPIC = name  # type: ignore[attr-defined]
        register_topic(name, cls)
        TOPICS[name] = cls
        return cls

    return register


def topic_of(event: type[AggregateEvent]) -> str:
    """The stored name of an event class."""
    return cast(str, event.TOPIC)  # type: ignore[attr-defined]


def is_first(event: type[AggregateEvent]) -> bool:
    """Whether the event creates its aggregate."""
    return issubclass(event, AggregateCreated)


def named(kind: str, name: str) -> UUID:
    """The id of the thing that owns a unique name, so that uniqueness is a primary-key clash and not a look-up."""
    return uuid5(NAMESPACE_OID, f"spear/{kind}/{name}")


Fields = dict[str, Any]  # what an event carries, as read from JSON, before an upcast
