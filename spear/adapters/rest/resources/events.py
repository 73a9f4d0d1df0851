"""The log itself: a page of facts, or a stream that never misses one.

`id` is whatever names an aggregate: its UUID (a node's includes its heartbeats), an object's key or an endpoint's name; an
id that names nothing finds nothing. `next_cursor` continues always: ask again with it alone to hear what happened since, and to be
told (409 CURSOR_RESET, CURSOR_GAP) when that can no longer be said. `next_after` is its position. `previous` is the position of
the event before, in the same filter.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from flask import Response
from marshmallow import fields

from spear.adapters.rest import sse, upgrade
from spear.adapters.rest.schemas import Resource, Taken, Text, answer, whole
from spear.adapters.rest.websocket import Say
from spear.events.feed import NOW, Page, cursor_at, feed, refuse_other_history, start
from spear.events.filters import filter_of
from spear.events.log import EventLog
from spear.events.mapper import payload
from spear.events.record import Recorded
from spear.protocols.cursor import LONGEST, Cursor
from spear.services.platform import Platform

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


PROTOCOL = "spear.v1"


class FeedQuery(Taken):
    """Which facts, oldest first: of types such as NodeLost,task.TaskCreated, of a noun, of one aggregate."""

    after = whole(NOW, 2**62, strict=False, load_default=0, metadata={"description": "-1: from now on"})
    cursor = Text(LONGEST, load_default="")
    type = Text(4096, load_default="")
    noun = Text(64, load_default="")
    id = Text(1024, load_default="")


class EventQuery(FeedQuery):
    """Which facts, and how many at once."""

    limit = whole(1, 1000, strict=False, load_default=100)


Event = answer(
    "Event", position=int, type=str, topic=str, noun=str, id=str, version=int, time=str, actor=str, cause=int,
    correlation=str, data=fields.Dict(required=True), hash=str, previous=int, cursor=str,
)  # fmt: skip
EventList = answer("EventList", events=[Event], previous=int, next_after=int, next_cursor=str, head=int)


def event_json(fact: Recorded) -> dict[str, Any]:
    """A fact as the API shows it; raises `Corrupt` when it cannot be read."""
    return {
        "position": fact.position,
        "type": fact.name,
        "topic": fact.topic,
        "noun": fact.noun,
        "id": fact.originator_id,
        "version": fact.version,
        "time": _EPOCH + timedelta(microseconds=fact.time_us),
        "actor": fact.actor,
        "cause": fact.cause,
        "correlation": fact.correlation,
        "data": vars(payload(fact)),
        "hash": fact.hash.hex(),
    }


def _following(log: EventLog, cursor: Cursor, *, last: int) -> Iterator[bytes]:
    if last != cursor.position:  # a browser asks again with its first address, and says how far it came
        refuse_other_history(log, cursor)
        cursor = cursor_at(log, last, cursor.filter)
    for page in feed(log, cursor, idle_s=sse.IDLE_S):
        yield _messages(page) or sse.ALIVE


def told(log: EventLog, cursor: Cursor) -> Say:
    """Every event after the cursor, as one text each."""
    for page in feed(log, cursor, idle_s=sse.IDLE_S):
        yield [msgspec.json.encode(data).decode() for data in events_json(page)]


def _messages(page: Page) -> bytes:
    return b"".join(sse.message(data, ident=data["position"], event=data["type"]) for data in events_json(page))


def events_json(page: Page) -> Iterator[dict[str, Any]]:
    """The events of a page as the API shows them, each with the cursor that goes on after it."""
    for previous, fact in page.linked():
        yield event_json(fact) | {"previous": previous, "cursor": str(page.cursor.at(fact.position, fact.hash))}


def make(platform: Platform) -> Resource:
    """The route /api/v1/events."""
    api = Resource("events", __name__, url_prefix="/api/v1/events", description="Everything that happened")
    log, open_streams = platform.log, sse.Streams(platform.tokens)
    sockets = upgrade.Sockets(platform.config.http, platform.tokens, protocol=PROTOCOL)

    def begin(query: dict[str, Any]) -> Cursor:
        chosen = filter_of(query["type"], query["noun"], query["id"])
        return start(log, cursor=query["cursor"], after=query["after"], chosen=chosen)

    @api.get("")
    @api.query(EventQuery)
    @api.answers(EventList, refuses=(409, 429, 500), streams=True)
    def list_events(query: dict[str, Any]) -> Any:
        """What happened, oldest first; as text/event-stream it is followed."""
        cursor = begin(query)
        if sse.wanted():
            return open_streams.answer(_following(log, cursor, last=sse.resume_after(cursor.position)))
        page = next(feed(log, cursor, limit=query["limit"]))
        beyond = page.cursor.position
        return {
            "events": list(events_json(page)),
            "previous": page.previous,
            "next_after": beyond,
            "next_cursor": str(page.cursor),
            "head": max(log.head, beyond),
        }

    @api.get("/ws")
    @upgrade.required(api, refuses=(422,))
    @api.query(FeedQuery)
    def follow_events(query: dict[str, Any]) -> Response:
        """What happens, by WebSocket: each event as one text; an error is the last one."""
        return sockets.answer(told(log, begin(query)))

    return api
