"""Executions: run, look up, terminate."""

from base64 import b64decode, b64encode
from typing import Any

from flask import g, request
from marshmallow import ValidationError, fields, validates_schema

from spear.adapters.rest.paging import AsOf, Paged
from spear.adapters.rest.requests import Environ, caller, origin, reader
from spear.adapters.rest.schemas import (
    TEXTS,
    Ident,
    Reason,
    Resource,
    Taken,
    Text,
    answer,
    choice,
    saying,
    text_list,
    text_map,
    whole,
)  # fmt: skip
from spear.domain.execution import ExecutionStatus
from spear.errors import Invalid, SpearError
from spear.projections import executions as views
from spear.projections.executions import NO_EXIT_CODE, ExecutionRow
from spear.services.calls import Call, Mode
from spear.services.endings import OUTPUT_CONTENT_TYPE
from spear.services.owners import check_owner
from spear.services.platform import Platform

KEY_HEADER = "Idempotency-Key"
FUNCTION_NAME = "_start"


class ExecutionIn(Taken):
    """What to run, named by task or endpoint, with text or base64 input."""

    task_id = Text(64)
    endpoint = Text(64)
    input = fields.String(error_messages=saying("text"))
    input_base64 = fields.String(error_messages=saying("base64"))
    input_content_type = Text(256)
    args = text_list(8192, load_default=list)
    environment = text_map(256, load_default=dict)
    mode = choice(Mode, load_default=Mode.SYNC.value)
    timeout_ms = whole(0, 3_600_000, load_default=0)
    node_uuid = Ident(load_default="")

    @validates_schema
    def _one_of_each(self, data: dict[str, Any], **_: Any) -> None:
        if ("task_id" in data) == ("endpoint" in data):
            raise ValidationError("exactly one of task_id and endpoint", "task_id")
        if "input" in data and "input_base64" in data:
            raise ValidationError("at most one of input and input_base64", "input")


class ExecutionQuery(Paged):
    """Which executions, newest first."""

    task_id = Ident(load_default="")
    status = choice(ExecutionStatus, "", load_default="")


_EXECUTION = {
    "execution_id": str,
    "task_id": str,
    "status": ExecutionStatus,
    "mode": Mode,
    "exit_code": int | None,
    "output_content_type": str,
    "output_size": int,
    "error": answer("ExecutionError", code=str, message=str, reason=str, last_action=str) | None,
    "requested_at_ms": int,
    "started_at_ms": int,
    "completed_at_ms": int,
    "updated_at_ms": int,
    "duration_ms": float,
    "start": str | None,
    "node_uuid": str,
    "instance_id": str,
    "position": int,
}
_OUTPUT = {"output": fields.String(), "output_base64": fields.String()}
LogRef = answer("LogRef", backend=str, uri_prefix=str, content_type=str, compression=str)
ExecutionOut = answer("Execution", **_EXECUTION)
ExecutionResult = answer("ExecutionResult", **_EXECUTION, **_OUTPUT)
ExecutionRecord = answer(
    "ExecutionRecord", **_EXECUTION, invocation_id=str, function_name=str, log_ref=LogRef, metadata=TEXTS
)
OutputError = answer("OutputError", code=str, message=str, details=fields.Dict(required=True))
_NO_OUTPUT = {"output_error": fields.Nested(OutputError)}
ExecutionFound = answer("ExecutionFound", **_EXECUTION, **_OUTPUT, **_NO_OUTPUT, found=bool, execution=ExecutionRecord)
ExecutionCounts = answer("ExecutionCounts", **{status.value: int for status in ExecutionStatus})
ExecutionList = answer("Executions", executions=[ExecutionOut], total_count=int, counts=ExecutionCounts, next_after=int)
Terminated = answer("Terminated", **_EXECUTION, success=bool, final_status=ExecutionStatus)


def idempotency_key(environ: Environ) -> str:
    """The caller's Idempotency-Key, or ""; raises `Invalid` for one that is too long or not plain ASCII."""
    key: str = environ.get("HTTP_IDEMPOTENCY_KEY", "")
    if len(key) > 255 or not key.isascii() or not key.isprintable():
        raise Invalid.field(KEY_HEADER, key, "1 to 255 printable ASCII characters")
    return key


def _input(body: dict[str, Any]) -> tuple[bytes, str]:
    if "input_base64" in body:
        try:
            return b64decode(body["input_base64"], validate=True), OUTPUT_CONTENT_TYPE
        except ValueError:
            raise Invalid.field("input_base64", body["input_base64"], "base64") from None
    try:
        return body.get("input", "").encode(), "text/plain; charset=utf-8"
    except UnicodeEncodeError:
        raise Invalid.field("input", body["input"], "text without lone surrogates") from None


def _call(body: dict[str, Any]) -> Call:
    data, content_type = _input(body)
    return Call(
        input=data,
        input_content_type=body.get("input_content_type", content_type),
        args=tuple(body["args"]),
        environment=body["environment"],
        mode=Mode(body["mode"]),
        timeout_ms=body["timeout_ms"],
        node_uuid=body["node_uuid"],
        idempotency_key=idempotency_key(request.environ),
    )


def execution_json(row: ExecutionRow, *, output: bytes | SpearError | None = None) -> dict[str, Any]:
    """An execution as the API shows it; times in milliseconds, output as text if it is UTF-8, else as base64."""
    shown: dict[str, Any] = {
        "execution_id": row.execution_id,
        "task_id": row.task_id,
        "status": row.status,
        "mode": row.mode,
        "exit_code": None if row.exit_code == NO_EXIT_CODE else row.exit_code,
        "output_content_type": row.output_content_type,
        "output_size": row.output_size,
        "error": _error(row),
        "requested_at_ms": row.requested_at_us // 1000,
        "started_at_ms": row.started_at_us // 1000,
        "completed_at_ms": row.completed_at_us // 1000,
        "updated_at_ms": row.updated_at_us // 1000,
        "duration_ms": round(row.duration_us / 1000, 3),
        "start": row.start or None,
        "node_uuid": row.node_uuid,
        "instance_id": row.instance_id,
        "position": row.seq,
    }
    return {**shown, **_output(output)}


def _error(row: ExecutionRow) -> dict[str, str] | None:
    if not row.error_code:
        return None
    return {"code": row.error_code, "message": row.error, "reason": row.reason, "last_action": row.last_action}


def _output(output: bytes | SpearError | None) -> dict[str, Any]:
    if output is None:
        return {}
    if isinstance(output, SpearError):
        return {"output_error": {"code": output.code, "message": output.message, "details": output.details}}
    try:
        return {"output": output.decode()}
    except UnicodeDecodeError:
        return {"output_base64": b64encode(output).decode()}


def registry_json(row: ExecutionRow) -> dict[str, Any]:
    """What the public API calls an execution's record."""
    return {
        "invocation_id": row.execution_id,
        "function_name": FUNCTION_NAME,
        "log_ref": {
            "backend": "spear_log",
            "uri_prefix": f"/api/v1/executions/{row.execution_id}/logs",
            "content_type": "application/x-ndjson",
            "compression": "",
        },
        "metadata": {"error_message": row.error} if row.error else {},
    }


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/executions."""
    api = Resource("executions", __name__, url_prefix="/api/v1/executions", description="Runs of tasks")
    service, tasks = platform.executions, platform.tasks

    def wrote_last(execution_id: str) -> None:
        g.position = platform.log.stream(execution_id)[-1].position

    @api.post("")
    @api.body(ExecutionIn)
    @api.answers(ExecutionResult, also=(202,), refuses=(404, 409, 429, 503))
    def run(body: dict[str, Any]) -> Any:
        """Run a task; 200 with how it ended, or 202 at once with mode async. Takes an Idempotency-Key."""
        who, call = origin(), _call(body)
        task = tasks.obtain(who, body["task_id"]) if "task_id" in body else tasks.obtain_at(who, body["endpoint"])
        execution_id, outcome = service.request(who, task, call)
        if call.mode is Mode.ASYNC:
            shown, status = execution_json(service.get(execution_id)), 202
        else:
            row = service.get(execution_id) if outcome else service.wait(execution_id)
            shown, status = execution_json(row, output=outcome.output if outcome else service.output(row)), 200
        wrote_last(execution_id)
        return shown, status

    @api.get("")
    @api.query(ExecutionQuery)
    @api.answers(ExecutionList)
    def list_executions(query: dict[str, Any]) -> Any:
        """Executions, newest first; `counts` are of all of them, `total_count` of those that the filters keep."""
        seen = reader(platform)
        query.pop("as_of", None)
        page, counts = views.list_executions(seen, **query), views.execution_counts(seen)
        of_all = counts[query["status"]] if query["status"] else sum(counts.values())
        return {
            "executions": [execution_json(row) for row in page.rows],
            "total_count": page.total if query["task_id"] else of_all,
            "counts": counts,
            "next_after": page.next_after,
        }

    @api.get("/<execution_id>")
    @api.query(AsOf)
    @api.answers(ExecutionFound, refuses=(404,))
    def get_execution(query: dict[str, Any], execution_id: str) -> Any:
        """One execution with its output, or why that cannot be had now, and its record as the public API has it."""
        seen = reader(platform)
        row = service.get(execution_id, reader=seen)
        output: bytes | SpearError | None = service.output(row, reader=seen)
        if output is None and "as_of" not in g and service.is_result_elsewhere(row):
            output = platform.objects.result_elsewhere(row)
        shown = execution_json(row, output=output)
        return {**shown, "found": True, "execution": {**execution_json(row), **registry_json(row)}}

    @api.post("/<execution_id>/terminate")
    @api.body(Reason, required=False)
    @api.answers(Terminated, refuses=(404, 409, 503))
    def terminate(body: dict[str, Any], execution_id: str) -> Any:
        """End an execution as cancelled; repeating it changes nothing. A client ends what its own token requested."""
        check_owner(platform.log, caller(), service.get(execution_id))
        row = service.terminate(origin(), execution_id, body.get("reason", "terminated by request"))
        wrote_last(row.execution_id)
        return {**execution_json(row), "success": True, "final_status": row.status}

    return api
