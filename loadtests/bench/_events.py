"""Events as a fleet at work makes them, the same for every benchmark that writes or replays."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain, cycle
from uuid import UUID, uuid5

from eventsourcing.domain import AggregateEvent

from spear.adapters.system import SystemIds
from spear.domain.execution import Execution, Start
from spear.domain.node import Heartbeat, Node
from spear.domain.object import Object
from spear.events.record import Origin

ORIGIN = Origin("bench", "0123456789abcdef0123456789abcdef")
HEALTH = {"cpu_usage": "12%", "memory_usage": "40%", "disk_usage": "7%"}
_SPACE = UUID(int=7)
_QUESTION = sha256(b"hi").hexdigest()
_ANSWER = sha256(b"Hello from SPEAR!\n").hexdigest()
Commit = Sequence[AggregateEvent]


def node(name: str) -> Node:
    """A new node whose first event is not collected yet."""
    return Node(id=uuid5(_SPACE, name), ip_address="10.0.0.1", port=50052, http_port=8081, metadata={"name": name})


def registrations() -> Iterator[Commit]:
    """New nodes for ever, one a commit, with ids as the platform makes them."""
    ids = SystemIds()
    while True:
        yield Node(
            id=ids.new(), ip_address="10.0.0.1", port=50052, http_port=8081, metadata={"zone": "a"}
        ).collect_events()


def beats(of: Node) -> Iterator[Commit]:
    """Heartbeats for ever, one a commit."""
    while True:
        yield [of.observe(Heartbeat, health_info=HEALTH)]


def executions(name: str, on: Node) -> Iterator[Commit]:
    """Executions for ever, two commits each: requested and started, then completed with its result."""
    task_id, instance_id, ids = str(uuid5(_SPACE, f"{name}/task")), str(uuid5(_SPACE, name)), SystemIds()
    while True:
        execution = _requested(ids.new(), task_id, on)
        execution.begin_on(instance_id, node_uuid=str(on.id), start=Start.WARM)
        yield execution.collect_events()
        execution.complete(exit_code=0, sha256=_ANSWER, size=18, content_type="text/plain", duration_us=900)
        yield [*execution.collect_events(), *_result(task_id, str(execution.id)).collect_events()]


def mixed(name: str, on: Node) -> Iterator[Commit]:
    """Heartbeats (60 %) and executions (events: 30 %, and 10 % for the objects with their results)."""
    kinds = beats(on), executions(name, on)
    for kind in cycle((0, 0, 0, 1, 0, 0, 0, 1)):
        yield next(kinds[kind])


def streams(kind: str, writers: int) -> list[Iterator[Commit]]:
    """For each writer its commits of `registrations`, `beats` or `mixed`, for ever; each begins with its node."""
    made = {
        "registrations": lambda number, on: registrations(),
        "beats": lambda number, on: beats(on),
        "mixed": lambda number, on: mixed(str(number), on),
    }[kind]
    nodes = [node(str(number)) for number in range(writers)]
    return [chain([on.collect_events()], made(number, on)) for number, on in enumerate(nodes)]


def _requested(ident: UUID, task_id: str, on: Node) -> Execution:
    return Execution(
        id=ident,
        task_id=task_id,
        node_uuid=str(on.id),
        mode="sync",
        args=[],
        environment={},
        timeout_ms=0,
        input_sha256=_QUESTION,
        input_size=2,
        input_inline="aGk=",
        input_content_type="text/plain",
        fingerprint="",
    )


def _result(task_id: str, execution_id: str) -> Object:
    key = f"{task_id}/{execution_id}"
    result = Object.blank(Object.ident("results", key))
    result.put("results", key, sha256=_ANSWER, size=18, inline="SGVsbG8gZnJvbSBTUEVBUiEK", content_type="text/plain")
    return result
