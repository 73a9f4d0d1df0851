"""One running guest as its hostcalls see it: memory, output, log, time, and whether it has to stop."""

import os
from _queue import Empty, SimpleQueue  # the C queue blocks natively, patched or not
from collections.abc import Callable
from contextlib import suppress
from ctypes import string_at
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from gevent.util import wrap_errors

from spear.abilities import Abilities
from spear.adapters.runtimes import _capi as capi
from spear.adapters.runtimes import _tables as tables
from spear.hostcalls.context import Fault, Stopped
from spear.hostcalls.failures import Errno, Failed
from spear.hostcalls.fds import Descriptors
from spear.ports import Bell, Clock, End, Level, LogSink, RunSpec, Stream

T = TypeVar("T")

LONGEST_LINE = 16 * 1024
COMPUTING = "computing"
_LONGEST_PAUSE_S = 1e9


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Halt:
    """Why a guest has to stop."""

    end: End
    reason: str
    text: str


class Lines:
    """Cuts a stream of bytes into lines; what a line has beyond 16 KiB is dropped."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take more bytes and emit every line that they complete."""
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:LONGEST_LINE]
        for line in whole:
            self._emit(line[:LONGEST_LINE].decode(errors="replace"))

    def flush(self) -> None:
        """Emit the last line although its end never came."""
        if self._rest:
            self.feed(b"\n")


class Guest:
    """The state of one run; lives on the guest's native thread, only `halt` and `wake` may be called from others."""

    # what most runs never touch stays with the class, as setting it costs each run
    _descriptors: Descriptors | None = None
    _woken = _called = False

    def __init__(
        self, spec: RunSpec, logs: LogSink, clock: Clock, *, bell: Bell, abilities: Abilities | None = None
    ) -> None:
        self.spec, self.clock, self.limits = spec, clock, spec.limits
        self._bell, self._abilities = bell, abilities
        self.action = COMPUTING
        self.exit_code: int | None = None
        self.output = bytearray()
        self._logs, self._logged = logs, 0
        self._stderr = Lines(lambda line: self._logs.write(Stream.STDERR, Level.INFO, line))
        self._halts: list[Halt] = []
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._deadline = 0.0
        self._context, self._memory, self._instance = 0, None, None
        self._base = self._known_size = 0

    def begin(self) -> None:
        """Start the wall clock."""
        self._deadline = monotonic() + self.limits.wall_ms / 1000

    def attach(self, context: int, memory: Any, instance: Any = None) -> None:
        """Learn which linear memory the hostcalls read and write; before that they meet `Fault`."""
        self._context, self._memory, self._instance = context, memory, instance
        self._base = capi.memory_data(context, memory)  # it never moves: room for the largest is reserved

    # --- why it stops

    @property
    def halted(self) -> Halt | None:
        """The first reason to stop, if there is one."""
        return self._halts[0] if self._halts else None

    @property
    def ended(self) -> bool:
        """Whether it must not execute another instruction."""
        return bool(self._halts) or self.exit_code is not None

    def halt(self, end: End, reason: str, text: str) -> None:
        """Make it stop at its next instruction or wake it where it waits; the first reason stands."""
        self._halts.append(Halt(end, reason, text))
        self._wake.put(None)

    def must_stop(self) -> bool:
        """Whether there is a reason to stop, its time being up included."""
        if not self._halts and monotonic() >= self._deadline:
            self._time_is_up()
        return bool(self._halts)

    def _time_is_up(self) -> None:
        self.halt(End.TIMEOUT, "wall_time", f"wall time limit of {self.limits.wall_ms} ms reached")

    def _over(self, limit: str, name: str, value: int) -> None:
        self.halt(End.FAILED, limit, f"{name} limit of {value} bytes reached")

    # --- what hostcalls use

    def read(self, pointer: int, length: int) -> bytes:
        """Copy bytes out of the guest's memory; raise `Fault` when any of them lies outside."""
        return string_at(self._address(pointer, length), length)

    def write(self, pointer: int, data: bytes) -> None:
        """Copy bytes into the guest's memory; raise `Fault` and change nothing when any of them lies outside."""
        capi.copy_in(self._address(pointer, len(data)), data, len(data))

    def log(self, level: Level, message: str) -> None:
        """Append one line to the execution's log."""
        self._count_log(len(message.encode()) + 1)
        self._logs.write(Stream.LOG, level, message)

    def random(self, length: int) -> bytes:
        """Bytes that nobody can predict."""
        return os.urandom(length)

    def pause(self, seconds: float) -> None:
        """Block this native thread; comes back early when the guest has to stop."""
        self.wait(_never, timeout_s=seconds)

    def wait(self, ready: Callable[[], bool], *, timeout_s: float | None = None) -> bool:
        """Block this native thread until `ready` says so, which is asked now and after every `wake`.

        False when `timeout_s` ran out or the guest has to stop.
        """
        until = self._deadline if timeout_s is None else min(self._deadline, monotonic() + timeout_s)
        while not self.must_stop():
            if ready():
                return True
            if (left := until - monotonic()) <= 0:
                return False
            with suppress(Empty):
                self._wake.get(timeout=min(left, _LONGEST_PAUSE_S))
            self._woken = False  # before the next look: who wakes after it puts again
        return False

    def wake(self) -> None:
        """Have a waiting guest look again; callable from anywhere, never blocks."""
        if not self._woken:
            self._woken = True
            self._wake.put(None)

    def ask(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, done on the hub once the execution is a fact.

        Raise `Stopped` when the guest has to stop before that.
        """
        found: list[T | Exception] = []
        recorded, execution_id = self.abilities.recorded, self.spec.execution_id

        def do() -> T:
            recorded(execution_id)
            return work()

        def run() -> None:
            found.append(wrap_errors(Exception, do)())  # what is wrong goes back to whoever asked
            self.wake()

        end = self._bell.spawn(run)
        if not self.wait(lambda: bool(found)):
            end()
            raise Stopped
        if isinstance(answer := found[0], Exception):
            raise answer
        return answer

    def call(self, function: int, *arguments: int) -> int:
        """What the guest's own function at this place of its table returns; raise `Failed` when there is none to call.

        Raise `Stopped` when the guest ended in it. A function that was called so may not have another one called.
        """
        found = None if self._called else tables.find(self._context, self._instance, function)
        if found is None:
            raise Failed(Errno.EIO)
        action, self._called = self.action, True
        result, broken = tables.call(self._context, found, arguments)
        if broken and not self.ended:
            self.halt(End.FAILED, "trap", f"trap: {broken} in a function that {action} called")
        if self.ended:
            raise Stopped
        self.action, self._called = action, False
        return result

    @property
    def abilities(self) -> Abilities:
        """What the platform does for guests; raise `Failed` where there is no platform."""
        if self._abilities is None:
            raise Failed(Errno.ENOSYS)
        return self._abilities

    @property
    def descriptors(self) -> Descriptors:
        """What the guest has open."""
        if self._descriptors is None:
            self._descriptors = Descriptors()
        return self._descriptors

    def memory_size(self) -> int:
        """Bytes of linear memory that the guest has now."""
        return int(capi.memory_size(self._context, self._memory)) if self._memory else 0

    def _address(self, pointer: int, length: int) -> int:
        if pointer + length > self._known_size:
            self._known_size = self.memory_size()
        if pointer < 0 or length < 0 or pointer + length > self._known_size:
            raise Fault
        return self._base + pointer

    # --- where its bytes go

    def print(self, data: bytes) -> None:
        """Take bytes of stdout; the first `output_bytes` of them are kept."""
        room = self.limits.output_bytes - len(self.output)
        self.output += data[:room]
        if len(data) > room:
            self._over("output_bytes", "output", self.limits.output_bytes)

    def complain(self, data: bytes) -> None:
        """Take bytes of stderr as log lines."""
        self._stderr.feed(data[: max(0, self.limits.log_bytes - self._logged)])
        self._count_log(len(data))

    def close(self) -> None:
        """Emit what stderr still holds, and close what is open."""
        self._stderr.flush()
        if self._descriptors is not None:
            self._descriptors.close_all()

    def _count_log(self, size: int) -> None:
        self._logged += size
        if self._logged > self.limits.log_bytes:
            self._over("log_bytes", "log", self.limits.log_bytes)
