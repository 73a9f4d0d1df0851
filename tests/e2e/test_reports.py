"""What runs at a SPEARlet shows up at its SMS: executions, instances, status, results and lines, each once and in order."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_node_link import identity, near
from tests.server import Server, events_of, eventually


@pytest.fixture
def sms(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "sms", role="sms") as found:
        yield found


@pytest.fixture
def node(tmp_path: Path, sms: Server) -> Iterator[Server]:
    with near(tmp_path, sms) as found:
        yield found


def executions(server: Server, **query: Any) -> list[dict[str, Any]]:
    """Executions as the server shows them, oldest first."""
    found: list[dict[str, Any]] = server.get("/api/v1/executions", params={"limit": 200, **query}).json()["executions"]
    return found[::-1]


def ended(server: Server, count: int) -> list[dict[str, Any]]:
    """The executions once so many have ended."""

    def look() -> list[dict[str, Any]]:
        found = executions(server)
        return found if len([one for one in found if one["completed_at_ms"]]) >= count else []

    found: list[dict[str, Any]] = eventually(look, within_s=20)
    return found


SHOWN = (
    "execution_id", "task_id", "status", "mode", "exit_code", "output_content_type", "output_size", "error",
    "requested_at_ms", "started_at_ms", "completed_at_ms", "updated_at_ms", "duration_ms", "start", "node_uuid",
    "instance_id",
)  # fmt: skip


def told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What both sides must show alike."""
    return [{key: row[key] for key in SHOWN} for row in rows]


def test_an_execution_is_at_the_sms_as_it_is_at_the_node(sms: Server, node: Server) -> None:
    tasks = [sms.register(name) for name in ("hello", "exit3", "trap", "log")]
    for task in tasks:
        node.run(task, input="x")
    assert told(ended(sms, 4)) == told(executions(node))
    assert {one["node_uuid"] for one in executions(sms)} == {identity(node)}


def test_instances_task_status_and_results_are_there_too(sms: Server, node: Server) -> None:
    task = sms.register("hello")
    ran = node.run(task).json()
    ended(sms, 1)
    here, there = (server.get(f"/api/v1/instances/{ran['instance_id']}").json() for server in (node, sms))
    assert {key: there[key] for key in ("task_id", "node_uuid", "runtime", "sha256", "status", "running")} == {
        key: here[key] for key in ("task_id", "node_uuid", "runtime", "sha256", "status", "running")
    }
    found = eventually(lambda: (row := sms.get(f"/api/v1/tasks/{task}").json())["last_result_status"] and row)
    assert (found["status"], found["last_result_status"]) == ("active", "completed")
    assert found["result_uris"] == [f"object://results/{task}/{ran['execution_id']}"]
    assert found["last_result_metadata"]["execution_id"] == ran["execution_id"]
    node.stop()
    eventually(lambda: sms.get(f"/api/v1/tasks/{task}").json()["status"] == "active")


def lines(server: Server, execution_id: str) -> dict[str, Any]:
    """The execution's log."""
    found: dict[str, Any] = server.get(f"/api/v1/executions/{execution_id}/logs").json()
    return found


def test_lines_are_the_same_line_by_line(sms: Server, node: Server) -> None:
    task = sms.register("log_flood", config={"limits.log_bytes": "300000"})
    ran = node.run(task).json()
    ended(sms, 1)
    here, there = lines(node, ran["execution_id"]), lines(sms, ran["execution_id"])
    assert len(here["lines"]) == 1000
    assert there == here
