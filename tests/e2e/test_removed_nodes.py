"""What a node leaves when it is gone for good: its SMS ends that once, and whatever the node says later is no second end."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_node_link import identity, known, near
from tests.e2e.test_reports import messages, three_lines
from tests.server import Server, events_of, eventually

ENDS = "ExecutionCompleted", "ExecutionFailed", "ExecutionCancelled", "ExecutionTimedOut", "ExecutionEndReported"


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("removed") / "sms"
    with Server(folder, "--heartbeat-timeout", "2", "--cleanup-interval", "1", role="sms") as found:
        yield found


def shown(server: Server, ident: str) -> dict[str, Any]:
    """The execution as one process has it."""
    found: dict[str, Any] = server.get(f"/api/v1/executions/{ident}").json()
    return found


def begun(sms: Server, at: Server, task: str) -> str:
    """An execution that the server was asked for, once its SMS knows that it runs."""
    ident = str(at.run(task, mode="async").json()["execution_id"])
    eventually(lambda: shown(sms, ident).get("status") == "running")
    return ident


def lost(sms: Server, ident: str) -> dict[str, Any]:
    """The event with which the SMS ended it, once it did."""
    eventually(lambda: shown(sms, ident)["status"] != "running", within_s=20)
    found = shown(sms, ident)
    assert (found["status"], found["error"]["reason"]) == ("failed", "lost")
    assert f"node {found['node_uuid']}" in found["error"]["message"]
    [end] = events_of(sms, ENDS, noun="execution", ident=ident)
    return end


def test_what_a_dead_node_left_ends_as_lost_whoever_asked_for_it_and_once(tmp_path: Path, sms: Server) -> None:
    with near(tmp_path, sms) as node:
        task = three_lines(sms, pause_ms=50_000)
        both = begun(sms, node, task), begun(sms, sms, task)
        node.kill()
        ends = [lost(sms, ident) for ident in both]
        removed = events_of(sms, ["NodeDeleted"], noun="node", ident=identity(node))[-1]
        assert (ends[0]["actor"], ends[0]["cause"]) == ("watchdog", removed["position"])
        node.start()
        node.run(hello := sms.register("hello"))
        eventually(lambda: sms.get(f"/api/v1/tasks/{hello}").json()["last_result_status"])  # it told all before
    assert [lost(sms, ident) for ident in both] == ends


def test_an_end_that_a_removed_node_tells_when_it_is_back_is_no_second_one_and_its_lines_are_kept(
    tmp_path: Path, sms: Server
) -> None:
    with near(tmp_path, sms) as node:
        ident = begun(sms, node, three_lines(sms, pause_ms=2500))
        eventually(lambda: messages(sms, ident) == ["one", "two"])
        assert node.process is not None
        node.process.send_signal(signal.SIGSTOP)
        end = lost(sms, ident)
        with sms.get(f"/api/v1/executions/{ident}/logs", params={"follow": "true"}, stream=True, timeout=10) as heard:
            assert b"event: end" in heard.content
        node.process.send_signal(signal.SIGCONT)
        eventually(lambda: known(sms, identity(node)))
        eventually(lambda: shown(node, ident)["status"] == "completed")
        eventually(lambda: messages(sms, ident) == ["one", "two", "three"])
        assert lost(sms, ident) == end
