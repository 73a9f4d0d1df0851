"""Between domain events and their stored JSON: the library's mapper with msgspec, and a lean reader for folds."""

from collections.abc import Callable
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
_TEXT = msgspec.to_builtins  # a UUID as `str` writes it, in a quarter of its time
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode


def pend(event: AggregateEvent) -> Pending:
    """The event as it will be stored; what the library's mapper makes of it, in a third of the time."""
    state = vars(event).copy()
    originator_id, version = state.pop("originator_id"), state.pop("originator_version")
    del state["timestamp"]
    topic, class_version = _stored_as(type(event))
    if class_version > 1:
        state["class_version"] = class_version
    return Pending(_TEXT(originator_id), UNNUMBERED if version == NEXT else version, topic, _ENCODE(state))


@cache
def _stored_as(event_class: type[AggregateEvent]) -> tuple[str, int]:
    return topic_of(event_class), getattr(event_class, "class_version", 1)


def domain_event(fact: Recorded) -> AggregateEvent:
    """The event as its aggregate applies it."""
    stored = StoredEvent(UUID(fact.originator_id), fact.version, fact.topic, fact.state)
    return cast(AggregateEvent, MAPPER.to_domain_event(stored))


def payload(fact: Recorded) -> AggregateEvent:
    """The event's own fields for a fold: typed, upcast, without originator and time (the fact has those)."""
    return payloads_of(fact.topic)(fact)


@cache
def payloads_of(topic: str) -> Callable[[Recorded], AggregateEvent]:
    """What `payload` does for the events of one topic; raises `Corrupt` for a topic that nobody knows."""
    if topic not in TOPICS:
        raise Corrupt(f"the log holds events of the unknown type {topic!r}; it was written by a newer version")
    event_class = TOPICS[topic]
    make, version = event_class.__new__, getattr(event_class, "class_version", 1)

    def read(fact: Recorded) -> AggregateEvent:
        try:
            state = _DECODE(fact.state)
        except msgspec.DecodeError as error:
            problem = f"event {fact.position} cannot be read: {error}"
            raise Corrupt(problem, details={"position": fact.position}) from error
        if version > 1 or "class_version" in state:
            _upcast(event_class, state, version)
        event = make(event_class)
        event.__dict__.update(state)
        return event

    return read


def _upcast(event_class: type[AggregateEvent], state: dict[str, Any], version: int) -> None:
    for old in range(state.pop("class_version", 1), version):
        getattr(event_class, f"upcast_v{old}_v{old + 1}")(state)
