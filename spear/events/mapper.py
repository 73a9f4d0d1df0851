"""Between domain events and their stored JSON: the library's mapper with msgspec, and a lean reader for folds."""

from functools import cache
from typing import Any, cast
from uuid import UUID

import msgspec
from eventsourcing.domain import AggregateEvent
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder

from spear.domain import (  # noqa: F401  their topics
    backend,
    deployment,
    execution,
    file,
    holding,
    instance,
    mcp_server,
    node,
    object,
    placement,
    task,
    token,
)
from spear.domain.base import NEXT, TOPICS, UNSTAMPED, topic_of
from spear.errors import Corrupt
from spear.events.record import UNNUMBERED, Pending, Recorded


class JsonTranscoder(Transcoder):
    """Event state as JSON that people can read; the time is the log's, not the state's."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(dict[str, Any])

    def encode(self, obj: Any) -> bytes:
        """JSON without the event's own timestamp."""
        obj.pop("timestamp", None)
        return self._encoder.encode(obj)

    def decode(self, data: bytes) -> Any:
        """The state as attributes, unstamped."""
        state = self._decoder.decode(data)
        state["timestamp"] = UNSTAMPED
        return state


MAPPER: Mapper[UUID] = Mapper(JsonTranscoder())
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode


def pend(event: AggregateEvent) -> Pending:
    """The event as it will be stored; what the library's mapper makes of it, in a third of the time."""
    state = vars(event).copy()
    originator_id, version = state.pop("originator_id"), state.pop("originator_version")
    del state["timestamp"]
    topic, class_version = _stored_as(type(event))
    if class_version > 1:
        state["class_version"] = class_version
    return Pending(str(originator_id), UNNUMBERED if version == NEXT else version, topic, _ENCODE(state))


@cache
def _stored_as(event_class: type[AggregateEvent]) -> tuple[str, int]:
    return topic_of(event_class), getattr(event_class, "class_version", 1)


def domain_event(fact: Recorded) -> AggregateEvent:
    """The event as its aggregate applies it."""
    stored = StoredEvent(UUID(fact.originator_id), fact.version, fact.topic, fact.state)
    return cast(AggregateEvent, MAPPER.to_domain_event(stored))


def payload(fact: Recorded) -> AggregateEvent:
    """The event's own fields for a fold: typed, upcast, without originator and time (the fact has those)."""
    event_class, version = _class_of(fact.topic)
    try:
        state = _DECODE(fact.state)
    except msgspec.DecodeError as error:
        raise Corrupt(f"event {fact.position} cannot be read: {error}", details={"position": fact.position}) from error
    if version > 1 or "class_version" in state:
        _upcast(event_class, state, version)
    event = event_class.__new__(event_class)
    event.__dict__.update(state)
    return event


@cache
def _class_of(topic: str) -> tuple[type[AggregateEvent], int]:
    if topic not in TOPICS:
        raise Corrupt(f"the log holds events of the unknown type {topic!r}; it was written by a newer version")
    event_class = TOPICS[topic]
    return event_class, getattr(event_class, "class_version", 1)


def _upcast(event_class: type[AggregateEvent], state: dict[str, Any], version: int) -> None:
    for old in range(state.pop("class_version", 1), version):
        getattr(event_class, f"upcast_v{old}_v{old + 1}")(state)
