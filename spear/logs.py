"""Structured logging on the standard library: one line per record, as JSON or as text for people."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from spear.errors import StartupError
from spear.ports import Level

TRACE = 5
NUMBERS = {
    Level.TRACE: TRACE,
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARN: logging.WARNING,
    Level.ERROR: logging.ERROR,
}
COLOURS = {Level.TRACE: "2", Level.DEBUG: "36", Level.INFO: "32", Level.WARN: "33", Level.ERROR: "31"}
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")


class Format(StrEnum):
    """How a log line looks."""

    JSON = "json"
    PRETTY = "pretty"
    COMPACT = "compact"


@contextmanager
def bound(correlation: str) -> Iterator[None]:
    """Give every line of the body this correlation id; a greenlet or thread that it spawns has none until it binds."""
    token = correlation_id.set(correlation)
    try:
        yield
    finally:
        correlation_id.reset(token)


def configure(level: Level, format: Format, *, file: Path | None = None) -> None:
    """Log to stderr, and to `file` as well; replaces an earlier `configure`; raises `StartupError` for a bad file."""
    handlers = [_Handler(sys.stderr, format)]
    if file is not None:
        handlers.append(_Handler(_opened(file), format))
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    logging.addLevelName(TRACE, "TRACE")
    root.setLevel(NUMBERS[level])


def _opened(file: Path) -> TextIO:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StartupError(f"log.file: got {str(file)!r}, expected a file to append to: {error.strerror}") from None


class _Handler(logging.StreamHandler[TextIO]):
    """Writes each record in one call and without a lock, so that native threads and greenlets can share it."""

    def __init__(self, stream: TextIO, format: Format) -> None:
        super().__init__(stream)
        colour = format is Format.PRETTY and stream.isatty()
        self.setFormatter(_Json() if format is Format.JSON else _Text(format, colour=colour))

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the record unless a filter drops it."""
        # Monkey-patched, the handler's lock is gevent's, and native threads that share one with greenlets deadlock.
        wanted = bool(self.filter(record))
        if wanted:
            self.emit(record)
        return wanted

    def flush(self) -> None:
        """Hand everything to the operating system; takes no lock either."""
        self.stream.flush()

    def close(self) -> None:
        """Close the file; stderr stays open."""
        super().close()
        if self.stream is not sys.stderr:
            self.stream.close()


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": _time(record),
            "level": _level(record),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps(line | dict(_fields(self, record)) | line, default=str, ensure_ascii=False)


class _Text(logging.Formatter):
    def __init__(self, format: Format, *, colour: bool) -> None:
        super().__init__()
        self._compact = format is Format.COMPACT
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level = _level(record)
        word = level.upper() if self._compact else f"{level.upper():5}"
        word = f"\x1b[{COLOURS[level]}m{word}\x1b[0m" if self._colour else word
        fields = dict(_fields(self, record))
        trace = "" if self._compact else fields.pop("exception", "")
        time = _time(record)[11:] if self._compact else _time(record)
        words = [time, word, f"{record.name}:", _one_line(record.getMessage())]
        words += [f"{name}={_one_line(str(value))}" for name, value in fields.items()]
        return " ".join(words) + (f"\n{trace}" if trace else "")


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    if correlation := correlation_id.get():
        yield "correlation_id", correlation
    yield from ((name, value) for name, value in vars(record).items() if name not in STANDARD)
    if record.exc_info:
        yield "exception", formatter.formatException(record.exc_info)


def _time(record: logging.LogRecord) -> str:
    stamp = datetime.fromtimestamp(record.created, tz=UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(record: logging.LogRecord) -> Level:
    return next((level for level in reversed(NUMBERS) if NUMBERS[level] <= record.levelno), Level.TRACE)


def _one_line(text: str) -> str:
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
