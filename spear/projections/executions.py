"""Executions: rows, folds, queries."""

import msgspec

from spear.domain.execution import Execution, ExecutionStatus
from spear.events.record import Recorded
from spear.projections.reader import Page, Reader
from spear.projections.tables import Rows, Sheets, Table


class ExecutionRow(msgspec.Struct, gc=False):
    """One execution; `seq` is the position of its request, times in microseconds (0: not yet)."""

    execution_id: str
    seq: int
    task_id: str
    status: str
    mode: str
    node_uuid: str
    instance_id: str
    start: str
    requested_at_us: int
    started_at_us: int
    completed_at_us: int
    updated_at_us: int
    duration_us: int
    args: list[str]
    environment: dict[str, str]
    timeout_ms: int
    input_sha256: str
    input_size: int
    input_inline: str
    input_content_type: str
    fingerprint: str
    exit_code: int
    output_sha256: str
    output_size: int
    output_content_type: str
    error_code: str
    error: str
    reason: str
    last_action: str


class StatusCountRow(msgspec.Struct, gc=False):
    """How many executions have a status now."""

    status: str
    count: int


EXECUTIONS = Table(
    "executions",
    ExecutionRow,
    ("status", "task_id", "task_id, status", "instance_id"),
    fixed=("task_id",),
)
STATUS_COUNTS = Table("execution_counts", StatusCountRow)
NO_EXIT_CODE = -(2**31)


# Read once: looking a member or its value up costs as much as a small fold.
_PENDING, _RUNNING, _COMPLETED, _FAILED, _CANCELLED, _TIMEOUT = (status.value for status in ExecutionStatus)


def _count(rows: Rows[StatusCountRow], status: str, change: int) -> None:
    row = rows[status]
    if row is None:
        row = rows[status] = StatusCountRow(status, 0)
    row.count += change


def _requested(sheets: Sheets, fact: Recorded, e: Execution.ExecutionRequested) -> None:
    row = ExecutionRow(
        fact.originator_id, fact.position, e.task_id, _PENDING, e.mode, e.node_uuid, "", "",
        fact.time_us, 0, 0, fact.time_us, 0, e.args, e.environment, e.timeout_ms,
        e.input_sha256, e.input_size, e.input_inline, e.input_content_type, e.fingerprint,
        NO_EXIT_CODE, "", 0, "", "", "", "", "",
    )  # fmt: skip
    sheets[EXECUTIONS][row.execution_id] = row
    _count(sheets[STATUS_COUNTS], _PENDING, 1)


def _change(sheets: Sheets, fact: Recorded, status: str) -> ExecutionRow | None:
    row: ExecutionRow | None = sheets[EXECUTIONS][fact.originator_id]
    if row is None:
        return None
    counts = sheets[STATUS_COUNTS]
    _count(counts, row.status, -1)
    _count(counts, status, 1)
    row.status, row.updated_at_us = status, fact.time_us
    return row


def _placed(sheets: Sheets, fact: Recorded, e: Execution.ExecutionPlaced) -> None:
    _move(sheets, fact, e.node_uuid)


def _spilled(sheets: Sheets, fact: Recorded, e: Execution.ExecutionSpilled) -> None:
    _move(sheets, fact, "")


def _move(sheets: Sheets, fact: Recorded, node_uuid: str) -> None:
    row: ExecutionRow | None = sheets[EXECUTIONS][fact.originator_id]
    if row and row.node_uuid != node_uuid:
        row.node_uuid, row.updated_at_us = node_uuid, fact.time_us


def _started(sheets: Sheets, fact: Recorded, e: Execution.ExecutionStarted) -> None:
    row = _change(sheets, fact, _RUNNING)
    if row:
        row.instance_id, row.node_uuid, row.start = e.instance_id, e.node_uuid, e.start
        row.started_at_us = fact.time_us


def _ended(sheets: Sheets, fact: Recorded, status: str, duration_us: int) -> ExecutionRow | None:
    row = _change(sheets, fact, status)
    if row:
        row.completed_at_us, row.duration_us = fact.time_us, duration_us
    return row


def _completed(sheets: Sheets, fact: Recorded, e: Execution.ExecutionCompleted) -> None:
    row = _ended(sheets, fact, _COMPLETED, e.duration_us)
    if row:
        row.exit_code, row.output_sha256, row.output_size = e.exit_code, e.output_sha256, e.output_size
        row.output_content_type = e.output_content_type


def _failed(sheets: Sheets, fact: Recorded, e: Execution.ExecutionFailed) -> None:
    row = _ended(sheets, fact, _FAILED, e.duration_us)
    if row:
        row.error_code, row.error, row.reason, row.last_action = e.code, e.error, e.reason, e.last_action
        row.exit_code = NO_EXIT_CODE if e.exit_code is None else e.exit_code


def _cancelled(sheets: Sheets, fact: Recorded, e: Execution.ExecutionCancelled) -> None:
    row = _ended(sheets, fact, _CANCELLED, e.duration_us)
    if row:
        row.error_code, row.error, row.reason, row.last_action = (
            "EXECUTION_CANCELLED",
            e.reason,
            "terminated",
            e.last_action,
        )


def _timed_out(sheets: Sheets, fact: Recorded, e: Execution.ExecutionTimedOut) -> None:
    row = _ended(sheets, fact, _TIMEOUT, e.duration_us)
    if row:
        row.error_code, row.error, row.reason, row.last_action = (
            "EXECUTION_TIMEOUT",
            e.error,
            "wall_time",
            e.last_action,
        )


def _start_reported(sheets: Sheets, fact: Recorded, e: Execution.ExecutionStartReported) -> None:
    row = _change(sheets, fact, _RUNNING)
    if row:
        row.instance_id, row.node_uuid, row.start = e.instance_id, e.node_uuid, e.start
        row.started_at_us, row.updated_at_us = e.started_at_us, e.reported_at_us
        _requested_by(row, e.requested_at_us)


def _end_reported(sheets: Sheets, fact: Recorded, e: Execution.ExecutionEndReported) -> None:
    row = _ended(sheets, fact, e.status, e.duration_us)
    if row:
        row.node_uuid, row.completed_at_us, row.updated_at_us = e.node_uuid, e.completed_at_us, e.reported_at_us
        row.exit_code = NO_EXIT_CODE if e.exit_code is None else e.exit_code
        row.output_size, row.output_content_type = e.output_size, e.output_content_type
        row.error_code, row.error, row.reason, row.last_action = e.code, e.error, e.reason, e.last_action
        _requested_by(row, e.requested_at_us)


def _requested_by(row: ExecutionRow, time_us: int) -> None:
    if 0 < time_us < row.requested_at_us:  # this log heard of it later than the node
        row.requested_at_us = time_us


FOLDS = {
    Execution.ExecutionRequested: _requested,
    Execution.ExecutionPlaced: _placed,
    Execution.ExecutionSpilled: _spilled,
    Execution.ExecutionStarted: _started,
    Execution.ExecutionCompleted: _completed,
    Execution.ExecutionFailed: _failed,
    Execution.ExecutionCancelled: _cancelled,
    Execution.ExecutionTimedOut: _timed_out,
    Execution.ExecutionStartReported: _start_reported,
    Execution.ExecutionEndReported: _end_reported,
}


def get_execution(reader: Reader, execution_id: str) -> ExecutionRow | None:
    """One execution."""
    return reader.get(EXECUTIONS, execution_id)


def list_executions(
    reader: Reader, *, task_id: str = "", status: str = "", instance_id: str = "", after: int = 0, limit: int = 50
) -> Page[ExecutionRow]:
    """Executions, newest first; `total` is counted (else -1) for one task only, because there may be very many."""
    filters = {"task_id": task_id, "status": status, "instance_id": instance_id}
    return reader.page(EXECUTIONS, filters, after=after, limit=limit, newest_first=True, count=bool(task_id))


def unfinished(reader: Reader, status: ExecutionStatus, *, after: int = 0, limit: int = 500) -> list[ExecutionRow]:
    """Executions that have this status, oldest first."""
    return reader.rows(EXECUTIONS, "status = ? AND seq > ? ORDER BY seq LIMIT ?", (status.value, after, limit))


def unfinished_elsewhere(
    reader: Reader, own: str, status: ExecutionStatus, *, after: int = 0, limit: int = 500
) -> list[ExecutionRow]:
    """Executions requested here that have this status on other nodes, or on none yet, oldest first."""
    where = "status = ? AND seq > ? AND (node_uuid <> ? OR node_uuid = '') AND input_sha256 <> '' ORDER BY seq LIMIT ?"
    return reader.rows(EXECUTIONS, where, (status.value, after, own, limit))


def unfinished_of_removed(
    reader: Reader, status: ExecutionStatus, *, after: int = 0, limit: int = 500
) -> list[ExecutionRow]:
    """Executions that have this status on nodes that are not registered, oldest first."""
    where = "status = ? AND seq > ? AND node_uuid <> '' AND node_uuid NOT IN (SELECT uuid FROM nodes)"
    return reader.rows(EXECUTIONS, f"{where} ORDER BY seq LIMIT ?", (status.value, after, limit))


def execution_counts(reader: Reader) -> dict[str, int]:
    """How many executions have each status."""
    found = dict(reader.values("SELECT status, count FROM execution_counts"))
    return {status.value: found.get(status.value, 0) for status in ExecutionStatus}
