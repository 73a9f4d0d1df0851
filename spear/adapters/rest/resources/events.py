"""The log itself: a page of facts, or a stream that never misses one.

`id` is whatever names an aggregate: its UUID (a node's includes its heartbeats), an object's key or an endpoint's name; an
id that names nothing finds nothing. `next_after` continues always: ask again with it to hear what happened since.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from marshmallow import fields

from spear.adapters.rest import sse
from spear.adapters.rest.schemas import Resource, Taken, Text, answer, whole
from spear.domain.base import TOPICS
from spear.domain.node import observations
from spear.domain.object import Object
from spear.domain.task import Endpoint
from spear.errors import Invalid
from spear.events.log import EventLog
from spear.events.mapper import payload
from spear.events.record import Recorded
from spear.services.objects import DEFAULT_BUCKET
from spear.services.platform import Platform

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOW = -1


class EventQuery(Taken):
    """Which facts, oldest first: of types such as NodeLost,task.TaskCreated, of a noun, of one aggregate."""

    limit = whole(1, 1000, strict=False, load_default=100)
    after = whole(_NOW, 2**62, strict=False, load_default=0, metadata={"description": "-1: from now on"})
    type = Text(4096, load_default="")
    noun = Text(64, load_default="")
    id = Text(1024, load_default="")


Event = answer(
    "Event", position=int, type=str, topic=str, noun=str, id=str, version=int, time=str, actor=str, cause=int,
    correlation=str, data=fields.Dict(required=True), hash=str,
)  # fmt: skip
EventList = answer("EventList", events=[Event], next_after=int, head=int)


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


def topics_of(types: str, noun: str) -> list[str]:
    """The topics of some types and a noun, none for all; raises `Invalid` for what no event could be."""
    nouns = {topic.partition(".")[0] for topic in TOPICS}
    if noun and noun not in nouns:
        raise Invalid.field("noun", noun, f"one of {', '.join(sorted(nouns))}")
    wanted = [_topic(part.strip(), noun) for part in types.split(",") if part.strip()]
    return wanted or [topic for topic in TOPICS if noun and topic.startswith(f"{noun}.")]


def _topic(given: str, noun: str) -> str:
    for topic in TOPICS:
        if given in (topic, topic.partition(".")[2]) and topic.startswith(noun and f"{noun}."):
            return topic
    of_noun = f" of {noun}" if noun else ""
    raise Invalid.field("type", given, f"an event type{of_noun} such as NodeLost or node.NodeLost")


def streams_of(ident: str) -> list[str]:
    """Every stream that an id may mean, none for an empty one."""
    if not ident:
        return []
    bucket, slash, key = ident.partition("/")
    named = Object.ident(bucket, key) if slash else Object.ident(DEFAULT_BUCKET, ident)
    return [str(found) for found in (*_by_uuid(ident), named, Endpoint.ident(ident.lower()))]


def _by_uuid(ident: str) -> list[UUID]:
    try:
        uuid = UUID(ident)
    except ValueError:
        return []
    return [uuid, observations(uuid)]


def _following(log: EventLog, after: int, topics: list[str], streams: list[str]) -> Iterator[bytes]:
    for facts in log.follow(after, idle_s=sse.IDLE_S, topics=topics, streams=streams):
        yield _messages(facts) or sse.ALIVE


def _messages(facts: list[Recorded]) -> bytes:
    return b"".join(sse.message(event_json(fact), ident=fact.position, event=fact.name) for fact in facts)


def make(platform: Platform) -> Resource:
    """The route /api/v1/events."""
    api = Resource("events", __name__, url_prefix="/api/v1/events", description="Everything that happened")
    log, open_streams = platform.log, sse.Streams()

    @api.get("")
    @api.query(EventQuery)
    @api.answers(EventList, refuses=(429, 500), streams=True)
    def list_events(query: dict[str, Any]) -> Any:
        """What happened, oldest first; as text/event-stream it is followed."""
        topics, streams = topics_of(query["type"], query["noun"]), streams_of(query["id"])
        head, limit = log.head, query["limit"]
        after = head if query["after"] == _NOW else query["after"]
        if after > head:
            raise Invalid.field("after", after, f"-1, or a position from 0 to {head}")
        if sse.wanted():
            return open_streams.answer(_following(log, sse.resume_after(after), topics, streams))
        facts = log.since(after, limit=limit, topics=topics, streams=streams)
        beyond = facts[-1].position if len(facts) == limit else head
        return {"events": [event_json(fact) for fact in facts], "next_after": beyond, "head": max(head, beyond)}

    return api
