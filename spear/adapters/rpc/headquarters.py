"""An SMS as a node reports to it: what the node has, as the wire says it."""

from collections.abc import Callable, Sequence

from spear.adapters.rpc.calls import Message
from spear.adapters.rpc.generated.sms import execution_log_ingest_pb2 as lines_pb
from spear.adapters.rpc.generated.sms import execution_pb2 as pb
from spear.adapters.rpc.generated.sms import object_registry_pb2 as objects
from spear.adapters.rpc.generated.sms import task_pb2 as tasks
from spear.adapters.rpc.services.executions import FUNCTION_NAME
from spear.adapters.rpc.sms import NOT_SERVED, SmsClient
from spear.domain.execution import ExecutionReport
from spear.domain.holding import HoldingReport
from spear.domain.instance import InstanceReport
from spear.domain.task import TaskStatus
from spear.errors import Unavailable
from spear.ports import LogLine
from spear.reports import LogMark, Told

_MOST_TEXT = 8000  # what the other side takes as one text


class SmsHeadquarters:
    """What `SmsClient` is for tasks and heartbeats, for reports; these are on their way when a method returns."""

    def __init__(self, sms: SmsClient) -> None:
        self._sms = sms

    def report_instance(
        self, instance_id: str, task_id: str, seen: InstanceReport, *, runtime: str, sha256: str
    ) -> Told:
        """How an instance is."""
        request = pb.Instance(
            instance_id=instance_id,
            task_id=task_id,
            node_uuid=seen.node_uuid,
            status=f"INSTANCE_STATUS_{seen.status.upper()}",
            created_at_ms=seen.created_at_us // 1000,
            updated_at_ms=seen.updated_at_us // 1000,
            last_seen_ms=seen.updated_at_us // 1000,
            current_execution_id=seen.current_execution_id,
            metadata={"runtime": runtime, "sha256": sha256},
        )
        return self._sms.begin("InstanceRegistryService/ReportInstance", request, pb.ReportInstanceResponse)

    def report_execution(
        self, execution_id: str, task_id: str, seen: ExecutionReport, *, mode: str
    ) -> Callable[[], bool]:
        """How an execution is; what the message has no field for stands in its metadata. Whether the result is known now."""
        request = pb.Execution(
            execution_id=execution_id,
            invocation_id=execution_id,
            task_id=task_id,
            function_name=FUNCTION_NAME,
            node_uuid=seen.node_uuid,
            instance_id=seen.instance_id,
            status=f"EXECUTION_STATUS_{seen.status.upper()}",
            started_at_ms=seen.started_at_us // 1000,
            completed_at_ms=seen.completed_at_us // 1000,
            metadata={"mode": mode, **_metadata(seen)},
            updated_at_ms=seen.updated_at_us // 1000,
        )
        told = self._sms.begin("ExecutionRegistryService/ReportExecution", request, pb.ReportExecutionResponse)
        return lambda: bool(told().result_known)

    def report_object(self, object_id: str, seen: HoldingReport | None, *, node_uuid: str, updated_at_us: int) -> Told:
        """What the node has of an object; an SMS of another make, which keeps no such index, is not told."""
        request = objects.ReportObjectRequest(
            node_uuid=node_uuid, object_id=object_id, updated_at_us=updated_at_us, object=_described(seen)
        )
        told = self._sms.begin("ObjectRegistryService/ReportObject", request, objects.ReportObjectResponse)
        return lambda: _if_served(told)

    def report_status(
        self, task_id: str, status: TaskStatus, *, node_uuid: str, updated_at_us: int, reason: str
    ) -> Told:
        """Whether the node has instances of the task."""
        request = tasks.UpdateTaskStatusRequest(
            task_id=task_id,
            status=f"TASK_STATUS_{status.upper()}",
            node_uuid=node_uuid,
            updated_at=updated_at_us // 1_000_000,
            reason=reason,
        )
        return self._sms.begin("TaskService/UpdateTaskStatus", request, tasks.UpdateTaskStatusResponse)

    def report_result(
        self, task_id: str, uri: str, *, status: str, completed_at_us: int, metadata: dict[str, str]
    ) -> Told:
        """How an execution of the task ended."""
        request = tasks.UpdateTaskResultRequest(
            task_id=task_id,
            result_uri=uri,
            result_status=status,
            completed_at=completed_at_us // 1_000_000,
            result_metadata={key: _text(value) for key, value in metadata.items()},
        )
        return self._sms.begin("TaskService/UpdateTaskResult", request, tasks.UpdateTaskResultResponse)

    def append_lines(self, execution_id: str, lines: Sequence[LogLine]) -> LogMark:
        """Lines of an execution that was reported."""
        request = lines_pb.AppendExecutionLogsRequest(
            execution_id=execution_id,
            lines=[
                lines_pb.ExecutionLogLine(
                    ts_ms=line.ts_ms, seq=line.seq, stream=line.stream, level=line.level, message=line.message
                )
                for line in lines
            ],
        )
        method = "ExecutionLogIngestService/AppendExecutionLogs"
        answer = self._sms.call(method, request, lines_pb.AppendExecutionLogsResponse)
        return LogMark(answer.next_seq, answer.accepted, answer.truncated, completed=False)

    def finish_lines(self, execution_id: str) -> None:
        """No more lines of it will come."""
        request = lines_pb.FinalizeExecutionLogsRequest(execution_id=execution_id)
        method = "ExecutionLogIngestService/FinalizeExecutionLogs"
        self._sms.call(method, request, lines_pb.FinalizeExecutionLogsResponse)


def _described(seen: HoldingReport | None) -> Message | None:
    if seen is None:
        return None
    found: Message = objects.ReportedObject(
        bucket=seen.bucket, key=seen.key, version=seen.version, size=seen.size, sha256=seen.sha256,
        content_type=seen.content_type, metadata=seen.metadata,
    )  # fmt: skip
    return found


def _if_served(told: Callable[[], Message]) -> None:
    try:
        told()
    except Unavailable as error:
        if error.code != NOT_SERVED:
            raise


def _metadata(seen: ExecutionReport) -> dict[str, str]:
    told = {
        "start": seen.start,
        "requested_at_ms": str(seen.requested_at_us // 1000),
        "execution_time_us": str(seen.duration_us),
        "execution_time_ms": str(seen.duration_us // 1000),
        "exit_code": "" if seen.exit_code is None else str(seen.exit_code),
        "output_size": str(seen.output_size),
        "output_content_type": seen.output_content_type,
        "error_code": seen.code,
        "error_message": seen.error,
        "reason": seen.reason,
        "last_action": seen.last_action,
    }
    return {key: _text(value) for key, value in told.items() if value}


def _text(value: str) -> str:
    return value[:_MOST_TEXT].replace("\x00", "")
