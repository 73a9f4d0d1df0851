"""What one run of a process writes, under its limits, and how its end is told."""

import re
import signal
from collections.abc import Callable

from spear.adapters.runtimes._guest import Halt
from spear.adapters.runtimes._hearing import Heard
from spear.adapters.runtimes._warden import Ended
from spear.ports import End, Limits, LogSink, Outcome

RUNNING, WAITING = "running", "waiting"
_LEAST_MEMORY = 32 * 1024 * 1024  # what is less may be too little for the sandbox itself
_NO_MEMORY = re.compile(  # as C, C++, Python, Rust, Go, Java, Node.js and the linker word it
    r"cannot allocate memory|memory exhausted|bad_alloc|MemoryError|memory allocation of \d+ bytes failed"
    r"|out ?of ?memory|failed to map segment|cannot map zero-fill",
    re.IGNORECASE,
)


class Gathering:
    """Takes what a run writes; `over` is called once, when a limit is reached or somebody wants the end."""

    def __init__(self, limits: Limits, logs: LogSink, over: Callable[[], None]) -> None:
        self._limits, self._over, self._heard = limits, over, Heard(limits, logs)
        self.halted: Halt | None = None

    def halt(self, end: End, reason: str, text: str) -> None:
        """Why it has to stop; the first reason stands."""
        if self.halted is None:
            self.halted = Halt(end, reason, text)
            self._over()

    def print(self, data: bytes) -> None:
        """Take bytes of stdout; the first `output_bytes` of them are kept."""
        if not self._heard.stdout(data):
            self.halt(End.FAILED, "output_bytes", f"output limit of {self._limits.output_bytes} bytes reached")

    def complain(self, data: bytes) -> None:
        """Take bytes of stderr as log lines; the first `log_bytes` of them are kept."""
        if not self._heard.stderr(data):
            self.halt(End.FAILED, "log_bytes", f"log limit of {self._limits.log_bytes} bytes reached")

    def time_is_up(self) -> None:
        """It ran for as long as it may."""
        self.halt(End.TIMEOUT, "wall_time", f"wall time limit of {self._limits.wall_ms} ms reached")

    def never_began(self) -> Outcome:
        """How a run ended that had to stop before it had a place."""
        assert self.halted is not None
        error = f"{self.halted.text}; the agent was still {WAITING} for a place"
        return Outcome(self.halted.end, error=error, reason=self.halted.reason, last_action=WAITING)

    def outcome(self, ended: Ended) -> Outcome:
        """How the run ended, all that it wrote taken; `ended` is its processes' end."""
        self._heard.close()
        if self.halted is not None:
            return self._told(self.halted.end, self.halted.reason, self.halted.text)
        if ended.code == 0:
            return Outcome(End.COMPLETED, bytes(self._heard.output), 0, last_action=RUNNING)
        return self._failed(ended)

    def _failed(self, ended: Ended) -> Outcome:
        reason, text = _why(ended, self._heard.last_line)
        if self._out_of_memory(ended):
            reason, text = "memory", f"memory limit of {self._limits.memory_bytes} bytes reached ({text})"
        return self._told(End.FAILED, reason, text, code=ended.code)

    def _out_of_memory(self, ended: Ended) -> bool:
        """The kernel does not say when it refused memory, so this goes by what was used and what the agent said last."""
        if ended.code is None:
            return self._limits.memory_bytes < _LEAST_MEMORY
        used_up = ended.memory > self._limits.memory_bytes * 7 // 8
        return used_up or _NO_MEMORY.search(self._heard.last_line) is not None

    def _told(self, end: End, reason: str, text: str, *, code: int | None = None) -> Outcome:
        error = f"{text}; the agent was last {RUNNING}"
        return Outcome(end, bytes(self._heard.output), code, error, reason, RUNNING)


def _why(ended: Ended, last_line: str) -> tuple[str, str]:
    if ended.code is None:
        return "start", f"the process could not be started: {ended.error or last_line or 'nobody says why'}"
    number = ended.code - 128
    if number in set(signal.Signals):
        return "trap", f"killed by {signal.Signals(number).name} ({signal.strsignal(number)})"
    return "exit_code", f"exit code {ended.code}"
