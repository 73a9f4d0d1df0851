"""Instances: rows, folds, queries."""

import msgspec

from spear.domain.execution import Execution
from spear.domain.instance import Instance, InstanceStatus
from spear.events.record import Recorded
from spear.projections.executions import EXECUTIONS
from spear.projections.reader import Page, Reader
from spear.projections.tables import Sheets, Table


class InstanceRow(msgspec.Struct, gc=False):
    """A prepared sandbox; `current_execution_id` is the newest one running on it, `running` how many do."""

    instance_id: str
    seq: int
    task_id: str
    node_uuid: str
    runtime: str
    sha256: str
    status: str
    created_at_us: int
    updated_at_us: int
    last_seen_us: int
    current_execution_id: str
    running: int


INSTANCES = Table("instances", InstanceRow, ("status",))  # few are live, whatever their task

_RUNNING, _IDLE, _TERMINATED = (
    s.value for s in (InstanceStatus.RUNNING, InstanceStatus.IDLE, InstanceStatus.TERMINATED)
)
_LIVE = "status IN ('running', 'idle', 'terminating')"


def _started(sheets: Sheets, fact: Recorded, e: Instance.InstanceStarted) -> None:
    row = InstanceRow(
        fact.originator_id, fact.position, e.task_id, e.node_uuid, e.runtime, e.sha256, _IDLE,
        fact.time_us, fact.time_us, fact.time_us, "", 0,
    )  # fmt: skip
    sheets[INSTANCES][row.instance_id] = row


def _stopped(sheets: Sheets, fact: Recorded, e: Instance.InstanceStopped) -> None:
    row = sheets[INSTANCES][fact.originator_id]
    if row:
        row.status, row.current_execution_id, row.running = _TERMINATED, "", 0
        row.updated_at_us = fact.time_us


def _reported(sheets: Sheets, fact: Recorded, e: Instance.InstanceReported) -> None:
    row = sheets[INSTANCES][fact.originator_id]
    if row:
        row.status, row.current_execution_id = e.status, e.current_execution_id
        row.running = row.running if e.status != _TERMINATED else 0
        row.created_at_us = min(row.created_at_us, e.created_at_us)  # this log heard of it later than the node
        row.updated_at_us = row.last_seen_us = e.updated_at_us


def _run_started(
    sheets: Sheets, fact: Recorded, e: Execution.ExecutionStarted | Execution.ExecutionStartReported
) -> None:
    row = sheets[INSTANCES][e.instance_id]
    if row:
        row.running, row.current_execution_id = row.running + 1, fact.originator_id
        _seen(row, fact)


def _run_ended(sheets: Sheets, fact: Recorded, e: object) -> None:
    execution = sheets[EXECUTIONS][fact.originator_id]
    row = sheets[INSTANCES][execution.instance_id] if execution and execution.instance_id else None
    if row and row.running:
        row.running -= 1
        if row.current_execution_id == fact.originator_id:
            row.current_execution_id = ""
        _seen(row, fact)


def _seen(row: InstanceRow, fact: Recorded) -> None:
    if row.status != _TERMINATED:
        row.status = _RUNNING if row.running else _IDLE
    row.updated_at_us = row.last_seen_us = fact.time_us


FOLDS = {
    Instance.InstanceStarted: _started,
    Instance.InstanceStopped: _stopped,
    Instance.InstanceReported: _reported,
    Execution.ExecutionStarted: _run_started,
    Execution.ExecutionCompleted: _run_ended,
    Execution.ExecutionFailed: _run_ended,
    Execution.ExecutionCancelled: _run_ended,
    Execution.ExecutionTimedOut: _run_ended,
    Execution.ExecutionStartReported: _run_started,
    Execution.ExecutionEndReported: _run_ended,
}


def get_instance(reader: Reader, instance_id: str) -> InstanceRow | None:
    """One instance, live or gone."""
    return reader.get(INSTANCES, instance_id)


def lives_elsewhere(reader: Reader, task_id: str, *, but: str) -> bool:
    """Whether the task has an instance that is not terminated on any node but this one."""
    return bool(reader.rows(INSTANCES, f"task_id = ? AND node_uuid <> ? AND {_LIVE} LIMIT 1", (task_id, but)))


def live_instances(
    reader: Reader, *, task_id: str = "", node_uuid: str = "", after: int = 0, limit: int = 50
) -> Page[InstanceRow]:
    """Instances that are not terminated, of one task or one node if that is asked for, newest first.

    Those of nodes that were removed are none, unless that very node is asked for; they count again when it is back.
    """
    wanted = {"task_id": task_id, "node_uuid": node_uuid}
    values = [value for value in wanted.values() if value]
    where = "".join(f"{name} = ? AND " for name, value in wanted.items() if value)
    where += "" if node_uuid else "node_uuid IN (SELECT uuid FROM nodes) AND "
    rows = reader.rows(
        INSTANCES,
        f"{where}{_LIVE} AND seq < ? ORDER BY seq DESC LIMIT ?",
        (*values, after or 2**62, limit + 1),
    )
    more = len(rows) > limit
    return Page(rows[:limit], -1, rows[limit - 1].seq if more else 0)
