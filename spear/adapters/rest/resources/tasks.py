"""Tasks: registered agents."""

from typing import Any

from marshmallow import RAISE, fields

from spear.adapters.rest.paging import AsOf, OffsetPaged
from spear.adapters.rest.requests import origin, reader, wrote
from spear.adapters.rest.resources.nodes import Done
from spear.adapters.rest.schemas import (
    TEXTS,
    Ident,
    Reason,
    Resource,
    Taken,
    Text,
    answer,
    choice,
    matching,
    number,
    saying,
    text_list,
    text_map,
    whole,
)  # fmt: skip
from spear.domain.task import Executable, ExecutableType, Priority, TaskStatus
from spear.projections import tasks as views
from spear.projections.reader import Reader
from spear.projections.tasks import TaskResultRow, TaskRow
from spear.services.platform import Platform
from spear.services.tasks import NOTHING_TO_RUN, needs_of

_NO_RESULT = TaskResultRow("", [], "", "", 0, "", {})


class ExecutableIn(Taken):
    """What the task runs."""

    type = choice(ExecutableType, required=True)
    uri = Text(2048, load_default="")
    name = Text(256, load_default="")
    checksum_sha256 = matching("([0-9a-fA-F]{64})?", "64 hexadecimal digits", load_default="")
    args = text_list(8192, load_default=list)
    env = text_map(load_default=dict)


class NeedsIn(Taken):
    """What the task needs of a node that runs it."""

    cpu_cores = number(0.001, 9999)
    memory_mb = whole(1, 99_999_999)


class TaskIn(Taken):
    """A task to register; `config` may hold `limits.*` as text."""

    name = Text(256, least=1, required=True)
    endpoint = Text(2048, load_default="")
    version = Text(64, required=True)
    description = Text(4096)
    priority = choice(Priority, load_default=Priority.NORMAL.value)
    node_uuid = Ident(load_default="")
    capabilities = text_list(256, load_default=list)
    metadata = text_map(load_default=dict)
    config = text_map(256, load_default=dict)
    executable = fields.Nested(ExecutableIn, load_default=None, error_messages=saying("a JSON object"))
    resources = fields.Nested(NeedsIn, load_default=dict, error_messages=saying("a JSON object"))


class TaskChange(Taken):
    """What may be changed, and no other field; what the task runs may not."""

    class Meta:
        unknown = RAISE

    error_messages = {  # noqa: RUF012  marshmallow's own
        "unknown": "only description, priority, metadata or config; for anything else register another task"
    }
    description = Text(4096)
    priority = choice(Priority)
    metadata = text_map()
    config = text_map(256)


class TaskQuery(OffsetPaged):
    """Which tasks."""

    status = choice(TaskStatus, "", load_default="")
    priority = choice(Priority, "", load_default="")
    node_uuid = Ident(load_default="")


TaskRegistered = answer("TaskRegistered", success=bool, task_id=str, message=str)
ExecutableOut = answer("Executable", type=ExecutableType, uri=str, name=str, checksum_sha256=str, args=[str], env=TEXTS)
ResourcesOut = answer("TaskResources", cpu_cores=float, memory_mb=int)
TaskOut = answer(
    "Task",
    task_id=str,
    name=str,
    description=str,
    status=TaskStatus,
    priority=Priority,
    node_uuid=str,
    endpoint=str,
    version=str,
    capabilities=[str],
    registered_at=int,
    last_heartbeat=int,
    metadata=TEXTS,
    config=TEXTS,
    executable=ExecutableOut | None,
    resources=ResourcesOut,
    result_uris=[str],
    last_result_uri=str,
    last_result_status=str,
    last_completed_at=int,
    last_result_metadata=TEXTS,
)
TaskList = answer("Tasks", tasks=[TaskOut], total_count=int, next_after=int)


def task_json(row: TaskRow, result: TaskResultRow | None) -> dict[str, Any]:
    """A task as the API shows it; times in seconds."""
    last, (cpu_cores, memory_mb) = result or _NO_RESULT, needs_of(row.config)
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
        "resources": {"cpu_cores": cpu_cores, "memory_mb": int(memory_mb)},
        "result_uris": last.result_uris,
        "last_result_uri": last.last_result_uri,
        "last_result_status": last.last_result_status,
        "last_completed_at": last.last_completed_at_us // 1_000_000,
        "last_result_metadata": views.result_metadata(last),
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


def _executable(body: Executable | None) -> Executable:
    return {**body, "checksum_sha256": body["checksum_sha256"].lower()} if body else NOTHING_TO_RUN


def _described(body: dict[str, Any]) -> dict[str, Any]:
    needs = {
        f"resources.{name}": f"{amount:.3f}".rstrip("0").rstrip(".") for name, amount in body.pop("resources").items()
    }
    config, executable = {**body["config"], **needs}, _executable(body["executable"])
    return {"description": f"Task: {body['name']}", **body, "config": config, "executable": executable}


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/tasks."""
    api = Resource("tasks", __name__, url_prefix="/api/v1/tasks", description="Registered agents")
    service = platform.tasks

    @api.post("")
    @api.body(TaskIn)
    @api.answers(TaskRegistered, refuses=(409, 503))
    def register(body: dict[str, Any]) -> Any:
        """Register an agent; its endpoint, if it has one, must be free."""
        task_id, committed = service.register(origin(), **_described(body))
        wrote(committed)
        return {"success": True, "task_id": task_id, "message": "Task registered successfully"}

    @api.get("")
    @api.query(TaskQuery)
    @api.answers(TaskList)
    def list_tasks(query: dict[str, Any]) -> Any:
        """Tasks in the order they were registered."""
        seen = reader(platform)
        query.pop("as_of", None)
        page = views.list_tasks(seen, **query)
        return {"tasks": tasks_json(seen, page.rows), "total_count": page.total, "next_after": page.next_after}

    @api.get("/<task_id>")
    @api.query(AsOf)
    @api.answers(TaskOut, refuses=(404,))
    def get_task(query: dict[str, Any], task_id: str) -> Any:
        """One task."""
        seen = reader(platform)
        return tasks_json(seen, [service.get(task_id, reader=seen)])[0]

    @api.put("/<task_id>")
    @api.body(TaskChange, required=False)
    @api.answers(TaskOut, refuses=(404, 503))
    def update(body: dict[str, Any], task_id: str) -> Any:
        """Change what is given."""
        wrote(service.update(origin(), task_id, **body))
        return tasks_json(platform.reader, [service.get(task_id)])[0]

    @api.delete("/<task_id>")
    @api.body(Reason, required=False)
    @api.answers(Done, refuses=(404, 503))
    def unregister(body: dict[str, Any], task_id: str) -> Any:
        """Take the task away, free its endpoint and stop its instance."""
        task_id = service.get(task_id).task_id
        wrote(gone := service.unregister(origin(), task_id, body.get("reason", "unregistered by request")))
        platform.instances.stop(origin().because_of(gone.first), task_id, "task unregistered")
        return {"success": True, "message": "Task unregistered successfully"}

    return api
