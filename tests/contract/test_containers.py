"""What container agents promise beyond the contract of all runtimes, on a real Docker Engine."""

import json
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import gevent
import gevent.event
import pytest

from spear.abilities import Abilities
from spear.adapters.hub import HubBell
from spear.adapters.runtimes import _contained
from spear.adapters.runtimes.config import RuntimeConfig
from spear.adapters.runtimes.container import ContainerRuntime
from spear.adapters.system import SystemClock
from spear.config import load
from spear.errors import InvalidConfiguration, Unavailable
from spear.ports import Artifact, End, Limits, Outcome, RunSpec
from tests.engine import Engine, skip_without_an_engine
from tests.lines import Lines
from tests.server import eventually


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    skip_without_an_engine()
    with Engine() as running:
        running.add_image("spear/sh", 'ENTRYPOINT ["sh", "-c"]')
        yield running


@contextmanager
def runtime_on(
    host: str, folder: Path, *, abilities: Abilities | None = None, **more: str
) -> Iterator[ContainerRuntime]:
    """The runtime of a server on this folder."""
    environ = {"SMS_DATA_DIR": str(folder), "SMS_CONTAINERS_HOST": host, **more}
    told = RuntimeConfig.of("container", load((), environ=environ, home=folder))
    with HubBell() as bell:
        made = ContainerRuntime.configured(told, clock=SystemClock(), bell=bell, abilities=abilities)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def runtime(engine: Engine, tmp_path: Path) -> Iterator[ContainerRuntime]:
    with runtime_on(engine.host, tmp_path) as made:
        yield made
    assert containers(engine) == []


def image(name: str = "spear/sh", *, sha256: str = "") -> Artifact:
    return Artifact(lambda: (b"", ""), uri=f"docker://{name}", sha256=sha256)


def start(
    runtime: ContainerRuntime,
    *args: str,
    name: str = "spear/sh",
    log: Lines | None = None,
    data: bytes = b"",
    config: dict[str, str] | None = None,
    **limits: int,
) -> _contained.ContainerRun:
    spec = RunSpec("e1", data, args, {"GREETING": "hi"}, Limits(**limits), "t1", config or {})
    return runtime.prepare(image(name)).start(spec, log or Lines())


def said(runtime: ContainerRuntime, script: str, *, name: str = "spear/sh", **config: str) -> str:
    """What a script in a container prints."""
    log = Lines()
    outcome = start(runtime, script, name=name, log=log, config=config).result()
    assert outcome.end is End.COMPLETED, (outcome, log.messages)
    return outcome.output.decode().strip()


def containers(engine: Engine) -> list[str]:
    """The containers that the engine has."""
    return [one["Id"] for one in json.loads(engine.ask("GET", "/containers/json", all="1"))]


def until_it_runs(engine: Engine) -> None:
    eventually(lambda: gevent.sleep(0.01) or json.loads(engine.ask("GET", "/containers/json")))


def test_a_container_can_do_next_to_nothing(runtime: ContainerRuntime) -> None:
    status = dict(line.split(":\t", 1) for line in said(runtime, "cat /proc/self/status").splitlines())
    assert status["Uid"].split() == status["Gid"].split() == ["65534"] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert said(runtime, "touch /file 2>&1 || touch /tmp/file && ls /tmp").endswith("Read-only file system\nfile")
    assert said(runtime, "ls /sys/class/net") == "lo"
    devices = [
        line.split()[:2] for line in said(runtime, "cat /proc/self/mounts").splitlines() if line.startswith("/dev/")
    ]
    assert {path for _, path in devices} == {"/etc/hostname", "/sbin/docker-init"}  # files of the engine's own


def test_the_environment_is_the_images_and_the_specs_and_three_of_the_engine(
    engine: Engine, runtime: ContainerRuntime
) -> None:
    engine.add_image("spear/set", "ENV COLOUR=red GREETING=hello", 'ENTRYPOINT ["cat", "/proc/self/environ"]')
    names = dict(
        one.split("=", 1) for one in start(runtime, name="spear/set").result().output.decode().split("\0") if one
    )
    assert set(names) == {"PATH", "HOSTNAME", "HOME", "COLOUR", "GREETING"}
    assert (names["COLOUR"], names["GREETING"]) == ("red", "hi")


def test_without_arguments_an_image_runs_its_own_command_and_as_its_own_user(
    engine: Engine, runtime: ContainerRuntime
) -> None:
    engine.add_image("spear/own", 'CMD ["id", "-u"]', "USER 1234")
    assert start(runtime, name="spear/own").result().output == b"1234\n"
    assert start(runtime, "echo", "other", name="spear/own").result().output == b"other\n"


def test_a_task_may_ask_for_the_engines_network(runtime: ContainerRuntime) -> None:
    assert said(runtime, "ls /sys/class/net", **{"container.network": "true"}).split() == ["eth0", "lo"]
    assert said(runtime, "ls /sys/class/net", **{"container.network": "false"}) == "lo"


def test_the_volumes_of_an_image_are_memory_and_counted_as_such(engine: Engine, runtime: ContainerRuntime) -> None:
    engine.add_image("spear/volume", "VOLUME /data", 'ENTRYPOINT ["sh", "-c"]')
    assert (
        said(runtime, "echo kept > /data/x; cat /data/x; cat /proc/mounts", name="spear/volume").splitlines()[0]
        == "kept"
    )
    outcome = start(
        runtime, "dd if=/dev/zero of=/data/x bs=1M count=64", name="spear/volume", memory_bytes=32 << 20
    ).result()
    assert (outcome.end, outcome.reason) in ((End.FAILED, "memory"), (End.FAILED, "exit_code"))
    assert json.loads(engine.ask("GET", "/volumes"))["Volumes"] == []


def test_processes_are_limited(runtime: ContainerRuntime) -> None:
    log = Lines()
    start(runtime, "i=0; while [ $i -lt 400 ]; do sleep 100 & i=$((i+1)); done", log=log).result()
    assert any("can't fork" in line for line in log.messages), log.messages[-3:]


def test_input_that_nobody_reads_holds_nothing_up(runtime: ContainerRuntime) -> None:
    outcome = start(runtime, "echo done", data=bytes(5_000_000)).result()
    assert (outcome.end, outcome.output) == (End.COMPLETED, b"done\n")


def test_a_program_that_closed_its_streams_is_waited_for(runtime: ContainerRuntime) -> None:
    assert start(runtime, "exec >&- 2>&- <&-; sleep 0.2; exit 4").result().exit_code == 4
    assert start(runtime, "exec >&- 2>&- <&-; sleep 100", wall_ms=300).result().end is End.TIMEOUT


def test_a_command_that_is_not_there_is_told(engine: Engine, runtime: ContainerRuntime) -> None:
    engine.add_image("spear/bare")
    log = Lines()
    outcome = start(runtime, "no-such-program", name="spear/bare", log=log).result()
    assert (outcome.end, outcome.exit_code) == (End.FAILED, 127)
    assert "no-such-program" in log.messages[0]


def test_the_error_says_what_it_did_last(runtime: ContainerRuntime) -> None:
    spoke = start(runtime, "echo one; sleep 100", wall_ms=300).result()
    assert (spoke.last_action, spoke.error) == ("stdout", "wall time limit of 300 ms reached; it last wrote to stdout")
    logged = start(runtime, "echo one >&2; exit 9").result()
    assert (logged.last_action, logged.error) == ("stderr", "exit code 9; it last wrote to stderr")


def test_nothing_runs_before_its_request_is_a_fact(engine: Engine, tmp_path: Path) -> None:
    fact = gevent.event.Event()
    abilities = cast(Abilities, SimpleNamespace(recorded=lambda _: fact.wait()))
    with runtime_on(engine.host, tmp_path, abilities=abilities) as runtime:
        never, later = start(runtime, "echo never"), start(runtime, "echo later")
        assert not later.wait(0.2)
        assert containers(engine) == []
        never.stop("it was not recorded")
        gevent.sleep(0.01)
        gone = never.greenlet.dead
        fact.set()
        assert gone
        assert never.result().end is End.CANCELLED
        assert later.result().output == b"later\n"


def test_a_running_container_is_stopped_and_gone(engine: Engine, runtime: ContainerRuntime) -> None:
    log = Lines()
    run = start(runtime, "echo up >&2; while :; do :; done", log=log)
    with gevent.Timeout(10):
        while not log.messages:
            gevent.sleep(0.01)
    began = time.monotonic()
    run.stop("enough")
    outcome = run.result()
    assert time.monotonic() - began < 2.0
    assert (outcome.end, outcome.error) == (End.CANCELLED, "terminated: enough; it last wrote to stderr")
    run.greenlet.join()
    assert containers(engine) == []


def test_a_flood_leaves_the_hub_responsive(runtime: ContainerRuntime) -> None:
    run = start(runtime, "exec yes", output_bytes=64 << 20, wall_ms=20_000)
    waiting, turns = gevent.spawn(run.result), 0
    while not waiting.ready():
        gevent.sleep(0.001)
        turns += 1
    assert run.result().reason == "output_bytes"
    assert turns > 100


def test_the_hash_of_an_image_is_its_id_and_may_be_demanded(engine: Engine, runtime: ContainerRuntime) -> None:
    ident = json.loads(engine.ask("GET", "/images/spear/sh/json"))["Id"].removeprefix("sha256:")
    assert runtime.prepare(image(sha256=ident.upper())).sha256 == ident
    with pytest.raises(InvalidConfiguration, match=f"spear/sh is sha256:{ident}, not sha256:{'0' * 64}"):
        runtime.prepare(image(sha256="0" * 64))


def test_a_tag_that_moves_does_not_change_an_instance(engine: Engine, runtime: ContainerRuntime) -> None:
    def output(instance: object) -> bytes:
        outcome: Outcome = instance.start(RunSpec("e1"), Lines()).result()  # type: ignore[attr-defined]
        return outcome.output

    engine.add_image("spear/moves", 'CMD ["echo", "old"]')
    before = runtime.prepare(image("spear/moves"))
    engine.add_image("spear/moves", 'CMD ["echo", "new"]')
    after = runtime.prepare(image("spear/moves"))
    assert (output(before), output(after)) == (b"old\n", b"new\n")
    engine.ask("DELETE", f"/images/sha256:{before.sha256}", force="1")
    outcome = before.start(RunSpec("e1"), Lines()).result()
    assert (outcome.end, outcome.reason) == (End.FAILED, "start")
    assert "No such image" in outcome.error


@pytest.fixture
def registry(engine: Engine) -> Iterator[str]:
    """A registry that has `agent:latest` and nothing else; where the engine finds it."""
    process = engine.inside(sys.executable, str(Path(__file__).with_name("_registry.py")), str(shutil.which("busybox")))
    assert process.stdout is not None
    yield f"127.0.0.1:{int(process.stdout.readline())}"
    process.kill()
    process.wait()
    process.stdout.close()


def test_an_image_is_pulled_only_where_that_is_wanted(engine: Engine, registry: str, tmp_path: Path) -> None:
    with (
        runtime_on(engine.host, tmp_path) as runtime,
        pytest.raises(InvalidConfiguration, match="has no image .*set containers.pull"),
    ):
        runtime.prepare(image(f"{registry}/agent"))
    with runtime_on(engine.host, tmp_path, SMS_CONTAINERS_PULL="missing") as runtime:
        assert start(runtime, name=f"{registry}/agent").result().output == b"pulled\n"
        with pytest.raises(Unavailable, match=f"cannot fetch image {registry}/agent:2: .*manifest unknown"):
            runtime.prepare(image(f"{registry}/agent:2"))
        with pytest.raises(Unavailable, match="cannot fetch image 127.0.0.1:9/agent: .*connection refused"):
            runtime.prepare(image("127.0.0.1:9/agent"))


def test_what_an_earlier_process_left_is_removed_and_nothing_of_others(engine: Engine, tmp_path: Path) -> None:
    with runtime_on(engine.host, tmp_path):
        own = (tmp_path / "container_owner").read_text()
    body = {"Image": "spear/sh", "Cmd": ["sleep 100"], "HostConfig": {"NetworkMode": "none"}}
    for name, owner in (("mine", own), ("theirs", "somebody")):
        described = json.dumps({**body, "Labels": {"spear.server": owner}}).encode()
        engine.ask("POST", "/containers/create", body=described, name=name)
        engine.ask("POST", f"/containers/{name}/start")
    with runtime_on(engine.host, tmp_path) as again:
        [left] = json.loads(engine.ask("GET", "/containers/json", all="1"))
        assert left["Names"] == ["/theirs"]
        assert said(again, "echo works") == "works"
    engine.ask("DELETE", "/containers/theirs", force="1")


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", ""])
def test_without_an_engine_there_is_no_such_runtime(tmp_path: Path, host: str) -> None:
    why = "/nowhere/docker.sock does not answer: No such file" if host else "names no engine"
    with pytest.raises(Unavailable, match=why), runtime_on(host, tmp_path):
        pass


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n\r\n[]", b"SSH-2.0-x\r\n"]
)
def test_what_is_no_engine_is_told_from_one(tmp_path: Path, answer: bytes) -> None:
    from gevent.server import StreamServer

    def serve(wire: socket.socket, _: object) -> None:
        wire.recv(1000)
        wire.sendall(answer)
        wire.close()

    listener = gevent.socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    server = StreamServer(listener, serve)
    server.start()
    try:
        with pytest.raises(Unavailable, match="the container engine at"), runtime_on(f"unix://{tmp_path}/s", tmp_path):
            pass
    finally:
        server.stop()


def test_an_engine_that_hangs_holds_no_run_longer_than_its_limit(
    engine: Engine, runtime: ContainerRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_contained, "_KILL_S", 0.2)
    run = start(runtime, "sleep 100", wall_ms=1000)
    until_it_runs(engine)
    engine.signal(signal.SIGSTOP)
    outcome = run.result()
    engine.signal(signal.SIGCONT)
    assert (outcome.end, outcome.reason) == (End.TIMEOUT, "wall_time")
    assert "wall time limit of 1000 ms reached; the container engine at" in outcome.error


def test_an_engine_may_die_and_come_back(engine: Engine, runtime: ContainerRuntime) -> None:
    run = start(runtime, "sleep 100")
    until_it_runs(engine)
    engine.kill()
    outcome = run.result()
    assert (outcome.end, outcome.reason) == (End.FAILED, "engine")
    assert "does not answer" in outcome.error
    with pytest.raises(Unavailable, match="does not answer"):
        runtime.prepare(image())
    engine.start()
    assert said(runtime, "echo back") == "back"
    eventually(lambda: gevent.sleep(0.05) or containers(engine) == [])
