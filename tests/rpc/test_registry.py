"""Nodes, tasks and objects over gRPC: what is refused, what is told in the answer, what is found."""

import hashlib

import grpc
import pytest

from spear.adapters.rpc.generated.sms import task_pb2
from tests.rpc._wire import refused
from tests.server import Server, events_of

NODE = {"ip_address": "127.0.0.9", "port": 50052}
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


def test_a_node_keeps_the_uuid_that_it_brings(nodes, fresh):
    assert nodes.RegisterNode(node={**NODE, "uuid": fresh.upper(), "status": "online"}).node_uuid == fresh
    shown = nodes.GetNode(uuid=fresh).node
    assert (shown.ip_address, shown.status, shown.port) == ("127.0.0.9", "online", 50052)


def test_a_node_that_registers_again_is_the_same_node_where_it_is_now(server: Server, nodes, fresh):
    for port in (1, 2, 2):
        nodes.RegisterNode(node={**NODE, "uuid": fresh, "port": port})
    assert nodes.GetNode(uuid=fresh).node.port == 2
    names = [e["type"] for e in events_of(server, ["NodeRegistered", "NodeRegisteredAgain"], noun="node", ident=fresh)]
    assert names == ["NodeRegistered", "NodeRegisteredAgain"]


def test_a_deleted_node_may_come_back(nodes, fresh):
    nodes.RegisterNode(node={**NODE, "uuid": fresh})
    nodes.DeleteNode(uuid=fresh)
    with refused(NOT_FOUND, fresh):
        nodes.Heartbeat(uuid=fresh)
    nodes.RegisterNode(node={**NODE, "uuid": fresh, "port": 3})
    assert nodes.Heartbeat(uuid=fresh).server_timestamp > 0
    assert nodes.GetNode(uuid=fresh).node.port == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [("uuid", "me"), ("ip_address", ""), ("port", 0), ("port", 70000), ("http_port", -1), ("status", "away"),
     ("metadata", {str(n): "" for n in range(65)})],
)  # fmt: skip
def test_a_node_with_a_bad_field_is_refused_by_its_name(nodes, field, value):
    with refused(INVALID, f"node.{field}"):
        nodes.RegisterNode(node={**NODE, field: value})


def test_what_is_missing_is_named(nodes):
    with refused(INVALID, "node: missing"):
        nodes.RegisterNode()
    with refused(INVALID, "resource: missing"):
        nodes.UpdateNodeResource()


@pytest.mark.parametrize("ident", ["nobody", "", "00000000-0000-0000-0000-000000000000", "\x00", "x" * 3000])
def test_an_id_that_names_no_node_is_not_found(nodes, ident):
    for ask in (
        lambda: nodes.GetNode(uuid=ident),
        lambda: nodes.Heartbeat(uuid=ident),
        lambda: nodes.DeleteNode(uuid=ident),
        lambda: nodes.UpdateNode(node={**NODE, "uuid": ident}),
        lambda: nodes.UpdateNodeResource(resource={"node_uuid": ident}),
    ):
        with refused(NOT_FOUND, "not found"):
            ask()
    assert not nodes.GetNodeResource(node_uuid=ident).found
    assert not nodes.GetNodeWithResource(uuid=ident).found


def test_resources_are_shown_as_they_were_reported(nodes, fresh):
    nodes.RegisterNode(node={**NODE, "uuid": fresh})
    assert not nodes.GetNodeWithResource(uuid=fresh).HasField("resource")
    nodes.UpdateNodeResource(resource={"node_uuid": fresh, "load_average_1m": 1.5, "used_disk_bytes": 2**40})
    found = nodes.GetNodeResource(node_uuid=fresh).resource
    assert (found.load_average_1m, found.used_disk_bytes, found.updated_at > 0) == (1.5, 2**40, True)
    assert list(nodes.ListNodeResources(node_uuids=[fresh.upper(), "nobody"]).resources) == [found]
    assert nodes.GetNodeWithResource(uuid=fresh).resource == found


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 101.0])
def test_a_percentage_that_is_none_is_refused(nodes, fresh, value):
    nodes.RegisterNode(node={**NODE, "uuid": fresh})
    with refused(INVALID, "resource.cpu_usage_percent"):
        nodes.UpdateNodeResource(resource={"node_uuid": fresh, "cpu_usage_percent": value})


def test_nodes_are_listed_by_status(nodes, fresh):
    nodes.RegisterNode(node={**NODE, "uuid": fresh})
    nodes.UpdateNode(node={**NODE, "uuid": fresh, "status": "resting"})
    assert [node.uuid for node in nodes.ListNodes(status_filter="resting").nodes] == [fresh]
    assert len(nodes.ListNodes().nodes) > 1


def test_a_taken_endpoint_and_a_bad_field_are_told_in_the_answer(tasks, fresh):
    assert tasks.RegisterTask(name="t", endpoint=fresh).success
    for asked, word in (
        ({"name": "t", "endpoint": fresh.upper()}, "already exists"),
        ({"name": ""}, "name"),
        ({"name": "t", "endpoint": "no spaces"}, "endpoint"),
        ({"name": "t", "priority": 9}, "priority"),
        ({"name": "t", "node_uuid": "me"}, "node_uuid"),
        ({"name": "t", "executable": {"uri": "x"}}, "executable.type"),
        ({"name": "t", "executable": {"type": 4, "checksum_sha256": "zz"}}, "executable.checksum_sha256"),
        ({"name": "t", "executable": {"type": 4, "uri": ""}}, "executable.uri"),
        ({"name": "t", "executable": {"type": 4, "uri": "ftp://x/y"}}, "executable.uri"),
        ({"name": "t", "config": {"limits.wall_ms": "soon"}}, "limits.wall_ms"),
    ):
        answer = tasks.RegisterTask(**asked)
        assert (answer.success, answer.task_id) == (False, "")
        assert answer.message.startswith("Failed to register task: ") and word in answer.message


def test_a_task_is_found_by_id_and_by_endpoint_in_any_case(tasks, fresh):
    made = tasks.RegisterTask(name="found", endpoint=fresh, priority=task_pb2.TASK_PRIORITY_URGENT)
    assert tasks.GetTask(task_id=made.task_id).task == made.task
    assert tasks.ResolveEndpoint(endpoint=fresh.upper()).task == made.task
    assert made.task.status == task_pb2.TASK_STATUS_REGISTERED
    assert not made.task.HasField("executable")
    assert not tasks.GetTask(task_id=fresh).found
    assert not tasks.ResolveEndpoint(endpoint="nobody").found
    with refused(INVALID, "endpoint"):
        tasks.ResolveEndpoint(endpoint="no spaces")


def test_unregistering_what_is_not_there_is_told(tasks, fresh):
    answer = tasks.UnregisterTask(task_id=fresh)
    assert (answer.success, answer.message) == (False, "Task not found")


def test_tasks_are_filtered_and_counted_and_no_filter_keeps_all(tasks, fresh):
    ids = [tasks.RegisterTask(name="f", node_uuid=fresh, priority=1 + n % 2).task_id for n in range(4)]
    found = tasks.ListTasks(node_uuid=fresh)
    assert ([t.task_id for t in found.tasks], found.total_count) == (ids, 4)
    low = tasks.ListTasks(node_uuid=fresh, priority_filter=1, status_filter=-1, limit=1, offset=1)
    assert ([t.task_id for t in low.tasks], low.total_count) == ([ids[2]], 2)
    with refused(INVALID, "status_filter"):
        tasks.ListTasks(status_filter=8)


def test_a_node_says_whether_a_task_is_active(tasks, fresh):
    task_id = tasks.RegisterTask(name="s").task_id
    for status in (task_pb2.TASK_STATUS_ACTIVE, task_pb2.TASK_STATUS_INACTIVE):
        answer = tasks.UpdateTaskStatus(task_id=task_id, status=status, reason="instance initialized")
        assert (answer.success, answer.task.status) == (True, status)
    assert tasks.UpdateTaskStatus(task_id=fresh, status=2).message == "Task not found"
    with refused(INVALID, "status"):
        tasks.UpdateTaskStatus(task_id=task_id, status=task_pb2.TASK_STATUS_REGISTERED)
    with refused(INVALID, "task_id"):
        tasks.UpdateTaskStatus(status=2)


def test_a_pinned_task_is_placed_on_its_node_until_that_fails(stub, nodes, tasks, fresh):
    placement = stub("sms.PlacementService")
    nodes.RegisterNode(node={**NODE, "uuid": fresh, "metadata": {"a": "b"}})
    task_id = tasks.RegisterTask(name="p", node_uuid=fresh).task_id
    (found,) = placement.PlaceInvocation(request_id="r", task_id=task_id, labels={"a": "b"}).candidates
    assert (found.node_uuid, found.ip_address, found.port) == (fresh, "127.0.0.9", 50052)
    said = {"decision_id": "d", "request_id": "r", "task_id": task_id, "node_uuid": fresh}
    assert placement.ReportInvocationOutcome(**said, outcome_class=3).accepted
    assert not placement.PlaceInvocation(request_id="r", task_id=task_id).candidates
    for asked, method in (({"task_id": task_id}, "PlaceInvocation"), ({"request_id": "r"}, "PlaceInvocation")):
        with refused(INVALID, "text of 1 to"):
            getattr(placement, method)(**asked)
    with refused(INVALID, "decision_id"):
        placement.ReportInvocationOutcome(**{**said, "decision_id": ""})
    with refused(NOT_FOUND, "task"):
        placement.PlaceInvocation(request_id="r", task_id=fresh)


def test_the_router_filter_of_an_sms_decides_nothing(stub):
    asked = {"correlation_id": "c", "operation": 1, "candidates": [{"name": "a"}, {"name": "b"}]}
    answer = stub("spearlet.RouterFilterService").Filter(**asked)
    assert (answer.correlation_id, answer.decision_id, list(answer.decisions)) == ("c", "sms_builtin", [])
    assert dict(answer.debug) == {"engine": "sms_builtin", "mode": "noop", "candidates": "2", "operation": "1"}
    assert not answer.HasField("final_action")


def test_objects_answer_in_words(objects, fresh):
    assert objects.PutObject(key="").message == "Object key cannot be empty"
    put = objects.PutObject(key=fresh, value=b"v", metadata={"a": "b"})
    assert (put.message, put.object_meta.ref_count, put.object_meta.key) == ("Object stored successfully", 1, fresh)
    again = objects.PutObject(key=fresh, value=b"w")
    assert (again.success, again.message) == (False, "Object already exists and overwrite is false")
    assert objects.UnpinObject(key=fresh).message == "Object is not pinned"
    assert objects.PinObject(key=fresh).success
    assert objects.DeleteObject(key=fresh).message == "Cannot delete pinned object without force flag"
    assert objects.DeleteObject(key=fresh, force=True).message == "Object deleted successfully"
    for method in (objects.GetObject, objects.AddObjectRef, objects.RemoveObjectRef, objects.PinObject):
        assert method(key=fresh).message == "Object not found"
    assert objects.DeleteObject(key=fresh).success is False
    with refused(INVALID, "key"):
        objects.PutObject(key="x" * 2000)


def test_an_object_is_overwritten_and_deleted_on_condition_of_its_version_or_content(objects, fresh):
    first, second = (hashlib.sha256(text).hexdigest() for text in (b"first", b"second"))
    with refused(grpc.StatusCode.ABORTED, "version is none"):
        objects.PutObject(key=fresh, value=b"first", if_version=1)
    meta = objects.PutObject(key=fresh, value=b"first").object_meta
    assert (meta.version, meta.sha256) == (1, first)
    assert objects.PutObject(key=fresh, value=b"second", if_version=1, if_sha256=first).object_meta.version == 2
    for stale in ({"if_version": 1}, {"if_sha256": first}, {"if_version": 2, "if_sha256": first}):
        with refused(grpc.StatusCode.ABORTED, "version is 2"):
            objects.PutObject(key=fresh, value=b"third", overwrite=True, **stale)
        with refused(grpc.StatusCode.ABORTED, "version is 2"):
            objects.DeleteObject(key=fresh, **stale)
    found = objects.GetObject(key=fresh, include_value=True).object
    assert (found.value, found.version, found.sha256) == (b"second", 2, second)
    assert objects.ListObjects(prefix=fresh).objects[0].version == 2
    for wrong in ({"if_version": -1}, {"if_sha256": "f" * 63}):
        with refused(INVALID, next(iter(wrong))):
            objects.PutObject(key=fresh, value=b"x", **wrong)
    assert objects.DeleteObject(key=fresh, if_sha256=second.upper()).deleted


def test_an_object_without_references_is_gone(objects, fresh):
    objects.PutObject(key=fresh, value=b"v")
    assert objects.AddObjectRef(key=fresh, count=2).new_ref_count == 3
    assert objects.RemoveObjectRef(key=fresh, count=4).success is False
    last = objects.RemoveObjectRef(key=fresh, count=3)
    assert (last.deleted, last.message) == (True, "Object deleted due to zero references")
    assert not objects.GetObject(key=fresh).found


def test_values_come_when_they_are_asked_for_and_lists_page_by_name(objects, fresh):
    for n in range(3):
        objects.PutObject(key=f"{fresh}-{n}", value=bytes(2_000_000))
    assert objects.GetObject(key=f"{fresh}-0").object.value == b""
    assert objects.GetObject(key=f"{fresh}-0", include_value=True).object.value == bytes(2_000_000)
    names, start = [], ""
    while True:
        page = objects.ListObjects(prefix=fresh, include_values=True, start_after=start)
        assert sum(len(found.value) for found in page.objects) <= 4 * 1024 * 1024
        names += [found.key for found in page.objects]
        start = page.next_start_after
        if not page.has_more:
            break
    assert names == [f"{fresh}-{n}" for n in range(3)]
