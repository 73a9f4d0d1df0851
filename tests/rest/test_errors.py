"""One error shape for everything that can go wrong, and nothing that a client sends makes the server fail."""

import io
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from spear.adapters.rest import errors, rules
from spear.errors import Overloaded
from tests.rest.conftest import NODE, done, refused
from tests.server import Server

JSON = {"Content-Type": "application/json"}
WRITES = [("POST", "nodes"), ("POST", "tasks"), ("POST", "executions"), ("POST", "placement/invocations/place")]


def test_an_unknown_route_is_not_found(server: Server) -> None:
    for method in ("GET", "POST", "DELETE"):
        refused(server.call(method, "/api/v1/spoons", data=b"x"), 404, "ROUTE_NOT_FOUND", f"{method} /api/v1/spoons")


def test_a_wrong_method_names_those_that_are_allowed(server: Server) -> None:
    answer = server.call("PATCH", "/api/v1/nodes")
    refused(answer, 405, "METHOD_NOT_ALLOWED", "PATCH")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense", ""]
)
def test_a_body_that_is_not_called_json_is_refused(server: Server, method: str, path: str, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = server.call(method, f"/api/v1/{path}", data=b"{}", headers=headers)
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type: got", "expected application/json")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/vnd.spear+json", "APPLICATION/JSON"])
def test_json_may_be_called_so_in_any_way(server: Server, kind: str) -> None:
    done(server.post("/api/v1/nodes", data=json.dumps(NODE), headers={"Content-Type": kind}), 201)


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "body",
    [
        b"{", b'{"name": }', b"\xff", b'{"a": "\xff"}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}', b"{} {}",
        b"'", b'{"a": "\\ud800"}', b'{"a": "\\udc00x"}', b"\x00", b"\xef\xbb\xbf{}", b"[" * 200_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_what_is_not_json_is_malformed_and_the_place_is_named(
    server: Server, method: str, path: str, body: bytes
) -> None:
    answer = server.call(method, f"/api/v1/{path}", data=body, headers=JSON)
    refused(answer, 400, "MALFORMED_REQUEST", "body: ")


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"', b"true", b"[{}]"])
def test_json_that_is_no_object_is_refused(server: Server, method: str, path: str, body: bytes) -> None:
    answer = server.call(method, f"/api/v1/{path}", data=body, headers=JSON)
    refused(answer, 422, "INVALID_ARGUMENT", f"body: got {json.loads(body)!r}, expected a JSON object")


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("kind", [{}, JSON])
def test_a_required_body_that_is_absent_is_missing_its_fields(
    server: Server, method: str, path: str, kind: dict
) -> None:
    refused(server.call(method, f"/api/v1/{path}", headers=kind), 422, "INVALID_ARGUMENT", ": missing, expected")


@pytest.mark.parametrize(
    "port", [True, None, "1", 1.0, 1.5, [], {}, 0, 65536, -1, 10**30, -(10**30), 1e300, "\x00", "x" * 10**6]
)
def test_a_value_of_the_wrong_kind_is_named_with_what_was_expected(server: Server, port: object) -> None:
    found = refused(
        server.post("/api/v1/nodes", json={**NODE, "port": port}),
        422, "INVALID_ARGUMENT", "port: got ", ", expected a whole number from 1 to 65535",
    )  # fmt: skip
    assert found["details"]["field"] == "port"
    assert len(found["message"]) < 300


@pytest.mark.parametrize("depth", [10, 300, 450, 490, 950, 990, 1000, 5000])
def test_no_depth_of_nesting_fails_the_server(server: Server, depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        deep = opening * depth + ("1" if "a" in opening else "") + closing * depth
        for body in (deep, f'{{"ip_address": "x", "port": {deep}}}', f'{{"port": 1, "metadata": {{"a": {deep}}}}}'):
            answer = server.post("/api/v1/nodes", data=body, headers=JSON)
            assert answer.status_code in (400, 422), answer.text[:500]


def test_a_body_over_the_limit_is_too_large_with_a_told_length_and_without(server: Server) -> None:
    big = b'{"a": "' + b"x" * (2 * 1024 * 1024) + b'"}'
    refused(server.post("/api/v1/nodes", data=big, headers=JSON), 413, "TOO_LARGE", "2097152 bytes")
    refused(server.post("/api/v1/nodes", data=io.BytesIO(big), headers=JSON), 413, "TOO_LARGE")
    chunks = (big[i : i + 65536] for i in range(0, len(big), 65536))
    refused(server.post("/api/v1/nodes", data=chunks, headers=JSON), 413, "TOO_LARGE")


def test_a_chunked_body_is_read_whole(server: Server) -> None:
    text = json.dumps(NODE).encode()
    done(server.post("/api/v1/nodes", data=iter([text[:5], text[5:]]), headers=JSON), 201)


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 100\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"Content-Length: x\r\n\r\n"],
)
def test_a_body_that_breaks_off_is_a_bad_request(server: Server, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"POST /api/v1/nodes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + head)
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_the_caller_may_choose_the_correlation_id_if_it_is_a_plain_word(server: Server) -> None:
    assert server.get("/health", headers={"X-Request-Id": "mine-1"}).headers["X-Request-Id"] == "mine-1"
    for odd in ("two words", "x" * 65, 'a"b'):
        given = server.get("/health", headers={"X-Request-Id": odd}).headers["X-Request-Id"]
        assert given != odd
        assert len(given) == 32


@pytest.mark.parametrize(
    "path", ["/api/v1/nodes", "/api/v1/tasks/x", "/health", "/e/hello", "/api/v1/placement/invocations/place"]
)
def test_pages_of_other_origins_may_ask_first(server: Server, path: str) -> None:
    asking = {"Origin": "http://elsewhere", "Access-Control-Request-Method": "POST"}
    answer = server.call("OPTIONS", path, headers=asking)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == answer.headers["Allow"]
    assert answer.headers["Access-Control-Allow-Headers"] == "*, Authorization"
    assert server.get("/api/v1/nodes/x").headers["Access-Control-Allow-Origin"] == "*"


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Server]:
    """A SPEARlet in local mode that shows no Swagger UI and lets no other origin in."""
    config = tmp_path / "config.toml"
    config.write_text("[spearlet.http]\ncors_enabled = false\n")
    with Server(tmp_path / "data", "--config", str(config), "--disable-swagger", role="spearlet") as running:
        yield running


def test_a_spearlet_alone_has_the_same_resources_and_obeys_its_configuration(local: Server) -> None:
    assert done(local.get("/health"))["service"] == "spearlet"
    for path in ("nodes", "tasks", "executions", "resources", "files", "objects", "events"):
        answer = local.get(f"/api/v1/{path}")
        done(answer)
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
    options = local.call("OPTIONS", "/api/v1/nodes")
    assert (options.status_code, "Access-Control-Allow-Methods" in options.headers) == (204, False)
    refused(local.get("/swagger-ui/"), 404, "ROUTE_NOT_FOUND")
    done(local.get("/api/openapi.json"))


@pytest.fixture
def broken() -> FlaskClient:
    """An application with our rules and two routes that go wrong."""
    app = Flask("broken")
    rules.install(app, cors=False)
    errors.install(app)

    @app.get("/bug")
    def bug() -> str:
        raise RuntimeError("the password is hunter2")

    @app.get("/busy")
    def busy() -> str:
        raise Overloaded("the queue is full", retry_after_s=7)

    return app.test_client()


def test_a_bug_is_logged_once_with_its_trace_and_the_answer_tells_nothing(
    broken: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = broken.get("/bug", headers={"X-Request-Id": "mine"})
    said = answer.get_json()
    assert (answer.status_code, said["error"], said["details"]) == (500, "INTERNAL", {"correlation": "mine"})
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    (logged,) = [record for record in caplog.records if record.exc_info]
    assert "hunter2" in str(logged.exc_info)


def test_who_comes_too_early_hears_when_to_come_again(broken: FlaskClient) -> None:
    answer = broken.get("/busy")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
