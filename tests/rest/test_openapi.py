"""The OpenAPI document tells the truth: generated requests get documented answers only, and never a 5xx."""

from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.rest.conftest import NODE, done, refused
from tests.server import Server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
BACKEND = {"name": "known", "kind": "known", "provider": "known", "model": "known"}
GENERATED = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


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


@pytest.fixture
def known(server: Server, ran: dict[str, Any]) -> Callable[[str], str]:
    """Makes ids that name something, for the path parameters of generated requests."""

    hello = {
        "name": "t",
        "version": "1",
        "executable": done(server.get(f"/api/v1/tasks/{ran['task_id']}"))["executable"],
    }

    def task() -> str:
        return str(done(server.post("/api/v1/tasks", json=hello))["task_id"])

    def node() -> str:
        uuid = str(done(server.post("/api/v1/nodes", json=NODE), 201)["node_uuid"])
        done(server.call("PUT", f"/api/v1/nodes/{uuid}/backends", json={"backends": [BACKEND]}))
        return uuid

    def tools() -> str:
        done(
            server.post("/api/v1/mcp/servers", json={"server_id": "t", "transport": "stdio", "stdio": {"command": "t"}})
        )
        return "t"

    makers: dict[str, Callable[[], str]] = {
        "uuid": node,
        "node_uuid": node,
        "task_id": task,
        "execution_id": lambda: ran["execution_id"],
        "instance_id": lambda: ran["instance_id"],
        "server_id": tools,
        "file_id": lambda: server.upload(b"content")["id"],
    }
    return lambda name: makers[name]() if name in makers else "known"


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_generated_requests_get_documented_answers_only(
    server: Server, known: Callable[[str], str], subtests: pytest.Subtests, mode: schemathesis.GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/api/openapi.json")
    for found in schema.get_all_operations():
        operation = found.ok()

        @GENERATED
        @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
        def answers(case: schemathesis.Case, real: bool) -> None:
            if real:
                make_real(case, known)
            answer = case.call(session=server.session, timeout=30)
            if answer.status_code != HTTPStatus.REQUEST_URI_TOO_LONG:  # said by the listener, before any route
                case.validate_response(answer, checks=CHECKS)

        with subtests.test(operation.label), suppress(Unsatisfiable):  # some operations cannot be asked wrongly
            answers()


def make_real(case: schemathesis.Case, known: Callable[[str], str]) -> None:
    """Let the request name things that exist, and a version of the world that was."""
    case.path_parameters = {name: known(name) for name in case.path_parameters or {}}
    if "as_of" in (case.query or {}):
        case.query = {**case.query, "as_of": "1"}
    if isinstance(case.body, dict):
        case.body = {name: known(name) if name in ("task_id", "node_uuid") else v for name, v in case.body.items()}
