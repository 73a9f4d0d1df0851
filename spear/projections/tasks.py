"""Tasks, the endpoints they own and their last results: rows, folds, queries."""

import msgspec

from spear.domain.execution import Execution, ExecutionStatus
from spear.domain.task import Endpoint, Task, TaskResultReported, TaskStatus
from spear.events.record import Recorded
from spear.projections.executions import EXECUTIONS
from spear.projections.reader import Page, Reader
from spear.projections.tables import Rows, Sheets, Table

KEPT_RESULTS = 16
EXECUTION_ID = "execution_id"  # under this key a result's metadata names the execution
_COMPLETED = ExecutionStatus.COMPLETED.value  # what the executions' own fold, which comes first, has set by then


class TaskRow(msgspec.Struct, gc=False):
    """A registered task; `seq` is the position of its registration, `updated_at_us` of its last change of status."""

    task_id: str
    seq: int
    name: str
    description: str
    status: str
    priority: str
    node_uuid: str
    endpoint: str
    version: str
    capabilities: list[str]
    registered_at_us: int
    updated_at_us: int
    metadata: dict[str, str]
    config: dict[str, str]
    executable_type: str
    executable_uri: str
    executable_name: str
    executable_checksum: str
    executable_args: list[str]
    executable_env: dict[str, str]


class TaskResultRow(msgspec.Struct, gc=False):
    """How a task's executions ended lately; the newest results last, at most `KEPT_RESULTS`.

    `metadata` is what was told of the execution that it names; local ends leave it alone.
    """

    task_id: str
    result_uris: list[str]
    last_result_uri: str
    last_result_status: str
    last_completed_at_us: int
    last_execution_id: str
    metadata: dict[str, str]


class EndpointRow(msgspec.Struct, gc=False):
    """Who owns a name."""

    endpoint: str
    task_id: str


TASKS = Table("tasks", TaskRow, ("status", "priority", "node_uuid"))
TASK_RESULTS = Table("task_results", TaskResultRow)
ENDPOINTS = Table("endpoints", EndpointRow)


def _created(sheets: Sheets, fact: Recorded, e: Task.TaskCreated | Task.TaskRegisteredAgain) -> None:
    x = e.executable
    row = TaskRow(
        fact.originator_id, fact.position, e.name, e.description, TaskStatus.REGISTERED.value, e.priority, e.node_uuid,
        e.endpoint, e.version, e.capabilities, fact.time_us, fact.time_us, e.metadata, e.config,
        x["type"], x["uri"], x["name"], x["checksum_sha256"], x["args"], x["env"],
    )  # fmt: skip
    sheets[TASKS][row.task_id] = row


def _updated(sheets: Sheets, fact: Recorded, e: Task.TaskUpdated) -> None:
    row = sheets[TASKS][fact.originator_id]
    if row:
        row.description, row.priority, row.metadata, row.config = e.description, e.priority, e.metadata, e.config
        row.updated_at_us = fact.time_us


def _status(sheets: Sheets, fact: Recorded, status: TaskStatus) -> None:
    row = sheets[TASKS][fact.originator_id]
    if row:
        row.status, row.updated_at_us = status.value, fact.time_us


def _activated(sheets: Sheets, fact: Recorded, e: Task.TaskActivated) -> None:
    _status(sheets, fact, TaskStatus.ACTIVE)


def _deactivated(sheets: Sheets, fact: Recorded, e: Task.TaskDeactivated) -> None:
    _status(sheets, fact, TaskStatus.INACTIVE)


def _unregistered(sheets: Sheets, fact: Recorded, e: Task.TaskUnregistered) -> None:
    sheets[TASKS].remove(fact.originator_id)
    sheets[TASK_RESULTS].remove(fact.originator_id)


def _claimed(sheets: Sheets, fact: Recorded, e: Endpoint.EndpointClaimed) -> None:
    sheets[ENDPOINTS][e.endpoint] = EndpointRow(e.endpoint, e.task_id)


def _released(sheets: Sheets, fact: Recorded, e: Endpoint.EndpointReleased) -> None:
    sheets[ENDPOINTS].remove(e.endpoint)


def result_uri(task_id: str, execution_id: str) -> str:
    """Where a completed execution's output is kept: an object of bucket `results`."""
    return f"object://results/{task_id}/{execution_id}"


def _results(sheets: Sheets, task_id: str) -> TaskResultRow | None:
    rows: Rows[TaskResultRow] = sheets[TASK_RESULTS]
    row = rows[task_id]
    if row is None and sheets[TASKS].look(task_id) is not None:
        row = rows[task_id] = TaskResultRow(task_id, [], "", "", 0, "", {})
    return row


def _ended(sheets: Sheets, fact: Recorded, e: object) -> None:
    execution = sheets[EXECUTIONS][fact.originator_id]
    if execution is None or (row := _results(sheets, execution.task_id)) is None:
        return
    row.last_result_status, row.last_completed_at_us = execution.status, fact.time_us
    row.last_execution_id = execution.execution_id
    if execution.status == _COMPLETED:
        row.last_result_uri = result_uri(row.task_id, execution.execution_id)
        row.result_uris.append(row.last_result_uri)
        del row.result_uris[:-KEPT_RESULTS]


def _end_reported(sheets: Sheets, fact: Recorded, e: Execution.ExecutionEndReported) -> None:
    execution = sheets[EXECUTIONS][fact.originator_id]
    row = _results(sheets, execution.task_id) if execution else None
    if row and execution:
        ident = execution.execution_id
        uri = result_uri(row.task_id, ident) if e.status == _COMPLETED else ""
        error = {"error_message": e.error} if e.error else {}
        told = {EXECUTION_ID: ident, "execution_time_ms": str(e.duration_us // 1000), **error}
        _take_over(row, uri, e.status, e.completed_at_us, ident, told)


def _result_reported(sheets: Sheets, fact: Recorded, e: TaskResultReported) -> None:
    row = _results(sheets, e.task_id)
    if row:
        ident = e.metadata.get(EXECUTION_ID, "")
        _take_over(row, e.result_uri, e.result_status, e.completed_at_us, ident, e.metadata)


def _take_over(
    row: TaskResultRow, uri: str, status: str, completed_at_us: int, ident: str, metadata: dict[str, str]
) -> None:
    """What is told late is kept among the results, and is not the last one."""
    if uri and uri not in row.result_uris:
        row.result_uris.append(uri)
        del row.result_uris[:-KEPT_RESULTS]
    if completed_at_us >= row.last_completed_at_us:
        row.last_result_uri = uri or row.last_result_uri
        row.last_result_status, row.last_completed_at_us = status, completed_at_us
        row.last_execution_id, row.metadata = ident, metadata


def result_metadata(row: TaskResultRow) -> dict[str, str]:
    """What is known of the last result beside its status: whose it is, and what the node told with it."""
    told = row.metadata if row.metadata.get(EXECUTION_ID, "") == row.last_execution_id else {}
    return {**told, EXECUTION_ID: row.last_execution_id} if row.last_execution_id else told


FOLDS = {
    Task.TaskCreated: _created,
    Task.TaskRegisteredAgain: _created,
    Task.TaskUpdated: _updated,
    Task.TaskActivated: _activated,
    Task.TaskDeactivated: _deactivated,
    Task.TaskUnregistered: _unregistered,
    Endpoint.EndpointClaimed: _claimed,
    Endpoint.EndpointReleased: _released,
    Execution.ExecutionCompleted: _ended,
    Execution.ExecutionFailed: _ended,
    Execution.ExecutionCancelled: _ended,
    Execution.ExecutionTimedOut: _ended,
    Execution.ExecutionEndReported: _end_reported,
    TaskResultReported: _result_reported,
}


def get_task(reader: Reader, task_id: str) -> TaskRow | None:
    """One task."""
    return reader.get(TASKS, task_id)


def list_tasks(
    reader: Reader,
    *,
    status: str = "",
    priority: str = "",
    node_uuid: str = "",
    after: int = 0,
    offset: int = 0,
    limit: int = 100,
) -> Page[TaskRow]:
    """Tasks in the order they were registered."""
    filters = {"status": status, "priority": priority, "node_uuid": node_uuid}
    return reader.page(TASKS, filters, after=after, limit=limit, offset=offset)


def task_results(reader: Reader, task_ids: list[str]) -> dict[str, TaskResultRow]:
    """The last results of these tasks, where there are any."""
    marks = ",".join("?" * len(task_ids))
    rows = reader.rows(TASK_RESULTS, f"task_id IN ({marks})", task_ids) if task_ids else []
    return {row.task_id: row for row in rows}


def task_at_endpoint(reader: Reader, endpoint: str) -> str:
    """The id of the task that owns the endpoint, or ""."""
    row = reader.get(ENDPOINTS, endpoint.lower())
    return row.task_id if row else ""
