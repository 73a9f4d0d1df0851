"""Hands the log lines of this node's executions to the SMS: while they run, and the rest when they ended."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from spear.errors import Forbidden, Overloaded, Refused, SpearError, TooLarge, Unauthenticated, Unavailable
from spear.ports import Bell, Level, LogLine, LogPage, LogStore, Stream
from spear.projections.executions import ExecutionRow
from spear.reports import Headquarters

MOST_LIVE = 64  # executions whose lines are handed on while they run; those of others follow at their end
_PAGE = 1000
_BATCH_CHARS = 256 * 1024
_LINE_CHARS = 256 * 1024  # what is longer is cut
_GATHER_S, _NOTHING_S = 0.05, 0.5
_WAIT_S = 5.0
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
LATER = (Unavailable, Overloaded, Forbidden, Unauthenticated)


class LineSender:
    """Sends lines in order from the node's log store; the SMS skips what it has, so nobody keeps count of it."""

    def __init__(
        self, store: LogStore, sms: Headquarters, *, bell: Bell, spawn: Callable[[Callable[[], None]], None]
    ) -> None:
        self._store, self._sms, self._bell, self._spawn = store, sms, bell, spawn
        self._live: dict[str, int] = {}  # by execution: the last line that the SMS has

    def begin(self, row: ExecutionRow) -> None:
        """Hand its lines on while it runs, as far as there is room for one more."""
        if row.execution_id not in self._live and len(self._live) < MOST_LIVE:
            self._live[row.execution_id] = 0
            self._spawn(lambda: self._follow(row))

    def has_any(self, row: ExecutionRow) -> bool:
        """Whether it wrote anything."""
        page = self._read(row, after=0, limit=1)
        return bool(page.lines or page.truncated)

    def finish(self, row: ExecutionRow) -> None:
        """Hand over what is left of an execution that ended, and say that this is all."""
        after = self._live.pop(row.execution_id, 0)
        while True:
            page = self._read(row, after=after, limit=_PAGE)
            try:
                after = self._send(row, [*page.lines, _missing(page)] if page.truncated else page.lines)
            except TooLarge:
                break
            except Refused as error:
                if "out_of_order" not in error.message or not after:
                    break
                after = 0  # the SMS has less than it said, so everything again
                continue
            if page.truncated or not page.lines:
                break
        self._sms.finish_lines(row.execution_id)

    def _follow(self, row: ExecutionRow) -> None:
        pauses = iter(_PAUSES_S)
        while (after := self._live.get(row.execution_id)) is not None:
            try:
                moved = self._hand_on(row, after)
            except LATER:
                self._pause(next(pauses, _PAUSES_S[-1]))
            except SpearError:
                return  # `finish` tries again and says so
            else:
                pauses = iter(_PAUSES_S)
                self._pause(_GATHER_S if moved else _NOTHING_S)

    def _hand_on(self, row: ExecutionRow, after: int) -> bool:
        if not self._store.wait(row.execution_id, after=after, timeout_s=_WAIT_S):
            return False
        page = self._read(row, after=after, limit=_PAGE)
        after = self._send(row, page.lines) if page.lines else after
        if row.execution_id in self._live:
            self._live[row.execution_id] = after
        return bool(page.lines)

    def _read(self, row: ExecutionRow, *, after: int, limit: int) -> LogPage:
        return self._store.read(
            row.execution_id, node_uuid=row.node_uuid, task_id=row.task_id, after=after, limit=limit
        )

    def _send(self, row: ExecutionRow, lines: Sequence[LogLine]) -> int:
        """Returns the last line that the SMS has; raises what it says."""
        after = 0
        for batch in _batches(lines):
            mark = self._sms.append_lines(row.execution_id, batch)
            after = mark.next_seq - 1
            if mark.truncated:
                raise TooLarge("the SMS takes no more lines of it")
        return after

    def _pause(self, seconds: float) -> None:
        self._bell.ticket().wait(seconds)


def _batches(lines: Sequence[LogLine]) -> Iterator[list[LogLine]]:
    batch: list[LogLine] = []
    size = 0
    for line in lines:
        if len(line.message) > _LINE_CHARS:
            line = replace(line, message=line.message[:_LINE_CHARS])
        if batch and size + len(line.message) > _BATCH_CHARS:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line.message)
    if batch:
        yield batch


def _missing(page: LogPage) -> LogLine:
    ts_ms = page.lines[-1].ts_ms if page.lines else 0
    text = "lines are missing from here on: the node's log was full or was torn"
    return LogLine(page.next_after + 1, ts_ms, Stream.SYSTEM, Level.WARN, text)
