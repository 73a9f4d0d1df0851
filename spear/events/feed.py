"""The one feed under every wire: pages of events from a cursor, or a clear word why there can be none."""

from collections.abc import Iterator
from itertools import chain

import msgspec

from spear.errors import CursorGap, CursorReset, Detail, Invalid
from spear.events.filters import streams_of, topics_of
from spear.events.log import SLICE, EventLog
from spear.events.record import Recorded
from spear.protocols.cursor import EVERYTHING, Cursor, Filter, mark_of

NOW = -1
WHERE = "an export or a copy of this log from before its first events were removed"


class Page(msgspec.Struct, frozen=True):
    """Events in order; `previous` is the position of the same filter's event before them (0: none), `cursor` continues."""

    facts: list[Recorded]
    previous: int
    cursor: Cursor

    def linked(self) -> Iterator[tuple[int, Recorded]]:
        """Each event with the position of the one before it."""
        return zip(chain([self.previous], (fact.position for fact in self.facts)), self.facts, strict=False)

    def first(self, count: int) -> "Page":
        """This page cut to its first `count` events."""
        if count >= len(self.facts):
            return self
        last = self.facts[count - 1]
        return Page(self.facts[:count], self.previous, self.cursor.at(last.position, last.hash))


def cursor_at(log: EventLog, position: int, chosen: Filter = EVERYTHING) -> Cursor:
    """The cursor of somebody who saw everything up to `position`."""
    return Cursor(log.id, position, mark_of(log.digest_at(position)), chosen)


def start(log: EventLog, *, cursor: str, after: int, chosen: Filter) -> Cursor:
    """Where a reader begins: at its cursor, or after a position (-1: now); raises `Invalid` when what it says clashes."""
    if cursor:
        return _agreeing(Cursor.parse(cursor), chosen)
    head = log.head
    if after > head:
        raise Invalid.field("after", after, f"-1, or a position from 0 to {head}")
    return cursor_at(log, head if after == NOW else after, chosen)


def _agreeing(cursor: Cursor, chosen: Filter) -> Cursor:
    if chosen not in (EVERYTHING, cursor.filter):
        raise Invalid.field("cursor", str(cursor), "a cursor of the same filter, or no filter beside it")
    return cursor


def feed(log: EventLog, cursor: Cursor, *, limit: int = SLICE, idle_s: float = 0.0) -> Iterator[Page]:
    """Everything after `cursor`, page by page, for ever; an empty page after each `idle_s` seconds without events.

    Raises `CursorReset` when the cursor does not belong to this log's history, `CursorGap` when the log no longer holds
    what comes next.
    """
    refuse_other_history(log, cursor)
    topics, streams = topics_of(cursor.filter), streams_of(cursor.filter)
    previous = log.last(cursor.position, topics=topics, streams=streams)
    head = log.head  # before each reading: what is not in it by then, lies beyond it
    _refuse_gap(log, cursor)
    for facts in log.follow(cursor.position, idle_s=idle_s, topics=topics, streams=streams, limit=limit):
        _refuse_gap(log, cursor)
        cursor = _moved(log, cursor, facts, head if len(facts) < limit else 0)
        yield Page(facts, previous, cursor)
        previous, head = facts[-1].position if facts else previous, log.head


def _moved(log: EventLog, cursor: Cursor, facts: list[Recorded], head: int) -> Cursor:
    last = facts[-1].position if facts else cursor.position
    if head > last:
        return cursor.at(head, log.digest_at(head))
    return cursor.at(last, facts[-1].hash) if facts else cursor


def refuse_other_history(log: EventLog, cursor: Cursor) -> None:
    """Raise `CursorReset` when `cursor` is of another log, or of a past that this log no longer has."""
    if cursor.log != log.id:
        raise _reset(log, cursor, "other_log", "the cursor belongs to another log")
    if cursor.position > log.head:
        what = f"the cursor is at position {cursor.position}, but the log ends at {log.head}: it was restored"
        raise _reset(log, cursor, "beyond_head", what)
    if cursor.position >= log.floor and cursor.mark != mark_of(log.digest_at(cursor.position)):
        what = f"the event at position {cursor.position} is not the one that the cursor saw: the log was restored"
        raise _reset(log, cursor, "other_history", what)


def _reset(log: EventLog, cursor: Cursor, reason: str, what: str) -> CursorReset:
    anew = cursor_at(log, log.floor - 1, cursor.filter)
    details: dict[str, Detail] = {"reason": reason, "position": cursor.position, "head": log.head, "cursor": str(anew)}
    return CursorReset(f"{what}; begin anew with details.cursor", details=details)


def _refuse_gap(log: EventLog, cursor: Cursor) -> None:
    first, last = cursor.position + 1, log.floor - 1
    if first > last:
        return
    beyond = cursor_at(log, last, cursor.filter)
    details: dict[str, Detail] = {"missing_from": first, "missing_to": last, "where": WHERE, "cursor": str(beyond)}
    what = f"this log no longer holds positions {first} to {last}; they lie in {WHERE}"
    raise CursorGap(f"{what}; go on behind them with details.cursor", details=details)
