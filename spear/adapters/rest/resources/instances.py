"""Instances: prepared sandboxes of tasks, live or gone, and what ran on them."""

from typing import Any

from spear.adapters.rest.paging import AsOf, TokenPaged, cursor, token
from spear.adapters.rest.requests import reader
from spear.adapters.rest.resources.executions import FUNCTION_NAME
from spear.adapters.rest.schemas import Resource, answer
from spear.domain.execution import ExecutionStatus
from spear.domain.instance import InstanceStatus
from spear.errors import NotFound
from spear.projections import instances as views
from spear.projections.executions import ExecutionRow, list_executions
from spear.projections.instances import InstanceRow
from spear.projections.reader import Reader
from spear.services.platform import Platform
from spear.services.unit import as_uuid

_SUMMARY = {
    "instance_id": str,
    "node_uuid": str,
    "status": InstanceStatus,
    "last_seen_ms": int,
    "current_execution_id": str,
}
InstanceSummary = answer("InstanceSummary", **_SUMMARY)
InstanceList = answer("Instances", instances=[InstanceSummary], next_page_token=str)
InstanceOut = answer(
    "Instance",
    **_SUMMARY,
    task_id=str,
    runtime=str,
    sha256=str,
    created_at_ms=int,
    updated_at_ms=int,
    running=int,
    position=int,
)
ExecutionSummary = answer(
    "ExecutionSummary",
    execution_id=str,
    task_id=str,
    status=ExecutionStatus,
    started_at_ms=int,
    completed_at_ms=int,
    function_name=str,
)
InstanceExecutions = answer("InstanceExecutions", executions=[ExecutionSummary], next_page_token=str)


def summary_json(row: InstanceRow) -> dict[str, Any]:
    """An instance as lists show it; times in milliseconds."""
    return {
        "instance_id": row.instance_id,
        "node_uuid": row.node_uuid,
        "status": row.status,
        "last_seen_ms": row.last_seen_us // 1000,
        "current_execution_id": row.current_execution_id,
    }


def instance_json(row: InstanceRow) -> dict[str, Any]:
    """All of an instance; `running` counts the executions on it now."""
    return {
        **summary_json(row),
        "task_id": row.task_id,
        "runtime": row.runtime,
        "sha256": row.sha256,
        "created_at_ms": row.created_at_us // 1000,
        "updated_at_ms": row.updated_at_us // 1000,
        "running": row.running,
        "position": row.seq,
    }


def _ran_json(row: ExecutionRow) -> dict[str, Any]:
    return {
        "execution_id": row.execution_id,
        "task_id": row.task_id,
        "status": row.status,
        "started_at_ms": row.started_at_us // 1000,
        "completed_at_ms": row.completed_at_us // 1000,
        "function_name": FUNCTION_NAME,
    }


def _known(seen: Reader, instance_id: str) -> InstanceRow:
    row = views.get_instance(seen, str(as_uuid("instance", instance_id)))
    if row is None:
        raise NotFound.noun("instance", instance_id)
    return row


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/instances, and the instances of a task."""
    api = Resource("instances", __name__, url_prefix="/api/v1", description="Prepared sandboxes of tasks")

    @api.get("/tasks/<task_id>/instances")
    @api.query(TokenPaged)
    @api.answers(InstanceList, refuses=(404,))
    def of_task(query: dict[str, Any], task_id: str) -> Any:
        """The task's instances that are not terminated, newest first."""
        seen = reader(platform)
        task = platform.tasks.get(task_id, reader=seen)
        page = views.live_instances(seen, task_id=task.task_id, after=cursor(query["page_token"]), limit=query["limit"])
        return {"instances": [summary_json(row) for row in page.rows], "next_page_token": token(page.next_after)}

    @api.get("/instances/<instance_id>")
    @api.query(AsOf)
    @api.answers(InstanceOut, refuses=(404,))
    def get_instance(query: dict[str, Any], instance_id: str) -> Any:
        """One instance, live or gone."""
        return instance_json(_known(reader(platform), instance_id))

    @api.get("/instances/<instance_id>/executions")
    @api.query(TokenPaged)
    @api.answers(InstanceExecutions, refuses=(404,))
    def executions_of(query: dict[str, Any], instance_id: str) -> Any:
        """What ran on the instance, newest first."""
        seen = reader(platform)
        row = _known(seen, instance_id)
        page = list_executions(
            seen, instance_id=row.instance_id, after=cursor(query["page_token"]), limit=query["limit"]
        )
        return {"executions": [_ran_json(ran) for ran in page.rows], "next_page_token": token(page.next_after)}

    return api
