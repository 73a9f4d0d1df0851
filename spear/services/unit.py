"""Load, tell, save: aggregates from the log and back, with optimistic concurrency."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from spear.domain.base import Aggregate
from spear.errors import Conflict, NotFound
from spear.events.log import EventLog
from spear.events.mapper import domain_event
from spear.events.record import Committed, Origin

A = TypeVar("A", bound=Aggregate)
T = TypeVar("T")
_REMEMBERED = 4096
_TRIES = 128  # of those who race, one wins each round


def as_uuid(noun: str, ident: str) -> UUID:
    """The id, in any spelling; one that could never name anything is `NotFound`."""
    try:
        return UUID(ident)
    except ValueError:
        raise NotFound.noun(noun, ident) from None


class Unit:
    """The aggregates that live in the log. One that is handed out is nobody else's until it is saved."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self._cache: OrderedDict[UUID, Aggregate] = OrderedDict()

    def load(self, kind: type[A], ident: UUID) -> A | None:
        """The aggregate as its events say, None if it has none or is of another kind."""
        found: Aggregate | None = self._replay(ident, None)
        if found is None or isinstance(found, kind):
            return found
        self._remember([found])
        return None

    def get(self, kind: type[A], ident: str) -> A:
        """The aggregate; raises `NotFound` if there is none."""
        found = self.load(kind, as_uuid(kind.TOPIC, ident))
        if found is None:
            raise NotFound.noun(kind.TOPIC, ident)
        return found

    def blank_or_loaded(self, kind: type[A], ident: UUID) -> A:
        """The aggregate of a stream that may not have begun."""
        return cast(A, self._replay(ident, kind.blank(ident)))

    def _replay(self, ident: UUID, aggregate: Any) -> Any:
        cached = self._cache.pop(ident, None)
        if cached is not None:
            return cached
        for fact in self.log.stream(str(ident)):
            aggregate = domain_event(fact).mutate(aggregate)
        return aggregate

    def save(self, origin: Origin, *aggregates: Aggregate, more: Iterable[AggregateEvent] = ()) -> Committed:
        """Commit what the aggregates recorded (and `more`) together; when that fails, they still have it to save."""
        changed = [aggregate for aggregate in aggregates if aggregate.pending_events]
        self._remember(aggregate for aggregate in aggregates if not aggregate.pending_events)
        events = [event for aggregate in changed for event in aggregate.pending_events]
        committed = self.log.commit(cast(list[AggregateEvent], [*events, *more]), origin)
        for aggregate in changed:
            aggregate.collect_events()
        self._remember(changed)
        return committed

    def _remember(self, aggregates: Iterable[Aggregate]) -> None:
        for aggregate in aggregates:
            known = self._cache.get(aggregate.id)
            if known is None or known.version <= aggregate.version:
                self._cache[aggregate.id] = aggregate
        while len(self._cache) > _REMEMBERED:
            self._cache.popitem(last=False)

    def forget(self, *aggregates: Aggregate) -> None:
        """Drop aggregates that will not change any more."""
        for aggregate in aggregates:
            self._cache.pop(aggregate.id, None)


def retrying(attempt: Callable[[], T]) -> T:
    """Run a load-tell-save that may lose a race, again until it wins; raises the last `Conflict`."""
    for _ in range(_TRIES - 1):
        try:
            return attempt()
        except Conflict as conflict:
            if type(conflict) is not Conflict:
                raise
    return attempt()
