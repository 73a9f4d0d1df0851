"""The ground that every aggregate stands on: stable topics, and events without a clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from hashlib import sha1
from inspect import signature
from typing import Any, ClassVar, Self, TypeVar, cast
from uuid import NAMESPACE_OID, UUID

from eventsourcing.domain import Aggregate as LibraryAggregate
from eventsourcing.domain import (
    AggregateEvent,
    BoundCommandMethodDecorator,
    CommandMethodDecorator,
    MetaAggregate,
    MetaDomainEvent,
)
from eventsourcing.utils import register_topic

UNSTAMPED = datetime.min.replace(tzinfo=UTC)  # the log gives each event its time when it is recorded
NEXT = 0  # an originator version that the log fills in: for streams without rules of their own

A = TypeVar("A", bound="type[Aggregate]")
E = TypeVar("E", bound="type[AggregateEvent]")
TOPICS: dict[str, type[AggregateEvent]] = {}
OBSERVED: set[str] = set()
_CREATORS: dict[type, Callable[[dict[str, Any]], Any]] = {}
_OWN = ("originator_id", "originator_version", "timestamp")
_NAMESPACE = NAMESPACE_OID.bytes


class LeanEvent(MetaDomainEvent):
    """Event classes just as the library makes them, but one without fields of its own is the dataclass that its base is."""

    def __new__(mcs, name: str, bases: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        if attributes.get("__annotations__"):
            return super().__new__(mcs, name, bases, attributes)
        return type.__new__(mcs, name, bases, attributes)


class LeanAggregate(MetaAggregate[Any]):
    """Aggregates and events just as the library makes them, in a third of its time.

    The library inspects the decorated method, its arguments and the event's topic at every call. Here `topic` does that
    once for each method; what is left to do at a call is the effect, and the event's fields in their order. A call in
    another form than the usual one (`__init__` by keywords, other methods by position) or a wrong one is the library's.
    """

    def __new__(mcs, name: str, bases: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        """Share the base's `Event` and `Created`; under ones of the aggregate's own, every event would be made again."""
        shared = {event: getattr(bases[0], event) for event in ("Event", "Created")}
        return super().__new__(mcs, name, bases, shared | attributes)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        create = None if args else _CREATORS.get(cls)
        made = create(kwargs) if create else None
        return super().__call__(*args, **kwargs) if made is None else made


class Aggregate(LibraryAggregate, metaclass=LeanAggregate):
    """An aggregate whose events carry no clock: time, actor, cause and correlation belong to the recorded fact."""

    TOPIC: ClassVar[str]

    class Event(LibraryAggregate.Event, metaclass=LeanEvent):
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
    """Give an aggregate and its events stored names that do not depend on where the code lives: `node.NodeLost`.

    Its methods with `@event` become lean ones.
    """

    def register(cls: A) -> A:
        cls.TOPIC = name
        register_topic(name, cls)
        for attribute, value in list(vars(cls).items()):
            if isinstance(value, type) and issubclass(value, AggregateEvent) and attribute not in ("Event", "Created"):
                event_topic(f"{name}.{attribute}")(value)
        for attribute, value in list(vars(cls).items()):
            if isinstance(value, CommandMethodDecorator) and value.given_event_cls:
                event_class = getattr(cls, value.given_event_cls.__name__)
                if attribute == "__init__":
                    _CREATORS[cls] = _creator(cls, value.decorated_func, event_class)
                else:
                    setattr(cls, attribute, _command(value, event_class))
        return cls

    return register


def _creator(cls: A, effect: Callable[..., None], event_class: type[AggregateEvent]) -> Callable[[dict[str, Any]], Any]:
    names = [name for name in signature(effect).parameters if name not in ("self", "id")]
    given, fields = {"id", *names}, (*_OWN, "originator_topic", *names)

    def create(kwargs: dict[str, Any]) -> Any:
        if kwargs.keys() != given or not isinstance(ident := kwargs["id"], UUID):
            return None
        aggregate = object.__new__(cls)
        aggregate.__base_init__(ident, 1, UNSTAMPED)
        effect(aggregate, **kwargs)
        event = object.__new__(event_class)
        values = (ident, 1, UNSTAMPED, cls.TOPIC, *map(kwargs.__getitem__, names))
        vars(event).update(zip(fields, values, strict=True))
        aggregate._pending_events.append(event)
        return aggregate

    return create


def _command(decorator: CommandMethodDecorator, event_class: type[AggregateEvent]) -> Callable[..., None]:
    effect = decorator.decorated_func
    names = tuple(signature(effect).parameters)[1:]
    count, fields = len(names), _OWN + names

    @wraps(effect)
    def command(self: Aggregate, *args: Any, **kwargs: Any) -> None:
        if kwargs or len(args) != count:
            return BoundCommandMethodDecorator(decorator, self)(*args, **kwargs)
        effect(self, *args)
        self._version += 1
        self._modified_on = UNSTAMPED
        event = object.__new__(event_class)
        vars(event).update(zip(fields, (self._id, self._version, UNSTAMPED) + args, strict=True))
        self._pending_events.append(event)

    return command


def event_topic(name: str, *, observed: bool = False) -> Callable[[E], E]:
    """Register one event class under its stored name; what is `observed` belongs to a stream that the log numbers."""

    def register(cls: E) -> E:
        cls.TOPIC = name  # type: ignore[attr-defined]
        register_topic(name, cls)
        TOPICS[name] = cls
        if observed:
            OBSERVED.add(name)
        return cls

    return register


def topic_of(event: type[AggregateEvent]) -> str:
    """The stored name of an event class."""
    return cast(str, event.TOPIC)  # type: ignore[attr-defined]


def named(kind: str, name: str) -> UUID:
    """The id of the thing that owns a unique name, so that uniqueness is a primary-key clash and not a look-up."""
    digest = sha1(_NAMESPACE + f"spear/{kind}/{name}".encode(), usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)  # as `uuid5` makes it, in two thirds of its time
