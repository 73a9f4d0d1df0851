"""One real server process for the whole suite, and what most tests need on it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:  # a conftest may not skip while it is imported; its tests do
    import requests

    from tests.server import Server

NODE = {"ip_address": "127.0.0.9", "port": 50052, "http_port": 8081, "metadata": {"zone": "a"}}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Server"]:
    """A server in role all that every test of the suite shares."""
    from tests.server import Server

    with Server(tmp_path_factory.mktemp("rest")) as running:
        yield running


@pytest.fixture
def node(server: "Server") -> str:
    """A fresh node's uuid."""
    return str(done(server.post("/api/v1/nodes", json=NODE), 201)["node_uuid"])


@pytest.fixture
def task(server: "Server") -> str:
    """The id of a fresh task with an endpoint and nothing to run."""
    body = {"name": "t", "version": "1", "endpoint": f"e-{uuid4().hex}"}
    return str(done(server.post("/api/v1/tasks", json=body))["task_id"])


@pytest.fixture(scope="module")
def ran(server: "Server") -> dict[str, Any]:
    """An execution of the hello agent that completed, on an instance that is not idle for long yet."""
    return done(server.run(server.register("hello")))


def done(answer: "requests.Response", status: int = 200) -> dict[str, Any]:
    """The JSON of an answer that must have this status."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:2000]}"
    found: dict[str, Any] = answer.json()
    return found


def refused(answer: "requests.Response", status: int, code: str, *words: str) -> dict[str, Any]:
    """An answer that must be the one error shape, with this code and these words in its message."""
    found = done(answer, status)
    assert answer.headers["Content-Type"] == "application/json"
    assert set(found) == {"error", "message", "details"}
    assert found["error"] == code
    assert isinstance(found["details"], dict)
    assert all(word in found["message"] for word in words), found["message"]
    return found
