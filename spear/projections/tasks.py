"""Tasks, the endpoints they own and their last results: rows, folds, queries."""

import msgspec

from spear.domain.execution import Execution, ExecutionStatus
from spear.domain.task import Endpoint, Task, TaskStatus
from spear.events.record import Recorded
from spear.projections.executions import EXECUTIONS
from spear.projections.reader import Page, Reader
from spear.projections.tables import Rows, Sheets, Table

KEPT_RESULTS = 16
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
    """How a task's executions ended lately; the newest results last, at most `KEPT_RESULTS`."""

    task_id: str
    result_uris: list[str]
    last_result_uri: str
    last_result_status: str
    last_completed_at_us: int
    last_execution_id: str


class EndpointRow(msgspec.Struct, gc=False):
    """Who owns a name."""

    endpoint: str
    task_id: str


TASKS = Table("tasks", TaskRow, ("status", "priority", "node_uuid"))
TASK_RESULTS = Table("task_results", TaskResultRow)
ENDPOINTS = Table("endpoints", EndpointRow)


def _created(sheets: Sheets, fact: Recorded, e: Task.TaskCreated) -> None:
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
    sheets[TASKS][fact.originator_id] = None
    sheets[TASK_RESULTS][fact.originator_id] = None


def _claimed(sheets: Sheets, fact: Recorded, e: Endpoint.EndpointClaimed) -> None:
    sheets[ENDPOINTS][e.endpoint] = EndpointRow(e.endpoint, e.task_id)


def _released(sheets: Sheets, fact: Recorded, e: Endpoint.EndpointReleased) -> None:
    sheets[ENDPOINTS][e.endpoint] = None


def result_uri(task_id: str, execution_id: str) -> str:
    """Where a completed execution's output is kept: an object of bucket `results`."""
    return f"object://results/{task_id}/{execution_id}"


def _ended(sheets: Sheets, fact: Recorded, e: object) -> None:
    execution = sheets[EXECUTIONS][fact.originator_id]
    if execution is None or sheets[TASKS].look(execution.task_id) is None:
        return
    rows: Rows[TaskResultRow] = sheets[TASK_RESULTS]
    row = rows[execution.task_id]
    if row is None:
        row = rows[execution.task_id] = TaskResultRow(execution.task_id, [], "", "", 0, "")
    row.last_result_status, row.last_completed_at_us = execution.status, fact.time_us
    row.last_execution_id = execution.execution_id
    if execution.status == _COMPLETED:
        row.last_result_uri = result_uri(row.task_id, execution.execution_id)
        row.result_uris.append(row.last_result_uri)
        del row.result_uris[:-KEPT_RESULTS]


FOLDS = {
    Task.TaskCreated: _created,
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
