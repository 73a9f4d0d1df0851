"""The log as gRPC streams tell it: facts after a position, each once and in order, from the log itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from google.protobuf.any_pb2 import Any as Packed

from spear.adapters.rpc.calls import Message
from spear.adapters.rpc.checks import seconds
from spear.adapters.rpc.generated.sms import events_pb2, task_pb2
from spear.adapters.rpc.services.index import execution_message, instance_message
from spear.adapters.rpc.services.nodes import node_message
from spear.domain.base import TOPICS
from spear.errors import Invalid
from spear.events.log import EventLog
from spear.events.mapper import payload
from spear.events.record import Recorded
from spear.projections.executions import get_execution
from spear.projections.instances import get_instance
from spear.projections.nodes import get_node
from spear.services.platform import Platform

IDLE_S = 15.0
NOUNS = ("task", "node", "instance", "execution")
_KINDS = {"task.TaskCreated": "CREATE", "task.TaskUnregistered": "CANCEL"}
_OPS = {  # of tasks and nodes; what happens to instances and executions is an upsert
    "node.NodeRegistered": "CREATE",
    "node.NodeRegisteredAgain": "CREATE",
    "node.NodeDeleted": "DELETE",
    "task.TaskCreated": "CREATE",
    "task.TaskUnregistered": "DELETE",
}
_OBSERVED = ("node.Heartbeat", "node.ResourcesReported", "node.OutcomeReported")  # not among what the wire tells


def topics_of(*nouns: str) -> list[str]:
    """The topics of what happened to these nouns."""
    return [topic for topic in TOPICS if topic.partition(".")[0] in nouns and topic not in _OBSERVED]


def follow(log: EventLog, after: int, topics: list[str], *, field: str) -> Iterator[Recorded]:
    """Every fact of these topics after a position, for ever; raises `Invalid` for a position that is not there yet."""
    if not 0 <= after <= log.head:
        raise Invalid.field(field, after, f"a position from 0 to {log.head}")
    for facts in log.follow(after, idle_s=IDLE_S, topics=topics):
        yield from facts


def task_events(platform: Platform, node_uuid: str, *, after: int) -> Iterator[Message]:
    """What happened to the tasks that are pinned to a node; `event_id` is the position.

    Of tasks that any node may have taken over, it tells every node what changed and that they are gone.
    """
    for fact in follow(platform.log, after, topics_of("task"), field="last_event_id"):
        pinned = _pinned_to(platform, fact)
        event = _task_event(fact, node_uuid, event_id=fact.position)
        created = event.kind == task_pb2.TASK_EVENT_KIND_CREATE
        if created:
            event.execution_id = f"task-event-{node_uuid}-{fact.position}"
        if pinned == node_uuid or not (pinned or created):
            yield event


def _pinned_to(platform: Platform, fact: Recorded) -> str:
    created = fact if fact.version == 1 else platform.log.stream(fact.originator_id)[0]
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
    now: Message | None


def envelopes(platform: Platform, stream: str, *, after: int) -> Iterator[Message]:
    """What one stream holds after a position; `seq` is the position, so it grows but has gaps.

    The payload is the resource as it is when the event is sent: at least as new as the event.
    """
    kind, _, noun = stream.partition(".")
    topics = topics_of(noun) if kind == "type" and noun in NOUNS else topics_of(*NOUNS)
    for fact in follow(platform.log, after, topics, field="after_seq"):
        about = _about(platform, fact)
        if stream in _streams(fact, about):
            yield _envelope(fact, about, stream)


def _streams(fact: Recorded, about: About) -> set[str]:
    found = {"all", f"type.{fact.noun}", f"resource.{fact.noun}.{fact.originator_id}", f"node.{about.node_uuid}"}
    if fact.noun in ("instance", "execution"):
        found |= {f"resource.task.{about.task_id}", f"resource.instance.{about.instance_id}"}
    return found


def _about(platform: Platform, fact: Recorded) -> About:
    ident, reader = fact.originator_id, platform.reader
    if fact.noun == "node":
        node = get_node(reader, ident)
        return About(ident, "", "", node_message(node) if node else None)
    if fact.noun == "task":
        node_uuid = _pinned_to(platform, fact)
        return About(node_uuid, ident, "", _task_event(fact, node_uuid))
    if fact.noun == "instance":
        row = get_instance(reader, ident)
        return About(row.node_uuid, row.task_id, ident, instance_message(row)) if row else About("", "", ident, None)
    ran = get_execution(reader, ident)
    if ran is None:
        return About("", "", "", None)
    return About(ran.node_uuid, ran.task_id, ran.instance_id, execution_message(ran))


def _envelope(fact: Recorded, about: About, stream: str) -> Message:
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
        headers={"topic": fact.topic, "actor": fact.actor},
    )
    if about.now is not None:
        envelope.payload.CopyFrom(_packed(about.now))
        envelope.content_type = "application/protobuf"
    return envelope


def _op(fact: Recorded) -> str:
    usual = "UPDATE" if fact.noun in ("task", "node") else "UPSERT"
    return f"EVENT_OP_{_OPS.get(fact.topic, usual)}"


def _packed(message: Message) -> Packed:
    packed = Packed()
    packed.Pack(message)
    return packed
