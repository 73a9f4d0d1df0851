"""What runs at a SPEARlet shows up at its SMS: executions, instances, status, results and lines, each once and in order."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.e2e.test_node_link import identity, near
from tests.server import Server, events_of, eventually

# Writes two lines, waits as many milliseconds as asked, and writes a third.
THREE_LINES = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "spear" "sleep_ms" (func $sleep (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\08\\00\\00\\00\\18\\00\\00\\00\\06\\00\\00\\00one\\ntwo\\nthree\\n")
  (func (export "_start")
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 64)))
    (call $sleep (i32.const %d))
    (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 64)))))"""


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("reports") / "sms", role="sms") as found:
        yield found


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, sms: Server) -> Iterator[Server]:
    with near(tmp_path_factory.mktemp("node"), sms) as found:
        yield found


def executions(server: Server, *tasks: str) -> list[dict[str, Any]]:
    """Executions of these tasks as the server shows them, oldest first."""
    found: list[dict[str, Any]] = server.get("/api/v1/executions", params={"limit": 200}).json()["executions"]
    return [one for one in reversed(found) if one["task_id"] in tasks]


def ended(server: Server, count: int, *tasks: str) -> list[dict[str, Any]]:
    """The executions of these tasks once so many have ended."""

    def look() -> list[dict[str, Any]]:
        found = executions(server, *tasks)
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
    assert told(ended(sms, 4, *tasks)) == told(executions(node, *tasks))
    assert {one["node_uuid"] for one in executions(sms, *tasks)} == {identity(node)}


def test_instances_task_status_and_results_are_there_too(sms: Server, node: Server) -> None:
    task = sms.register("hello")
    ran = node.run(task).json()
    ended(sms, 1, task)
    here, there = (server.get(f"/api/v1/instances/{ran['instance_id']}").json() for server in (node, sms))
    assert {key: there[key] for key in ("task_id", "node_uuid", "runtime", "sha256", "status", "running")} == {
        key: here[key] for key in ("task_id", "node_uuid", "runtime", "sha256", "status", "running")
    }
    found = eventually(lambda: (row := sms.get(f"/api/v1/tasks/{task}").json())["last_result_status"] and row)
    assert (found["status"], found["last_result_status"]) == ("active", "completed")
    assert found["result_uris"] == [f"object://results/{task}/{ran['execution_id']}"]
    assert found["last_result_metadata"]["execution_id"] == ran["execution_id"]
    node.stop()
    node.start()
    eventually(lambda: sms.get(f"/api/v1/instances/{ran['instance_id']}").json()["status"] == "terminated")
    eventually(lambda: sms.get(f"/api/v1/tasks/{task}").json()["status"] == "inactive")


def lines(server: Server, execution_id: str, **query: int) -> dict[str, Any]:
    """The execution's log."""
    answer = server.get(f"/api/v1/executions/{execution_id}/logs", params=query)
    return answer.json() if answer.status_code == 200 else {"lines": [], "completed": False}


def test_lines_are_the_same_line_by_line_and_where_the_node_had_no_room_the_last_says_so(
    sms: Server, node: Server
) -> None:
    task = sms.register("log_flood", config={"limits.log_bytes": "300000"})
    ran = node.run(task).json()
    ended(sms, 1, task)
    here, there = (lines(server, ran["execution_id"], limit=10_000) for server in (node, sms))
    *same, last = there["lines"]
    assert len(same) > 1000 and same == here["lines"]
    assert (last["stream"], last["level"], "missing" in last["message"]) == ("system", "warn", True)
    assert (here["truncated"], there["completed"]) == (True, True)


def three_lines(sms: Server, *, pause_ms: int) -> str:
    """A task of that agent."""
    uri = sms.upload(bytes(wasmtime.wat2wasm(THREE_LINES % pause_ms)))["uri"]
    body = {"name": "n", "version": "1", "executable": {"type": "wasm", "uri": uri}}
    return str(sms.post("/api/v1/tasks", json=body | {"config": {"limits.wall_ms": "60000"}}).json()["task_id"])


def messages(server: Server, execution_id: str) -> list[str]:
    return [line["message"] for line in lines(server, execution_id)["lines"]]


def test_lines_are_there_while_it_runs_and_a_follower_hears_them_come(sms: Server, node: Server) -> None:
    task = three_lines(sms, pause_ms=1500)
    ran = node.run(task, mode="async").json()["execution_id"]
    eventually(lambda: sms.get(f"/api/v1/executions/{ran}").status_code == 200)
    eventually(lambda: messages(sms, ran) == ["one", "two"])
    assert lines(sms, ran)["completed"] is False
    assert sms.get(f"/api/v1/executions/{ran}").json()["status"] == "running"
    with sms.get(f"/api/v1/executions/{ran}/logs", params={"follow": "true"}, stream=True) as heard:
        told = [json.loads(row[6:]) for row in heard.iter_lines() if row.startswith(b"data: ")]
    assert [one.get("message", one.get("status")) for one in told] == ["one", "two", "three", "completed"]
    assert lines(sms, ran) == lines(node, ran)


def test_what_the_sms_had_a_node_run_has_its_output_and_its_lines_there(sms: Server, node: Server) -> None:
    task = sms.register("log")
    found = eventually(lambda: (answer := sms.run(task)).status_code == 200 and answer.json())
    ran = found["execution_id"]
    assert (found["status"], found["output"], found["node_uuid"]) == (
        "completed",
        "Hello from SPEAR!\n",
        identity(node),
    )
    with sms.get(f"/api/v1/executions/{ran}/logs", params={"follow": "true"}, stream=True) as heard:
        told = [json.loads(row[6:]) for row in heard.iter_lines() if row.startswith(b"data: ")]
    assert [one.get("message", one.get("status")) for one in told] == ["hello was here", "completed"]
    eventually(lambda: lines(sms, ran) == lines(node, ran))
    results = eventually(lambda: sms.get(f"/api/v1/tasks/{task}").json()["result_uris"])
    assert results == [f"object://results/{task}/{ran}"]
    ends = events_of(sms, ["ExecutionCompleted", "ExecutionEndReported"], noun="execution", ident=ran)
    assert [one["type"] for one in ends] == ["ExecutionCompleted"]


def facts(sms: Server, name: str, ran: list[dict[str, Any]]) -> list[str]:
    """Which of these executions each event of this name is of, in the order of the log."""
    wanted = {one["execution_id"] for one in ran}
    return [one["id"] for one in events_of(sms, [name]) if one["id"] in wanted]


def test_what_ran_while_the_sms_was_away_is_there_once_and_in_order_when_it_is_back(sms: Server, node: Server) -> None:
    task, slow = sms.register("log"), three_lines(sms, pause_ms=300)
    node.run(task)
    node.run(slow)
    ended(sms, 2, task, slow)
    sms.kill()
    for _ in range(12):
        node.run(task)
    node.run(slow)
    sms.start()
    shown, ran = ended(sms, 15, task, slow), executions(node, task, slow)
    assert told(shown) == told(ran)
    for name in ("ExecutionStartReported", "ExecutionEndReported"):
        assert facts(sms, name, ran) == [one["execution_id"] for one in ran]
    for one in ran:
        assert lines(sms, one["execution_id"]) == lines(node, one["execution_id"])


def test_a_node_that_is_killed_in_the_middle_loses_and_doubles_nothing(sms: Server, node: Server) -> None:
    task, stuck = sms.register("log"), three_lines(sms, pause_ms=50_000)
    for _ in range(10):
        node.run(task)
    running = node.run(stuck, mode="async").json()["execution_id"]
    eventually(lambda: messages(sms, running) == ["one", "two"])
    for _ in range(10):
        node.run(task)
    node.kill()
    node.start()
    node.run(task)
    shown, ran = ended(sms, 22, task, stuck), executions(node, task, stuck)
    assert told(shown) == told(ran)
    for name in ("ExecutionRequested", "ExecutionEndReported"):
        assert sorted(facts(sms, name, ran)) == sorted(one["execution_id"] for one in ran)
    found = sms.get(f"/api/v1/executions/{running}").json()
    assert (found["status"], found["error"]["reason"]) == ("failed", "lost")
    assert messages(sms, running) == ["one", "two"] and lines(sms, running)["completed"]


def test_a_node_that_is_linked_later_tells_what_it_ran_before(tmp_path: Path, sms: Server) -> None:
    folder = tmp_path / "spearlet"
    with Server(folder, role="spearlet") as alone:
        task = alone.post("/api/v1/tasks", json={"name": "n", "version": "1"}).json()["task_id"]
        ran = alone.run(task).json()["execution_id"]
    with near(tmp_path, sms) as node:
        assert node.data_dir == folder
        assert [one["execution_id"] for one in ended(sms, 1, task)] == [ran]
        assert told(executions(sms, task)) == told(executions(node, task))


def test_an_sms_that_restarts_leaves_what_runs_elsewhere_alone(tmp_path: Path) -> None:
    with Server(tmp_path / "sms", role="all") as sms, near(tmp_path, sms) as node:
        stuck = three_lines(sms, pause_ms=50_000)
        ran = node.run(stuck, mode="async").json()
        eventually(lambda: [one for one in executions(sms, stuck) if one["status"] == "running"])
        sms.kill()
        sms.start()
        assert [one["status"] for one in executions(sms, stuck)] == ["running"]
        instance = sms.get(f"/api/v1/executions/{ran['execution_id']}").json()["instance_id"]
        assert sms.get(f"/api/v1/instances/{instance}").json()["status"] == "running"
        assert events_of(sms, ["ExecutionFailed", "InstanceStopped"]) == []
        answer = sms.post(f"/api/v1/executions/{ran['execution_id']}/terminate")
        assert (answer.status_code, answer.json()["error"]) == (503, "NODE_UNREACHABLE")
