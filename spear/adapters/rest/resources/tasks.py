"""Tasks: registered agents."""

from typing import Any

from flask import g
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from spear.adapters.rest.requests import AsOf, OffsetPaged, Text, origin, reader, text_map, wrote
from spear.adapters.rest.resources.nodes import AnyObject, Done
from spear.domain.task import Executable, ExecutableType, Priority, TaskStatus
from spear.projections import tasks as views
from spear.projections.reader import Reader
from spear.projections.tasks import TaskResultRow, TaskRow
from spear.services.platform import Platform
from spear.services.tasks import NOTHING_TO_RUN, known

_PRIORITY = validate.OneOf([p.value for p in Priority])
_NO_RESULT = TaskResultRow("", [], "", "", 0, "")


class ExecutableIn(Schema):
    """What the task runs."""

    type = fields.String(required=True, validate=validate.OneOf([t.value for t in ExecutableType]))
    uri = Text(2048, load_default="")
    name = Text(256, load_default="")
    checksum_sha256 = fields.String(load_default="", validate=validate.Regexp(r"^([0-9a-fA-F]{64})?$"))
    args = fields.List(Text(8192), load_default=list, validate=validate.Length(max=256))
    env = text_map()


class TaskIn(Schema):
    """A task to register; `config` may hold `limits.*` as text."""

    name = Text(256, required=True)
    endpoint = Text(2048, load_default="")
    version = Text(64, required=True)
    description = Text(4096, allow_none=True)
    priority = fields.String(load_default=Priority.NORMAL.value, validate=_PRIORITY)
    node_uuid = Text(64, load_default="")
    capabilities = fields.List(Text(256), load_default=list, validate=validate.Length(max=256))
    metadata = text_map()
    config = text_map(256)
    executable = fields.Nested(ExecutableIn, allow_none=True)


class TaskChange(Schema):
    """What may be changed; what the task runs may not."""

    description = Text(4096)
    priority = fields.String(validate=_PRIORITY)
    metadata = text_map()
    config = text_map(256)


class TaskQuery(OffsetPaged):
    """Which tasks."""

    status = fields.String(load_default="", validate=validate.OneOf(["", *(s.value for s in TaskStatus)]))
    priority = fields.String(load_default="", validate=validate.OneOf(["", *(p.value for p in Priority)]))
    node_uuid = fields.String(load_default="")


class Reason(Schema):
    """Why; may be left out."""

    reason = Text(1024)


class TaskRegistered(Schema):
    """The new task's id."""

    success = fields.Boolean()
    task_id = fields.String()
    message = fields.String()


def task_json(row: TaskRow, result: TaskResultRow | None) -> dict[str, Any]:
    """A task as the API shows it; times in seconds."""
    last = result or _NO_RESULT
    return {
        "task_id": row.task_id,
        "name": row.name,
        "description": row.description,
        "status": row.status,
        "priority": row.priority,
        "node_uuid": row.node_uuid,
        "endpoint": row.endpoint,
        "version": row.version,
        "capabilities": row.capabilities,
        "registered_at": row.registered_at_us // 1_000_000,
        "last_heartbeat": row.updated_at_us // 1_000_000,
        "metadata": row.metadata,
        "config": row.config,
        "executable": _executable_json(row),
        "result_uris": last.result_uris,
        "last_result_uri": last.last_result_uri,
        "last_result_status": last.last_result_status,
        "last_completed_at": last.last_completed_at_us // 1_000_000,
        "last_result_metadata": {"execution_id": last.last_execution_id} if last.last_execution_id else {},
    }


def _executable_json(row: TaskRow) -> dict[str, Any] | None:
    if row.executable_type == ExecutableType.NONE:
        return None
    return {
        "type": row.executable_type,
        "uri": row.executable_uri,
        "name": row.executable_name,
        "checksum_sha256": row.executable_checksum,
        "args": row.executable_args,
        "env": row.executable_env,
    }


def tasks_json(seen: Reader, rows: list[TaskRow]) -> list[dict[str, Any]]:
    """Tasks with their last results."""
    results = views.task_results(seen, [row.task_id for row in rows])
    return [task_json(row, results.get(row.task_id)) for row in rows]


def _executable(body: dict[str, Any] | None) -> Executable:
    if not body:
        return NOTHING_TO_RUN
    return Executable(
        type=body["type"],
        uri=body["uri"],
        name=body["name"],
        checksum_sha256=body["checksum_sha256"].lower(),
        args=body["args"],
        env=body.get("env", {}),
    )


def make(platform: Platform) -> Blueprint:
    """The routes under /api/v1/tasks."""
    api = Blueprint("tasks", __name__, url_prefix="/api/v1/tasks", description="Registered agents")
    service = platform.tasks

    @api.post("")
    @api.arguments(TaskIn)
    @api.response(200, TaskRegistered)
    def register(body: dict[str, Any]) -> Any:
        task_id = service.register(
            origin(),
            name=body["name"],
            endpoint=body["endpoint"],
            version=body["version"],
            description=body.get("description") or f"Task: {body['name']}",
            priority=body["priority"],
            node_uuid=body["node_uuid"],
            capabilities=body["capabilities"],
            metadata=body.get("metadata", {}),
            config=body.get("config", {}),
            executable=_executable(body.get("executable")),
        )
        g.position = platform.log.head
        return {"success": True, "task_id": task_id, "message": "Task registered successfully"}

    @api.get("")
    @api.arguments(TaskQuery, location="query")
    @api.alt_response(200, schema=AnyObject)
    def list_tasks(query: dict[str, Any]) -> Any:
        seen = reader(platform)
        query.pop("as_of", None)
        page = views.list_tasks(seen, **query)
        return {"tasks": tasks_json(seen, page.rows), "total_count": page.total, "next_after": page.next_after}

    @api.get("/<task_id>")
    @api.arguments(AsOf, location="query")
    @api.alt_response(200, schema=AnyObject)
    def get_task(query: dict[str, Any], task_id: str) -> Any:
        seen = reader(platform)
        return tasks_json(seen, [known(views.get_task(seen, task_id), task_id)])[0]

    @api.put("/<task_id>")
    @api.arguments(TaskChange)
    @api.alt_response(200, schema=AnyObject)
    def update(body: dict[str, Any], task_id: str) -> Any:
        wrote(service.update(origin(), task_id, **body))
        return tasks_json(platform.reader, [service.get(task_id)])[0]

    @api.delete("/<task_id>")
    @api.arguments(Reason, required=False)
    @api.response(200, Done)
    def unregister(body: dict[str, Any], task_id: str) -> Any:
        wrote(service.unregister(origin(), task_id, body.get("reason", "unregistered by request")))
        platform.instances.stop(origin(), task_id, "task unregistered")
        return {"success": True, "message": "Task unregistered successfully"}

    return api
