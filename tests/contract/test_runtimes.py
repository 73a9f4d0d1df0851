"""What every runtime promises, for each row of RUNTIMES with the programs that it can run."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import gevent
import pytest

from spear.adapters.hub import HubBell
from spear.adapters.runtimes.config import RuntimeConfig
from spear.adapters.runtimes.table import RUNTIMES
from spear.adapters.system import SystemClock
from spear.config import load
from spear.errors import InvalidConfiguration, Unavailable
from spear.ports import End, Instance, Level, Limits, Run, RunSpec, Runtime, Stream
from tests.conftest import native_threads, nothing_new, open_files
from tests.contract._programs import PROGRAMS
from tests.engine import Engine, skip_without_an_engine
from tests.lines import Lines

KINDS = list({make: kind for kind, make in reversed(RUNTIMES.items())}.values())[::-1]  # one for each runtime
STOP_S = 0.2 + 0.3  # the promise and slack for a busy machine


class Kit:
    """One runtime with its programs."""

    def __init__(self, kind: str, cache: Path, bell: HubBell, host: str) -> None:
        self.programs = PROGRAMS[kind]
        environ = {"SMS_DATA_DIR": str(cache), "SMS_EXECUTIONS_MAX_CONCURRENT": "8", "SMS_CONTAINERS_HOST": host}
        config = load((), environ=environ, home=cache)
        self.runtime: Runtime = RUNTIMES[kind](RuntimeConfig.of(kind, config), clock=SystemClock(), bell=bell)

    def prepare(self, program: str) -> Instance:
        return self.runtime.prepare(self.programs.named(program)[0])

    def spec(self, program: str, *args: str, data: bytes = b"", **limits: int) -> RunSpec:
        args = (*self.programs.named(program)[1], *args)
        return RunSpec("test", input=data, args=args, environment={"GREETING": "hi"}, limits=Limits(**limits))

    def start(self, program: str, *args: str, log: Lines | None = None, data: bytes = b"", **limits: int) -> Run:
        return self.prepare(program).start(self.spec(program, *args, data=data, **limits), log or Lines())


def made(kind: str, cache: Path, bell: HubBell, host: str) -> Kit:
    """A runtime of this kind; skips where the machine cannot have one."""
    try:
        return Kit(kind, cache, bell, host)
    except Unavailable as error:
        pytest.skip(f"{kind}: {error.message}")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    skip_without_an_engine()
    with Engine() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What stays for the life of the process: the hub's files, the compilers' threads."""
    with HubBell() as bell:
        for kind in KINDS:
            with suppress(Unavailable):
                kit = Kit(kind, tmp_path_factory.mktemp("warm"), bell, "")
                kit.start("hello").result()
                kit.runtime.close()


@pytest.fixture(params=KINDS)
def kit(request: pytest.FixtureRequest, tmp_path: Path, warm: None) -> Iterator[Kit]:
    host = request.getfixturevalue("engine").host if request.param == "container" else ""
    with HubBell() as bell, nothing_new(native_threads), nothing_new(open_files):
        kit = made(request.param, tmp_path / "cache", bell, host)
        yield kit
        kit.runtime.close()


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.001)


def seconds_to_stop(run: Run) -> float:
    began = time.monotonic()
    run.stop("enough")
    run.result()
    return time.monotonic() - began


def test_stdout_is_the_output_and_logs_are_lines(kit: Kit) -> None:
    log = Lines()
    outcome = kit.start("log", log=log).result()
    assert (outcome.end, outcome.exit_code, outcome.reason) == (End.COMPLETED, 0, "")
    assert outcome.output == b"Hello from SPEAR!\n"
    assert log.lines == [(kit.programs.spoken, Level.INFO, "hello was here")]


def test_stdin_is_the_input_whatever_its_bytes_and_size(kit: Kit) -> None:
    data = random.Random(1).randbytes(1_000_000)
    assert kit.start("echo", data=data).result().output == data
    assert kit.start("echo").result().output == b""


def test_arguments_and_environment_come_from_the_spec_alone(kit: Kit) -> None:
    lines = kit.start("env_args", "one", "two words").result().output.decode().splitlines()
    own = [line for line in lines if line not in kit.programs.environment]
    assert own[1:] == ["argument one", "argument two words", "environment GREETING=hi"]


def test_an_exit_code_other_than_zero_is_a_failure(kit: Kit) -> None:
    log = Lines()
    outcome = kit.start("exit3", log=log).result()
    assert (outcome.end, outcome.reason, outcome.exit_code) == (End.FAILED, "exit_code", 3)
    assert outcome.error.startswith("exit code 3")
    assert log.lines == [(Stream.STDERR, Level.INFO, "giving up")]


def test_a_crash_is_a_failure_with_its_kind(kit: Kit) -> None:
    outcome = kit.start("trap").result()
    assert (outcome.end, outcome.reason, outcome.exit_code) == (End.FAILED, "trap", kit.programs.crash_code)
    assert kit.programs.crash in outcome.error


@pytest.mark.parametrize(
    ("program", "args", "action"),
    [("loop", (), "computing"), ("sleep", (), "sleep_ms"), ("sleep", ("3600000", "wasi"), "poll_oneoff")],
)
def test_the_wall_time_limit_ends_it_and_is_named(kit: Kit, program: str, args: tuple[str, ...], action: str) -> None:
    began, action = time.monotonic(), kit.programs.last(action)
    outcome = kit.start(program, *args, wall_ms=300).result()
    assert time.monotonic() - began < 0.3 + STOP_S + kit.programs.own_time_s
    assert (outcome.end, outcome.reason, outcome.last_action) == (End.TIMEOUT, "wall_time", action)
    assert "300 ms" in outcome.error
    assert action in outcome.error


@pytest.mark.parametrize(("program", "args"), [("loop", ()), ("sleep", ()), ("sleep", ("3600000", "wasi"))])
def test_stop_ends_it_within_200_ms_as_cancelled(kit: Kit, program: str, args: tuple[str, ...]) -> None:
    run = kit.start(program, *args)
    gevent.sleep(0.05)
    assert seconds_to_stop(run) < STOP_S + kit.programs.own_time_s
    outcome = run.result()
    assert (outcome.end, outcome.reason) == (End.CANCELLED, "terminated")
    assert "enough" in outcome.error


def test_stop_after_the_end_changes_nothing(kit: Kit) -> None:
    run = kit.start("hello")
    before = run.result()
    run.stop("too late")
    assert run.result() is before


def test_stopping_one_leaves_others_alone(kit: Kit) -> None:
    stopped, other = kit.start("loop"), kit.start("sleep", "300")
    gevent.sleep(0.05)
    seconds_to_stop(stopped)
    assert other.result().end is End.COMPLETED


def test_the_memory_limit_fails_who_does_not_cope(kit: Kit) -> None:
    outcome = kit.start("grow", memory_bytes=16 << 20).result()
    assert (outcome.end, outcome.reason) == (End.FAILED, "memory")
    assert str(16 << 20) in outcome.error


def test_who_copes_with_the_memory_limit_goes_on(kit: Kit) -> None:
    outcome = kit.start("grow", "survive", memory_bytes=16 << 20).result()
    assert (outcome.end, outcome.output) == (End.COMPLETED, b"survived\n")


def test_a_program_that_needs_more_memory_than_the_limit_fails_for_memory(kit: Kit) -> None:
    outcome = kit.start("hello", memory_bytes=65536).result()
    assert (outcome.end, outcome.reason) == (End.FAILED, "memory")


def test_the_output_limit_stops_a_flood_and_keeps_its_beginning(kit: Kit) -> None:
    outcome = kit.start("output_flood", output_bytes=100_000).result()
    assert (outcome.end, outcome.reason) == (End.FAILED, "output_bytes")
    assert len(outcome.output) == 100_000
    assert outcome.output.startswith(b"more and more and more\nmore")


@pytest.mark.parametrize("args", [(), ("stderr",)])
def test_the_log_limit_stops_a_flood(kit: Kit, args: tuple[str, ...]) -> None:
    log = Lines()
    outcome = kit.start("log_flood", *args, log=log, log_bytes=10_000).result()
    assert (outcome.end, outcome.reason) == (End.FAILED, "log_bytes")
    assert 9_000 < log.written_bytes <= 10_100


def test_two_computing_guests_leave_the_hub_responsive(kit: Kit) -> None:
    runs = [kit.start("loop", wall_ms=1_000) for _ in range(2)]
    waiting = gevent.spawn(lambda: [run.result() for run in runs])
    for _ in range(200):
        gevent.sleep(0.001)
    for run in runs:
        run.stop("the hub had its turns")
    waiting.join(20)
    assert {outcome.end for outcome in waiting.value} == {End.CANCELLED}


def test_more_runs_than_threads_wait_their_turn(kit: Kit) -> None:
    runs = [kit.start("sleep", "20") for _ in range(40)]
    assert {run.result().end for run in runs} == {End.COMPLETED}


def test_a_run_that_still_waits_for_a_thread_can_be_stopped(kit: Kit) -> None:
    running = [kit.start("sleep") for _ in range(8)]
    waiting = kit.start("hello")
    assert seconds_to_stop(waiting) < STOP_S + kit.programs.own_time_s
    assert waiting.result().end is End.CANCELLED
    for run in running:
        run.stop("done")


def test_many_callers_may_wait_for_one_result(kit: Kit) -> None:
    run = kit.start("sleep", "50")
    callers = [gevent.spawn(run.result) for _ in range(20)]
    gevent.joinall(callers, timeout=10)
    assert {caller.value for caller in callers} == {run.result()}


def test_a_caller_may_wait_for_a_while_only(kit: Kit) -> None:
    run = kit.start("sleep")
    assert not run.wait(0.01)
    run.stop("enough")
    assert run.wait(10)
    assert run.wait(0)
    assert run.result().end is End.CANCELLED


def test_a_caller_that_gives_up_leaves_the_run_alone(kit: Kit) -> None:
    run = kit.start("sleep", "200")
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        run.result()
    assert run.result().end is End.COMPLETED


def test_two_hundred_runs_stopped_at_random_all_end(kit: Kit) -> None:
    dice = random.Random(7)
    programs = ["hello", "loop", "sleep", "output_flood", "log_flood", "exit3"]
    runs = [kit.start(dice.choice(programs), wall_ms=30_000) for _ in range(200)]
    stoppers = [gevent.spawn_later(dice.random() / 2, run.stop, "at random") for run in runs]
    ends = {run.result().end for run in runs}
    gevent.joinall(stoppers, timeout=10)
    assert ends <= {End.CANCELLED, End.COMPLETED, End.FAILED}
    assert End.CANCELLED in ends


def test_closing_an_instance_stops_its_runs_only(kit: Kit) -> None:
    instance, other = kit.prepare("loop"), kit.start("sleep", "300")
    run = instance.start(kit.spec("loop"), Lines())
    instance.close()
    instance.close()
    assert run.result().end is End.CANCELLED
    assert other.result().end is End.COMPLETED
    with pytest.raises(Unavailable):
        instance.start(kit.spec("loop"), Lines())


def test_closing_the_runtime_stops_everything_and_may_be_repeated(kit: Kit) -> None:
    instance = kit.prepare("loop")
    runs = [instance.start(kit.spec("loop"), Lines()) for _ in range(20)]
    gevent.sleep(0.02)
    kit.runtime.close()
    kit.runtime.close()
    assert {run.result().end for run in runs} == {End.CANCELLED}
    with pytest.raises(Unavailable):
        instance.start(kit.spec("loop"), Lines())
    with pytest.raises(Unavailable):
        kit.prepare("hello")


def test_what_is_no_program_is_refused_with_the_reason(kit: Kit) -> None:
    with pytest.raises(InvalidConfiguration, match=kit.programs.why_broken):
        kit.runtime.prepare(kit.programs.broken)


def test_log_lines_arrive_while_the_program_runs(kit: Kit) -> None:
    log = Lines()
    run = kit.start("log_flood", log=log, log_bytes=1 << 30, wall_ms=10_000)
    until(lambda: log.lines)
    run.stop("seen")
    assert run.result().end is End.CANCELLED
