"""The spear command as a person and as a script use it: a real server process, a real command."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from spear.cli import _progress
from spear.cli.remote.commands import COMMANDS
from spear.cli.remote.main import main
from tests.e2e._cut import Between
from tests.server import ROOT, SAMPLES, Server, events_of, eventually, free_port

SPEAR = str(ROOT / "bin" / "spear")
NODE = {"ip_address": "127.0.0.9", "port": 50052, "http_port": 8081}
BIG = bytes(range(256)) * 4096
NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module", params=["all", "spearlet"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An SMS with a SPEARlet, and a SPEARlet in local mode: the command works the same."""
    with Server(tmp_path_factory.mktemp("cli"), role=request.param) as running:
        yield running


def environment(url: str, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SPEAR_", "SMS_"))}
    return clean | {"SPEAR_SERVER": url} | more


def spear(server: Server | str, *words: str, input: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    """One command, run to its end, started in a directory that is not the project's."""
    url = server if isinstance(server, str) else server.url
    return subprocess.run(
        [SPEAR, *words], input=input, capture_output=True, timeout=60, cwd="/", env=environment(url, **more)
    )


def ok(server: Server | str, *words: str, input: bytes = b"") -> str:
    done = spear(server, *words, input=input)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


def told(server: Server | str, *words: str) -> Any:
    return json.loads(ok(server, *words, "-o", "json"))


def failed(server: Server | str, status: int, *words: str, input: bytes = b"") -> str:
    """What a command says that ends with this status: one line."""
    done = spear(server, *words, input=input)
    said = done.stderr.decode()
    assert done.returncode == status, done
    assert said.startswith("error: ") and said.count("\n") == 1, said
    return said


@contextmanager
def started(server: Server | str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs on; killed at the end if it still does."""
    url = server if isinstance(server, str) else server.url
    with subprocess.Popen(
        [SPEAR, *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
        env=environment(url),
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def sample(name: str) -> str:
    return str(SAMPLES / f"{name}.wasm")


def running(server: Server) -> list[str]:
    """The executions that run now."""
    page = server.get("/api/v1/executions", params={"status": "running"}).json()
    return [row["execution_id"] for row in page["executions"]]


def counts(server: Server) -> tuple[int, int]:
    """How many tasks and files there are."""
    tasks, files = (server.get(f"/api/v1/{noun}").json()["total_count"] for noun in ("tasks", "files"))
    return tasks, files


def test_a_task_is_submitted_listed_shown_and_stopped(server: Server) -> None:
    words = ["--endpoint", "cli-echo", "--env", "A=1", "--config", "limits.wall_ms=5000", "--metadata", "owner=me"]
    task = ok(server, "task", "submit", *words, "--priority", "high", sample("echo"), "one", "--two").strip()
    shown = told(server, "task", "show", task)
    assert (shown["name"], shown["endpoint"], shown["priority"]) == ("echo", "cli-echo", "high")
    assert (shown["config"], shown["metadata"]) == ({"limits.wall_ms": "5000"}, {"owner": "me"})
    assert (shown["executable"]["args"], shown["executable"]["env"]) == (["one", "--two"], {"A": "1"})
    assert shown["executable"]["checksum_sha256"] == sha256(Path(sample("echo")).read_bytes()).hexdigest()
    assert shown["registered_at"].endswith("Z")
    assert task in ok(server, "task", "list", "--priority", "high")
    assert ok(server, "task", "stop", "--reason", "enough", task).strip() == task
    assert task in failed(server, 3, "task", "show", task)
    stopped = events_of(server, ["TaskUnregistered"], noun="task", ident=task)
    assert stopped[0]["data"]["reason"] == "enough"


def test_a_refused_submission_leaves_no_upload_behind(server: Server) -> None:
    ok(server, "task", "submit", "--endpoint", "taken", sample("hello"))
    before = counts(server)
    assert "taken" in failed(server, 5, "task", "submit", "--endpoint", "taken", sample("hello"))
    assert counts(server) == before


def test_an_address_is_submitted_as_it_is(server: Server) -> None:
    uri = server.upload(Path(sample("hello")).read_bytes())["uri"]
    task = ok(server, "task", "submit", uri).strip()
    assert told(server, "task", "show", task)["executable"]["uri"] == uri
    assert "SPEAR" in ok(server, "run", "--task", task)


def test_lists_are_paged_and_all_is_all(server: Server) -> None:
    for number in range(5):
        server.post("/api/v1/tasks", json={"name": f"page{number}", "version": "1"})
    first = spear(server, "task", "list", "--limit", "2")
    assert len(first.stdout.splitlines()) == 3
    more = first.stderr.decode()
    assert more.startswith("more: --after ")
    everything = told(server, "task", "list", "--all", "--limit", "1")
    after = more.split()[2].rstrip(",")
    rest = told(server, "task", "list", "--after", after, "--all")
    assert len(everything["tasks"]) == everything["total_count"] == len(rest["tasks"]) + 2
    assert everything["next_after"] == 0


def test_run_brings_input_in_and_output_out_byte_for_byte(server: Server, tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    done = spear(server, "run", sample("echo"), input=data)
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", data)
    (tmp_path / "input").write_bytes(data)
    assert spear(server, "run", "-i", str(tmp_path / "input"), sample("echo")).stdout == data
    assert "input" in failed(server, 105, "run", sample("echo"), input=b"x" * 1_500_001)


def test_run_leaves_nothing_registered_unless_it_shall_be_kept(server: Server) -> None:
    before = counts(server)
    ok(server, "run", sample("hello"))
    assert spear(server, "run", sample("trap")).returncode == 101
    assert counts(server) == before
    ok(server, "run", "--keep", sample("hello"))
    assert counts(server) == (before[0] + 1, before[1] + 1)


def test_run_hands_arguments_and_environment_on(server: Server) -> None:
    out = ok(server, "run", "--env", "WHO=me", "--", sample("env_args"), "first", "-o", "--", "x")
    for line in ("argument first", "argument -o", "argument --", "argument x", "environment WHO=me"):
        assert line in out.splitlines()


def test_run_ends_with_the_agents_own_exit_code_and_logs_go_to_standard_error(server: Server) -> None:
    done = spear(server, "run", sample("exit3"))
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"giving up\n")
    done = spear(server, "run", sample("log"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello from SPEAR!\n", b"hello was here\n")


def test_run_tells_its_own_endings_apart(server: Server, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wasm"
    broken.write_bytes(b"no module")
    assert "unreachable" in failed(server, 101, "run", sample("trap"))
    assert "PROGRAM" in failed(server, 102, "run")
    assert "no-such.wasm" in failed(server, 102, "run", "no-such.wasm")
    assert "--timeout" in failed(server, 102, "run", "--timeout", "soon", sample("loop"))
    assert NOWHERE in failed(server, 103, "run", "--task", NOWHERE)
    assert "cannot reach" in failed(f"http://127.0.0.1:{free_port()}", 104, "run", sample("hello"))
    failed(server, 105, "run", str(broken))
    failed(server, 106, "run", "--timeout", "0.2", sample("loop"))


def needs_processes(server: Server) -> None:
    if "process" not in server.get("/api/v1/nodes").json()["nodes"][0]["metadata"]["runtimes"]:
        pytest.skip("this machine runs no agents that are processes; the server's log says why")


def test_what_is_no_module_runs_as_a_command_of_the_node(server: Server) -> None:
    needs_processes(server)
    done = spear(
        server, "run", "--env", "WHO=me", "sh", "-c", 'cat; echo "$WHO $1" >&2; exit 7', "sh", "--one", input=b"in"
    )
    assert (done.returncode, done.stdout) == (7, b"")
    assert done.stderr.decode().splitlines()[0].endswith("me --one")
    data = bytes(range(256)) * 1000
    assert spear(server, "run", "cat", input=data).stdout == data
    assert "expected a command that is on this node" in failed(server, 105, "run", "no-such-command")


def test_a_path_to_a_script_or_a_program_is_uploaded_and_runs(server: Server, tmp_path: Path) -> None:
    needs_processes(server)
    script, before = tmp_path / "agent.sh", counts(server)
    script.write_text('#!/bin/sh\necho "$1 $(cat)"\n')
    assert ok(server, "run", str(script), "got", input=b"it") == "got it\n"
    shutil.copy("/bin/echo", program := tmp_path / "program")
    assert ok(server, "run", str(program), "from a program") == "from a program\n"
    assert counts(server) == before


def test_a_path_from_here_that_leads_to_no_program_is_told_without_asking_a_node(
    server: Server, tmp_path: Path
) -> None:
    before, notes = counts(server), tmp_path / "notes.txt"
    notes.write_text("no program")
    here = str(notes).removeprefix("/")  # commands are started in /
    assert f"PROGRAM: got '{here}', expected a module, a program, or a script" in failed(server, 102, "run", here)
    assert "Is a directory" in failed(server, 102, "run", here.removesuffix("notes.txt"))
    assert "No such file" in failed(server, 2, "task", "submit", "./no-such-program")
    assert counts(server) == before


def test_run_tells_everything_as_json(server: Server) -> None:
    shown = json.loads(ok(server, "run", "-o", "json", sample("hello")))
    assert (shown["status"], shown["exit_code"], shown["output"]) == ("completed", 0, "Hello from SPEAR!\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_the_command_ends_the_run(server: Server, number: signal.Signals) -> None:
    before = counts(server)
    with started(server, "run", sample("loop")) as command:
        (execution,) = eventually(lambda: running(server))
        command.send_signal(number)
        assert (command.wait(30), command.stderr.read()) == (130, "")
    assert server.get(f"/api/v1/executions/{execution}").json()["status"] == "cancelled"
    assert counts(server) == before


def test_a_detached_run_is_followed_and_stopped_by_its_id(server: Server) -> None:
    execution = ok(server, "run", "--detach", sample("loop")).strip()
    with started(server, "exec", "logs", "-f", execution) as logs:
        eventually(lambda: running(server))
        assert execution in ok(server, "exec", "list", "--status", "running")
        assert ok(server, "exec", "stop", execution).strip() == execution
        assert (logs.wait(30), logs.stderr.read()) == (0, "")
    assert told(server, "exec", "show", execution)["status"] == "cancelled"
    assert NOWHERE in failed(server, 3, "exec", "stop", NOWHERE)


def test_logs_are_printed_by_line_with_number_level_and_time(server: Server) -> None:
    done = spear(server, "run", "-o", "json", sample("exit3"))
    execution = json.loads(done.stdout)["execution_id"]
    line = told(server, "exec", "logs", execution)
    assert (line["seq"], line["stream"], line["message"]) == (1, "stderr", "giving up")
    assert line["ts"].endswith("Z")
    assert told(server, "exec", "logs", "-f", execution) == line
    assert "giving up" in ok(server, "exec", "logs", execution)
    assert (
        ok(server, "exec", "logs", "--after", "1", execution)
        == ok(server, "exec", "logs", "--stream", "log", execution)
        == ""
    )


def test_an_output_of_several_lines_is_shown_as_lines(server: Server) -> None:
    execution = server.run(server.register("env_args"), args=["first", "second"]).json()["execution_id"]
    shown = ok(server, "exec", "show", execution)
    assert "\nargument first\n" in shown and "\N{REPLACEMENT CHARACTER}" not in shown
    assert told(server, "exec", "show", execution)["output"].splitlines()[-1] in shown.splitlines()


def test_a_name_is_never_cut_in_a_list(server: Server, tmp_path: Path) -> None:
    (tmp_path / "it").write_text("it")
    name = f"long/{'x' * 100}"
    ok(server, "object", "put", name, str(tmp_path / "it"))
    assert name in ok(server, "object", "list", "--prefix", "long/")


def test_nodes_are_listed_and_shown_with_their_resources(server: Server) -> None:
    uuid = server.post("/api/v1/nodes", json=NODE).json()["node_uuid"]
    server.call("PUT", f"/api/v1/nodes/{uuid}/resource", json={"cpu_usage_percent": 12.5})
    assert uuid in ok(server, "node", "list", "--status", "online")
    assert "12.5" in ok(server, "node", "show", uuid)
    assert told(server, "node", "show", uuid)["resource"]["cpu_usage_percent"] == 12.5
    assert NOWHERE in failed(server, 3, "node", "show", NOWHERE)


def test_a_node_is_drained_and_gets_work_again(server: Server) -> None:
    uuid = server.post("/api/v1/nodes", json=NODE).json()["node_uuid"]
    assert ok(server, "node", "drain", uuid, "--reason", "a new kernel").strip() == uuid
    assert told(server, "node", "show", uuid)["drained"] is True
    (event,) = events_of(server, ["NodeDrained"], noun="node", ident=uuid)
    assert event["data"]["reason"] == "a new kernel"
    assert told(server, "node", "undrain", uuid)["success"] is True
    assert told(server, "node", "show", uuid)["drained"] is False
    assert NOWHERE in failed(server, 3, "node", "drain", NOWHERE)


def test_a_node_is_told_by_a_name_that_no_other_has(server: Server) -> None:
    register = lambda name: server.post("/api/v1/nodes", json={**NODE, "metadata": {"name": name}}).json()["node_uuid"]
    forge, looms = register("forge"), [register("loom") for _ in range(2)]
    for word, drained in (("drain", True), ("undrain", False)):
        assert ok(server, "node", word, "forge").strip() == forge
        assert told(server, "node", "show", "forge")["drained"] is drained
    for word in ("drain", "undrain", "show"):
        said = failed(server, 5, "node", word, "loom")
        assert all(uuid in said for uuid in looms) and "2 nodes have this name" in said
        assert "no node has this uuid or name" in failed(server, 3, "node", word, "anvil")
    assert not any(told(server, "node", "show", uuid)["drained"] for uuid in looms)


def test_why_an_execution_ran_where_it_did_is_told_in_plain_words(server: Server) -> None:
    run = server.run(server.register("hello")).json()["execution_id"]
    explained = server.get(f"/api/v1/executions/{run}/placement").json()
    assert ok(server, "exec", "why", run) == explained["explanation"] + "\n"
    assert told(server, "exec", "why", run) == explained
    assert NOWHERE in failed(server, 3, "exec", "why", NOWHERE)


def test_a_list_of_nodes_tells_them_apart_by_name_and_says_who_is_drained(server: Server) -> None:
    uuid = server.post("/api/v1/nodes", json={**NODE, "metadata": {"name": "mill"}}).json()["node_uuid"]
    ok(server, "node", "drain", uuid)
    (line,) = (line for line in ok(server, "node", "list", "--all").splitlines() if uuid in line)
    assert line.split()[1] == "mill" and "online, drained" in line


def test_an_object_is_put_got_listed_described_and_removed(server: Server, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(BIG)
    words = ["--type", "text/x", "--meta", "who=grüße %41", "notes/grüße 1"]
    assert told(server, "object", "put", *words, str(source))["version"] == 1
    shown = told(server, "object", "stat", "notes/grüße 1")
    assert (shown["content_type"], shown["metadata"]) == ("text/x", {"who": "grüße %41"})
    assert ok(server, "object", "get", "notes/grüße 1", str(copy)) == ""
    assert copy.read_bytes() == BIG
    assert list(tmp_path.glob(".*")) == []
    assert "notes/grüße 1" in ok(server, "object", "list", "--prefix", "notes/")
    assert "notes/grüße 1" in ok(server, "object", "rm", "notes/grüße 1")
    for verb in ("get", "stat", "rm"):
        failed(server, 3, "object", verb, "notes/grüße 1")


def test_what_is_piped_in_becomes_an_object_and_comes_out_again(server: Server) -> None:
    ok(server, "object", "put", "piped", "-", input=BIG)
    assert spear(server, "object", "get", "piped").stdout == BIG
    ok(server, "object", "put", "empty", "-")
    assert ok(server, "object", "get", "empty") == ""


def test_a_conditional_put_is_refused_when_the_condition_does_not_hold(server: Server) -> None:
    ok(server, "object", "put", "--if-absent", "once", "-", input=b"1")
    failed(server, 5, "object", "put", "--if-absent", "once", "-", input=b"2")
    failed(server, 5, "object", "put", "--if-version", "7", "once", "-", input=b"2")
    ok(server, "object", "put", "--if-version", "1", "once", "-", input=b"2")
    assert ok(server, "object", "get", "once") == "2"


def test_a_pinned_object_goes_only_by_force(server: Server) -> None:
    ok(server, "object", "put", "pinned", "-", input=b"1")
    server.post("/api/v1/objects/pinned/pin")
    failed(server, 5, "object", "rm", "pinned")
    ok(server, "object", "rm", "--force", "pinned")


def test_removing_an_object_never_touches_the_one_whose_route_it_looks_like(server: Server) -> None:
    for key in ("odd/a", "odd/a/refs", "odd/a/pin"):
        ok(server, "object", "put", key, "-", input=b"1")
    ok(server, "object", "rm", "odd/a/refs")
    ok(server, "object", "rm", "odd/a/pin")
    assert [row["key"] for row in told(server, "object", "list", "--prefix", "odd/")["objects"]] == ["odd/a"]


def test_the_result_of_a_run_can_be_downloaded(server: Server) -> None:
    done = json.loads(ok(server, "run", "-o", "json", sample("hello")))
    result = f"results/{done['task_id']}/{done['execution_id']}"
    assert ok(server, "object", "get", result) == "Hello from SPEAR!\n"


def test_a_file_is_put_got_listed_described_and_removed(server: Server, tmp_path: Path) -> None:
    source, copy = tmp_path / "50% grün.bin", tmp_path / "copy"
    source.write_bytes(BIG)
    uri = ok(server, "file", "put", str(source)).strip()
    shown = told(server, "file", "stat", uri)
    assert (shown["name"], shown["len"], shown["sha256"]) == (source.name, len(BIG), sha256(BIG).hexdigest())
    ok(server, "file", "get", uri, str(copy))
    assert copy.read_bytes() == BIG
    assert shown["id"] in ok(server, "file", "list", "--search", "GRÜN".lower())
    assert ok(server, "file", "rm", uri).strip() == shown["id"]
    assert shown["id"] in failed(server, 3, "file", "get", shown["id"], str(copy))
    assert copy.read_bytes() == BIG


def test_a_local_file_that_cannot_be_used_is_wrong_usage(server: Server, tmp_path: Path) -> None:
    assert "no-such" in failed(server, 2, "file", "put", str(tmp_path / "no-such"))
    assert str(tmp_path) in failed(server, 2, "object", "put", "key", str(tmp_path))
    ok(server, "object", "put", "here", "-", input=b"1")
    assert "no-dir" in failed(server, 2, "object", "get", "here", str(tmp_path / "no-dir" / "file"))


def test_a_download_that_broke_goes_on_by_itself_where_it_broke(server: Server, tmp_path: Path) -> None:
    uri = server.upload(BIG)["uri"]
    with Between(server.port, 300_000, 200_000) as between:
        ok(between.url, "file", "get", uri, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == BIG
    _, first, second, third = between.requests
    assert "Range" not in first
    assert "Range: bytes=2" in second and "If-Range" in second
    assert "Range: bytes=4" in third


def test_a_killed_download_leaves_no_file_and_the_same_command_goes_on(server: Server, tmp_path: Path) -> None:
    ok(server, "object", "put", "long", "-", input=BIG)
    with Between(server.port, 300_000, stall=True) as between:
        with started(between.url, "object", "get", "long", str(tmp_path / "copy")) as get:
            assert between.stalled.wait(30)
            (part,) = eventually(lambda: [p for p in tmp_path.glob(".copy.*.part") if p.stat().st_size > 200_000])
            get.kill()
            get.wait(30)
        assert not (tmp_path / "copy").exists()
        kept = part.stat().st_size
        ok(between.url, "object", "get", "long", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == BIG
    assert f"Range: bytes={kept}-" in between.requests[-1]
    assert not part.exists()


def test_what_arrives_damaged_never_becomes_the_file(server: Server, tmp_path: Path) -> None:
    uri = server.upload(BIG)["uri"]
    with Between(server.port, flip=True) as between:
        assert "hash" in failed(between.url, 1, "file", "get", uri, str(tmp_path / "copy"))
    assert list(tmp_path.iterdir()) == []


def test_content_passes_through_and_not_through_memory(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "large"
    with source.open("wb") as large:
        large.truncate(64 * 1024 * 1024)
    small = most_memory(server, "file", "list")
    assert most_memory(server, "object", "put", "large", str(source)) < small + 16_000
    assert most_memory(server, "object", "get", "large", str(tmp_path / "copy")) < small + 16_000
    assert (tmp_path / "copy").stat().st_size == source.stat().st_size


def most_memory(server: Server, *words: str) -> int:
    """The most memory that a command had, in KiB."""
    process = subprocess.Popen([SPEAR, *words], stdout=subprocess.DEVNULL, env=environment(server.url))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


def test_an_upload_over_the_limit_is_refused(server: Server, tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(200 * 1024 * 1024)
    assert "limit" in failed(server, 5, "file", "put", str(tmp_path / "huge"))


def test_events_are_printed_by_position_type_and_id(server: Server) -> None:
    uuid = server.post("/api/v1/nodes", json=NODE).json()["node_uuid"]
    server.post("/api/v1/tasks", json={"name": "after", "version": "1"})
    assert uuid in ok(server, "events", "tail", "--type", "NodeRegistered", "--limit", "1")
    (fact,) = [json.loads(line) for line in ok(server, "events", "tail", "--id", uuid, "-o", "json").splitlines()]
    assert (fact["type"], fact["id"]) == ("NodeRegistered", uuid)
    head = server.get("/ready").json()["head"]
    first = [json.loads(line) for line in ok(server, "events", "tail", "--after", "0", "-o", "json").splitlines()]
    assert [fact["position"] for fact in first] == list(range(1, head + 1))
    assert "NoSuch" in failed(server, 5, "events", "tail", "--type", "NoSuch")


def test_following_survives_a_killed_server_without_a_gap_or_a_repetition(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    try:
        with started(server, "events", "tail", "-f", "-o", "json", "--after", "0") as tail:
            seen = [json.loads(tail.stdout.readline())["position"] for _ in range(server.get("/ready").json()["head"])]
            server.kill()
            server.start()
            server.post("/api/v1/nodes", json=NODE)
            head = server.get("/ready").json()["head"]
            seen += [json.loads(tail.stdout.readline())["position"] for _ in range(head - len(seen))]
            tail.send_signal(signal.SIGINT)
            assert (tail.wait(30), tail.stderr.read()) == (0, "")
        assert seen == list(range(1, head + 1))
    finally:
        server.kill()


def test_following_a_log_that_is_restored_meanwhile_ends_with_a_clear_word(tmp_path: Path) -> None:
    with Server(tmp_path / "data", role="sms") as server:
        server.post("/api/v1/nodes", json=NODE)
        server.stop()
        shutil.copytree(server.data_dir, tmp_path / "backup")
        server.start()
        server.post("/api/v1/nodes", json=NODE)
        with started(server, "events", "tail", "-f", "-o", "json", "--after", "0") as tail:
            seen = [json.loads(tail.stdout.readline())["position"] for _ in range(server.get("/ready").json()["head"])]
            server.stop()
            shutil.rmtree(server.data_dir)
            (tmp_path / "backup").rename(server.data_dir)
            server.start()
            said = tail.stderr.read()
            assert (tail.wait(30), tail.stdout.read()) == (5, "")
        assert seen == [1, 2]
        assert "it was restored; go on with --after 0" in said and said.count("\n") == 1


@pytest.mark.parametrize("words", [["events", "tail", "-f", "--after", "0"], ["node", "list", "--all"]])
def test_the_end_of_a_pipe_ends_a_command_quietly(server: Server, words: list[str]) -> None:
    with started(server, *words) as command:
        command.stdout.close()
        assert (command.wait(30), command.stderr.read()) == (0, "")


def test_output_that_cannot_be_written_is_one_line(server: Server) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [SPEAR, "node", "list"], stdout=full, stderr=subprocess.PIPE, text=True, env=environment(server.url)
        )
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_who_waits_at_a_terminal_sees_a_bar(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, terminal = tmp_path / "source", Terminal()
    source.write_bytes(BIG)
    monkeypatch.setattr(_progress, "_PATIENCE_S", 0)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["object", "put", "watched", str(source), "--server", server.url], {}) == 0
    assert main(["object", "get", "watched", str(tmp_path / "copy"), "--server", server.url], {}) == 0
    assert "upload [#" in terminal.getvalue()
    assert "download [#" in terminal.getvalue()


class Terminal(io.StringIO):
    """Standard error as a person has it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "words",
    [["fly"], ["task"], ["task", "show", ""], ["task", "list", "--limit", "0"], ["node", "list", "-o", "xml"], []],
)
def test_a_wrong_word_is_one_line_and_status_2(server: Server, words: list[str]) -> None:
    failed(server, 2, *words)


def test_a_server_that_is_not_there_or_not_spear_is_told_apart(server: Server) -> None:
    where = f"http://127.0.0.1:{free_port()}"
    assert where in failed(where, 4, "task", "list")
    assert "no route" in failed(f"{server.url}/elsewhere", 1, "task", "list")
    assert "no..such..host" in failed("http://no..such..host", 4, "task", "list")


def test_an_error_is_json_too_when_json_is_asked_for(server: Server) -> None:
    done = spear(server, "task", "show", NOWHERE, "-o", "json")
    assert (done.returncode, done.stdout) == (3, b"")
    assert json.loads(done.stderr)["error"] == "TASK_NOT_FOUND"


class _Strict(BaseHTTPRequestHandler):
    """Answers 401 to everything, as a server that wants another token."""

    shown: list[str | None]

    def do_GET(self) -> None:
        """Answer without reading any body, and hang up."""
        type(self).shown.append(self.headers["Authorization"])
        body = b'{"error": "UNAUTHENTICATED", "message": "expected a token", "details": {}}'
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def strict() -> Iterator[HTTPServer]:
    _Strict.shown = []
    with HTTPServer(("127.0.0.1", 0), _Strict) as listening:
        thread = Thread(target=listening.serve_forever)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def test_the_token_is_sent_as_a_bearer_token_and_never_printed(strict: HTTPServer) -> None:
    url = f"http://127.0.0.1:{strict.server_port}"
    from_environment = spear(url, "task", "list", SPEAR_TOKEN="s3cret")
    from_option = spear(url, "task", "list", "--token", "0pen", SPEAR_TOKEN="s3cret")
    spear(url, "task", "list")
    assert _Strict.shown == ["Bearer s3cret", "Bearer 0pen", None]
    for done in (from_environment, from_option):
        assert done.returncode == 8
        assert not any(token in done.stdout + done.stderr for token in (b"s3cret", b"0pen"))


def test_a_refusal_is_heard_from_a_server_that_hangs_up_in_the_middle_of_an_upload(
    strict: HTTPServer, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as large:
        large.truncate(64 * 1024 * 1024)
    url = f"http://127.0.0.1:{strict.server_port}"
    assert "expected a token" in failed(url, 8, "file", "put", str(tmp_path / "large"))


def test_an_encrypted_server_is_reached_with_its_certificate_and_no_other(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    cert, key, config = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "tls.toml"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*made, *named], check=True, capture_output=True)
    config.write_text(f'[http]\nenable_tls = true\ncert_path = "{cert}"\nkey_path = "{key}"\n')
    server = Server(tmp_path / "data", "--config", str(config))
    server.url, server.verify = server.url.replace("http:", "https:"), str(cert)
    with server:
        done = spear(server, "run", sample("hello"), SSL_CERT_FILE=str(cert))
        assert (done.returncode, done.stdout) == (0, b"Hello from SPEAR!\n")
        assert "certificate" in failed(server, 4, "node", "list")


def test_the_documentation_names_every_command() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    table = dict(line.strip("| ").split(" | ", 1) for line in page.splitlines() if line.startswith("| `"))
    named = set()
    for words in table:
        group, *verbs = words.replace("`", "").split()
        named |= {f"{group} {verb}" for verb in verbs} or {group}
    assert named == {command.words for command in COMMANDS}
