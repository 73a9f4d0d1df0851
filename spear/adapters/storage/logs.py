"""Log lines of executions: one NDJSON file each, readable with any text tool while it grows."""

import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from itertools import islice
from os.path import basename, dirname
from pathlib import Path

import msgspec
from gevent.monkey import get_original

from spear.adapters.storage.reported import COMPLETED, MOST_BYTES, TRUNCATED, ReportedLog
from spear.errors import AlreadyExists, Invalid, Unavailable
from spear.ports import Bell, Clock, Level, LogLine, LogPage, LogSink, Stream, Ticket
from spear.reports import LogMark

PART = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}")
RANK = {level: rank for rank, level in enumerate(Level)}
_OPEN_REPORTS = 1024

# Guests write from native threads, which a patched lock could not serve.
_native_lock = get_original("_thread", "allocate_lock")
_decode = msgspec.json.Decoder(LogLine).decode


def _encode(line: LogLine) -> bytes:
    return msgspec.json.encode(line) + b"\n"


class _Folders:
    """Which folders hold no log, so that most runs, which log nothing, need not look there for one to replace."""

    def __init__(self) -> None:
        self._missing: dict[str, bool] = {}

    def make(self, folder: str) -> None:
        """Be sure that it is there; callable from any native thread."""
        self._missing[folder] = False  # before it appears, so that who looks now cannot call it missing afterwards
        os.makedirs(folder, exist_ok=True)

    def forget(self, path: str) -> None:
        """Remove the log that an earlier run of the same execution left."""
        folder = dirname(path)
        if self._missing.get(folder):
            return
        try:
            os.stat(path)  # cheaper than to unlink nothing, and there is hardly ever something
            os.unlink(path)
        except FileNotFoundError:
            if not os.path.exists(folder):
                self._missing.setdefault(folder, True)
        except NotADirectoryError:
            return
        except OSError as error:
            text = error.strerror or error
            raise Unavailable(f"log {basename(path)}: the disk refused to replace it: {text}") from error


class _FileSink:
    """The open log of one run; the file appears with the first line."""

    def __init__(self, path: str, folders: _Folders, *, limit_bytes: int, clock: Clock, bell: Bell) -> None:
        self._path, self._folders = path, folders
        self._limit = limit_bytes
        self._clock = clock
        self._bell = bell
        self._lock = _native_lock()
        self._file: FileIO | None = None
        self._tickets: list[Ticket] = []
        self._bytes = 0
        self._accepts = True
        self.last_seq = 0
        self.closed = False

    @property
    def written_bytes(self) -> int:
        """Bytes of the file's lines; the whole limit once a line did not fit or the disk refused one."""
        return self._bytes

    def write(self, stream: Stream, level: Level, message: str) -> None:
        """Append one line and wake who waits for it; over the limit or a refusing disk it ends the log as truncated."""
        text = message.encode("utf-8", "replace").decode("utf-8")
        with self._lock:
            if not self._accepts:
                return
            record = _encode(LogLine(self.last_seq + 1, self._clock.now_us() // 1000, stream, level, text))
            if self._bytes + len(record) <= self._limit and self._append(record):
                self._bytes += len(record)
                self.last_seq += 1
            else:
                self._truncate()
            self._ring()

    def wait(self, after: int, timeout_s: float) -> bool:
        """Block this caller until there is a line past `after` or the log is closed; False when time ran out first."""
        with self._lock:
            if self.closed or self.last_seq > after:
                return True
            ticket = self._bell.ticket()
            self._tickets.append(ticket)
        try:
            return ticket.wait(timeout_s)
        finally:
            with self._lock, suppress(ValueError):
                self._tickets.remove(ticket)

    def close(self) -> None:
        """Complete the log; lines that come later are dropped."""
        with self._lock:
            self._accepts, self.closed = False, True
            if self._file:
                self._append(COMPLETED)
                self._file.close()
            self._ring()

    def _append(self, record: bytes) -> bool:
        try:
            self._file = self._file or self._create()
            return self._file.write(record) == len(record)
        except OSError:
            return False

    def _create(self) -> FileIO:
        self._folders.make(dirname(self._path))
        return FileIO(self._path, "w")

    def _truncate(self) -> None:
        self._accepts = False
        self._bytes = self._limit
        self._append(TRUNCATED)

    def _ring(self) -> None:
        if self._tickets:
            tickets, self._tickets = self._tickets, []
            self._bell.ring(tickets)


def _entries(path: str, *, after: int, live: bool) -> Iterator[LogLine | None]:
    """Lines with `seq > after`; None where lines are missing: over the limit, or torn by a crash or a full disk."""
    try:
        with open(path, "rb") as file:
            for raw in islice(file, after, None):
                if live and not raw.endswith(b"\n"):
                    return
                if raw != COMPLETED:
                    yield _line(raw)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unavailable(f"log {basename(path)}: the disk refused to read it: {error.strerror or error}") from error


def _line(raw: bytes) -> LogLine | None:
    try:
        return _decode(raw)
    except msgspec.DecodeError:
        return None


def _wanted(line: LogLine, stream: Stream | None, level: Level | None) -> bool:
    return stream in (None, line.stream) and (level is None or RANK[line.level] >= RANK[level])


class FileLogStore:
    """Logs as files `root/<node>/<task>/<execution>.log`."""

    def __init__(self, root: Path, *, clock: Clock, bell: Bell) -> None:
        self._root = str(root)
        self._folders = _Folders()
        self._clock = clock
        self._bell = bell
        self._live: dict[str, _FileSink] = {}
        self._reported: OrderedDict[str, ReportedLog] = OrderedDict()

    @contextmanager
    def sink(self, execution_id: str, *, node_uuid: str, task_id: str, limit_bytes: int) -> Iterator[LogSink]:
        """Open the log of a run that starts, anew when the execution ran before; leaving the context completes it.

        Raises `Invalid` for a name that cannot be a file's, and `AlreadyExists` while the execution's log is open.
        """
        path = self._path(execution_id, node_uuid, task_id)
        if execution_id in self._live:
            raise AlreadyExists(f"the log of execution {execution_id} is open already")
        self._folders.forget(path)
        sink = _FileSink(path, self._folders, limit_bytes=limit_bytes, clock=self._clock, bell=self._bell)
        self._live[execution_id] = sink
        try:
            yield sink
        finally:
            sink.close()
            del self._live[execution_id]

    def append(self, execution_id: str, *, node_uuid: str, task_id: str, lines: Sequence[LogLine]) -> LogMark:
        """Append lines of an execution that runs elsewhere; those that are there are skipped.

        Raises `Refused` for a gap and for a finished log, `TooLarge` for a full one, `Unavailable` when the disk refuses.
        """
        return self._log_of(execution_id, node_uuid, task_id).append(lines)

    def finish(self, execution_id: str, *, node_uuid: str, task_id: str) -> LogMark:
        """No more of them will come; what came is on disk. May be repeated."""
        mark = self._log_of(execution_id, node_uuid, task_id).finish()
        del self._reported[execution_id]
        return mark

    def _log_of(self, execution_id: str, node_uuid: str, task_id: str) -> ReportedLog:
        found = self._reported.pop(execution_id, None)
        if found is None:
            path = self._path(execution_id, node_uuid, task_id)
            found = ReportedLog(path, bell=self._bell, most_bytes=MOST_BYTES)
        self._reported[execution_id] = found
        if len(self._reported) > _OPEN_REPORTS:
            self._reported.popitem(last=False)
        return found

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
        """Up to `limit` lines past `after`, of `stream` only and at least at `level`; a page is full or the last one.

        Only the last page says `truncated`, which is where the lines are missing, or `completed`.
        """
        path = self._path(execution_id, node_uuid, task_id)
        # Asked before reading: a log that completes meanwhile is only found completed by the next page.
        live = self._is_live(execution_id)
        lines: list[LogLine] = []
        last, truncated = after, False
        for line in _entries(path, after=max(after, 0), live=live):
            if line is None:
                truncated = True
                continue
            if _wanted(line, stream, level):
                if len(lines) == limit:
                    return LogPage(lines, last, truncated=False, completed=False)
                lines.append(line)
            last = line.seq
        return LogPage(lines, last, truncated, completed=not live)

    def wait(self, execution_id: str, *, after: int, timeout_s: float) -> bool:
        """Block this caller until a running execution has a line past `after` or its log completes; False on timeout.

        True at once for an execution that has no open log.
        """
        sink = self._open(execution_id)
        return sink is None or sink.wait(after, timeout_s)

    def _is_live(self, execution_id: str) -> bool:
        sink = self._open(execution_id)
        return sink is not None and not sink.closed

    def _open(self, execution_id: str) -> _FileSink | ReportedLog | None:
        return self._live.get(execution_id) or self._reported.get(execution_id)

    def _path(self, execution_id: str, node_uuid: str, task_id: str) -> str:
        for name, part in (("node_uuid", node_uuid), ("task_id", task_id), ("execution_id", execution_id)):
            if not PART.fullmatch(part):
                raise Invalid.field(name, part, "1 to 128 of A-Z a-z 0-9 . _ - and neither . nor ..")
        return f"{self._root}/{node_uuid}/{task_id}/{execution_id}.log"
