"""Following the log over gRPC: everything after a position, once and in order."""

from itertools import islice
from uuid import uuid4

import grpc
import pytest

from spear.adapters.rpc.follow import AFTER_EVENT
from spear.adapters.rpc.generated.sms import events_pb2, execution_pb2, node_pb2, task_pb2
from tests.rpc._wire import Stub, connected, refused
from tests.server import Server

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="session")
def follow(stub):
    return stub("sms.EventsService").SubscribeEvents


def head(server: Server) -> int:
    return server.get("/api/v1/events", params={"after": -1}).json()["head"]


def test_everything_is_told_once_and_in_the_order_of_the_log(server, follow, nodes):
    before = head(server)
    uuids = [nodes.RegisterNode(node={"ip_address": "127.0.0.9", "port": 1}).node_uuid for _ in range(40)]
    stream = follow(selector={"all": {}}, after_seq=before, replay_limit=3)
    told = list(islice((event for event in stream if event.resource_id in uuids), 40))
    stream.cancel()
    assert [event.resource_id for event in told] == uuids
    assert [event.seq for event in told] == sorted({event.seq for event in told})
    assert {(event.op, event.resource_type, event.stream) for event in told} == {
        (events_pb2.EVENT_OP_CREATE, events_pb2.RESOURCE_TYPE_NODE, "all")
    }


def test_a_broken_stream_goes_on_where_it_ended(server, follow, nodes):
    before = head(server)
    uuids = [nodes.RegisterNode(node={"ip_address": "127.0.0.9", "port": 1}).node_uuid for _ in range(3)]
    selector = {"resource_type": events_pb2.RESOURCE_TYPE_NODE}
    first = follow(selector=selector, after_seq=before)
    seen = [next(first)]
    first.cancel()
    second = follow(selector=selector, after_seq=seen[0].seq)
    seen += islice(second, 2)
    second.cancel()
    assert [event.resource_id for event in seen] == uuids


SELECTORS = {
    "all": lambda uuid: {"all": {}},
    "type": lambda uuid: {"resource_type": events_pb2.RESOURCE_TYPE_NODE},
    "resource": lambda uuid: {"stream": f"resource.node.{uuid}"},
}


@pytest.mark.parametrize("kind", SELECTORS)
def test_an_event_names_the_one_before_it_in_its_stream(server, follow, nodes, fresh, kind):
    before = head(server)
    for _ in range(3):
        nodes.RegisterNode(node={"uuid": fresh, "ip_address": "127.0.0.9", "port": 1})
        nodes.DeleteNode(uuid=fresh)
    stream = follow(selector=SELECTORS[kind](fresh), after_seq=before)
    told = list(islice((event for event in stream if event.resource_id == fresh), 6))
    stream.cancel()
    assert [int(event.headers["previous"]) for event in told][1:] == [event.seq for event in told][:-1]
    assert int(told[0].headers["previous"]) <= before


def test_a_stream_that_no_filter_of_the_log_is_names_none_before(server, follow, nodes, fresh):
    before = head(server)
    nodes.RegisterNode(node={"uuid": fresh, "ip_address": "127.0.0.9", "port": 1})
    stream = follow(selector={"node_uuid": fresh}, after_seq=before)
    assert "previous" not in next(stream).headers
    stream.cancel()


def test_who_names_the_last_event_learns_that_the_log_is_not_the_one_that_had_it(server, follow, nodes):
    before = head(server)
    for _ in range(3):
        nodes.RegisterNode(node={"ip_address": "127.0.0.9", "port": 1})
    stream = follow(selector={"all": {}}, after_seq=before)
    first, second = islice(stream, 2)
    stream.cancel()
    again = follow(selector={"all": {}}, after_seq=first.seq, sent=((AFTER_EVENT, first.event_id),))
    assert next(again) == second
    again.cancel()
    for position, event_id, word in (
        (first.seq, second.event_id, "is not the one that the cursor saw"),
        (2**60, first.event_id, "it was restored"),
    ):
        with refused(grpc.StatusCode.FAILED_PRECONDITION, word, "go on with after_seq 0"):
            next(follow(selector={"all": {}}, after_seq=position, sent=((AFTER_EVENT, event_id),)))
    with refused(INVALID, AFTER_EVENT):
        next(follow(selector={"all": {}}, sent=((AFTER_EVENT, "x"),)))


def test_an_event_carries_what_it_is_about(server, follow, invocations):
    before, task = head(server), server.register("hello")
    ran = invocations.Invoke(task_id=task, sent=(("x-request-id", "mine"),))
    stream = follow(selector={"stream": f"resource.task.{task}"}, after_seq=before)
    events = {event.headers["topic"]: event for event in islice(stream, 7)}
    stream.cancel()
    assert set(events) == {
        "task.TaskCreated", "execution.ExecutionRequested", "execution.ExecutionPlaced", "task.TaskActivated",
        "instance.InstanceStarted", "execution.ExecutionStarted", "execution.ExecutionCompleted",
    }  # fmt: skip
    ended = events["execution.ExecutionCompleted"]
    assert (ended.correlation_id, ended.op, ended.schema_version) == ("mine", events_pb2.EVENT_OP_UPSERT, 1)
    found = execution_pb2.Execution()
    assert ended.payload.type_url == "type.googleapis.com/sms.Execution" and ended.payload.Unpack(found)
    assert (found.execution_id, found.status) == (ran.execution_id, execution_pb2.EXECUTION_STATUS_COMPLETED)
    created = task_pb2.TaskEvent()
    assert events["task.TaskCreated"].payload.Unpack(created)
    assert (created.task_id, created.kind, created.event_id) == (task, task_pb2.TASK_EVENT_KIND_CREATE, 0)


def test_a_node_that_is_gone_is_told_without_a_payload(server, follow, nodes, fresh):
    before = head(server)
    nodes.RegisterNode(node={"uuid": fresh, "ip_address": "127.0.0.9", "port": 1})
    nodes.DeleteNode(uuid=fresh)
    stream = follow(selector={"node_uuid": fresh}, after_seq=before)
    _, deleted = islice(stream, 2)
    stream.cancel()
    assert (deleted.op, deleted.content_type, deleted.HasField("payload")) == (events_pb2.EVENT_OP_DELETE, "", False)


def test_a_selector_that_selects_nothing_and_a_position_that_is_not_there_yet_are_refused(server, follow):
    for asked, word in (
        ({}, "selector is required"),
        ({"selector": {}}, "selector is required"),
        ({"selector": {"resource_type": 9}}, "unsupported resource_type"),
        ({"selector": {"stream": ""}}, "selector.stream"),
        ({"selector": {"all": {}}, "after_seq": 2**60}, "after_seq"),
    ):
        with refused(INVALID, word):
            next(follow(**asked))


def test_a_node_hears_of_its_own_tasks_and_of_no_others(server, tasks):
    mine, other = str(uuid4()), str(uuid4())
    before = head(server)
    first = tasks.RegisterTask(name="mine", node_uuid=mine).task_id
    tasks.RegisterTask(name="other", node_uuid=other)
    stream = tasks.SubscribeTaskEvents(node_uuid=mine.upper(), last_event_id=before)
    created = next(stream)
    assert (created.task_id, created.node_uuid, created.kind) == (first, mine, task_pb2.TASK_EVENT_KIND_CREATE)
    assert created.execution_id == f"task-event-{mine}-{created.event_id}"
    server.call("PUT", f"/api/v1/tasks/{first}", json={"description": "new"})
    tasks.UnregisterTask(task_id=first)
    updated, cancelled = islice(stream, 2)
    stream.cancel()
    assert (updated.kind, cancelled.kind) == (task_pb2.TASK_EVENT_KIND_UPDATE, task_pb2.TASK_EVENT_KIND_CANCEL)
    assert not updated.HasField("execution_id")
    again = tasks.SubscribeTaskEvents(node_uuid=mine, last_event_id=updated.event_id)
    assert next(again) == cancelled
    again.cancel()


def test_task_events_need_a_node_and_a_position_that_is_there(tasks, fresh):
    with refused(INVALID, "node_uuid"):
        next(tasks.SubscribeTaskEvents())
    for position in (-1, 2**60):
        with refused(INVALID, "last_event_id"):
            next(tasks.SubscribeTaskEvents(node_uuid=fresh, last_event_id=position))


def test_what_was_told_before_a_restart_is_told_the_same_after_it(tmp_path):
    with Server(tmp_path / "data") as server:
        told = []
        for _ in range(2):
            with connected(server) as channel:
                Stub(channel, node_pb2, "NodeService").RegisterNode(node={"ip_address": "127.0.0.9", "port": 1})
                stream = Stub(channel, events_pb2, "EventsService").SubscribeEvents(selector={"stream": "type.node"})
                told.append([(event.seq, event.event_id) for event in islice(stream, 2)])
                stream.cancel()
            assert server.stop() == 0
            server.start()
    assert told[0] == told[1]


def test_the_index_shows_instances_and_what_ran_on_them(server, stub, invocations, fresh):
    index, task = stub("sms.ExecutionIndexService"), server.register("hello")
    ids = [invocations.Invoke(task_id=task).execution_id for _ in range(3)]
    (instance,) = index.ListTaskInstances(task_id=task).instances
    assert instance.status == execution_pb2.INSTANCE_STATUS_IDLE
    first = index.ListInstanceExecutions(instance_id=instance.instance_id, limit=2)
    rest = index.ListInstanceExecutions(instance_id=instance.instance_id, page_token=first.next_page_token)
    assert [e.execution_id for e in (*first.executions, *rest.executions)] == ids[::-1]
    found = index.GetExecution(execution_id=ids[0])
    assert (found.found, found.execution.instance_id) == (True, instance.instance_id)
    assert not index.GetExecution(execution_id=fresh).found
    with refused(INVALID, "execution_id"):
        index.GetExecution()
    with refused(grpc.StatusCode.NOT_FOUND):
        index.ListInstanceExecutions(instance_id=fresh)
