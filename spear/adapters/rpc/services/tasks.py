"""Tasks: registered agents."""

from collections.abc import Iterator
from typing import Any

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import ident, number, seconds, text, text_list, text_map, word
from spear.adapters.rpc.follow import Place, task_events
from spear.adapters.rpc.generated.sms import task_pb2 as pb
from spear.domain.task import Executable, ExecutableType, Priority, TaskStatus
from spear.errors import AlreadyExists, Invalid, NotFound
from spear.projections import tasks as views
from spear.projections.tasks import TaskResultRow, TaskRow
from spear.services.platform import Platform
from spear.services.tasks import NOTHING_TO_RUN, endpoint_name

_MOST, _USUAL = 1000, 100
_NO_RESULT = TaskResultRow("", [], "", "", 0, "", {})
_STATUS = {1: TaskStatus.REGISTERED, 2: TaskStatus.ACTIVE, 3: TaskStatus.INACTIVE}
_PRIORITY = {1: Priority.LOW, 2: Priority.NORMAL, 3: Priority.HIGH, 4: Priority.URGENT}
_TYPE = {
    1: ExecutableType.BINARY,
    2: ExecutableType.SCRIPT,
    3: ExecutableType.CONTAINER,
    4: ExecutableType.WASM,
    5: ExecutableType.PROCESS,
}
_ANY = {-1: "", 0: ""}


def task_message(row: TaskRow, result: TaskResultRow | None) -> Message:
    """A task as the wire has it; times in seconds."""
    last = result or _NO_RESULT
    message = pb.Task(
        task_id=row.task_id,
        name=row.name,
        description=row.description,
        status=f"TASK_STATUS_{row.status.upper()}",
        priority=f"TASK_PRIORITY_{row.priority.upper()}",
        node_uuid=row.node_uuid,
        endpoint=row.endpoint,
        version=row.version,
        capabilities=row.capabilities,
        registered_at=seconds(row.registered_at_us),
        last_heartbeat=seconds(row.updated_at_us),
        metadata=row.metadata,
        config=row.config,
        result_uris=last.result_uris,
        last_result_uri=last.last_result_uri,
        last_result_status=last.last_result_status,
        last_completed_at=seconds(last.last_completed_at_us),
        last_result_metadata=views.result_metadata(last),
    )
    if row.executable_type != ExecutableType.NONE:
        message.executable.CopyFrom(_executable_message(row))
    return message


def _executable_message(row: TaskRow) -> Message:
    return pb.TaskExecutable(
        type=f"EXECUTABLE_TYPE_{row.executable_type.upper()}",
        uri=row.executable_uri,
        name=row.executable_name,
        checksum_sha256=row.executable_checksum,
        args=row.executable_args,
        env=row.executable_env,
    )


def _executable(request: Message) -> Executable:
    given = request.executable
    if not request.HasField("executable") or given == pb.TaskExecutable():
        return NOTHING_TO_RUN
    checksum = given.checksum_sha256.lower()
    if checksum and (len(checksum) != 64 or set(checksum) - set("0123456789abcdef")):
        raise Invalid.field("executable.checksum_sha256", checksum, "64 hexadecimal digits")
    return {
        "type": word("executable.type", given.type, _TYPE, pb.ExecutableType).value,
        "uri": text("executable.uri", given.uri, most=2048),
        "name": text("executable.name", given.name, most=256),
        "checksum_sha256": checksum,
        "args": text_list("executable.args", given.args, most=8192),
        "env": text_map("executable.env", given.env),
    }


def described(request: Message) -> dict[str, Any]:
    """What a registration, or a task as the wire has it, says of the task; raises `Invalid`."""
    name = text("name", request.name, most=256, least=1)
    priorities = {0: Priority.NORMAL, **_PRIORITY}
    return {
        "name": name,
        "endpoint": text("endpoint", request.endpoint, most=2048),
        "version": text("version", request.version, most=64),
        "description": text("description", request.description, most=4096) or f"Task: {name}",
        "priority": word("priority", request.priority, priorities, pb.TaskPriority).value,
        "node_uuid": ident("node_uuid", request.node_uuid),
        "capabilities": text_list("capabilities", request.capabilities, most=256),
        "metadata": text_map("metadata", request.metadata),
        "config": text_map("config", request.config, most=256),
        "executable": _executable(request),
    }


class TaskService:
    """`sms.TaskService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["TaskService"]

    def __init__(self, platform: Platform) -> None:
        self._platform, self._tasks, self._reader = platform, platform.tasks, platform.reader

    def register_task(self, request: Message, asked: Asked) -> Message:
        """Register an agent; a taken endpoint or a bad field is told in the answer."""
        try:
            task_id, _ = self._tasks.register(asked.origin, **described(request))
        except (Invalid, AlreadyExists) as error:
            return pb.RegisterTaskResponse(success=False, message=f"Failed to register task: {error.message}")
        return pb.RegisterTaskResponse(
            success=True, message="Task registered successfully", task_id=task_id, task=self._message(task_id)
        )

    def _message(self, task_id: str) -> Message:
        row = self._tasks.get(task_id)
        return task_message(row, views.task_results(self._reader, [row.task_id]).get(row.task_id))

    def list_tasks(self, request: Message, asked: Asked) -> Message:
        """Tasks in the order they were registered; a filter of 0 or -1 keeps all."""
        page = views.list_tasks(
            self._reader,
            status=word("status_filter", request.status_filter, {**_ANY, **_STATUS}, pb.TaskStatus),
            priority=word("priority_filter", request.priority_filter, {**_ANY, **_PRIORITY}, pb.TaskPriority),
            node_uuid=ident("node_uuid", request.node_uuid),
            offset=max(request.offset, 0),
            limit=min(request.limit, _MOST) if request.limit > 0 else _USUAL,
        )
        results = views.task_results(self._reader, [row.task_id for row in page.rows])
        tasks = [task_message(row, results.get(row.task_id)) for row in page.rows]
        return pb.ListTasksResponse(tasks=tasks, total_count=page.total)

    def get_task(self, request: Message, asked: Asked) -> Message:
        """One task, if there is one."""
        try:
            return pb.GetTaskResponse(found=True, task=self._message(request.task_id))
        except NotFound:
            return pb.GetTaskResponse(found=False)

    def resolve_endpoint(self, request: Message, asked: Asked) -> Message:
        """The task behind an endpoint, in any case of letters, if there is one."""
        try:
            row = self._tasks.at_endpoint(endpoint_name(request.endpoint))
        except NotFound:
            return pb.ResolveEndpointResponse(found=False)
        return pb.ResolveEndpointResponse(found=True, task=self._message(row.task_id))

    def unregister_task(self, request: Message, asked: Asked) -> Message:
        """Take the task away, free its endpoint and stop its instance."""
        reason = text("reason", request.reason) or "unregistered by request"
        try:
            task_id = self._tasks.get(request.task_id).task_id
            gone = self._tasks.unregister(asked.origin, task_id, reason)
        except NotFound:
            return pb.UnregisterTaskResponse(success=False, message="Task not found", task_id=request.task_id)
        self._platform.instances.stop(asked.origin.because_of(gone.first), task_id, "task unregistered")
        return pb.UnregisterTaskResponse(success=True, message="Task unregistered successfully", task_id=task_id)

    def update_task_status(self, request: Message, asked: Asked) -> Message:
        """A node says that the task has instances, or has none any more."""
        text("task_id", request.task_id, most=64, least=1)
        reported = {2: TaskStatus.ACTIVE, 3: TaskStatus.INACTIVE}
        status, reason = word("status", request.status, reported, pb.TaskStatus), text("reason", request.reason)
        node_uuid = ident("node_uuid", request.node_uuid)
        try:
            self._tasks.report_status(asked.origin, request.task_id, status, reason, node_uuid=node_uuid)
        except NotFound:
            return pb.UpdateTaskStatusResponse(success=False, message="Task not found")
        task = self._message(request.task_id)
        return pb.UpdateTaskStatusResponse(success=True, message="Task status updated successfully", task=task)

    def update_task_result(self, request: Message, asked: Asked) -> Message:
        """A node says how an execution of the task ended."""
        text("task_id", request.task_id, most=64, least=1)
        given_s = number("completed_at", request.completed_at, -1, 253_402_300_799)
        try:
            self._platform.reports.result(
                asked.origin,
                request.task_id,
                text("result_uri", request.result_uri, most=2048),
                caller=asked.caller,
                status=text("result_status", request.result_status, most=64),
                completed_at_us=given_s * 1_000_000 if given_s > 0 else self._platform.clock.now_us(),
                metadata=text_map("result_metadata", request.result_metadata),
            )
        except NotFound:
            return pb.UpdateTaskResultResponse(success=False, message="Task not found")
        task = self._message(request.task_id)
        return pb.UpdateTaskResultResponse(success=True, message="Task result updated successfully", task=task)

    def subscribe_task_events(self, request: Message, asked: Asked) -> Iterator[Message]:
        """What happened to the tasks of one node after a position, and what happens from now on."""
        node_uuid = ident("node_uuid", text("node_uuid", request.node_uuid, most=64, least=1))
        return task_events(self._platform, node_uuid, Place(request.last_event_id, "last_event_id"))
