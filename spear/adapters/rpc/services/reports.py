"""What nodes report to the SMS: their instances, their executions, and the log lines of these."""

from collections.abc import Mapping
from typing import TypeVar

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import bare_instance_id, ident, number, text, text_map, word
from spear.adapters.rpc.generated.sms import execution_log_ingest_pb2 as lines_pb
from spear.adapters.rpc.generated.sms import execution_pb2 as pb
from spear.domain.execution import ExecutionReport, ExecutionStatus, Start
from spear.domain.instance import InstanceReport, InstanceStatus
from spear.errors import Invalid
from spear.ports import Level, LogLine, Stream
from spear.services.calls import Mode
from spear.services.endings import OUTPUT_CONTENT_TYPE
from spear.services.platform import Platform

T = TypeVar("T")
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999
_MOST_LINES = 10_000
_EXECUTION = dict(enumerate(ExecutionStatus, start=1))
_INSTANCE = dict(enumerate(InstanceStatus, start=1))
_STREAMS = {stream.value: stream for stream in Stream} | {"": Stream.STDOUT}
_LEVELS = {level.value: level for level in Level} | {"": Level.INFO}
_CODES = {
    ExecutionStatus.FAILED: "EXECUTION_FAILED",
    ExecutionStatus.CANCELLED: "EXECUTION_CANCELLED",
    ExecutionStatus.TIMEOUT: "EXECUTION_TIMEOUT",
}


def _id(request: Message, field: str) -> str:
    return ident(field, text(field, getattr(request, field), most=64, least=1))


def _instance_id(request: Message, *, least: int) -> str:
    return ident("instance_id", bare_instance_id(text("instance_id", request.instance_id, most=64, least=least)))


def _us(request: Message, field: str) -> int:
    return int(number(field, getattr(request, field), 0, _LATEST_MS)) * 1000


def _whole(told: Mapping[str, str], key: str) -> int | None:
    value = told.get(key, "")
    digits = value.removeprefix("-")
    return int(value) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None


class _Reported:
    """What both registries need: who speaks, and what time it is when a report does not say."""

    def __init__(self, platform: Platform) -> None:
        self._reports, self._clock = platform.reports, platform.clock

    def _speaker(self, request: Message, asked: Asked) -> str:
        node_uuid = _id(request, "node_uuid")
        asked.caller.speaks_for(node_uuid)
        return node_uuid

    def _told_at(self, request: Message) -> int:
        return _us(request, "updated_at_ms") or self._clock.now_us()


class InstanceRegistryService(_Reported):
    """`sms.InstanceRegistryService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["InstanceRegistryService"]

    def report_instance(self, request: Message, asked: Asked) -> Message:
        """How an instance of the node is; `accepted` is false for news that is older than what is known."""
        instance_id, told = _instance_id(request, least=1), text_map("metadata", request.metadata)
        updated_at_us = self._told_at(request)
        seen = InstanceReport(
            node_uuid=self._speaker(request, asked),
            status=word("status", request.status, _INSTANCE, pb.InstanceStatus),
            current_execution_id=ident("current_execution_id", request.current_execution_id),
            created_at_us=_us(request, "created_at_ms") or updated_at_us,
            updated_at_us=updated_at_us,
        )
        accepted, at_us = self._reports.instance(
            asked.origin, instance_id, _id(request, "task_id"), seen,
            runtime=told.get("runtime", ""), sha256=told.get("sha256", ""),
        )  # fmt: skip
        return pb.ReportInstanceResponse(accepted=accepted, stored_updated_at_ms=at_us // 1000)


class ExecutionRegistryService(_Reported):
    """`sms.ExecutionRegistryService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["ExecutionRegistryService"]

    def report_execution(self, request: Message, asked: Asked) -> Message:
        """How an execution of the node is; `accepted` is false for news that is older than what is known."""
        execution_id, told = _id(request, "execution_id"), text_map("metadata", request.metadata)
        mode = told.get("mode", "")
        accepted, at_us = self._reports.execution(
            asked.origin, execution_id, _id(request, "task_id"), self._seen(request, told, asked),
            mode=mode if mode in set(Mode) else Mode.ASYNC.value,
        )  # fmt: skip
        known = self._reports.knows_result(execution_id)
        return pb.ReportExecutionResponse(accepted=accepted, stored_updated_at_ms=at_us // 1000, result_known=known)

    def _seen(self, request: Message, told: Mapping[str, str], asked: Asked) -> ExecutionReport:
        status, updated_at_us = word("status", request.status, _EXECUTION, pb.ExecutionStatus), self._told_at(request)
        began = bool(request.instance_id) and status is not ExecutionStatus.PENDING
        started_at_us = (_us(request, "started_at_ms") or updated_at_us) if began else 0
        ended_at_us = _us(request, "completed_at_ms") or updated_at_us
        usual = OUTPUT_CONTENT_TYPE if status is ExecutionStatus.COMPLETED else ""
        code, start = told.get("error_code", "") or _CODES.get(status, ""), told.get("start", "")
        return ExecutionReport(
            node_uuid=self._speaker(request, asked),
            status=status,
            updated_at_us=updated_at_us,
            instance_id=_instance_id(request, least=0),
            start=start if start in set(Start) else "",
            requested_at_us=(_whole(told, "requested_at_ms") or 0) * 1000,
            started_at_us=started_at_us,
            completed_at_us=ended_at_us,
            duration_us=_duration_us(told, ended_at_us - started_at_us if began else 0),
            exit_code=_whole(told, "exit_code"),
            output_size=_whole(told, "output_size") or 0,
            output_content_type=told.get("output_content_type", "") or usual,
            code=code,
            error=told.get("error_message", ""),
            reason=told.get("reason", ""),
            last_action=told.get("last_action", ""),
        )


def _duration_us(told: Mapping[str, str], otherwise: int) -> int:
    exact, rough = _whole(told, "execution_time_us"), _whole(told, "execution_time_ms")
    return max(exact if exact is not None else otherwise if rough is None else rough * 1000, 0)


class ExecutionLogIngestService:
    """`sms.ExecutionLogIngestService`."""

    DESCRIPTOR = lines_pb.DESCRIPTOR.services_by_name["ExecutionLogIngestService"]

    def __init__(self, platform: Platform) -> None:
        self._reports, self._clock = platform.reports, platform.clock

    def append_execution_logs(self, request: Message, asked: Asked) -> Message:
        """Lines of a reported execution, numbered from 1 without gaps; those that are there are skipped."""
        if len(request.lines) > _MOST_LINES:
            raise Invalid.field("lines", f"{len(request.lines)} lines", f"at most {_MOST_LINES} at once")
        row = self._reports.reported(_execution_id(request))
        asked.caller.speaks_for(row.node_uuid)
        mark = self._reports.append(row, [_line(line) for line in request.lines])
        return lines_pb.AppendExecutionLogsResponse(
            execution_id=row.execution_id,
            acked_seq=mark.next_seq - 1,
            truncated=mark.truncated,
            next_seq=mark.next_seq,
            accepted=mark.accepted,
        )

    def finalize_execution_logs(self, request: Message, asked: Asked) -> Message:
        """No more lines will come."""
        row = self._reports.reported(_execution_id(request))
        asked.caller.speaks_for(row.node_uuid)
        mark = self._reports.finish(row)
        return lines_pb.FinalizeExecutionLogsResponse(
            execution_id=row.execution_id,
            truncated=mark.truncated,
            completed=mark.completed,
            next_seq=mark.next_seq,
            updated_at_ms=self._clock.now_us() // 1000,
        )


def _execution_id(request: Message) -> str:
    if not request.execution_id.strip():
        raise Invalid("execution_id is required", details={"field": "execution_id"})
    return text("execution_id", request.execution_id, most=64)


def _line(given: Message) -> LogLine:
    """A line as it is kept; streams that only other platforms have are the agent's own log."""
    stream, level = _STREAMS.get(given.stream, Stream.LOG), _LEVELS.get(given.level, Level.INFO)
    return LogLine(given.seq, int(number("lines.ts_ms", given.ts_ms, 0, _LATEST_MS)), stream, level, given.message)
