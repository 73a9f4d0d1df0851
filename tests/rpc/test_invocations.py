"""Invocations: how agents end, who leaves before they do, and asking twice."""

from socket import create_server

import grpc
import pytest

from spear.adapters.rpc.generated.spearlet import function_pb2 as pb
from tests.rpc._wire import Stub, connected, refused
from tests.server import SAMPLES, Server, events_of, eventually

COMPLETED, FAILED = pb.EXECUTION_STATUS_COMPLETED, pb.EXECUTION_STATUS_FAILED
TERMINATED, TIMEOUT = pb.EXECUTION_STATUS_TERMINATED, pb.EXECUTION_STATUS_TIMEOUT


@pytest.fixture(scope="module")
def sleeper(server: Server) -> str:
    """An agent that sleeps for an hour."""
    return server.register("sleep")


def of_task(server: Server, task_id: str) -> list[dict]:
    return server.get("/api/v1/executions", params={"task_id": task_id}).json()["executions"]


def running(server: Server, task_id: str) -> dict:
    return eventually(lambda: next((e for e in of_task(server, task_id) if e["status"] == "running"), None))


def test_an_agent_gets_its_input_and_its_output_comes_back_under_the_inputs_type(server, invocations):
    echo = server.register("echo")
    ran = invocations.Invoke(task_id=echo, input={"content_type": "text/x-mine", "data": b"hi \xff"})
    assert (ran.status, ran.output.data, ran.output.content_type) == (COMPLETED, b"hi \xff", "text/x-mine")
    assert ran.completed_at.ToNanoseconds() >= ran.started_at.ToNanoseconds() > 0
    assert ran.instance_id and not ran.HasField("error")


def test_an_agent_that_failed_is_an_answer_and_no_error_of_the_call(server, invocations):
    ran = invocations.Invoke(task_id=server.register("exit3"))
    assert (ran.status, ran.error.code) == (FAILED, "EXECUTION_FAILED")
    assert "exit code 3" in ran.error.message


def test_an_executable_that_can_never_run_is_a_failed_execution(server, invocations):
    task = server.post("/api/v1/tasks", json={"name": "nothing", "version": "1"}).json()["task_id"]
    ran = invocations.Invoke(task_id=task)
    assert (ran.status, ran.error.code) == (FAILED, "InvalidConfiguration")


def test_the_agents_own_limit_is_a_timeout(invocations, sleeper):
    assert invocations.Invoke(task_id=sleeper, timeout_ms=50).status == TIMEOUT


@pytest.mark.parametrize("metadata", [{}, {"spear.endpoint_gateway": "true"}])
def test_what_the_public_sms_asks_a_node_for_runs(invocations, executions, hello, fresh, metadata):
    asked = {"invocation_id": f"request-{fresh}", "execution_id": fresh, "task_id": hello, "timeout_ms": 0}
    entry = {"function_name": "__spear_default_entry__", "input": {"content_type": "application/octet-stream"}}
    mode = pb.EXECUTION_MODE_ASYNC if metadata else pb.EXECUTION_MODE_SYNC
    ran = invocations.Invoke(**asked, **entry, mode=mode, metadata=metadata)
    assert (ran.invocation_id, ran.execution_id) == (asked["invocation_id"], fresh)
    eventually(lambda: executions.GetExecution(execution_id=fresh).status == COMPLETED)


def test_an_unknown_task_a_missing_one_and_bad_fields_are_told_by_name(invocations, hello, fresh):
    with refused(grpc.StatusCode.NOT_FOUND, fresh):
        invocations.Invoke(task_id=fresh)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "task_id is required"):
        invocations.Invoke()
    for field, value in (
        ("execution_id", "7"), ("function_name", "main"), ("mode", 9), ("timeout_ms", 2**40),
        ("environment", {"A": "\x00"}), ("input", {"content_type": "a\nb"}),
    ):  # fmt: skip
        with refused(grpc.StatusCode.INVALID_ARGUMENT, field):
            invocations.Invoke(task_id=hello, **{field: value})


def test_a_deadline_that_passes_ends_the_agent(server, invocations):
    task = server.register("loop")
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        invocations.Invoke(task_id=task, timeout=0.5)
    (ended,) = eventually(lambda: [e for e in of_task(server, task) if e["status"] == "cancelled"])
    assert "deadline passed" in ended["error"]["message"]


def test_a_caller_that_leaves_ends_the_agent(server, invocations):
    task = server.register("sleep")
    call = invocations.Invoke.later(task_id=task)
    running(server, task)
    call.cancel()
    (ended,) = eventually(lambda: [e for e in of_task(server, task) if e["status"] == "cancelled"])
    assert "its caller left" in ended["error"]["message"]
    (fact,) = events_of(server, ["ExecutionCancelled"], noun="execution", ident=ended["execution_id"])
    assert fact["actor"] == "grpc"


def test_a_caller_that_leaves_the_queue_ends_what_waits(tmp_path):
    with Server(tmp_path / "data") as alone, connected(alone) as channel:  # no other node that could take it
        invoke = Stub(channel, pb, "InvocationService").Invoke
        task = alone.register("sleep", config={"limits.concurrency": "1"})
        first = invoke.later(task_id=task)
        began = running(alone, task)["execution_id"]
        second = invoke.later(task_id=task)
        eventually(lambda: len(of_task(alone, task)) == 2)
        second.cancel()
        eventually(lambda: [e["status"] for e in of_task(alone, task)] == ["cancelled", "running"])
        assert alone.post(f"/api/v1/executions/{began}/terminate").status_code == 200
        assert first.result().status == TERMINATED


def test_a_caller_that_leaves_ends_what_another_node_has_not_taken(tmp_path):
    with Server(tmp_path / "data") as near, connected(near) as channel, create_server(("127.0.0.1", 0)) as silent:
        body = {"ip_address": "127.0.0.1", "port": silent.getsockname()[1]}
        assert near.post("/api/v1/nodes", json=body).status_code == 201
        invoke = Stub(channel, pb, "InvocationService").Invoke
        task = near.register("sleep", config={"limits.concurrency": "1"})
        first = invoke.later(task_id=task)
        running(near, task)
        second = invoke.later(task_id=task)
        eventually(lambda: len(of_task(near, task)) == 2)
        second.cancel()
        eventually(lambda: [e["status"] for e in of_task(near, task)] == ["cancelled", "running"])
        assert events_of(near, ["ExecutionSpilled"], noun="execution", ident=of_task(near, task)[0]["execution_id"])
        first.cancel()


def test_the_end_of_an_asynchronous_call_does_not_end_the_agent(server, invocations, executions):
    task = server.register("sleep", args=["200"])
    taken = invocations.Invoke(task_id=task, mode=pb.EXECUTION_MODE_ASYNC)
    assert taken.status in (pb.EXECUTION_STATUS_PENDING, pb.EXECUTION_STATUS_RUNNING)
    eventually(lambda: executions.GetExecution(execution_id=taken.execution_id).status == COMPLETED)


def test_an_execution_id_that_was_asked_before_runs_once(server, invocations, hello, fresh):
    asked = {"task_id": hello, "execution_id": fresh, "invocation_id": "i"}
    first, second = invocations.Invoke(**asked), invocations.Invoke(**asked)
    assert first == second
    assert (first.execution_id, first.invocation_id) == (fresh, "i")
    assert first.output.data == b"Hello from SPEAR!\n"
    assert len(events_of(server, ["ExecutionRequested"], noun="execution", ident=fresh)) == 1
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "used for a different request"):
        invocations.Invoke(**asked, input={"data": b"other"})
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "used for a different request"):
        invocations.Invoke(task_id=server.register("hello"), execution_id=fresh)


def test_callers_who_ask_for_the_same_execution_at_once_all_hear_its_one_end(server, invocations, fresh):
    task = server.register("sleep", args=["200"])
    calls = [invocations.Invoke.later(task_id=task, execution_id=fresh) for _ in range(8)]
    assert {call.result().status for call in calls} == {COMPLETED}
    assert len(of_task(server, task)) == 1


def test_a_detached_agent_goes_on_when_its_caller_leaves_and_tells_its_end_once_more(server, invocations, fresh):
    asked = {"execution_id": fresh, "task_id": server.register("sleep"), "args": ["500"], "detached": True}
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED):
        invocations.Invoke(**asked, timeout=0.2)
    ran = invocations.Invoke(**asked)
    assert (ran.status, ran.ending.start in ("cold", "warm")) == (COMPLETED, True)
    assert len(events_of(server, ["ExecutionRequested"], noun="execution", ident=fresh)) == 1


def test_how_a_run_ended_is_told_beyond_its_status(server, invocations):
    ending = invocations.Invoke(task_id=server.register("exit3")).ending
    assert (ending.exit_code, ending.reason) == (3, "exit_code")
    assert not invocations.Invoke(task_id=server.register("trap")).ending.HasField("exit_code")


def test_what_was_sent_to_another_node_is_refused_and_not_sent_on(server, invocations, hello, fresh):
    with refused(grpc.StatusCode.UNAVAILABLE, fresh):
        invocations.Invoke(task_id=hello, node_uuid=fresh, detached=True)
    own = server.get("/api/v1/nodes").json()["nodes"][0]["uuid"]
    assert invocations.Invoke(task_id=hello, node_uuid=own, detached=True).status == COMPLETED


def test_a_full_queue_is_resource_exhausted(tmp_path, monkeypatch):
    monkeypatch.setenv("SMS_EXECUTIONS_MAX_CONCURRENT", "1")
    monkeypatch.setenv("SMS_EXECUTIONS_QUEUE_LIMIT", "0")
    with Server(tmp_path / "data") as small, connected(small) as channel:
        invoke = Stub(channel, pb, "InvocationService").Invoke
        task = small.register("sleep")
        call = invoke.later(task_id=task)
        running(small, task)
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full"):
            invoke(task_id=task)
        call.cancel()


def test_an_execution_is_shown_with_its_output_when_that_is_asked_for(invocations, executions, hello):
    ran = invocations.Invoke(task_id=hello)
    shown = executions.GetExecution(execution_id=ran.execution_id)
    assert (shown.status, shown.task_id, shown.output.data) == (COMPLETED, hello, b"")
    assert executions.GetExecution(execution_id=ran.execution_id, include_output=True).output == ran.output
    (found,) = executions.ListExecutions(invocation_id=ran.execution_id).executions
    assert found == shown


def test_executions_are_listed_newest_first_page_by_page(server, invocations, executions):
    task = server.register("hello")
    ids = [invocations.Invoke(task_id=task).execution_id for _ in range(3)]
    first = executions.ListExecutions(task_id=task, limit=2)
    rest = executions.ListExecutions(task_id=task, limit=2, page_token=first.next_page_token)
    assert [e.execution_id for e in (*first.executions, *rest.executions)] == ids[::-1]
    assert rest.next_page_token == ""
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "page_token"):
        executions.ListExecutions(page_token="x")


def test_terminating_ends_what_runs_and_leaves_what_ended(server, invocations, executions, hello, sleeper, fresh):
    taken = invocations.Invoke(task_id=sleeper, mode=pb.EXECUTION_MODE_ASYNC).execution_id
    done = executions.TerminateExecution(execution_id=taken, reason="enough")
    assert (done.success, done.final_status, done.message) == (True, TERMINATED, "terminate requested")
    assert "terminated: enough" in executions.GetExecution(execution_id=taken).error.message
    ran = invocations.Invoke(task_id=hello).execution_id
    late = executions.TerminateExecution(execution_id=ran)
    assert (late.success, late.final_status) == (False, COMPLETED)
    for method in (executions.TerminateExecution, executions.GetExecution):
        with refused(grpc.StatusCode.NOT_FOUND, "not found"):
            method(execution_id=fresh)


def test_destroying_an_instance_ends_what_runs_on_it(server, stub, invocations, executions, fresh):
    instances = stub("spearlet.InstanceService")
    task = server.register("sleep")
    call = invocations.Invoke.later(task_id=task)
    instance_id = running(server, task)["instance_id"]
    done = instances.DestroyInstance(instance_id=instance_id, reason="broken")
    assert (done.success, done.message) == (True, "destroy requested")
    assert call.result().status == TERMINATED
    assert "instance destroyed: broken" in call.result().error.message
    assert instances.DestroyInstance(instance_id=instance_id).success is False
    with refused(grpc.StatusCode.NOT_FOUND):
        instances.DestroyInstance(instance_id=fresh)


def test_a_damaged_module_is_told_by_its_fault(server, invocations):
    uri = server.upload(SAMPLES.joinpath("hello.wasm").read_bytes()[:100])["uri"]
    body = {"name": "damaged", "version": "1", "executable": {"type": "wasm", "uri": uri}}
    ran = invocations.Invoke(task_id=server.post("/api/v1/tasks", json=body).json()["task_id"])
    assert (ran.status, ran.error.code) == (FAILED, "InvalidConfiguration")
