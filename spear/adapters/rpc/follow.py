"""The log as gRPC streams tell it: facts after a position, each once and in order, from the log itself."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from google.protobuf.any_pb2 import Any as Packed

from spear.adapters.rpc.calls import Message
from spear.adapters.rpc.checks import seconds
from spear.adapters.rpc.generated.sms import events_pb2, task_pb2
from spear.adapters.rpc.services.index import execution_message, instance_message
from spear.adapters.rpc.services.nodes import node_message
from spear.domain.base import TOPICS
from spear.errors import CursorGap, CursorReset, Invalid
from spear.events.feed import Page, cursor_at, feed
from spear.events.log import EventLog
from spear.events.mapper import payload
from spear.events.record import Recorded
from spear.projections.executions import get_execution
from spear.projections.instances import get_instance
from spear.projections.nodes import get_node
from spear.protocols.cursor import Cursor, Filter, mark_of
from spear.services.platform import Platform

IDLE_S = 15.0
AFTER_EVENT = "x-after-event-id"
NOUNS = ("task", "node", "instance", "execution")
_KINDS = {
    "task.TaskCreated": "CREATE",
    "task.TaskRegisteredAgain": "CREATE",
    "task.TaskUnregistered": "CANCEL",
}
_OPS = {  # of tasks and nodes; what happens to instances and executions is an upsert
    "node.NodeRegistered": "CREATE",
    "node.NodeRegisteredAgain": "CREATE",
    "node.NodeDeleted": "DELETE",
    "task.TaskCreated": "CREATE",
    "task.TaskRegisteredAgain": "CREATE",
    "task.TaskUnregistered": "DELETE",
}
_OBSERVED = (  # not among what the wire tells: told by nodes and runs themselves, in streams of their own
    "node.Heartbeat",
    "node.ResourcesReported",
    "node.OutcomeReported",
    "task.TaskResultReported",
    "execution.ModelCalled",
)


def _topics_of(*nouns: str) -> tuple[str, ...]:
    return tuple(sorted(topic for topic in TOPICS if topic.partition(".")[0] in nouns and topic not in _OBSERVED))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stream begins: after a position that the request's `field` names, and after which event, if it says so."""

    position: int
    field: str
    event_id: str = ""

    def cursor(self, log: EventLog, chosen: Filter) -> Cursor:
        """The place in this log; raises `Invalid` for a position that is not there yet, unless its event is named."""
        if self.event_id:
            return Cursor(log.id, self.position, mark_of(_hash_of(self.event_id)), chosen)
        if not 0 <= self.position <= log.head:
            raise Invalid.field(self.field, self.position, f"a position from 0 to {log.head}")
        return cursor_at(log, self.position, chosen)


def _hash_of(event_id: str) -> bytes:
    try:
        return UUID(event_id).bytes
    except ValueError:
        raise Invalid.field(AFTER_EVENT, event_id, "the event_id of the last event that was seen") from None


def _pages(log: EventLog, place: Place, chosen: Filter) -> Iterator[Page]:
    """The facts of a filter, for ever; raises `CursorReset` and `CursorGap`."""
    try:
        yield from feed(log, place.cursor(log, chosen), idle_s=IDLE_S)
    except (CursorReset, CursorGap) as error:
        what, on = error.message.rpartition(";")[0], Cursor.parse(str(error.details["cursor"])).position
        raise type(error)(f"{what}; go on with {place.field} {on}", details=error.details) from None


def task_events(platform: Platform, node_uuid: str, place: Place) -> Iterator[Message]:
    """What happened to the tasks that are pinned to a node; `event_id` is the position.

    Of tasks that any node may have taken over, it tells every node what changed and that they are gone.
    """
    pages = _pages(platform.log, place, Filter(_topics_of("task")))
    for fact in (fact for page in pages for fact in page.facts):
        pinned = _pinned_to(platform, fact)
        event = _task_event(fact, node_uuid, event_id=fact.position)
        created = event.kind == task_pb2.TASK_EVENT_KIND_CREATE
        if created:
            event.execution_id = f"task-event-{node_uuid}-{fact.position}"
        if pinned == node_uuid or not (pinned or created):
            yield event


def _pinned_to(platform: Platform, fact: Recorded) -> str:
    created = fact if fact.version == 1 else platform.log.stream(fact.originator_id, limit=1)[0]
    return str(payload(created).node_uuid)  # type: ignore[attr-defined]


def _task_event(fact: Recorded, node_uuid: str, *, event_id: int = 0) -> Message:
    return task_pb2.TaskEvent(
        event_id=event_id,
        ts=seconds(fact.time_us),
        node_uuid=node_uuid,
        task_id=fact.originator_id,
        kind=f"TASK_EVENT_KIND_{_KINDS.get(fact.topic, 'UPDATE')}",
    )


@dataclass(frozen=True, slots=True)
class About:
    """Whom a fact is about, and what they are now; no `now` for who is gone."""

    node_uuid: str
    task_id: str
    instance_id: str
    now: Packed | None


def envelopes(platform: Platform, stream: str, place: Place) -> Iterator[Message]:
    """What one stream holds after a position; `seq` is the position, so it grows but has gaps.

    Where the stream is a filter of the log, the header `previous` is the `seq` of the event before, 0 for the first. The
    payload is the resource as it is when the event is read: at least as new as the event.
    """
    chosen, exact = _filter_of(stream)
    for page in _pages(platform.log, place, chosen):
        for previous, fact, about in _told(platform, page):
            if stream == "all" or stream in _streams(fact, about):
                yield _envelope(fact, about, stream, {"previous": str(previous)} if exact else {})


def _filter_of(stream: str) -> tuple[Filter, bool]:
    """The narrowest filter that has all of the stream, and whether it has nothing else."""
    kind, _, rest = stream.partition(".")
    noun, _, ident = rest.partition(".")
    if kind == "type" and rest in NOUNS:
        return Filter(_topics_of(rest)), True
    if kind == "resource" and noun in ("node", "execution"):
        return Filter(_topics_of(noun), id=ident), True
    return Filter(_topics_of(*NOUNS)), stream == "all"


def _streams(fact: Recorded, about: About) -> set[str]:
    found = {"all", f"type.{fact.noun}", f"resource.{fact.noun}.{fact.originator_id}", f"node.{about.node_uuid}"}
    if fact.noun in ("instance", "execution"):
        found |= {f"resource.task.{about.task_id}", f"resource.instance.{about.instance_id}"}
    return found


def _told(platform: Platform, page: Page) -> Iterator[tuple[int, Recorded, About]]:
    """Each fact of a page with the position of the one before and whom it is about, who are looked up once a page."""
    known: dict[str, About] = {}
    for previous, fact in page.linked():
        about = known.get(fact.originator_id) or _about(platform, fact)
        known[fact.originator_id] = about
        if fact.noun == "task":
            about = replace(about, now=_packed(_task_event(fact, about.node_uuid)))
        yield previous, fact, about


def _about(platform: Platform, fact: Recorded) -> About:
    ident, reader = fact.originator_id, platform.reader
    if fact.noun == "node":
        node = get_node(reader, ident)
        return About(ident, "", "", _packed(node_message(node)) if node else None)
    if fact.noun == "task":
        return About(_pinned_to(platform, fact), ident, "", None)
    if fact.noun == "instance":
        row = get_instance(reader, ident)
        now = _packed(instance_message(row)) if row else None
        return About(row.node_uuid, row.task_id, ident, now) if row else About("", "", ident, None)
    ran = get_execution(reader, ident)
    if ran is None:
        return About("", "", "", None)
    return About(ran.node_uuid, ran.task_id, ran.instance_id, _packed(execution_message(ran)))


def _envelope(fact: Recorded, about: About, stream: str, headers: dict[str, str]) -> Message:
    envelope = events_pb2.EventEnvelope(
        event_id=str(UUID(bytes=fact.hash[:16])),
        ts_ms=fact.time_us // 1000,
        stream=stream,
        seq=fact.position,
        resource_type=f"RESOURCE_TYPE_{fact.noun.upper()}",
        resource_id=fact.originator_id,
        op=_op(fact),
        schema_version=1,
        node_uuid=about.node_uuid,
        correlation_id=fact.correlation,
        headers={"topic": fact.topic, "actor": fact.actor, **headers},
    )
    if about.now is not None:
        envelope.payload.CopyFrom(about.now)
        envelope.content_type = "application/protobuf"
    return envelope


def _op(fact: Recorded) -> str:
    usual = "UPDATE" if fact.noun in ("task", "node") else "UPSERT"
    return f"EVENT_OP_{_OPS.get(fact.topic, usual)}"


def _packed(message: Message) -> Packed:
    packed = Packed()
    packed.Pack(message)
    return packed
