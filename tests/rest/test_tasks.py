"""Tasks over HTTP, in the shapes of the public API."""

from uuid import uuid4

import pytest

from tests.rest.conftest import done, refused
from tests.server import Server

PUBLIC = {
    "task_id", "name", "description", "status", "priority", "node_uuid", "endpoint", "version", "capabilities",
    "registered_at", "last_heartbeat", "metadata", "config", "result_uris", "last_result_uri", "last_result_status",
    "last_completed_at", "last_result_metadata",
}  # fmt: skip
LEAST = {"name": "t", "endpoint": "", "version": "1"}


def shown(server: Server, task_id: str) -> dict:
    return done(server.get(f"/api/v1/tasks/{task_id}"))


def registered(server: Server, **more: object) -> str:
    return str(done(server.post("/api/v1/tasks", json={**LEAST, **more}))["task_id"])


def test_a_task_with_the_least_said_of_it_has_defaults(server: Server) -> None:
    said = done(server.post("/api/v1/tasks", json=LEAST))
    assert set(said) == {"success", "task_id", "message"}
    found = shown(server, said["task_id"])
    assert set(found) >= PUBLIC
    assert (found["description"], found["priority"], found["status"]) == ("Task: t", "normal", "registered")
    assert (found["capabilities"], found["metadata"], found["config"], found["executable"]) == ([], {}, {}, None)
    assert (found["result_uris"], found["last_result_uri"], found["last_completed_at"]) == ([], "", 0)


def test_everything_said_of_a_task_is_shown(server: Server, node: str) -> None:
    body = {
        "name": "all",
        "endpoint": f"E-{uuid4().hex}",
        "version": "2",
        "description": "d",
        "priority": "urgent",
        "node_uuid": node.upper(),
        "capabilities": ["gpu"],
        "metadata": {"a": "b"},
        "config": {"limits.wall_ms": "500", "own": "x"},
        "resources": {"cpu_cores": 1.5, "memory_mb": 200},
        "executable": {
            "type": "wasm",
            "uri": "sms+file://x",
            "checksum_sha256": "AB" * 32,
            "args": ["1"],
            "env": {"A": "B"},
        },
    }
    found = shown(server, done(server.post("/api/v1/tasks", json=body))["task_id"])
    executable = {**body["executable"], "name": "", "checksum_sha256": "ab" * 32}
    assert {name: found[name] for name in body} == {
        **body,
        "endpoint": body["endpoint"].lower(),
        "node_uuid": node,
        "executable": executable,
        "config": {**body["config"], "resources.cpu_cores": "1.5", "resources.memory_mb": "200"},
    }


def test_two_tasks_cannot_own_one_endpoint_until_the_first_is_gone(server: Server, task: str) -> None:
    endpoint = shown(server, task)["endpoint"]
    refused(
        server.post("/api/v1/tasks", json={**LEAST, "endpoint": endpoint.upper()}), 409, "ENDPOINT_EXISTS", endpoint
    )
    done(server.call("DELETE", f"/api/v1/tasks/{task}"))
    assert registered(server, endpoint=endpoint) != task


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "name: got '', expected text of 1 to 256 characters"),
        ({"version": None}, "version: got None, expected text"),
        ({"priority": "soon"}, "priority: got 'soon', expected one of low, normal, high, urgent"),
        ({"endpoint": "a b"}, "endpoint: got 'a b', expected 1 to 64 letters"),
        ({"node_uuid": "n1"}, "node_uuid: got 'n1', expected a UUID"),
        ({"capabilities": "gpu"}, "capabilities: got 'gpu', expected a list"),
        ({"capabilities": ["a", 1]}, "capabilities.1: got 1, expected text"),
        ({"metadata": {"a": 1}}, "metadata.a: got 1, expected text"),
        ({"metadata": {"value": 1}}, "metadata.value: got 1, expected text"),
        ({"metadata": {f"k{n}": "" for n in range(65)}}, "expected an object of at most 64 texts"),
        ({"executable": "wasm"}, "executable: got 'wasm', expected a JSON object"),
        ({"executable": {}}, "executable.type: missing, expected one of none, wasm, process"),
        (
            {"executable": {"type": "wasm", "checksum_sha256": "xyz"}},
            "executable.checksum_sha256: got 'xyz', expected 64",
        ),
        ({"config": {"limits.wall_ms": "0"}}, "config.limits.wall_ms: got '0', expected a whole number from 1"),
        ({"resources": {"cpu_cores": 0}}, "resources.cpu_cores: got 0, expected a number from 0.001 to 9999"),
        ({"resources": {"memory_mb": "1"}}, "resources.memory_mb: got '1', expected a whole number from 1"),
        ({"resources": 1}, "resources: got 1, expected a JSON object"),
        ({"config": {"resources.cpu_cores": "0.0"}}, "config.resources.cpu_cores: got '0.0', expected a number from"),
        ({"config": {"resources.memory_mb": "1.5"}}, "config.resources.memory_mb: got '1.5', expected a whole number"),
        ({"config": {"resources.gpus": "1"}}, "config.resources.gpus: got '1', expected one of resources.cpu_cores"),
        ({"config": {"limits.spoons": "1"}}, "config.limits.spoons: got '1', expected one of limits.wall_ms"),
        ({"config": {"container.network": "yes"}}, "config.container.network: got 'yes', expected true or false"),
        (
            {"config": {"container.root": "true"}},
            "config.container.root: got 'true', expected one of container.network",
        ),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_what_was_expected(server: Server, change: dict, words: str) -> None:
    refused(server.post("/api/v1/tasks", json={**LEAST, **change}), 422, "INVALID_ARGUMENT", words)


@pytest.mark.parametrize("uri", ["", "/srv/agent.wasm", "ftp://x/y", "sms+file://", "https:/x"])
def test_a_module_that_lies_nowhere_is_refused_when_it_is_registered(server: Server, uri: str) -> None:
    body = {**LEAST, "executable": {"type": "wasm", "uri": uri}}
    refused(server.post("/api/v1/tasks", json=body), 422, "INVALID_ARGUMENT", "executable.uri", "sms+file://<id>")


@pytest.mark.parametrize("uri", ["", "docker://", "https://h/image", "A Name"])
def test_an_image_that_no_engine_would_take_is_refused_when_it_is_registered(server: Server, uri: str) -> None:
    body = {**LEAST, "executable": {"type": "container", "uri": uri}}
    refused(server.post("/api/v1/tasks", json=body), 422, "INVALID_ARGUMENT", "executable.uri", "docker://NAME:TAG")


@pytest.mark.parametrize("uri", ["SMSFILE://x", "sms+file:///x", "https://h/x", "s3://b/k", "minio://b/k"])
def test_every_documented_place_of_a_module_is_taken(server: Server, uri: str) -> None:
    done(server.post("/api/v1/tasks", json={**LEAST, "executable": {"type": "wasm", "uri": uri}}))


@pytest.mark.parametrize("field", ["endpoint", "executable", "node_uuid", "nonsense"])
def test_what_cannot_be_changed_of_a_task_is_refused_and_nothing_is(server: Server, task: str, field: str) -> None:
    answer = server.call("PUT", f"/api/v1/tasks/{task}", json={"priority": "low", field: "x"})
    refused(answer, 422, "INVALID_ARGUMENT", f"{field}: got 'x'", "register another task")
    assert shown(server, task)["priority"] == "normal"


def test_a_change_of_a_task_keeps_the_rest(server: Server, task: str) -> None:
    found = done(
        server.call("PUT", f"/api/v1/tasks/{task}", json={"priority": "low", "config": {"limits.wall_ms": "9"}})
    )
    assert (found["name"], found["priority"], found["config"]) == ("t", "low", {"limits.wall_ms": "9"})
    refused(
        server.call("PUT", f"/api/v1/tasks/{task}", json={"priority": 1}), 422, "INVALID_ARGUMENT", "priority: got 1"
    )


@pytest.mark.parametrize(
    "body", [{}, {"json": {}}, {"json": {"reason": "old"}}, {"headers": {"Content-Type": "application/json"}}]
)
def test_unregistering_needs_no_body_and_happens_once(server: Server, task: str, body: dict) -> None:
    done(server.call("DELETE", f"/api/v1/tasks/{task}", **body))
    refused(server.call("DELETE", f"/api/v1/tasks/{task}", **body), 404, "TASK_NOT_FOUND", task)
    refused(server.get(f"/api/v1/tasks/{task}"), 404, "TASK_NOT_FOUND", task)
    refused(server.get(f"/api/v1/tasks/{task}/instances"), 404, "TASK_NOT_FOUND", task)


def test_tasks_can_be_filtered_and_the_total_counts_what_was_filtered(server: Server, node: str) -> None:
    low, high = registered(server, node_uuid=node, priority="low"), registered(server, node_uuid=node, priority="high")
    registered(server, priority="low")

    def found(**query: str) -> tuple[list[str], int]:
        page = done(server.get("/api/v1/tasks", params={"node_uuid": node, **query}))
        return [t["task_id"] for t in page["tasks"]], page["total_count"]

    assert found() == ([low, high], 2)
    assert found(priority="low") == ([low], 1)
    assert found(status="active") == ([], 0)
    assert found(status="registered", priority="high") == ([high], 1)
    refused(server.get("/api/v1/tasks", params={"status": "busy"}), 422, "INVALID_ARGUMENT", "status: got 'busy'")


def test_a_task_shows_how_its_last_run_ended(server: Server) -> None:
    ran = done(server.run(server.register("hello")))
    found = shown(server, ran["task_id"])
    assert found["status"] == "active"
    assert (found["last_result_status"], found["result_uris"]) == ("completed", [found["last_result_uri"]])
    assert found["last_result_metadata"] == {"execution_id": ran["execution_id"]}
    assert found["last_completed_at"] == ran["completed_at_ms"] // 1000


@pytest.mark.parametrize("ident", ["nobody", "5f0d7ed6-7402-45f7-9671-22c2b0833e2f", "%00", "x" * 3000])
def test_an_id_that_names_no_task_is_not_found(server: Server, ident: str) -> None:
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/instances")):
        refused(server.call(method, f"/api/v1/tasks/{ident}{path}"), 404, "TASK_NOT_FOUND")
