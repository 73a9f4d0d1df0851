"""Agents that are processes of this machine: its commands, and programs and scripts that tasks bring with them."""

import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import gevent
from gevent.lock import BoundedSemaphore

from spear.abilities import Abilities
from spear.adapters.runtimes._commands import environment_of
from spear.adapters.runtimes._gathering import Gathering
from spear.adapters.runtimes._native import Promise
from spear.adapters.runtimes._pipes import Pipes
from spear.adapters.runtimes._programs import Program, Programs
from spear.adapters.runtimes._sandbox import FOLDER, PROGRAM, Sandbox, bubblewraps, nobody
from spear.adapters.runtimes._warden import Kept, Order, Warden
from spear.adapters.runtimes.config import RuntimeConfig
from spear.config import SandboxKind
from spear.errors import SpearError, Unavailable
from spear.ports import Artifact, Bell, Clock, End, Level, Limits, LogSink, Outcome, RunSpec, Stream

log = logging.getLogger(__name__)
_MIB = 1 << 20
Start = Callable[[Pipes], Kept]


class ProcessRun:
    """One run: waiting for a place, then a process, then ended."""

    def __init__(self, spec: RunSpec, logs: LogSink, bell: Bell) -> None:
        self.spec = spec
        self._bell, self._outcome = bell, Promise[Outcome](bell)
        self._waiting: gevent.Greenlet | None = None
        self._kept: Kept | None = None
        self._gathering = Gathering(spec.limits, logs, self._over)

    def result(self) -> Outcome:
        """Block this caller until the run ended."""
        return self._outcome.wait()

    def wait(self, timeout_s: float) -> bool:
        """Block this caller until the run ended; False when `timeout_s` ran out first."""
        return self._outcome.settled_within(timeout_s)

    def stop(self, reason: str) -> None:
        """End it within 200 ms as cancelled; harmless after the end; callable from any greenlet."""
        self._gathering.halt(End.CANCELLED, "terminated", f"terminated: {reason}")

    def _over(self) -> None:
        if self._kept is not None:
            self._kept.stop()
        elif self._waiting is not None:
            self._waiting.kill(block=False)
            self._outcome.settle(self._gathering.never_began())

    def begin(self, work: Callable[["ProcessRun"], None], ended: Callable[[object], None]) -> None:
        """Have `work` done in a greenlet, which a stop kills as long as it waits; `ended` is called in any case."""
        self._waiting = gevent.spawn(work, self)
        self._waiting.link(ended)

    def work(self, start: Start) -> None:
        """Start the process and see it through."""
        self._waiting = None
        try:
            outcome = self._run(start)
        except SpearError as error:
            outcome = Outcome(End.FAILED, error=error.message, reason="start", code=error.code)
        except Exception as error:  # whatever goes wrong around foreign code ends this run and nothing else
            log.exception("execution %s: the runtime failed", self.spec.execution_id)
            outcome = Outcome(End.FAILED, error=f"the runtime failed: {error!r}", reason="start")
        self._outcome.settle(outcome)

    def _run(self, start: Start) -> Outcome:
        with Pipes(self.spec.input, self._bell.turn) as pipes:
            self._kept = start(pipes)
            with self._kept, pipes.read_by(self._gathering.print, self._gathering.complain):
                if self._gathering.halted is not None:
                    self._kept.stop()
                ended = self._kept.wait(self.spec.limits.wall_ms / 1000)
                if ended is None:
                    self._gathering.time_is_up()
                    ended = self._kept.end()
            return self._gathering.outcome(ended)


class ProcessInstance:
    """A program that was found and checked; its runs share nothing else."""

    def __init__(self, runtime: "ProcessRuntime", program: Program) -> None:
        self._runtime, self.sha256 = runtime, program.sha256
        self._program: Program | None = program
        self._runs: set[ProcessRun] = set()

    def start(self, spec: RunSpec, logs: LogSink) -> ProcessRun:
        """Start one run as soon as there is a place; raise `Unavailable` after close."""
        if self._program is None:
            raise Unavailable("the instance is closed")
        return self._runtime.start(self._program, self._runs, spec=spec, logs=logs)

    def close(self) -> None:
        """Stop its runs and wait for their end; may be called twice."""
        self._program = None
        stop_all(self._runs, "its instance closes")


class ProcessRuntime:
    """Runs up to `most` processes at once in `sandbox`, or without one; each run gets `environment` under its own.

    One that can reach out of its sandbox starts once `recorded` returns: its execution is a fact by then.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        bell: Bell,
        most: int,
        environment: Mapping[str, str],
        sandbox: Sandbox | None,
        recorded: Callable[[str], None],
        cache_bytes: int,
    ) -> None:
        self._bell, self._environment, self._sandbox, self._recorded = bell, environment, sandbox, recorded
        self._programs = Programs(cache_dir, bell, roots=sandbox.roots if sandbox else [], most_bytes=cache_bytes)
        self._warden, self._places = Warden(), BoundedSemaphore(most)
        self._runs: set[ProcessRun] = set()
        self._closed = False

    @classmethod
    def configured(
        cls, config: RuntimeConfig, *, clock: Clock, bell: Bell, abilities: Abilities | None = None
    ) -> "ProcessRuntime":
        """The runtime that `config` describes; raise `Unavailable` when its sandbox does not work on this machine."""
        if sys.platform != "linux":
            raise Unavailable(f"processes are kept in bounds by Linux alone; this is {sys.platform}")
        wanted, whole = config.spearlet_config.processes, config.spearlet_config
        make = partial(
            cls, Path(config.settings["cache_dir"]), bell=bell, most=config.resource_pool.max_workers,
            environment=config.global_environment, recorded=abilities.recorded if abilities else _at_once,
            cache_bytes=whole.spearlet.max_cache_size_mb * _MIB,
        )  # fmt: skip
        if wanted.sandbox is SandboxKind.NONE:
            log.warning("agents that are processes run without a sandbox: processes.sandbox is none")
            return make(sandbox=None)
        reasons = []
        for bwrap in bubblewraps():
            runtime = make(sandbox=Sandbox(bwrap, wanted.readable, whole.data_dir))
            if not (reason := runtime.probe()):
                return runtime
            runtime.close()
            reasons.append(reason)
        raise Unavailable(f"the sandbox does not work here: {'; '.join(reasons) or 'there is no bubblewrap'}")

    def probe(self) -> str:
        """Why a command that does nothing cannot run here; "" when it can."""
        said = _Said()
        try:
            outcome = self.prepare(Artifact(_nothing, uri="true")).start(_PROBE, said).result()
        except SpearError as error:
            return error.message
        return "" if outcome.end is End.COMPLETED else said.last or outcome.error

    def prepare(self, artifact: Artifact) -> ProcessInstance:
        """Find and check, blocking only the caller; raise `InvalidConfiguration` when it can never run."""
        self._check_open()
        return ProcessInstance(self, self._programs.get(artifact))

    def start(self, program: Program, siblings: set[ProcessRun], *, spec: RunSpec, logs: LogSink) -> ProcessRun:
        """Start one run and keep it among its `siblings` until it ends; raise `Unavailable` after close."""
        self._check_open()
        run = ProcessRun(spec, logs, self._bell)
        self._runs.add(run)
        siblings.add(run)

        def ended(_: object) -> None:
            self._runs.discard(run)
            siblings.discard(run)

        run.begin(partial(self._see_through, program), ended)
        return run

    def _see_through(self, program: Program, run: ProcessRun) -> None:
        if program.network or self._sandbox is None:
            self._recorded(run.spec.execution_id)
        with self._places:
            run.work(partial(self._start, program, run.spec))

    def _start(self, program: Program, spec: RunSpec, pipes: Pipes) -> Kept:
        environment = environment_of({**self._environment, **spec.environment})
        memory, sandbox = spec.limits.memory_bytes, self._sandbox
        if sandbox is None:
            argv = [program.path, *spec.args]
            return self._warden.start(Order(argv, environment, [], FOLDER, memory, None), pipes.theirs)
        shown = PROGRAM if program.own else program.path
        options = sandbox.options(environment, room=memory, network=program.network, content=program.own)
        order = Order(sandbox.argv(shown, spec.args), {}, options, "/", memory, nobody())
        with program.content() as content:
            return self._warden.start(order, pipes.theirs, program=content)

    def close(self) -> None:
        """Stop every run and end the warden; may be called twice."""
        self._closed = True
        stop_all(self._runs, "the runtime closes")
        self._warden.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the process runtime is closed")


def stop_all(runs: set[ProcessRun], reason: str) -> None:
    """Stop `runs` and wait for their end."""
    stopping = runs.copy()
    for run in stopping:
        run.stop(reason)
    for run in stopping:
        run.result()


class _Said:
    """Remembers the last thing that was said."""

    last, written_bytes = "", 0

    def write(self, stream: Stream, level: Level, message: str) -> None:
        self.last = message


def _at_once(execution_id: str) -> None:
    """Where nobody records executions, none has to be waited for."""


def _nothing() -> tuple[bytes, str]:
    return b"", ""


_PROBE = RunSpec("probe", limits=Limits(wall_ms=10_000))
