"""The OpenAPI document tells the truth: generated requests get documented answers only, and never a 5xx."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from itertools import cycle
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.rest.conftest import NODE, done, refused
from tests.server import Server

CALLS = ("/e/{endpoint}", "/api/v1/executions")
AGENT_FAILED = (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
BACKEND = {"name": "known", "kind": "known", "provider": "known", "model": "known"}
MANY = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
FEW = settings(MANY, max_examples=6)
MODES = tuple(schemathesis.GenerationMode)


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    return done(server.get("/api/openapi.json"))


def test_every_route_is_documented(document: dict[str, Any]) -> None:
    v1 = {
        "nodes": "get post",
        "nodes/{uuid}": "get put delete",
        "nodes/{uuid}/heartbeat": "post",
        "nodes/{uuid}/drain": "post",
        "nodes/{uuid}/undrain": "post",
        "nodes/{uuid}/resource": "get put",
        "nodes/{uuid}/with-resource": "get",
        "nodes/{uuid}/backends": "get put",
        "nodes/{uuid}/ai-models": "post",
        "nodes/{uuid}/ai-models/deployments": "get",
        "nodes/{uuid}/ai-models/deployments/{deployment_id}": "delete",
        "nodes/{uuid}/ai-models/deployments/{deployment_id}/status": "put",
        "backends": "get",
        "backends/{kind}/{name}": "get",
        "ai-models": "get",
        "ai-models/{provider}/{model}": "get",
        "mcp/servers": "get post",
        "mcp/servers/{server_id}": "get delete",
        "resources": "get",
        "tasks": "get post",
        "tasks/{task_id}": "get put delete",
        "tasks/{task_id}/instances": "get",
        "instances/{instance_id}": "get",
        "instances/{instance_id}/executions": "get",
        "executions": "get post",
        "executions/{execution_id}": "get",
        "executions/{execution_id}/terminate": "post",
        "executions/{execution_id}/logs": "get",
        "executions/{execution_id}/placement": "get",
        "executions/{execution_id}/streams/session": "post",
        "executions/{execution_id}/streams/ws": "get",
        "placement/invocations/place": "post",
        "placement/invocations/report-outcome": "post",
        "placement/why-not": "get",
        "files": "get post",
        "objects": "get",
        "events": "get",
        "events/ws": "get",
        "tasks/{task_id}/ws": "get",
        "tokens": "get post",
        "tokens/{name}": "delete",
    }
    paths = {f"/api/v1/{path}": methods for path, methods in v1.items()} | {
        "/health": "get",
        "/ready": "get",
        "/e/{endpoint}/ws": "get",
    }
    for path, methods in paths.items():
        assert set(document["paths"][path]) - {"parameters"} >= set(methods.split()), path


def test_every_operation_says_what_it_does_what_it_returns_and_how_it_refuses(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method in {"get", "post", "put", "delete", "head"} & set(operations):
            operation = operations[method]
            assert operation["summary"], (method, path)
            assert any(status == "101" or status.startswith("2") for status in operation["responses"]), (method, path)
            assert "default" not in operation["responses"], (method, path)


def test_all_errors_have_the_one_shape(document: dict[str, Any]) -> None:
    shape = document["components"]["schemas"]["ErrorBody"]
    assert set(shape["required"]) == {"error", "message", "details"}
    for name, response in document["components"]["responses"].items():
        if HTTPStatus[name] >= 400:
            assert response["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody"), name


def test_the_page_that_shows_it_is_served_without_anybody_elses_help(server: Server) -> None:
    for path in ("/swagger-ui", "/swagger-ui/"):
        page = server.get(path, allow_redirects=False)
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "/api/openapi.json" in page.text
        assert "//" not in page.text.replace("<!DOCTYPE", "")
    kinds = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
    for name, kind in kinds.items():
        asset = server.get(f"/swagger-ui/{name}")
        assert (asset.status_code, asset.headers["Content-Type"].split(";")[0]) == (200, kind)
    for name in ("nothing.js", "..%2f..%2fapp.py", "%2e%2e"):
        refused(server.get(f"/swagger-ui/{name}"), 404, "ROUTE_NOT_FOUND")


Known = Callable[[str], str]


def no_failure_of_ours(ctx: CheckContext, response: Response, case: schemathesis.Case) -> bool | None:
    """No 5xx but those that the document promises of agents: /e/ says how one failed, and an SMS that no node may run it."""
    if case.operation.path == "/e/{endpoint}" and response.status_code in AGENT_FAILED:
        return None if "execution_id" in response.json()["details"] else not_a_server_error(ctx, response, case)
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE and response.json()["error"] == "NO_NODE":
        return None
    return not_a_server_error(ctx, response, case)


def body_conformance(ctx: CheckContext, response: Response, case: schemathesis.Case) -> bool | None:
    """The body is as documented; one of raw bytes may be anything, whatever its writer called it."""
    operation = case.operation.schema.raw_schema["paths"][case.operation.path][case.operation.method.lower()]
    documented = operation["responses"].get(str(response.status_code), {})
    return None if "*/*" in documented.get("content", ()) else response_schema_conformance(ctx, response, case)


CHECKS = [
    no_failure_of_ours,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    body_conformance,
]


def names_on(server: Server, ran: dict[str, Any] | None) -> Known:
    """Makes ids that name something, for the path parameters of generated requests."""
    hello: dict[str, Any] = {"name": "t", "version": "1"}
    if ran is not None:
        hello["executable"] = done(server.get(f"/api/v1/tasks/{ran['task_id']}"))["executable"]

    def task() -> str:
        return str(done(server.post("/api/v1/tasks", json=hello))["task_id"])

    def node() -> str:
        uuid = str(done(server.post("/api/v1/nodes", json=NODE), 201)["node_uuid"])
        done(server.call("PUT", f"/api/v1/nodes/{uuid}/backends", json={"backends": [BACKEND]}))
        if server.role == "sms":  # or a call would wait for it, and nobody is there
            done(server.post(f"/api/v1/nodes/{uuid}/drain"))
        return uuid

    def endpoint(body: dict[str, Any], name: str) -> str:
        server.post("/api/v1/tasks", json={**body, "endpoint": name})  # the first one has it
        return name

    def tools() -> str:
        done(
            server.post("/api/v1/mcp/servers", json={"server_id": "t", "transport": "stdio", "stdio": {"command": "t"}})
        )
        return "t"

    agents = cycle([(hello, "runs"), ({"name": "t", "version": "1"}, "fails")])
    makers: dict[str, Callable[[], str]] = {
        "uuid": node,
        "node_uuid": node,
        "task_id": task,
        "server_id": tools,
        "endpoint": lambda: endpoint(*next(agents)),
        "file_id": lambda: server.upload(b"content")["id"],
    }
    if ran is not None:
        makers |= {"execution_id": lambda: ran["execution_id"], "instance_id": lambda: ran["instance_id"]}
    return lambda name: makers[name]() if name in makers else "known"


@pytest.fixture(scope="module", params=["sms", "spearlet"])
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in another role than all, with nobody beside it."""
    with Server(tmp_path_factory.mktemp(request.param) / "data", role=request.param) as running:
        yield running


@pytest.mark.parametrize("mode", MODES)
def test_generated_requests_get_documented_answers_only(
    server: Server, ran: dict[str, Any], subtests: pytest.Subtests, mode: schemathesis.GenerationMode
) -> None:
    ask_everything(server, names_on(server, ran), subtests, MANY, mode)


def test_either_role_alone_serves_the_same_resources(alone: Server, document: dict[str, Any]) -> None:
    with ThreadPoolExecutor(4) as first_readers:
        read = first_readers.map(alone.get, ["/api/openapi.json"] * 4)
        assert [done(answer) for answer in read] == [document] * 4


def test_so_they_do_in_either_role_alone(alone: Server, subtests: pytest.Subtests) -> None:
    ran = done(alone.run(alone.register("hello"))) if alone.role == "spearlet" else None
    ask_everything(alone, names_on(alone, ran), subtests, FEW, *MODES)


def ask_everything(
    server: Server, known: Known, subtests: pytest.Subtests, wanted: settings, *modes: schemathesis.GenerationMode
) -> None:
    """Generated requests of every operation, each checked against what the document says."""
    schema = schemathesis.openapi.from_url(f"{server.url}/api/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in sorted(operations, key=lambda found: found.path not in CALLS):  # before nodes are made up

        @wanted
        @given(case=st.one_of(operation.as_strategy(generation_mode=mode) for mode in modes), real=st.booleans())
        def answers(case: schemathesis.Case, real: bool) -> None:
            if real:
                make_real(case, known)
            answer = case.call(session=server.session, timeout=30)
            if answer.status_code != HTTPStatus.REQUEST_URI_TOO_LONG:  # said by the listener, before any route
                case.validate_response(answer, checks=CHECKS)

        with subtests.test(operation.label), suppress(Unsatisfiable):  # some operations cannot be asked wrongly
            answers()


def make_real(case: schemathesis.Case, known: Known) -> None:
    """Let the request name things that exist, and a version of the world that was."""
    case.path_parameters = {name: known(name) for name in case.path_parameters or {}}
    if "as_of" in (case.query or {}):
        case.query = {**case.query, "as_of": "1"}
    if isinstance(case.body, dict):
        case.body = {name: known(name) if name in ("task_id", "node_uuid") else v for name, v in case.body.items()}
