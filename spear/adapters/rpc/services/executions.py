"""Executions on this node: look up, terminate."""

from google.protobuf.timestamp_pb2 import Timestamp

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import ident, text
from spear.adapters.rpc.generated.spearlet import function_pb2 as pb
from spear.adapters.rpc.paging import cursor, limit, token
from spear.domain.execution import FINAL, ExecutionStatus
from spear.errors import NotFound, Refused
from spear.projections import executions as views
from spear.projections.executions import ExecutionRow
from spear.services.endings import OUTPUT_CONTENT_TYPE
from spear.services.owners import check_owner
from spear.services.platform import Platform

FUNCTION_NAME = "_start"


def status_name(row: ExecutionRow) -> str:
    """An execution's status as a SPEARlet names it; a cancelled one is TERMINATED."""
    word = "terminated" if row.status == ExecutionStatus.CANCELLED else row.status
    return f"EXECUTION_STATUS_{word.upper()}"


def ended(row: ExecutionRow) -> bool:
    """Whether the status is final."""
    return ExecutionStatus(row.status) in FINAL


def stamp(time_us: int) -> Message:
    """A moment, or nothing for one that has not come."""
    return Timestamp(seconds=time_us // 1_000_000, nanos=time_us % 1_000_000 * 1000) if time_us else None


def error_message(row: ExecutionRow) -> Message:
    """Why it did not complete, or nothing."""
    return pb.Error(code=row.error_code, message=row.error) if row.error_code else None


def _message(row: ExecutionRow, output: bytes = b"") -> Message:
    return pb.Execution(
        invocation_id=row.execution_id,
        execution_id=row.execution_id,
        task_id=row.task_id,
        function_name=FUNCTION_NAME,
        instance_id=row.instance_id,
        status=status_name(row),
        output=pb.Payload(content_type=row.output_content_type or OUTPUT_CONTENT_TYPE, data=output),
        error=error_message(row),
        started_at=stamp(row.started_at_us),
        completed_at=stamp(row.completed_at_us),
    )


class ExecutionService:
    """`spearlet.ExecutionService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["ExecutionService"]

    def __init__(self, platform: Platform) -> None:
        self._executions, self._reader, self._log = platform.executions, platform.reader, platform.log

    def get_execution(self, request: Message, asked: Asked) -> Message:
        """One execution, with its output if that is asked for."""
        row = self._executions.get(request.execution_id)
        return _message(row, self._executions.output(row) or b"" if request.include_output else b"")

    def terminate_execution(self, request: Message, asked: Asked) -> Message:
        """End an execution as cancelled; one that ended by itself stays as it is. A client ends what it requested."""
        reason = text("reason", request.reason) or "terminated by request"
        check_owner(self._log, asked.caller, self._executions.get(request.execution_id))
        try:
            row = self._executions.terminate(asked.origin, request.execution_id, reason)
        except Refused as error:
            final = status_name(self._executions.get(request.execution_id))
            return pb.TerminateExecutionResponse(success=False, final_status=final, message=error.message)
        return pb.TerminateExecutionResponse(success=True, final_status=status_name(row), message="terminate requested")

    def list_executions(self, request: Message, asked: Asked) -> Message:
        """Executions of a task or of all, newest first; an invocation has the id of its execution."""
        if request.invocation_id:
            return pb.ListExecutionsResponse(executions=self._of_invocation(request))
        page = views.list_executions(
            self._reader,
            task_id=ident("task_id", request.task_id),
            after=cursor(request.page_token),
            limit=limit(request.limit),
        )
        return pb.ListExecutionsResponse(
            executions=[_message(row) for row in page.rows], next_page_token=token(page.next_after)
        )

    def _of_invocation(self, request: Message) -> list[Message]:
        try:
            row = self._executions.get(request.invocation_id)
        except NotFound:
            return []
        return [_message(row)] if request.task_id in ("", row.task_id) else []
