"""The spear command at an SMS whose nodes are processes of their own, and at such a node: it works the same."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.test_cli import failed, ok, sample, spear, started, told
from tests.e2e.test_forwarding import joined, uuid_of
from tests.server import Server, events_of, eventually


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("cli-fleet") / "sms", role="sms") as found:
        yield found


@pytest.fixture(scope="module")
def node(sms: Server) -> Iterator[Server]:
    with joined(sms.data_dir.parent, sms, "forge") as found:
        yield found


@pytest.fixture(params=["sms", "node"])
def server(request: pytest.FixtureRequest, sms: Server, node: Server) -> Server:
    """Whom the command speaks to."""
    return {"sms": sms, "node": node}[request.param]


def test_run_brings_a_program_in_and_its_output_out_and_leaves_nothing(server: Server, sms: Server) -> None:
    before = [sms.get(f"/api/v1/{noun}").json()["total_count"] for noun in ("tasks", "files")]
    assert spear(server, "run", sample("echo"), input=b"hi there").stdout == b"hi there"
    done = spear(server, "run", sample("exit3"))
    assert (done.returncode, done.stderr) == (3, b"giving up\n")
    assert "unreachable" in failed(server, 101, "run", sample("trap"))
    assert [sms.get(f"/api/v1/{noun}").json()["total_count"] for noun in ("tasks", "files")] == before


def test_a_task_is_submitted_listed_shown_run_and_stopped_everywhere(server: Server, sms: Server, node: Server) -> None:
    task = ok(server, "task", "submit", "--endpoint", "cli", sample("echo")).strip()
    for at in (sms, node):
        assert task in ok(at, "task", "list", "--all")
        assert told(at, "task", "show", task)["endpoint"] == "cli"
        assert spear(at, "run", "--task", "cli", input=b"by name").stdout == b"by name"
    assert ok(server, "task", "stop", "--reason", "enough", task).strip() == task
    [stopped] = events_of(sms, ["TaskUnregistered"], noun="task", ident=task)
    assert stopped["data"]["reason"] == "enough"
    for at in (sms, node):
        assert task in failed(at, 3, "task", "show", task)


def test_the_nodes_are_listed_shown_drained_and_given_work_again(server: Server, sms: Server, node: Server) -> None:
    uuid = uuid_of(node)
    assert uuid in ok(server, "node", "list")
    assert told(server, "node", "show", "forge")["resource"]["total_memory_bytes"] > 0
    assert ok(server, "node", "drain", "forge", "--reason", "a new kernel").strip() == uuid
    assert told(sms, "node", "show", uuid)["drained"] is True
    assert told(server, "node", "undrain", "forge")["success"] is True
    assert told(sms, "node", "show", uuid)["drained"] is False


def test_logs_are_followed_while_it_runs_until_it_is_stopped(server: Server) -> None:
    execution = ok(server, "run", "--detach", sample("loop")).strip()
    with started(server, "exec", "logs", "-f", execution) as logs:
        eventually(lambda: told(server, "exec", "show", execution)["status"] == "running")
        assert ok(server, "exec", "stop", execution).strip() == execution
        assert (logs.wait(30), logs.stderr.read()) == (0, "")
    assert told(server, "exec", "show", execution)["status"] == "cancelled"


def test_what_an_agent_wrote_is_followed_to_its_end(server: Server) -> None:
    execution = json.loads(spear(server, "run", "-o", "json", sample("exit3")).stdout)["execution_id"]
    line = told(server, "exec", "logs", "-f", execution)
    assert (line["seq"], line["stream"], line["message"]) == (1, "stderr", "giving up")
