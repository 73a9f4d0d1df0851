"""What executions wrote: a page of lines, or a stream that follows until the execution ended."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from marshmallow import fields

from spear.adapters.rest import sse
from spear.adapters.rest.schemas import Resource, Taken, answer, choice, matching, saying, whole
from spear.domain.execution import FINAL, ExecutionStatus
from spear.ports import Level, LogLine, LogPage, Stream
from spear.projections.executions import ExecutionRow
from spear.projections.nodes import get_node
from spear.services.platform import Platform

_LATECOMERS_S = 1.0  # an answer from another node can come before the lines that the node reports
_NOTHING_YET = LogPage([], 0, truncated=False, completed=True)


class LogQuery(Taken):
    """Which lines: of one stream, at least at a level, after a line's number."""

    limit = whole(1, 10_000, strict=False, load_default=1000)
    after = whole(0, 2**53, strict=False, load_default=0)
    stream = choice(Stream, "", load_default="")
    level = choice(Level, "", load_default="")
    follow = fields.Boolean(load_default=False, error_messages=saying("true or false"))
    as_of = matching("", 'nothing: lines are no events; "after" and "limit" choose among them', load_default="")


Line = answer("LogLine", seq=int, ts_ms=int, stream=Stream, level=Level, message=str)
LogLines = answer("LogLines", execution_id=str, lines=[Line], next_after=int, truncated=bool, completed=bool)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which lines of one execution."""

    execution_id: str
    limit: int
    stream: Stream | None
    level: Level | None


def _wanted(execution_id: str, query: dict[str, Any]) -> _Wanted:
    stream, level = query["stream"], query["level"]
    return _Wanted(execution_id, query["limit"], Stream(stream) if stream else None, Level(level) if level else None)


def line_json(line: LogLine) -> dict[str, Any]:
    """A line as the API shows it."""
    return {
        "seq": line.seq,
        "ts_ms": line.ts_ms,
        "stream": line.stream.value,
        "level": line.level.value,
        "message": line.message,
    }


class Logs:
    """The lines of executions as far as they are written; `completed` says that the execution ended too."""

    def __init__(self, platform: Platform) -> None:
        self._executions, self._logs, self._log = platform.executions, platform.logs, platform.log
        self._own, self._clock, self._following = platform.runs.node, platform.clock, platform.following
        self._reader = platform.reader

    def read(self, wanted: _Wanted, after: int) -> tuple[ExecutionRow, LogPage]:
        """The execution and a page of its lines; raises `NotFound`, and `Unavailable` on a standby."""
        row = self._executions.get(wanted.execution_id)
        if self._following is not None:
            raise self._following.no_lines()
        if not row.started_at_us:
            return row, _NOTHING_YET
        page = self._logs.read(
            row.execution_id,
            node_uuid=row.node_uuid,
            task_id=row.task_id,
            after=after,
            limit=wanted.limit,
            stream=wanted.stream,
            level=wanted.level,
        )
        last = page.completed or len(page.lines) < wanted.limit
        if not last or not _ended(row) or row.node_uuid == self._own.uuid:
            return row, page
        return row, replace(page, completed=not self._expects_more(row, page))

    def _expects_more(self, row: ExecutionRow, page: LogPage) -> bool:
        """Whether another node, which ran it, may not have reported all its lines yet; one that was removed will not."""
        if not page.completed:
            return get_node(self._reader, row.node_uuid) is not None
        late_us = self._clock.now_us() - row.completed_at_us
        return bool(row.input_sha256) and late_us < _LATECOMERS_S * 1_000_000

    def follow(self, wanted: _Wanted, after: int) -> Iterator[bytes]:
        """Every line as an event with its number, and `end` with the execution's status."""
        spoke = monotonic()
        while True:
            head = self._log.head
            row, page = self.read(wanted, after)
            after = max(after, page.next_after)
            if page.lines:
                yield b"".join(sse.message(line_json(line), ident=line.seq) for line in page.lines)
                spoke = monotonic()
            if page.completed and _ended(row):
                yield sse.message({"status": row.status, "truncated": page.truncated}, event="end")
                return
            left = spoke + sse.IDLE_S - monotonic()
            if left <= 0:
                yield sse.ALIVE
                spoke = monotonic()
            elif len(page.lines) < wanted.limit:
                self._wait(row, page, head, after=after, timeout_s=left)

    def _wait(self, row: ExecutionRow, page: LogPage, head: int, *, after: int, timeout_s: float) -> None:
        if page.completed:  # not started yet, or about to end: both become known by an event
            self._log.wait(head, timeout_s=timeout_s)
        elif _ended(row):
            self._log.wait(head, timeout_s=min(timeout_s, _LATECOMERS_S / 10))
        else:
            self._logs.wait(row.execution_id, after=after, timeout_s=timeout_s)


def _ended(row: ExecutionRow) -> bool:
    return ExecutionStatus(row.status) in FINAL


def make(platform: Platform) -> Resource:
    """The route /api/v1/executions/<execution_id>/logs."""
    api = Resource("logs", __name__, url_prefix="/api/v1/executions", description="What executions wrote")
    logs, streams = Logs(platform), sse.Streams(platform.tokens)

    @api.get("/<execution_id>/logs")
    @api.query(LogQuery)
    @api.answers(LogLines, refuses=(404, 429, 503), streams=True)
    def read(query: dict[str, Any], execution_id: str) -> Any:
        """What an execution wrote, by line; as text/event-stream it is followed until the end."""
        wanted, after = _wanted(execution_id, query), query["after"]
        row, page = logs.read(wanted, after)
        if query["follow"] or sse.wanted():
            return streams.answer(logs.follow(wanted, sse.resume_after(after)))
        return {
            "execution_id": row.execution_id,
            "lines": [line_json(line) for line in page.lines],
            "next_after": max(after, page.next_after),
            "truncated": page.truncated,
            "completed": page.completed and _ended(row),
        }

    return api
