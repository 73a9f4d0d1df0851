"""Invocations: run a task and hear how it ended; who leaves before that ends the agent too."""

from gevent.event import AsyncResult

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import ident, number, text, text_list, text_map, word
from spear.adapters.rpc.generated.spearlet import function_pb2 as pb
from spear.adapters.rpc.services.executions import ended, error_message, stamp, status_name
from spear.errors import Invalid, Unavailable
from spear.projections.executions import NO_EXIT_CODE, ExecutionRow
from spear.projections.tasks import TaskRow
from spear.services.calls import Call, Mode
from spear.services.endings import OUTPUT_CONTENT_TYPE
from spear.services.platform import Platform

_MODES = {0: Mode.SYNC, 1: Mode.SYNC, 2: Mode.ASYNC}
_ENTRIES = ("", "_start", "__spear_default_entry__")
_LONGEST_MS = 3_600_000
_LOOK_S = 1.0
GONE = "its caller left, or the caller's deadline passed"


class InvocationService:
    """`spearlet.InvocationService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["InvocationService"]

    def __init__(self, platform: Platform) -> None:
        self._executions, self._tasks, self._node = platform.executions, platform.tasks, platform.runs.node

    def invoke(self, request: Message, asked: Asked) -> Message:
        """Run a task: how it ended, or with mode async that it was taken on.

        Of an execution_id that was asked before, the first answer is told again and nothing runs twice.
        """
        if not request.task_id:
            raise Invalid("task_id is required", details={"field": "task_id"})
        call = _call(request)
        if request.detached and call.node_uuid not in ("", self._node.uuid):  # what was sent here is not sent on
            raise _another(call.node_uuid, self._node.uuid)
        task = self._tasks.obtain(asked.origin, text("task_id", request.task_id, most=64))
        if not asked.there:
            raise Unavailable(f"it was not started: {GONE}", code="STOPPING")
        if call.mode is Mode.ASYNC:
            execution_id, _ = self._executions.request(asked.origin, task, call)
            return _answer(request, self._executions.get(execution_id), b"")
        run = self._run_detached if request.detached else self._run
        return self._wait(request, run(task, call, asked), asked)

    def _run_detached(self, task: TaskRow, call: Call, asked: Asked) -> str:
        execution_id, _ = self._executions.request(asked.origin, task, call)
        return execution_id

    def _run(self, task: TaskRow, call: Call, asked: Asked) -> str:
        begun: AsyncResult[str] = AsyncResult()
        try:
            with asked.if_gone(lambda: self._forsake(asked, begun.get())):
                execution_id, _ = self._executions.request(asked.origin, task, call, told=begun.set)
        finally:
            if not begun.ready():
                begun.set("")
        return execution_id

    def _forsake(self, asked: Asked, execution_id: str) -> None:
        if execution_id:
            self._executions.terminate(asked.origin, execution_id, GONE)

    def _wait(self, request: Message, execution_id: str, asked: Asked) -> Message:
        while asked.there:
            row = self._executions.wait(execution_id, timeout_s=_LOOK_S)
            if ended(row):
                return _answer(request, row, self._executions.output(row) or b"")
        raise Unavailable(f"execution {execution_id}: {GONE}")


def _another(wanted: str, own: str) -> Unavailable:
    text = f"node_uuid: got {wanted}, expected {own}, which answers at this address"
    return Unavailable(text, code="NODE_UNREACHABLE", details={"node_uuid": wanted})


def _call(request: Message) -> Call:
    if request.function_name not in _ENTRIES:
        raise Invalid.field("function_name", request.function_name, 'a module\'s own entry: "" or _start')
    kept = request.input.content_type or OUTPUT_CONTENT_TYPE
    if len(kept) > 256 or not kept.isprintable():
        raise Invalid.field("input.content_type", kept, "at most 256 printable characters")
    return Call(
        input=request.input.data,
        input_content_type=kept,
        output_content_type=kept,
        args=tuple(text_list("args", request.args, most=8192)),
        environment=text_map("environment", request.environment, most=256),
        mode=word("mode", request.mode, _MODES, pb.ExecutionMode),
        timeout_ms=number("timeout_ms", request.timeout_ms, 0, _LONGEST_MS),
        execution_id=ident("execution_id", request.execution_id),
        node_uuid=ident("node_uuid", request.node_uuid),
    )


def _answer(request: Message, row: ExecutionRow, output: bytes) -> Message:
    return pb.InvokeResponse(
        invocation_id=request.invocation_id or row.execution_id,
        execution_id=row.execution_id,
        instance_id=row.instance_id,
        status=status_name(row),
        output=pb.Payload(content_type=row.output_content_type or row.input_content_type, data=output),
        error=error_message(row),
        started_at=stamp(row.started_at_us),
        completed_at=stamp(row.completed_at_us),
        ending=_ending(row) if ended(row) else None,
    )


def _ending(row: ExecutionRow) -> Message:
    exit_code = None if row.exit_code == NO_EXIT_CODE else row.exit_code
    return pb.Ending(exit_code=exit_code, reason=row.reason, last_action=row.last_action, start=row.start)
