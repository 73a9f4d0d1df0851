"""The registries over HTTP: MCP servers, model backends, AI models and deployments, now and as they were."""

from typing import Any
from uuid import uuid4

import pytest

from tests.rest.conftest import NODE, done, refused
from tests.server import Server, events_of

STDIO = {"transport": "stdio", "stdio": {"command": "npx"}}
REMOTE = {
    "name": "gpt", "kind": "openai_chat_completion", "operations": ["chat_completions"], "features": ["b", "a"],
    "transports": ["http"], "weight": 100, "priority": 1, "base_url": "https://api.example/v1", "status": 1,
    "model": "tiny", "hosting": 1,
}  # fmt: skip
LOCAL = {"name": "here/small", "kind": "ollama_chat", "status": 2, "status_reason": "missing env X", "hosting": 2}


@pytest.fixture
def name() -> str:
    """A name that nobody used."""
    return f"t-{uuid4().hex}"


def put(server: Server, server_id: str, **more: Any) -> Any:
    return server.post("/api/v1/mcp/servers", json={"server_id": server_id, **STDIO, **more})


def report(server: Server, node: str, *backends: dict[str, Any], **more: Any) -> Any:
    return server.call("PUT", f"/api/v1/nodes/{node}/backends", json={"backends": backends, **more})


def test_a_server_of_tools_as_the_api_shows_it(server: Server, name: str) -> None:
    answer = put(
        server, name, budgets={"max_concurrency": 2}, transport="streamable_http", http={"url": "http://h/mcp"}
    )
    revision = done(answer)["revision"]
    assert revision == int(answer.headers["X-Position"])
    shown = done(server.get(f"/api/v1/mcp/servers/{name}"))["server"]
    assert shown.pop("updated_at_ms") > 0
    assert shown == {
        "server_id": name,
        "display_name": "",
        "transport": 2,
        "stdio": {"command": "npx", "args": [], "env": {}, "cwd": ""},
        "http": {"url": "http://h/mcp", "headers": {}, "auth_ref": ""},
        "tool_namespace": f"mcp.{name}",
        "allowed_tools": [],
        "approval_policy": None,
        "budgets": {"tool_timeout_ms": 0, "max_concurrency": 2, "max_tool_output_bytes": 0},
    }
    listed = done(server.get("/api/v1/mcp/servers"))
    assert listed["revision"] == revision and name in [found["server_id"] for found in listed["servers"]]
    ids = [found["server_id"] for found in listed["servers"]]
    assert ids == sorted(ids)


def test_a_server_that_was_deleted_is_seen_in_the_past(server: Server, name: str) -> None:
    position = done(put(server, name))["revision"]
    deleted = server.call("DELETE", f"/api/v1/mcp/servers/{name}")
    assert done(deleted)["revision"] == int(deleted.headers["X-Position"]) > position
    refused(server.get(f"/api/v1/mcp/servers/{name}"), 404, "MCP_SERVER_NOT_FOUND", name)
    refused(server.call("DELETE", f"/api/v1/mcp/servers/{name}"), 404, "MCP_SERVER_NOT_FOUND", name)
    past = server.get(f"/api/v1/mcp/servers/{name}", params={"as_of": position})
    assert done(past)["server"]["server_id"] == name and past.headers["X-As-Of"] == str(position)
    then = done(server.get("/api/v1/mcp/servers", params={"as_of": position}))
    assert then["revision"] == position and name in [found["server_id"] for found in then["servers"]]
    assert len(events_of(server, ["McpServerPut", "McpServerDeleted"], noun="mcp_server", ident=name)) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"transport": "smoke"}, "transport"),
        ({"stdio": "npx"}, "stdio"),
        ({"stdio": {}}, "stdio.command"),
        ({"stdio": {"command": "x", "env": {"A_TOKEN": "hunter2"}}}, "stdio.env.A_TOKEN"),
        ({"http": {"url": "https://me:hunter2@x"}}, "http.url"),
        ({"budgets": {"max_concurrency": -1}}, "budgets.max_concurrency"),
        ({"allowed_tools": "all"}, "allowed_tools"),
    ],
)
def test_a_bad_server_is_refused_by_its_field(server: Server, name: str, change: dict[str, Any], field: str) -> None:
    found = refused(put(server, name, **change), 422, "INVALID_ARGUMENT", field)
    assert found["details"]["field"] == field and "hunter2" not in str(found)


def test_a_nodes_backends_as_the_api_shows_them(server: Server, node: str) -> None:
    path = f"/api/v1/nodes/{node}/backends"
    nothing = {"found": False, "node_uuid": node, "backends": [], "snapshot": None}
    assert done(server.get(path)) == nothing
    answer = report(server, node, REMOTE, revision=4, reported_at_ms=9)
    assert done(answer)["accepted_revision"] == 4
    shown = done(server.get(path))
    assert shown["snapshot"] == {"revision": 4, "reported_at_ms": 9}
    assert shown["backends"] == [{**REMOTE, "status_reason": "", "provider": ""}]
    before = int(answer.headers["X-Position"]) - 1
    assert done(server.get(path, params={"as_of": before})) == nothing
    refused(server.get(f"/api/v1/nodes/{uuid4()}/backends"), 404, "NODE_NOT_FOUND")
    refused(report(server, str(uuid4()), REMOTE), 404, "NODE_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "backends"),
        ({"backends": [{"status": 3}]}, "backends.0.status"),
        ({"backends": [{}] * 257}, "backends"),
        ({"backends": [{"name": "x", "base_url": "https://me:pw@x"}]}, "backends.0.base_url"),
        ({"backends": [], "revision": -1}, "revision"),
    ],
)
def test_a_bad_report_is_refused_by_its_field(server: Server, node: str, body: dict[str, Any], field: str) -> None:
    refused(server.call("PUT", f"/api/v1/nodes/{node}/backends", json=body), 422, "INVALID_ARGUMENT", field)


def test_a_backend_is_one_whoever_has_it_and_available_where_its_node_is_online(server: Server, name: str) -> None:
    nodes = [done(server.post("/api/v1/nodes", json=NODE), 201)["node_uuid"] for _ in range(3)]
    kind = {**REMOTE, "kind": name}
    for number, node in enumerate(nodes):
        done(report(server, node, {**kind, "status": 1 + (number == 1), "features": [f"f{number}"]}))
    done(server.call("PUT", f"/api/v1/nodes/{nodes[2]}", json={"status": "offline"}))
    listed = done(server.get("/api/v1/backends", params={"q": name.upper()}))
    (shown,) = listed["backends"]
    assert (listed["total_count"], shown["name"], shown["kind"]) == (1, "gpt", name)
    assert (shown["available_nodes"], shown["total_nodes"], shown["features"]) == (1, 3, ["f0", "f1", "f2"])
    places = {place["node_uuid"]: (place["status"], place["status_reason"]) for place in shown["nodes"]}
    gone = ("unavailable", "its node is not online")
    assert [places[node] for node in nodes] == [("available", ""), ("unavailable", ""), gone]
    assert done(server.get(f"/api/v1/backends/{name}/gpt"))["backend"] == shown
    assert done(server.get("/api/v1/backends", params={"q": name, "status": "unavailable"}))["backends"] == []
    done(server.call("DELETE", f"/api/v1/nodes/{nodes[0]}"))
    shown = done(server.get(f"/api/v1/backends/{name}/gpt"))["backend"]
    assert (shown["available_nodes"], shown["total_nodes"]) == (0, 2)
    refused(server.get("/api/v1/backends/none/gpt"), 404, "BACKEND_NOT_FOUND", "none/gpt")


def test_a_name_with_a_slash_is_found(server: Server, node: str) -> None:
    done(report(server, node, LOCAL))
    for path in ("here/small", "here%2Fsmall"):
        assert done(server.get(f"/api/v1/backends/ollama_chat/{path}"))["backend"]["name"] == "here/small"


def test_models_are_found_by_provider_name_and_hosting(server: Server, node: str, name: str) -> None:
    bound = {**REMOTE, "provider": name, "model": "a/b"}
    done(report(server, node, bound, {**bound, "name": "other", "hosting": 2}, {**LOCAL, "name": f"{name}/small"}))
    found = done(server.get("/api/v1/ai-models", params={"provider": name}))
    assert [(m["model"], m["hosting"]) for m in found["models"]] == [("a/b", "local"), ("a/b", "remote")]
    shown = done(server.get(f"/api/v1/ai-models/{name}/a/b", params={"hosting": "remote"}))["model"]
    assert shown == found["models"][1]
    assert shown["instances"][0]["backend_name"] == "gpt"
    (guessed,) = done(server.get("/api/v1/ai-models", params={"q": f"{name}/small"}))["models"]
    assert (guessed["provider"], guessed["model"], guessed["available_nodes"]) == ("ollama", "small", 0)
    page = done(server.get("/api/v1/ai-models", params={"provider": name, "limit": 1, "offset": 1}))
    assert (page["models"], page["total_count"]) == (found["models"][1:], 2)
    refused(server.get(f"/api/v1/ai-models/{name}/none"), 404, "MODEL_NOT_FOUND", f"{name}/none")
    refused(server.get("/api/v1/ai-models", params={"hosting": "moon"}), 422, "INVALID_ARGUMENT", "hosting")


def test_a_deployment_as_the_api_shows_it(server: Server, node: str) -> None:
    path = f"/api/v1/nodes/{node}/ai-models"
    answer = server.post(path, json={"provider": "llama_cpp", "model": " tiny ", "params": {"threads": "2"}})
    made = done(answer)
    listed = done(server.get(f"{path}/deployments"))
    assert (listed["revision"], listed["total_count"]) == (made["revision"], 1)
    (shown,) = listed["deployments"]
    assert shown["spec"] == {
        "target_node_uuid": node,
        "provider": "llamacpp",
        "model": "tiny",
        "params": {"threads": "2"},
    }
    assert (shown["deployment_id"], shown["revision"]) == (made["deployment_id"], made["revision"])
    assert shown["status"]["phase"] == 1
    done(
        server.call("PUT", f"{path}/deployments/{made['deployment_id']}/status", json={"phase": 4, "updated_at_ms": 3})
    )
    (ready,) = done(server.get(f"{path}/deployments"))["deployments"]
    assert ready["status"] == {"phase": 4, "message": "", "updated_at_ms": 3}
    (then,) = done(server.get(f"{path}/deployments", params={"as_of": answer.headers["X-Position"]}))["deployments"]
    assert then == shown


def test_a_deployment_belongs_to_its_node(server: Server, node: str) -> None:
    other = done(server.post("/api/v1/nodes", json=NODE), 201)["node_uuid"]
    own, theirs = (f"/api/v1/nodes/{uuid}/ai-models" for uuid in (node, other))
    ident = done(server.post(own, json={"provider": "vllm", "model": "m"}))["deployment_id"]
    refused(server.call("DELETE", f"{theirs}/deployments/{ident}"), 404, "DEPLOYMENT_NOT_FOUND", ident)
    refused(server.call("PUT", f"{theirs}/deployments/{ident}/status", json={"phase": 4}), 403, "ANOTHER_NODE")
    assert done(server.get(f"{theirs}/deployments"))["deployments"] == []
    done(server.call("DELETE", f"{own}/deployments/{ident}"))
    refused(server.call("DELETE", f"{own}/deployments/{ident}"), 404, "DEPLOYMENT_NOT_FOUND", ident)
    assert len(events_of(server, ["DeploymentPut", "DeploymentDeleted"], noun="deployment", ident=ident)) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"provider": "smoke", "model": "m"}, "provider"),
        ({"provider": "vllm", "model": " "}, "model"),
        ({"provider": "vllm", "model": "m", "params": {"hf_token": "hunter2"}}, "params.hf_token"),
    ],
)
def test_a_bad_deployment_is_refused_by_its_field(server: Server, node: str, body: dict[str, Any], field: str) -> None:
    refused(server.post(f"/api/v1/nodes/{node}/ai-models", json=body), 422, "INVALID_ARGUMENT", field)


def test_a_model_is_deployed_on_a_node_that_there_is(server: Server) -> None:
    path = f"/api/v1/nodes/{uuid4()}/ai-models"
    refused(server.post(path, json={"provider": "vllm", "model": "m"}), 404, "NODE_NOT_FOUND")
    refused(server.get(f"{path}/deployments"), 404, "NODE_NOT_FOUND")
