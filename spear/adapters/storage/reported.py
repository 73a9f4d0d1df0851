"""Log lines that other nodes hand in: the same files as those of own runs, numbered by the node that wrote them."""

import os
from collections.abc import Sequence
from contextlib import suppress
from os.path import basename, dirname

import msgspec

from spear.errors import Refused, TooLarge, Unavailable
from spear.ports import Bell, LogLine, Ticket
from spear.reports import LogMark

TRUNCATED = b'{"truncated":true}\n'
COMPLETED = b'{"completed":true}\n'
MOST_BYTES = 10 * 1024 * 1024
_encode = msgspec.json.Encoder().encode


class ReportedLog:
    """The log of one execution that runs elsewhere, open for more; what is in the file says how far it is."""

    def __init__(self, path: str, *, bell: Bell, most_bytes: int) -> None:
        self._path, self._bell, self._most = path, bell, most_bytes
        self._tickets: list[Ticket] = []
        self._bytes, self.last_seq, self.truncated, self.closed = 0, 0, False, False
        try:
            self._recover()
        except OSError as error:
            raise self._refused(error) from error

    def _recover(self) -> None:
        """Count the lines; what a crash tore off the last one is cut away."""
        with suppress(FileNotFoundError), open(self._path, "r+b") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    file.truncate(self._bytes)
                    return
                self._bytes += len(raw)
                self.truncated |= raw == TRUNCATED
                self.closed |= raw == COMPLETED
                self.last_seq += raw not in (TRUNCATED, COMPLETED)

    def append(self, lines: Sequence[LogLine]) -> LogMark:
        """Append those that are new, as many as fit."""
        if not lines:
            return self.mark(0)
        if self.closed:
            raise Refused("logs already finalized", code="LOGS_FINALIZED")
        if self.truncated:
            raise TooLarge("logs truncated", code="LOGS_TRUNCATED")
        pieces, full = self._fitting(lines)
        self._write(b"".join(pieces) + TRUNCATED * full, lines=len(pieces))
        self.truncated = full
        return self.mark(len(pieces))

    def _fitting(self, lines: Sequence[LogLine]) -> tuple[list[bytes], bool]:
        """The lines that are new and have room, and whether some had none."""
        pieces: list[bytes] = []
        size, expected = self._bytes, self.last_seq + 1
        for line in lines:
            if line.seq < expected:
                continue
            if line.seq > expected:
                raise Refused(f"out_of_order: expected_seq={expected} got_seq={line.seq}", code="LOGS_OUT_OF_ORDER")
            pieces.append(_encode(line) + b"\n")
            size += len(pieces[-1])
            if size > self._most:
                return pieces[:-1], True
            expected += 1
        return pieces, False

    def finish(self) -> LogMark:
        """Complete it, on disk."""
        if not self.closed:
            self._write(COMPLETED, lines=0, sync=True)
            self.closed = True
        return self.mark(0)

    def mark(self, accepted: int) -> LogMark:
        """How far it is."""
        return LogMark(self.last_seq + 1, accepted, self.truncated, self.closed)

    def _write(self, data: bytes, *, lines: int, sync: bool = False) -> None:
        if not data:
            return
        try:
            os.makedirs(dirname(self._path), exist_ok=True)
            with open(self._path, "ab", buffering=0) as file:
                written = file.write(data)
                if written != len(data):
                    file.truncate(self._bytes)
                    raise Unavailable(f"log {basename(self._path)}: the disk is full")
                if sync:
                    os.fsync(file.fileno())
        except OSError as error:
            raise self._refused(error) from error
        self._bytes += len(data)
        self.last_seq += lines
        tickets, self._tickets = self._tickets, []
        self._bell.ring(tickets)

    def _refused(self, error: OSError) -> Unavailable:
        return Unavailable(f"log {basename(self._path)}: the disk refused it: {error.strerror or error}")

    def wait(self, after: int, timeout_s: float) -> bool:
        """Block this caller until there is a line past `after` or it is complete; False when time ran out first."""
        if self.closed or self.last_seq > after:
            return True
        ticket = self._bell.ticket()
        self._tickets.append(ticket)
        try:
            return ticket.wait(timeout_s)
        finally:
            with suppress(ValueError):
                self._tickets.remove(ticket)
