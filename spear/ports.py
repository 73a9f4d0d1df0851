"""What the inside needs from the outside, as small Protocols named for the caller's need; no implementation here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, BinaryIO, Protocol, TypeVar
from uuid import UUID

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from."""

    def now_us(self) -> int:
        """Microseconds since the Unix epoch."""
        ...


class Ids(Protocol):
    """Where random identity comes from."""

    def new(self) -> UUID:
        """A fresh UUID."""
        ...


class Ticket(Protocol):
    """One caller's place to wait; rung at most once that matters, from any native thread."""

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block this caller only; False when `timeout_s` ran out first."""
        ...


class Bell(Protocol):
    """How one native thread wakes waiters of another; the only bridge between the hub and native threads."""

    def ticket(self) -> Ticket:
        """A ticket for the calling greenlet or thread."""
        ...

    def ring(self, tickets: Sequence[Ticket]) -> None:
        """Wake all `tickets`; callable from any native thread, never blocks."""
        ...

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` on this thread once whoever is runnable now had a turn; at once where there is no hub."""
        ...

    def turn(self) -> None:
        """Between two slices of long work: return when the others had their turn; at once where there is no hub."""
        ...

    def spawn(self, work: Callable[[], None]) -> Callable[[], None]:
        """Run `work` beside everything else, on the hub if there is one; returns what ends it early.

        Both are callable from any native thread and never block.
        """
        ...


class Threads(Protocol):
    """Native threads for work that blocks or computes."""

    def call(self, work: Callable[[], T]) -> T:
        """Run `work` on a native thread, block only this caller, hand back its result or its error."""
        ...

    def start(self, main: Callable[[], None]) -> None:
        """Run `main` on a native thread of its own and return at once."""
        ...


@dataclass(frozen=True, slots=True)
class Blob:
    """Content that is durable: its SHA-256 in lower-case hex and its length in bytes."""

    sha256: str
    size: int


class BlobStore(Protocol):
    """Content-addressed bytes; what `put` returned is on disk."""

    def put(self, source: BinaryIO, *, limit: int, hold: bool = False) -> Blob:
        """Stream `source` in; raise `TooLarge` over `limit` bytes, `Unavailable` when the disk refuses.

        With `hold`, nobody can delete the content before it is released as often as it was held.
        """
        ...

    def release(self, sha256: str) -> None:
        """End one hold."""
        ...

    def open(self, sha256: str) -> AbstractContextManager[BinaryIO]:
        """A seekable reader over verified content; raise `NotFound`, or `Corrupt` when the bytes do not match."""
        ...

    def delete(self, sha256: str) -> bool:
        """Forget the content; False when it was not there. Raise `Refused` while it is held."""
        ...

    def list(self) -> Iterator[str]:
        """Every stored hash, in order."""
        ...


class Stream(StrEnum):
    """Where a log line came from."""

    STDOUT = "stdout"
    STDERR = "stderr"
    LOG = "log"
    SYSTEM = "system"


class Level(StrEnum):
    """How much a log line matters, lowest first."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that an execution wrote; `seq` counts from 1 without gaps."""

    seq: int
    ts_ms: int
    stream: Stream
    level: Level
    message: str


class LogSink(Protocol):
    """Where one running execution's lines go; callable from the guest's native thread."""

    def write(self, stream: Stream, level: Level, message: str) -> None:
        """Append one line; never raises, over the byte limit the sink marks itself truncated."""
        ...

    @property
    def written_bytes(self) -> int:
        """Bytes taken so far, against the task's log limit."""
        ...


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines after a cursor, oldest first; `next_after` continues, `completed` says that no more will come."""

    lines: list[LogLine]
    next_after: int
    truncated: bool
    completed: bool


class LogStore(Protocol):
    """The lines of executions, by node, task and execution."""

    def sink(
        self, execution_id: str, *, node_uuid: str, task_id: str, limit_bytes: int
    ) -> AbstractContextManager[LogSink]:
        """Open the log of a run that starts; leaving the context completes it."""
        ...

    def read(
        self,
        execution_id: str,
        *,
        node_uuid: str,
        task_id: str,
        after: int,
        limit: int,
        stream: Stream | None = None,
        level: Level | None = None,
    ) -> LogPage:
        """Up to `limit` lines with `seq > after`; an execution that logged nothing has an empty, completed page."""
        ...

    def wait(self, execution_id: str, *, after: int, timeout_s: float) -> bool:
        """Block this caller until a running execution has a line past `after` or its log completes; False on timeout."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use; each is enforced, and the error names the one that fired."""

    wall_ms: int = 30_000
    memory_bytes: int = 256 * 1024 * 1024
    output_bytes: int = 8 * 1024 * 1024
    log_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run, complete: what to start, with which input, under which limits; `config` is its task's."""

    execution_id: str
    input: bytes = b""
    args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    task_id: str = ""
    config: Mapping[str, str] = field(default_factory=dict)
    correlation: str = ""


class End(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run: never an exception, whatever the guest did.

    `reason` is one of exit_code, trap, wall_time, memory, output_bytes, log_bytes, terminated, start, engine (which ran
    it went away), or "" when it completed; `last_action` says what the guest did last ("computing", "sleep_ms", ...).
    """

    end: End
    output: bytes = b""
    exit_code: int | None = None
    error: str = ""
    reason: str = ""
    last_action: str = ""
    code: str = "EXECUTION_FAILED"


class Run(Protocol):
    """One live run on an instance."""

    def result(self) -> Outcome:
        """Block this caller until the run ended."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Block this caller until the run ended; False when `timeout_s` ran out first."""
        ...

    def stop(self, reason: str) -> None:
        """End it within 200 ms as cancelled; harmless after the end; callable from any greenlet."""
        ...


class Instance(Protocol):
    """A prepared sandbox of one executable; runs share nothing but the prepared code."""

    @property
    def sha256(self) -> str:
        """The hash of what it runs, in lower-case hex; "" when nobody can tell."""
        ...

    def start(self, spec: RunSpec, logs: LogSink) -> Run:
        """Start one run; it never raises for what the guest does."""
        ...

    def close(self) -> None:
        """Release what it holds; running guests are stopped first; may be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a task runs: its bytes with their SHA-256 for a runtime that asks, where it is, and what it is called.

    `config` is the task's, `kind` its executable's type. `fetch` raises what `Artifacts.fetch` does, and holds the bytes
    to `sha256`; a runtime that does not fetch has to do so itself, unless that is "".
    """

    fetch: Callable[[], tuple[bytes, str]]
    uri: str = ""
    name: str = ""
    config: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    sha256: str = ""


class Runtime(Protocol):
    """One way to run executables; one row in `RUNTIMES`."""

    def prepare(self, artifact: Artifact) -> Instance:
        """Check and make ready; raise `InvalidConfiguration` with the reason when it can never run."""
        ...

    def close(self) -> None:
        """Stop every run and release threads; may be called twice."""
        ...


class Artifacts(Protocol):
    """Where executables come from."""

    def fetch(self, uri: str, *, checksum_sha256: str = "") -> tuple[bytes, str]:
        """The bytes and their SHA-256; raise `InvalidConfiguration` for a bad scheme, a wrong hash or a missing file."""
        ...


class Directory(Protocol):
    """Where a node makes itself known: its own log, or an SMS."""

    def register(self, *, uuid: str, ip_address: str, port: int, http_port: int, metadata: Mapping[str, str]) -> str:
        """Make the node known; returns the uuid under which it is. Raise `Unavailable`."""
        ...

    def report(self, uuid: str, numbers: Mapping[str, int | float]) -> bool | None:
        """The node lives and uses so much; returns whether an SMS drained it, None for who is none.

        Raise `NotFound` when it is not known (any more), or `Unavailable`.
        """
        ...


class TaskChange(StrEnum):
    """What an SMS says of a task."""

    CREATED = "created"
    UPDATED = "updated"
    GONE = "gone"


class TaskSource(Protocol):
    """Where a node learns of tasks that others registered; every call may raise `Unavailable`."""

    def task(self, task_id: str) -> dict[str, Any] | None:
        """How the task is described, as `Tasks.register` takes it; None when there is none."""
        ...

    def task_at(self, endpoint: str) -> tuple[str, dict[str, Any]] | None:
        """The id and the description of the task that owns the endpoint; None when nobody does."""
        ...

    def changes(self, node_uuid: str, *, after: int) -> Iterator[tuple[int, str, TaskChange]]:
        """What happens to this node's tasks, for ever: position, task's id, change. Raise `Refused` for a position that is not there."""
        ...


class StreamLink(Protocol):
    """The user streams of one running execution, seen from its clients' side; one for all of them."""

    def send(self, frame: bytes) -> None:
        """Bring a frame to the guest; raises `Overloaded` or `Unavailable`, never blocks."""
        ...

    def leave(self, stream_id: int) -> None:
        """The client of this stream is gone; never blocks."""
        ...

    def heard(self, stream_id: int, size: int) -> None:
        """The client of this stream took a frame of this size; never blocks."""
        ...

    def frames(self) -> Iterator[list[bytes]]:
        """What the guest says, until it or the way to it ends; never raises."""
        ...

    def close(self) -> None:
        """Nobody listens any more; may be called twice."""
        ...
