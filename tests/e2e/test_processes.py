"""Agents that are processes, as users have them: real servers, the spear command, kills, a fleet of unlike nodes."""

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.server import ROOT, Server, events_of, eventually

SPEAR = str(ROOT / "bin" / "spear")
WORDS = str(ROOT / "samples" / "process" / "words.sh")


def runtimes(server: Server) -> list[set[str]]:
    """What each node of the server runs."""
    nodes = server.get("/api/v1/nodes").json()["nodes"]
    return [set(node["metadata"]["runtimes"].split(",")) for node in nodes]


def with_processes(server: Server) -> Server:
    """The same, unless its machine can have none; that skips."""
    if not any("process" in found for found in runtimes(server)):
        pytest.skip(next(line for line in server.output().splitlines() if "runs no process" in line))
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("processes") / "data") as running:
        yield with_processes(running)


def spear(server: Server, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"SPEAR_SERVER": server.url}
    return subprocess.run([SPEAR, *words], input=input, capture_output=True, timeout=60, cwd="/", env=environment)


def registered(server: Server, *command: str, kind: str = "process", **more: Any) -> str:
    executable = {"type": kind, "uri": command[0], "args": list(command[1:])}
    answer = server.post("/api/v1/tasks", json={"name": "agent", "version": "1", "executable": executable, **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["task_id"])


def marked() -> str:
    """Seconds to sleep that no other process on this machine sleeps."""
    return f"{random.SystemRandom().randrange(10**5, 10**6)}.{os.getpid()}"


def sleepers(mark: str) -> list[psutil.Process]:
    """Live processes that have the mark in their command line."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found += [process] if mark in " ".join(process.cmdline()) else []
    return found


def test_a_process_answers_at_its_endpoint_first_cold_then_warm(server: Server) -> None:
    task = registered(server, "tr", "a-z", "A-Z", endpoint="shout")
    for start in ("cold", "warm"):
        answer = server.post("/e/shout", data=b"hi there")
        assert (answer.status_code, answer.content) == (200, b"HI THERE")
        ended = server.get(f"/api/v1/executions/{answer.headers['X-Execution-Id']}").json()
        assert (ended["status"], ended["exit_code"], ended["start"]) == ("completed", 0, start)
    assert events_of(server, ["InstanceStarted"])[-1]["data"]["runtime"] == "process"
    assert server.get(f"/api/v1/tasks/{task}").json()["status"] == "active"


def test_the_sample_script_runs_by_the_spear_command(server: Server) -> None:
    done = spear(server, "run", "--env", "WHO=me", WORDS, "2", input=b"a rose is a rose is a rose")
    assert (done.returncode, done.stdout.split()) == (0, [b"3", b"a", b"3", b"rose"])
    assert done.stderr.decode().strip().endswith("counted for me")


@pytest.mark.parametrize(("text", "status"), [("exit 0", 0), ("exit 41", 41), ("kill -TERM $$", 143)])
def test_spear_run_ends_with_the_exit_code_of_the_command(server: Server, text: str, status: int) -> None:
    assert spear(server, "run", "sh", "-c", text).returncode == status


def test_a_process_that_fails_says_how(server: Server) -> None:
    task = registered(server, "sleep", "1000", endpoint="slow", config={"limits.wall_ms": "200"})
    assert server.post("/e/slow").status_code == 504
    ended = server.run(task).json()
    assert (ended["status"], ended["error"]["message"]) == (
        "timeout",
        "wall time limit of 200 ms reached; the agent was last running",
    )
    never = server.run(registered(server, "no-such-command")).json()
    assert never["error"]["code"] == "InvalidConfiguration"
    assert "expected a command that is on this node" in never["error"]["message"]


def test_a_kill_of_the_server_leaves_no_process_behind(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        with_processes(server)
        mark = marked()
        task = registered(server, "sh", "-c", f"(setsid sleep {mark} &); trap '' TERM; sleep {mark}; sleep {mark}")
        run = server.run(task, mode="async").json()["execution_id"]
        eventually(lambda: len(sleepers(mark)) >= 2)
        server.stop(signal.SIGKILL)
        eventually(lambda: not sleepers(mark))
        server.start()
        ended = server.get(f"/api/v1/executions/{run}").json()
        assert ended["status"] == "failed"
        assert not sleepers(mark)


@pytest.mark.parametrize("everybody", [True, False])
def test_a_running_process_gets_its_grace_at_a_stop(tmp_path: Path, everybody: bool) -> None:
    """Also at a Ctrl-C, which the terminal sends to whoever is in the server's group."""
    server = Server(tmp_path / "data", inside=["setsid"]).start()
    with_processes(server)
    task = registered(server, "sh", "-c", "echo ready >&2; sleep 1; echo done")
    run = server.run(task, mode="async").json()["execution_id"]
    eventually(lambda: server.get(f"/api/v1/executions/{run}/logs").json()["lines"])
    assert server.process is not None
    if everybody:
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(20) == 0
    else:
        assert server.stop() == 0
    with server:
        ended = server.get(f"/api/v1/executions/{run}").json()
        assert (ended["status"], ended["output"]) == ("completed", "done\n")


def member(folder: Path, sms: Server, name: str, settings: str) -> Server:
    config = folder / f"{name}.toml"
    config.write_text(f"[spearlet]\nsms_http_addr = '127.0.0.1:{sms.port}'\n{settings}")
    link = ["--config", str(config), "--sms-addr", f"127.0.0.1:{sms.grpc_port}", "--auto-register", "--node-name", name]
    return Server(folder / name, *link, role="spearlet")


def test_in_a_fleet_a_process_runs_where_its_type_is_offered(tmp_path: Path) -> None:
    with (
        Server(tmp_path / "sms", role="sms") as sms,
        member(tmp_path, sms, "modules", "[executions]\nruntimes = 'wasm'\n") as modules,
        member(tmp_path, sms, "anything", "[containers]\nhost = ''\n") as anything,
    ):
        with_processes(sms)
        assert sorted(runtimes(sms), key=len) == [{"wasm"}, {"wasm", "process", "binary", "script"}]
        for _ in range(2):
            done = spear(sms, "run", "sh", "-c", "cat; exit 6", input=b"in")
            assert done.returncode == 6
        assert spear(sms, "run", WORDS, "1", input=b"so so").stdout.split() == [b"2", b"so"]
        assert events_of(modules, ["ExecutionRequested"]) == []
        assert len(events_of(anything, ["ExecutionRequested"])) == 3
        asked = {"task_id": registered(sms, "true"), "node_uuid": (modules.data_dir / "node_uuid").read_text()}
        why_not = sms.get("/api/v1/placement/why-not", params=asked).json()
        assert "it cannot run process executables; it runs wasm" in str(why_not)
