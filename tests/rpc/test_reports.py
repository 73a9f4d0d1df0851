"""What nodes report over gRPC: taken over once, in whatever order and however often it is told."""

from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

import grpc
import pytest

from spear.adapters.rpc.generated.sms import execution_pb2, task_pb2
from spear.domain.object import Object
from tests.rpc._wire import refused
from tests.server import Server, events_of

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
REFUSED = grpc.StatusCode.FAILED_PRECONDITION
PENDING, RUNNING, COMPLETED, FAILED, CANCELLED = range(1, 6)
IDLE, TERMINATED = execution_pb2.INSTANCE_STATUS_IDLE, execution_pb2.INSTANCE_STATUS_TERMINATED
T = 1_700_000_000_000


@pytest.fixture(scope="module")
def lines(stub):
    return stub("sms.ExecutionLogIngestService")


@pytest.fixture(scope="module")
def report(stub):
    """Report an execution; the answer as a pair."""
    registry = stub("sms.ExecutionRegistryService")

    def tell(ran: dict[str, Any], status: int, at_ms: int, **fields: Any) -> tuple[bool, int]:
        answer = registry.ReportExecution(**{**ran, "status": status, "updated_at_ms": at_ms, **fields})
        return answer.accepted, answer.stored_updated_at_ms

    return tell


@pytest.fixture(scope="module")
def instances(stub):
    return stub("sms.InstanceRegistryService")


@pytest.fixture
def ran() -> dict[str, Any]:
    """An execution that runs elsewhere."""
    return {key: str(uuid4()) for key in ("execution_id", "task_id", "node_uuid", "instance_id")}


def join(nodes: Any, uuid: str) -> None:
    """Register a node under this uuid."""
    nodes.RegisterNode(node={"uuid": uuid, "ip_address": "127.0.0.9", "port": 1})


def shown(server: Server, ran: dict[str, Any]) -> dict[str, Any]:
    """The execution as REST shows it."""
    found: dict[str, Any] = server.get(f"/api/v1/executions/{ran['execution_id']}").json()
    return found


def facts(server: Server, ran: dict[str, Any]) -> list[str]:
    """What is recorded of it."""
    types = ["ExecutionRequested", "ExecutionStartReported", "ExecutionEndReported"]
    return [one["type"] for one in events_of(server, types, noun="execution", ident=ran["execution_id"])]


def test_what_is_reported_is_shown_by_every_door(server: Server, stub, report, ran):
    assert report(ran, RUNNING, T + 5, started_at_ms=T) == (True, T + 5)
    found = shown(server, ran)
    assert (found["status"], found["started_at_ms"], found["requested_at_ms"] > T) == ("running", T, True)
    told = {"error_message": "it broke", "execution_time_ms": "7", "exit_code": "3", "reason": "exit_code"}
    assert report(ran, FAILED, T + 8, completed_at_ms=T + 7, metadata=told) == (True, T + 8)
    found = shown(server, ran)
    assert {key: found[key] for key in ran} == ran
    assert (found["status"], found["exit_code"], found["duration_ms"], found["completed_at_ms"]) == (
        "failed",
        3,
        7,
        T + 7,
    )
    assert found["error"] == {
        "code": "EXECUTION_FAILED", "message": "it broke", "reason": "exit_code", "last_action": ""
    }  # fmt: skip
    index = stub("sms.ExecutionIndexService").GetExecution(execution_id=ran["execution_id"]).execution
    assert (index.status, index.node_uuid, index.updated_at_ms) == (FAILED, ran["node_uuid"], T + 8)


def test_old_news_is_not_accepted_and_an_end_is_final(server: Server, report, ran):
    assert report(ran, RUNNING, T + 5) == (True, T + 5)
    assert report(ran, COMPLETED, T + 4) == (False, T + 5)
    assert report(ran, COMPLETED, T + 5) == (True, T + 5)
    assert report(ran, RUNNING, T + 9) == (False, T + 5)
    assert report(ran, FAILED, T + 9) == (False, T + 5)
    assert shown(server, ran)["status"] == "completed"


def test_who_told_the_end_hears_that_the_result_is_known_with_it(stub, ran):
    registry = stub("sms.ExecutionRegistryService")
    told = [registry.ReportExecution(**ran, status=status, updated_at_ms=T) for status in (RUNNING, FAILED, FAILED)]
    assert [answer.result_known for answer in told] == [False, True, True]


def test_what_is_told_again_records_nothing(server: Server, report, ran):
    for _ in range(3):
        for status, at in ((PENDING, T), (RUNNING, T + 1), (COMPLETED, T + 2)):
            report(ran, status, at)
    assert facts(server, ran) == ["ExecutionRequested", "ExecutionStartReported", "ExecutionEndReported"]


def test_an_end_that_comes_first_brings_its_beginning(server: Server, report, ran):
    report(ran, COMPLETED, T + 9, started_at_ms=T)
    assert facts(server, ran) == ["ExecutionRequested", "ExecutionStartReported", "ExecutionEndReported"]
    assert (shown(server, ran)["started_at_ms"], shown(server, ran)["duration_ms"]) == (T, 9)


def test_one_that_never_began_has_no_start(server: Server, report, ran):
    report({**ran, "instance_id": ""}, CANCELLED, T, metadata={"error_message": "changed my mind"})
    assert facts(server, ran) == ["ExecutionRequested", "ExecutionEndReported"]
    assert (shown(server, ran)["status"], shown(server, ran)["started_at_ms"]) == ("cancelled", 0)


def test_another_node_cannot_speak_of_it(server: Server, report, ran):
    report(ran, RUNNING, T)
    assert report({**ran, "node_uuid": str(uuid4())}, FAILED, T + 1) == (False, T)
    assert shown(server, ran)["status"] == "running"


def test_what_a_node_of_the_public_spear_reports_is_understood(server: Server, stub, report, nodes, tasks, lines, ran):
    node, task_id = (
        str(uuid5(NAMESPACE_OID, f"127.0.0.9:50052:{ran['node_uuid']}")),
        tasks.RegisterTask(name="t").task_id,
    )
    ran |= {"node_uuid": node, "task_id": task_id, "instance_id": f"inst-{ran['instance_id']}"}
    place = {"uuid": node, "ip_address": "127.0.0.9", "port": 50052, "http_port": 8081, "status": "online"}
    nodes.RegisterNode(
        node={**place, "metadata": {"name": "public"}, "registered_at": T // 1000, "last_heartbeat": T // 1000}
    )
    assert nodes.Heartbeat(uuid=node, timestamp=T // 1000).success
    told = {
        "task_id": task_id,
        "node_uuid": node,
        "status": 2,
        "updated_at": T // 1000,
        "reason": "instance initialized",
    }
    assert tasks.UpdateTaskStatus(**told).success
    instance = {"instance_id": ran["instance_id"], "task_id": task_id, "node_uuid": node, "status": 1}
    seen = {"updated_at_ms": T, "last_seen_ms": T, "current_execution_id": ran["execution_id"]}
    assert stub("sms.InstanceRegistryService").ReportInstance(**instance, **seen, created_at_ms=T).accepted
    ran |= {"function_name": "__spear_default_entry__", "invocation_id": "i-1", "started_at_ms": T}
    assert report(ran, RUNNING, T) == (True, T)
    for stream, seq in (("system", 1), ("wasm", 2)):
        lines.AppendExecutionLogs(execution_id=ran["execution_id"], lines=some(seq, seq, stream=stream, level="info"))
    assert report(ran, COMPLETED, T + 9, completed_at_ms=T + 9, metadata={"execution_time_ms": "9"}) == (True, T + 9)
    index = stub("sms.ExecutionIndexService")
    (live,) = index.ListTaskInstances(task_id=task_id).instances
    assert live.instance_id == ran["instance_id"].removeprefix("inst-")
    for ident in (live.instance_id, ran["instance_id"]):
        (done,) = index.ListInstanceExecutions(instance_id=ident).executions
        assert (done.execution_id, done.status) == (ran["execution_id"], COMPLETED)
    assert shown(server, ran)["duration_ms"] == 9 and len(log(server, ran)["lines"]) == 2


def test_an_execution_keeps_its_task(report, ran):
    report(ran, RUNNING, T)
    with refused(REFUSED, "task_id", ran["task_id"]):
        report({**ran, "task_id": str(uuid4())}, COMPLETED, T + 1)


def test_this_process_has_nothing_to_report_to_itself(server: Server, report, invocations, hello, ran):
    own = (server.data_dir / "node_uuid").read_text()
    with refused(REFUSED, own, "own node"):
        report({**ran, "node_uuid": own}, RUNNING, T)


@pytest.mark.parametrize("field", ["execution_id", "task_id", "node_uuid"])
@pytest.mark.parametrize("value", ["", "me"])
def test_a_bad_id_is_named(report, ran, field, value):
    with refused(INVALID, field):
        report({**ran, field: value}, RUNNING, T)


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", 0), ("status", 9), ("updated_at_ms", -1), ("started_at_ms", 2**60), ("instance_id", "x"),
     ("metadata", {str(n): "" for n in range(65)})],
)  # fmt: skip
def test_a_bad_field_is_named(stub, ran, field, value):
    with refused(INVALID, field):
        stub("sms.ExecutionRegistryService").ReportExecution(**{**ran, "status": RUNNING, field: value})


def test_an_instance_is_shown_until_it_is_gone(server: Server, stub, instances, report, tasks, nodes, ran):
    ran["task_id"] = tasks.RegisterTask(name="t").task_id
    join(nodes, ran["node_uuid"])
    told = {key: ran[key] for key in ("instance_id", "task_id", "node_uuid")}
    seen = instances.ReportInstance(
        **told, status=IDLE, created_at_ms=T, updated_at_ms=T + 1, metadata={"runtime": "wasm"}
    )
    assert (seen.accepted, seen.stored_updated_at_ms) == (True, T + 1)
    report(ran, RUNNING, T + 2)
    index = stub("sms.ExecutionIndexService")
    (live,) = index.ListTaskInstances(task_id=ran["task_id"]).instances
    assert (live.node_uuid, live.current_execution_id) == (ran["node_uuid"], ran["execution_id"])
    assert not instances.ReportInstance(**told, status=TERMINATED, updated_at_ms=T).accepted
    report(ran, COMPLETED, T + 3)
    for _ in range(2):
        assert instances.ReportInstance(**told, status=TERMINATED, updated_at_ms=T + 4).accepted
    assert not instances.ReportInstance(**told, status=IDLE, updated_at_ms=T + 5).accepted
    assert list(index.ListTaskInstances(task_id=ran["task_id"]).instances) == []
    found = server.get(f"/api/v1/instances/{ran['instance_id']}").json()
    assert (found["status"], found["runtime"], found["created_at_ms"]) == ("terminated", "wasm", T)
    names = ["InstanceStarted", "InstanceReported"]
    recorded = events_of(server, names, noun="instance", ident=ran["instance_id"])
    assert [one["type"] for one in recorded] == ["InstanceStarted", "InstanceReported", "InstanceReported"]


def test_instances_of_a_node_that_was_removed_are_not_shown_until_it_is_back(
    server: Server, instances, tasks, nodes, ran
):
    ran["task_id"] = tasks.RegisterTask(name="t").task_id
    join(nodes, ran["node_uuid"])
    told = {key: ran[key] for key in ("instance_id", "task_id", "node_uuid")}
    instances.ReportInstance(**told, status=IDLE, updated_at_ms=T)
    live = lambda: [
        one["instance_id"] for one in server.get(f"/api/v1/tasks/{ran['task_id']}/instances").json()["instances"]
    ]
    assert live() == [ran["instance_id"]]
    nodes.DeleteNode(uuid=ran["node_uuid"])
    assert live() == []
    join(nodes, ran["node_uuid"])
    assert live() == [ran["instance_id"]]


def test_a_task_stays_active_while_another_node_has_instances(instances, tasks, nodes):
    task_id = tasks.RegisterTask(name="t").task_id
    told = [{"instance_id": str(uuid4()), "task_id": task_id, "node_uuid": str(uuid4())} for _ in range(2)]
    status = lambda node, word: (
        tasks.UpdateTaskStatus(task_id=task_id, status=word, node_uuid=node["node_uuid"]).task.status
    )
    for one in told:
        join(nodes, one["node_uuid"])
        instances.ReportInstance(**one, status=IDLE, updated_at_ms=T)
        assert status(one, task_pb2.TASK_STATUS_ACTIVE) == task_pb2.TASK_STATUS_ACTIVE
    for one, left in zip(told, (task_pb2.TASK_STATUS_ACTIVE, task_pb2.TASK_STATUS_INACTIVE), strict=True):
        instances.ReportInstance(**one, status=TERMINATED, updated_at_ms=T + 1)
        assert status(one, task_pb2.TASK_STATUS_INACTIVE) == left


def test_an_instance_of_another_node_is_destroyed_there_alone_and_keeps_its_task_active(
    server: Server, stub, instances, tasks, invocations
):
    task_id, other = server.register("hello"), {"instance_id": str(uuid4()), "node_uuid": str(uuid4())}
    own = invocations.Invoke(task_id=task_id).instance_id
    instances.ReportInstance(**other, task_id=task_id, status=IDLE, updated_at_ms=T)
    destroy = stub("spearlet.InstanceService").DestroyInstance
    refusal = destroy(instance_id=other["instance_id"])
    assert not refusal.success and f"node {other['node_uuid']}" in refusal.message
    status = lambda ident: server.get(f"/api/v1/instances/{ident}").json()["status"]
    assert [status(own), status(other["instance_id"])] == ["idle", "idle"]
    assert destroy(instance_id=own).success and status(own) == "terminated"
    assert server.get(f"/api/v1/tasks/{task_id}").json()["status"] == "active"
    instances.ReportInstance(**other, task_id=task_id, status=TERMINATED, updated_at_ms=T + 1)
    told = {"task_id": task_id, "node_uuid": other["node_uuid"], "status": task_pb2.TASK_STATUS_INACTIVE}
    assert tasks.UpdateTaskStatus(**told).task.status == task_pb2.TASK_STATUS_INACTIVE


def test_a_result_is_recorded_once_and_a_late_one_is_not_the_last(server: Server, tasks):
    task_id = tasks.RegisterTask(name="t").task_id
    said = {"result_status": "failed", "completed_at": T // 1000, "result_metadata": {"error_message": "no", "a": "b"}}
    for _ in range(3):
        task = tasks.UpdateTaskResult(task_id=task_id, **said).task
        assert (task.last_result_status, task.last_completed_at, dict(task.last_result_metadata)) == (
            "failed", T // 1000, {"error_message": "no", "a": "b"},
        )  # fmt: skip
    late = tasks.UpdateTaskResult(
        task_id=task_id, result_uri="object://r/1", result_status="completed", completed_at=9
    ).task
    assert (list(late.result_uris), late.last_result_status, late.last_result_uri) == (["object://r/1"], "failed", "")
    recorded = [e for e in events_of(server, ["TaskResultReported"]) if e["data"]["task_id"] == task_id]
    assert len(recorded) == 2
    assert tasks.UpdateTaskResult(task_id=str(uuid4())).message == "Task not found"
    with refused(INVALID, "task_id"):
        tasks.UpdateTaskResult(result_status="completed")


def test_a_result_that_the_executions_own_report_told_is_not_recorded_again(server: Server, report, tasks, ran):
    ran["task_id"] = task_id = tasks.RegisterTask(name="t").task_id
    report(ran, COMPLETED, T, metadata={"execution_time_ms": "4"})
    said = {"execution_id": ran["execution_id"], "execution_time_ms": "4"}
    task = tasks.UpdateTaskResult(task_id=task_id, result_status="completed", result_metadata=said).task
    assert dict(task.last_result_metadata) == said
    assert task.last_result_uri == f"object://results/{task_id}/{ran['execution_id']}"
    assert [e for e in events_of(server, ["TaskResultReported"]) if e["data"]["task_id"] == task_id] == []
    assert server.get(f"/api/v1/tasks/{task_id}").json()["last_result_metadata"] == said


def some(first: int, last: int, **fields: Any) -> list[dict[str, Any]]:
    """Lines by number."""
    return [{"seq": seq, "ts_ms": T, "message": f"line {seq}", **fields} for seq in range(first, last + 1)]


def log(server: Server, ran: dict[str, Any]) -> dict[str, Any]:
    """Its lines as REST shows them."""
    found: dict[str, Any] = server.get(f"/api/v1/executions/{ran['execution_id']}/logs").json()
    return found


def test_lines_are_numbered_and_those_that_are_there_are_skipped(server: Server, lines, report, ran):
    report(ran, RUNNING, T)
    ident = ran["execution_id"]
    for first, last, accepted in ((1, 3, 3), (1, 5, 2), (2, 4, 0), (6, 6, 1)):
        answer = lines.AppendExecutionLogs(execution_id=ident, lines=some(first, last))
        assert answer.accepted == accepted
    assert (answer.acked_seq, answer.next_seq, answer.truncated) == (6, 7, False)
    assert lines.AppendExecutionLogs(execution_id=ident).next_seq == 7
    found = log(server, ran)
    assert [line["message"] for line in found["lines"]] == [f"line {n}" for n in range(1, 7)]
    assert found["lines"][0] | {"message": ""} == {
        "seq": 1, "ts_ms": T, "stream": "stdout", "level": "info", "message": ""
    }  # fmt: skip
    assert found["completed"] is False


def test_a_gap_is_refused_and_leaves_nothing_behind(server: Server, lines, report, ran):
    report(ran, RUNNING, T)
    with refused(REFUSED, "out_of_order: expected_seq=3 got_seq=4"):
        lines.AppendExecutionLogs(execution_id=ran["execution_id"], lines=[*some(1, 2), *some(4, 5)])
    assert log(server, ran)["lines"] == []


def test_a_finished_log_takes_no_more(server: Server, lines, report, ran):
    report(ran, RUNNING, T)
    ident = ran["execution_id"]
    lines.AppendExecutionLogs(execution_id=ident, lines=some(1, 2))
    for _ in range(2):
        end = lines.FinalizeExecutionLogs(execution_id=ident)
        assert (end.completed, end.truncated, end.next_seq, end.updated_at_ms > T) == (True, False, 3, True)
    with refused(REFUSED, "logs already finalized"):
        lines.AppendExecutionLogs(execution_id=ident, lines=some(3, 3))
    report(ran, COMPLETED, T)
    assert (len(log(server, ran)["lines"]), log(server, ran)["completed"]) == (2, True)


def test_a_log_that_is_full_says_so(server: Server, lines, report, ran):
    report(ran, RUNNING, T)
    ident, mib = ran["execution_id"], "x" * 1024 * 1024
    answers = [lines.AppendExecutionLogs(execution_id=ident, lines=some(n, n, message=mib)) for n in range(1, 11)]
    assert [one.accepted for one in answers] == [1] * 9 + [0]
    assert (answers[-1].truncated, answers[-1].acked_seq) == (True, 9)
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "logs truncated"):
        lines.AppendExecutionLogs(execution_id=ident, lines=some(10, 10))
    assert lines.FinalizeExecutionLogs(execution_id=ident).truncated
    assert log(server, ran)["truncated"]


def test_words_of_other_platforms_are_the_agents_own_log(server: Server, lines, report, ran):
    report(ran, RUNNING, T)
    lines.AppendExecutionLogs(execution_id=ran["execution_id"], lines=some(1, 1, stream="wasm", level="notice"))
    (line,) = log(server, ran)["lines"]
    assert (line["stream"], line["level"]) == ("log", "info")


def test_lines_of_nobody_are_refused(lines, report, ran):
    report(ran, RUNNING, T)
    with refused(INVALID, "execution_id is required"):
        lines.AppendExecutionLogs(execution_id=" ")
    with refused(INVALID, "seq must be > 0"):
        lines.AppendExecutionLogs(execution_id=ran["execution_id"], lines=[{"message": "x"}])
    for ident in (str(uuid4()), "../x", "a/b"):
        with refused(NOT_FOUND, "execution"):
            lines.AppendExecutionLogs(execution_id=ident, lines=some(1, 1))
        with refused(NOT_FOUND, "execution"):
            lines.FinalizeExecutionLogs(execution_id=ident)


def test_lines_of_an_execution_of_this_process_are_its_own(lines, invocations, hello):
    ident = invocations.Invoke(task_id=hello).execution_id
    with refused(REFUSED, "own node"):
        lines.AppendExecutionLogs(execution_id=ident, lines=some(1, 1))


def test_no_follower_of_tasks_is_told_of_results(stub, tasks, fresh):
    task_id = tasks.RegisterTask(name="t", node_uuid=fresh).task_id
    tasks.UpdateTaskResult(task_id=task_id, result_status="completed")
    tasks.UpdateTaskStatus(task_id=task_id, status=task_pb2.TASK_STATUS_ACTIVE)
    heard = tasks.SubscribeTaskEvents(node_uuid=fresh)
    of_it = (one for one in heard if one.task_id == task_id)
    kinds = [next(of_it).kind for _ in range(2)]
    heard.cancel()
    assert kinds == [task_pb2.TASK_EVENT_KIND_CREATE, task_pb2.TASK_EVENT_KIND_UPDATE]
    events = stub("sms.EventsService").SubscribeEvents(selector={"stream": f"resource.task.{task_id}"})
    ops = [next(events).headers["topic"] for _ in range(2)]
    events.cancel()
    assert ops == ["task.TaskCreated", "task.TaskActivated"]


@pytest.fixture(scope="module")
def holds(server: Server, stub, nodes):
    """Report what a node has of an object: whether it was accepted."""
    report, nodes_known = stub("sms.ObjectRegistryService").ReportObject, set()

    def tell(node_uuid: str, at_us: int, **fields: Any) -> bool:
        if node_uuid not in nodes_known:
            nodes_known.add(node_uuid)
            join(nodes, node_uuid)
        described = {"bucket": "held", "version": 1, "sha256": "0" * 64, **fields}
        return bool(report(node_uuid=node_uuid, updated_at_us=at_us, object=described).accepted)

    return tell


def held(server: Server, key: str) -> list[tuple[int, str]]:
    """Version and node of an object as the list has it."""
    found = server.get("/api/v1/objects", params={"prefix": f"held/{key}", "limit": 1}).json()["objects"]
    return [(one["version"], one["node_uuid"]) for one in found]


def test_what_a_node_has_is_taken_over_once_in_whatever_order_it_is_told(server: Server, stub, holds):
    node, key = str(uuid4()), str(uuid4())
    gone = {"node_uuid": node, "object_id": str(Object.ident("held", key))}
    report = stub("sms.ObjectRegistryService").ReportObject
    assert [holds(node, T + 2, key=key, version=2) for _ in range(3)] == [True] * 3
    assert holds(node, T + 1, key=key) is False
    assert not report(**gone, updated_at_us=T + 1).accepted
    assert held(server, key) == [(2, node)]
    assert [report(**gone, updated_at_us=T + 3).accepted for _ in range(2)] == [True] * 2
    assert holds(node, T + 2, key=key, version=2) is False
    assert held(server, key) == []
    assert holds(node, T + 4, key=key, version=3) is True
    assert held(server, key) == [(3, node)]
    told = events_of(server, ["HoldingReported", "HoldingEnded"])
    assert [e["type"] for e in told if e["data"]["node_uuid"] == node] == [
        "HoldingReported", "HoldingEnded", "HoldingReported"
    ]  # fmt: skip


def test_of_several_nodes_the_last_to_write_is_listed_unless_it_is_removed(server: Server, holds):
    key, (first, last) = str(uuid4()), (str(uuid4()), str(uuid4()))
    holds(last, T + 2, key=key, version=7)
    holds(first, T + 1, key=key, version=9)
    assert held(server, key) == [(7, last)]
    assert server.call("DELETE", f"/api/v1/nodes/{last}").status_code == 200
    assert held(server, key) == [(9, first)]


def test_that_an_object_is_gone_of_which_nobody_heard_records_nothing(server: Server, stub):
    before = len(events_of(server, ["HoldingReported", "HoldingEnded"]))
    report = stub("sms.ObjectRegistryService").ReportObject
    assert report(node_uuid=str(uuid4()), object_id=str(uuid4()), updated_at_us=T).accepted
    assert len(events_of(server, ["HoldingReported", "HoldingEnded"])) == before


def names(server: Server, stub: Any, prefix: str) -> list[tuple[str, str]]:
    """What both doors list: key and node."""
    found = stub("spearlet.ObjectService").ListObjects(prefix=prefix, include_values=True)
    by_rest = server.get("/api/v1/objects", params={"prefix": prefix}).json()["objects"]
    listed = [(one.key, one.node_uuid) for one in found.objects]
    assert listed == [(one["key"], one["node_uuid"]) for one in by_rest]
    return listed


def test_both_doors_list_what_nodes_have_and_the_values_of_ones_own(server: Server, stub, holds):
    node, key = str(uuid4()), str(uuid4())
    holds(node, T, key=f"{key}/far", size=7, metadata={"a": "b"})
    server.call("PUT", f"/api/v1/objects/held/{key}/own", data=b"mine")
    assert names(server, stub, f"held/{key}/") == [(f"held/{key}/far", node), (f"held/{key}/own", "")]
    far, own = stub("spearlet.ObjectService").ListObjects(prefix=f"held/{key}/", include_values=True).objects
    assert (far.size, far.value, dict(far.metadata), own.value) == (7, b"", {"a": "b"}, b"mine")
    told = stub("spearlet.ObjectService").DeleteObject(key=f"held/{key}/far")
    assert (told.success, node in told.message) == (False, True)


def test_a_result_is_listed_by_the_end_of_its_execution_and_by_nobodys_report(
    server: Server, stub, report, nodes, holds, ran
):
    join(nodes, ran["node_uuid"])
    key = f"{ran['task_id']}/{ran['execution_id']}"
    for node in (ran["node_uuid"], str(uuid4())):
        with refused(REFUSED, "object.key", key):
            holds(node, T, bucket="results", key=key)
    report(ran, RUNNING, T, started_at_ms=T)
    assert names(server, stub, f"results/{key}") == []
    report(ran, COMPLETED, T + 1, started_at_ms=T, completed_at_ms=T + 1)
    assert names(server, stub, f"results/{key}") == [(f"results/{key}", ran["node_uuid"])]
    gone = {"object_id": str(Object.ident("results", key)), "updated_at_us": (T + 2) * 1000}
    tell = stub("sms.ObjectRegistryService").ReportObject
    for node in (str(uuid4()), ran["node_uuid"], ran["node_uuid"]):
        assert tell(node_uuid=node, **gone).accepted
    assert names(server, stub, f"results/{key}") == []
    told = [one["data"]["node_uuid"] for one in events_of(server, ["HoldingEnded"])]
    assert told.count(ran["node_uuid"]) == 1


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("key", {"key": ""}),
        ("bucket", {"bucket": "a/b"}),
        ("sha256", {"sha256": "x"}),
        ("version", {"version": 0}),
        ("size", {"size": -1}),
        ("content_type", {"content_type": "x" * 300}),
    ],
)
def test_what_can_be_no_object_is_refused_by_its_field(holds, field, fields):
    with refused(INVALID, field):
        holds(str(uuid4()), T, **{"key": "k", **fields})


def test_this_servers_own_node_has_no_objects_to_report(server: Server, holds, stub):
    own = (server.data_dir / "node_uuid").read_text()
    with refused(REFUSED, "nothing to report"):
        stub("sms.ObjectRegistryService").ReportObject(node_uuid=own, object_id=str(uuid4()), updated_at_us=T)
    with refused(INVALID, "node_uuid"):
        stub("sms.ObjectRegistryService").ReportObject(node_uuid="x", object_id=str(uuid4()), updated_at_us=T)
