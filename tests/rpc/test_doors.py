"""Each operation records the same facts whether it comes by REST or by gRPC."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from spear.adapters.rpc.generated.sms import placement_pb2, task_pb2
from spear.adapters.rpc.generated.spearlet import function_pb2
from tests.rest.conftest import done
from tests.server import Server, eventually

Act = Callable[[], Any]
NODE = {"ip_address": "127.0.0.9", "port": 50052, "http_port": 8081, "metadata": {"zone": "a"}}
RESOURCES = {"cpu_usage_percent": 12.5, "total_memory_bytes": 1024, "resource_metadata": {"gpu": "none"}}
TASK = {
    "name": "both", "version": "1.2", "description": "by two doors", "capabilities": ["chat"], "metadata": {"a": "b"},
    "config": {"limits.concurrency": "3"},
}  # fmt: skip
EXECUTABLE = {"uri": "sms+file://nothing", "name": "n", "args": ["x"], "env": {"A": "1"}}
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def facts(server: Server, door: str, act: Act) -> list[tuple[str, Any]]:
    """What `act` recorded by this door: topics and states, without ids, durations, times, and a decision's measurements."""
    before = server.get("/api/v1/events", params={"after": -1}).json()["head"]
    act()
    query = {"after": before, "limit": 1000}
    events = [e for e in server.get("/api/v1/events", params=query).json()["events"] if e["actor"] == door]
    return [(e["topic"], _plain(e["data"])) for e in events]


def _plain(data: dict[str, Any]) -> Any:
    data = {name: value for name, value in data.items() if name != "duration_us"}
    if "decision" in data:  # what it saw of the machines changes from one moment to the next, its policy does not
        data["decision"] = {name: data["decision"][name] for name in ("policy", "policy_version", "nodes", "fitting")}
    return json.loads(_ID.sub("<id>", json.dumps(data, sort_keys=True)))


def same(server: Server, by_rest: Act, by_grpc: Act) -> list[str]:
    """The topics that both doors recorded, after comparing all there is to compare."""
    rest, grpc = facts(server, "rest", by_rest), facts(server, "grpc", by_grpc)
    assert rest == grpc
    return [topic for topic, _ in grpc]


@pytest.fixture
def two(server, nodes) -> list[str]:
    """Two fresh nodes."""
    return [nodes.RegisterNode(node=NODE).node_uuid for _ in range(2)]


def test_registering_a_node(server, nodes):
    found = same(
        server,
        lambda: done(server.post("/api/v1/nodes", json=NODE), 201),
        lambda: nodes.RegisterNode(node=NODE),
    )
    assert found == ["node.NodeRegistered"]


def test_changing_a_node(server, nodes, two):
    changed = {**NODE, "port": 7, "status": "draining", "metadata": {}}
    found = same(
        server,
        lambda: done(server.call("PUT", f"/api/v1/nodes/{two[0]}", json=changed)),
        lambda: nodes.UpdateNode(node={**changed, "uuid": two[1]}),
    )
    assert found == ["node.NodeUpdated", "node.Heartbeat"]


def test_a_heartbeat(server, nodes, two):
    health = {"cpu_usage": "45%"}
    found = same(
        server,
        lambda: done(server.post(f"/api/v1/nodes/{two[0]}/heartbeat", json={"health_info": health})),
        lambda: nodes.Heartbeat(uuid=two[1], health_info=health),
    )
    assert found == ["node.Heartbeat"]


def test_reporting_resources(server, nodes, two):
    found = same(
        server,
        lambda: done(server.call("PUT", f"/api/v1/nodes/{two[0]}/resource", json=RESOURCES)),
        lambda: nodes.UpdateNodeResource(resource={**RESOURCES, "node_uuid": two[1]}),
    )
    assert found == ["node.ResourcesReported"]


def test_deleting_a_node(server, nodes, two):
    found = same(
        server,
        lambda: done(server.call("DELETE", f"/api/v1/nodes/{two[0]}")),
        lambda: nodes.DeleteNode(uuid=two[1]),
    )
    assert found == ["node.NodeDeleted"]


def test_reporting_an_outcome(server, stub, two):
    said = {"decision_id": "d", "request_id": "r", "task_id": "t", "error_message": "busy"}
    path = "/api/v1/placement/invocations/report-outcome"
    found = same(
        server,
        lambda: done(server.post(path, json={**said, "node_uuid": two[0], "outcome_class": "overloaded"})),
        lambda: stub("sms.PlacementService").ReportInvocationOutcome(
            **said, node_uuid=two[1], outcome_class=placement_pb2.INVOCATION_OUTCOME_CLASS_OVERLOADED
        ),
    )
    assert found == ["node.OutcomeReported"]


def test_placing_records_the_decision_and_finds_the_same_nodes(server, stub, hello):
    path = "/api/v1/placement/invocations/place"
    asked = {"request_id": "r", "task_id": hello, "max_candidates": 5}
    by_rest = done(server.post(path, json=asked))["candidates"]
    by_grpc = stub("sms.PlacementService").PlaceInvocation(**asked).candidates
    assert [c["node_uuid"] for c in by_rest] == [c.node_uuid for c in by_grpc]
    by_grpc_again = lambda: stub("sms.PlacementService").PlaceInvocation(**asked)
    topics = [topic for topic, _ in facts(server, "grpc", by_grpc_again)]
    assert topics == [topic for topic, _ in facts(server, "rest", lambda: server.post(path, json=asked))]
    assert topics == ["placement.InvocationPlaced"]


def test_the_life_of_a_server_of_tools(server, mcp, fresh):
    stdio = {"command": "npx", "args": ["-y"], "env": {"A_KEY": "${ENV:A}"}, "cwd": "/"}
    http = {"url": "https://x/mcp", "headers": {"A": "b"}, "auth_ref": "c"}
    policy = {"default_policy": "ask", "per_tool": {"rm": "never"}}
    budgets = {"tool_timeout_ms": 1, "max_concurrency": 2, "max_tool_output_bytes": 3}
    common = {"server_id": fresh, "display_name": "d", "allowed_tools": ["*"], "budgets": budgets}
    tools = {**common, "stdio": stdio, "http": http, "approval_policy": policy, "tool_namespace": "n"}

    def by_rest() -> None:
        done(server.post("/api/v1/mcp/servers", json={**tools, "transport": "streamable_http"}))
        done(server.post("/api/v1/mcp/servers", json={"server_id": fresh, "transport": "stdio", "stdio": stdio}))
        done(server.call("DELETE", f"/api/v1/mcp/servers/{fresh}"))

    def by_grpc() -> None:
        mcp.UpsertMcpServer(record={**tools, "transport": 2})
        mcp.UpsertMcpServer(record={"server_id": fresh, "transport": 1, "stdio": stdio})
        mcp.DeleteMcpServer(server_id=fresh)

    expected = ["mcp_server.McpServerPut", "mcp_server.McpServerPut", "mcp_server.McpServerDeleted"]
    assert same(server, by_rest, by_grpc) == expected


def test_reporting_backends(server, backends, two):
    full = {
        "name": "b", "kind": " ", "operations": ["o"], "features": ["f"], "transports": ["t"], "weight": 1, "priority": -2,
        "base_url": "http://h/v1", "status": 1, "status_reason": "r", "provider": "p", "model": "m", "hosting": 2,
    }  # fmt: skip
    said = {"revision": 3, "reported_at_ms": 5, "backends": [full, {"name": "bare"}, {"name": " "}]}
    found = same(
        server,
        lambda: done(server.call("PUT", f"/api/v1/nodes/{two[0]}/backends", json=said)),
        lambda: backends.ReportNodeBackends(snapshot={**said, "node_uuid": two[1]}),
    )
    assert found == ["backend.BackendsReported"]


def test_the_life_of_a_deployment(server, deployments, two):
    wish = {"provider": "llamacpp", "model": "m", "params": {"threads": "2"}}
    status = {"phase": 5, "message": "no disk", "updated_at_ms": 7}

    def by_rest() -> None:
        path = f"/api/v1/nodes/{two[0]}/ai-models"
        made = done(server.post(path, json={**wish, "provider": "llama.cpp"}))
        own = f"{path}/deployments/{made['deployment_id']}"
        said = {**status, "observed_revision": made["revision"]}
        assert done(server.call("PUT", f"{own}/status", json=said))["success"]
        assert not done(server.call("PUT", f"{own}/status", json={**said, "observed_revision": 1}))["success"]
        done(server.call("DELETE", own))

    def by_grpc() -> None:
        made = deployments.UpsertModelDeployment(record={"spec": {**wish, "target_node_uuid": two[1]}})
        said = {"deployment_id": made.deployment_id, "node_uuid": two[1], "status": status}
        assert deployments.ReportModelDeploymentStatus(**said, observed_revision=made.revision).success
        assert not deployments.ReportModelDeploymentStatus(**said, observed_revision=1).success
        deployments.DeleteModelDeployment(deployment_id=made.deployment_id)

    expected = ["DeploymentPut", "DeploymentStatusReported", "DeploymentDeleted"]
    assert same(server, by_rest, by_grpc) == [f"deployment.{name}" for name in expected]


def test_registering_and_unregistering_a_task(server, tasks):
    ids = {}

    def by_rest() -> None:
        body = {**TASK, "priority": "high", "endpoint": "Both", "executable": {"type": "wasm", **EXECUTABLE}}
        ids["rest"] = done(server.post("/api/v1/tasks", json=body))["task_id"]
        done(server.call("DELETE", f"/api/v1/tasks/{ids['rest']}", json={"reason": "over"}))

    def by_grpc() -> None:
        executable = {"type": task_pb2.EXECUTABLE_TYPE_WASM, **EXECUTABLE}
        asked = {**TASK, "priority": task_pb2.TASK_PRIORITY_HIGH, "endpoint": "Both", "executable": executable}
        answer = tasks.RegisterTask(**asked)
        assert (answer.success, answer.task.endpoint) == (True, "both"), answer.message
        assert tasks.UnregisterTask(task_id=answer.task_id, reason="over").success

    assert same(server, by_rest, by_grpc) == [
        "task.TaskCreated", "endpoint.EndpointClaimed", "task.TaskUnregistered", "endpoint.EndpointReleased",
    ]  # fmt: skip


def test_a_cold_and_a_warm_run(server, invocations):
    cold, warm = server.register("hello"), server.register("hello")

    def by_rest() -> None:
        for _ in range(2):
            done(server.run(cold, environment={"A": "1"}, input_base64="aGk="))

    def by_grpc() -> None:
        for _ in range(2):
            invocations.Invoke(task_id=warm, environment={"A": "1"}, input={"data": b"hi"})

    found = same(server, by_rest, by_grpc)
    assert found.count("execution.ExecutionCompleted") == found.count("object.ObjectPut") == 2
    assert found.count("instance.InstanceStarted") == 1


def test_a_run_that_fails(server, invocations):
    one, other = server.register("exit3"), server.register("exit3")
    found = same(server, lambda: server.run(one, input_base64=""), lambda: invocations.Invoke(task_id=other))
    assert found[-1] == "execution.ExecutionFailed"


def test_an_asynchronous_run_that_is_terminated(server, invocations, executions):
    one, other = server.register("sleep"), server.register("sleep")

    def until_it_runs(execution_id: str) -> str:
        path = f"/api/v1/executions/{execution_id}"
        eventually(lambda: server.get(path).json()["status"] == "running")
        return execution_id

    def by_rest() -> None:
        begun = until_it_runs(done(server.run(one, mode="async", input_base64=""), 202)["execution_id"])
        done(server.post(f"/api/v1/executions/{begun}/terminate", json={"reason": "enough"}))

    def by_grpc() -> None:
        begun = invocations.Invoke(task_id=other, mode=function_pb2.EXECUTION_MODE_ASYNC).execution_id
        assert executions.TerminateExecution(execution_id=until_it_runs(begun), reason="enough").success

    assert same(server, by_rest, by_grpc)[-1] == "execution.ExecutionCancelled"


def test_the_life_of_an_object(server, objects, fresh):
    def by_rest() -> None:
        path = f"/api/v1/objects/{fresh}"
        kind = {"Content-Type": "application/octet-stream"}
        assert server.call("PUT", path, data=b"one", headers={**kind, "X-Object-Meta-Colour": "red"}).status_code == 201
        assert server.call("PUT", path, data=b"two" * 5000, headers=kind).status_code == 200
        for method, what in (("POST", "/refs"), ("DELETE", "/refs"), ("POST", "/pin"), ("DELETE", "/pin")):
            done(server.call(method, path + what))
        done(server.call("DELETE", path))

    def by_grpc() -> None:
        key = f"{fresh[:-12]}{int(fresh[-12:], 16) ^ 1:012x}"
        assert objects.PutObject(key=key, value=b"one", metadata={"colour": "red"}).success
        assert objects.PutObject(key=key, value=b"two" * 5000, overwrite=True).success
        for method in (objects.AddObjectRef, objects.RemoveObjectRef, objects.PinObject, objects.UnpinObject):
            assert method(key=key).success
        assert objects.DeleteObject(key=key).deleted

    assert len(same(server, by_rest, by_grpc)) == 7
