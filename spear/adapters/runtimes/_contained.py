"""One run in a container of its own, from its start to its removal."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import gevent
from gevent.lock import Semaphore

from spear.adapters.runtimes._confinement import LEAST_MEMORY_BYTES, Image, described
from spear.adapters.runtimes._docker import Attached, Docker
from spear.adapters.runtimes._hearing import Heard
from spear.adapters.runtimes._native import Promise
from spear.adapters.runtimes._sweeper import Sweeper
from spear.errors import SpearError, Unavailable
from spear.ports import Bell, End, LogSink, Outcome, RunSpec

STDOUT = 1
_KILL_S = 5.0  # what the engine gets to end a container; after that the run ends without it
_TURN = 16  # pieces of what it writes between two turns of everybody else
_SIGNALS = {128 + number: number.name for number in signal.Signals}  # as shells and engines tell them in exit codes
_KILLED = 128 + signal.SIGKILL
_DOING = {
    "waiting": "it was still waiting for a place",
    "starting": "it was still starting",
    "running": "it was running and had written nothing",
    "stdout": "it last wrote to stdout",
    "stderr": "it last wrote to stderr",
}


@dataclass(frozen=True, slots=True)
class Ward:
    """Where containers run: on which engine, in whose name, how many at once, and who clears up.

    `recorded` blocks until the execution of this id is a fact.
    """

    engine: Docker
    server: str
    bell: Bell
    places: Semaphore
    sweeper: Sweeper
    recorded: Callable[[str], None]


class ContainerRun:
    """One run: waiting for a place, then a container, then ended; lives on a greenlet of its own."""

    def __init__(self, ward: Ward, image: Image, spec: RunSpec, logs: LogSink) -> None:
        self._ward, self._image, self._spec = ward, image, spec
        self._name = f"spear-{uuid4().hex}"
        self._heard = Heard(spec.limits, logs)
        self._outcome: Promise[Outcome] = Promise(ward.bell)
        self._settled = self._started = False
        self._action = "waiting"
        self._halt: tuple[End, str, str] | None = None
        self._helpers: list[gevent.Greenlet] = []
        self.greenlet = gevent.spawn(self._work)

    def result(self) -> Outcome:
        """Block this caller until the run ended."""
        return self._outcome.wait()

    def wait(self, timeout_s: float) -> bool:
        """Block this caller until the run ended; False when `timeout_s` ran out first."""
        return self._outcome.settled_within(timeout_s)

    def stop(self, reason: str) -> None:
        """End it as cancelled, as soon as the engine can; harmless after the end; callable from any greenlet."""
        self._end(End.CANCELLED, "terminated", f"terminated: {reason}")

    def _end(self, end: End, reason: str, text: str) -> None:
        if self._halt is None and not self._settled:
            self._halt = end, reason, text
            if self._started:
                self._helpers.append(gevent.spawn(self._kill))
            else:
                self._settle(self._told(end, reason, text))
                if self._action == "waiting":
                    self.greenlet.kill(block=False)

    def _kill(self) -> None:
        error: SpearError = Unavailable(f"{self._ward.engine} did not end the container within {_KILL_S:g} s")
        try:
            self._ward.engine.kill(self._name, timeout_s=_KILL_S)
            gevent.sleep(_KILL_S)
        except SpearError as refused:
            error = refused
        self.greenlet.kill(error, block=False)

    # --- on its own greenlet

    def _work(self) -> None:
        with self._ward.places:
            self._ward.recorded(self._spec.execution_id)  # what may have effects must not run ahead of its request
            self._ward.sweeper.use(self._name)
            try:
                self._settle(self._ran())
            finally:  # whatever went wrong, nobody waits for ever
                self._settle(self._failed("engine", "the runtime failed; the server's log says how"))
                self._ward.sweeper.remove(self._name)

    def _settle(self, outcome: Outcome) -> None:
        if not self._settled:
            self._settled = True
            self._outcome.settle(outcome)

    def _ran(self) -> Outcome:
        limit = self._spec.limits.memory_bytes
        if limit < LEAST_MEMORY_BYTES:
            return self._failed("memory", f"memory limit of {limit} bytes; a container needs {LEAST_MEMORY_BYTES}")
        self._action = "starting"
        try:
            return self._contained(self._ward.engine)
        except SpearError as error:
            if self._halt is not None:
                end, reason, text = self._halt
                return self._told(end, reason, f"{text}; {error.message}")
            return self._failed("engine" if self._started else "start", error.message)
        finally:
            gevent.killall(self._helpers)
            self._heard.close()

    def _contained(self, engine: Docker) -> Outcome:
        engine.create(self._name, described(self._image, self._spec, server=self._ward.server))
        with engine.attached(self._name) as streams:
            if not self._settled:
                engine.start(self._name)
            if self._settled:  # stopped meanwhile, and told so
                return self._failed("terminated", "stopped")
            self._started, self._action = True, "running"
            self._follow(streams)
        engine.wait(self._name)
        return self._ended(engine.state(self._name))

    def _follow(self, streams: Attached) -> None:
        wall_ms = self._spec.limits.wall_ms
        late = End.TIMEOUT, "wall_time", f"wall time limit of {wall_ms} ms reached"
        self._helpers.append(gevent.spawn_later(wall_ms / 1000, self._end, *late))
        self._helpers.append(gevent.spawn(streams.feed, self._spec.input))
        for count, (stream, data) in enumerate(streams.pieces(), 1):
            if self._halt is None:
                self._take(stream, data)
            if count % _TURN == 0:
                self._ward.bell.turn()

    def _take(self, stream: int, data: bytes) -> None:
        limits = self._spec.limits
        if stream == STDOUT:
            self._action = "stdout"
            if not self._heard.stdout(data):
                self._end(End.FAILED, "output_bytes", f"output limit of {limits.output_bytes} bytes reached")
        else:
            self._action = "stderr"
            if not self._heard.stderr(data):
                self._end(End.FAILED, "log_bytes", f"log limit of {limits.log_bytes} bytes reached")

    # --- how it ended

    def _ended(self, state: dict[str, Any]) -> Outcome:
        code, memory_bytes = int(state["ExitCode"]), self._spec.limits.memory_bytes
        if self._halt is not None:
            return self._told(*self._halt)
        if code == 0:
            return Outcome(End.COMPLETED, bytes(self._heard.output), 0, last_action=self._action)
        if state.get("OOMKilled"):
            return self._failed("memory", f"memory limit of {memory_bytes} bytes reached (exit code {code})", code=code)
        if code == _KILLED:  # a program that exceeds its memory often dies faster than the engine can note it
            return self._failed(
                "memory", f"killed, as for the memory limit of {memory_bytes} bytes (exit code {code})", code=code
            )
        if killer := _SIGNALS.get(code):
            return self._failed("trap", f"killed by {killer} (exit code {code})", code=code)
        return self._failed("exit_code", f"exit code {code}", code=code)

    def _failed(self, reason: str, text: str, *, code: int | None = None) -> Outcome:
        return self._told(End.FAILED, reason, text, code=code)

    def _told(self, end: End, reason: str, text: str, *, code: int | None = None) -> Outcome:
        error = f"{text}; {_DOING[self._action]}"
        return Outcome(end, bytes(self._heard.output), code, error, reason, self._action)
