"""Executions: run, look up, terminate."""

from base64 import b64decode, b64encode
from typing import Any

from flask import g, request
from flask_smorest import Blueprint
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from spear.adapters.rest.requests import AsOf, Paged, Text, origin, reader, text_map
from spear.adapters.rest.resources.nodes import AnyObject
from spear.adapters.rest.resources.tasks import Reason
from spear.domain.execution import ExecutionStatus
from spear.errors import Invalid
from spear.projections import executions as views
from spear.projections.executions import NO_EXIT_CODE, ExecutionRow
from spear.services.executions import OUTPUT_CONTENT_TYPE, Call, Mode
from spear.services.platform import Platform

_MODES = [mode.value for mode in Mode]
KEY_HEADER = "Idempotency-Key"


class ExecutionIn(Schema):
    """What to run, named by task or endpoint, with text or base64 input."""

    task_id = Text(64)
    endpoint = Text(64)
    input = fields.String()
    input_base64 = fields.String()
    input_content_type = Text(256)
    args = fields.List(Text(8192), load_default=list, validate=validate.Length(max=256))
    environment = text_map(256)
    mode = fields.String(load_default=Mode.SYNC.value, validate=validate.OneOf(_MODES))
    timeout_ms = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, 3_600_000))
    node_uuid = Text(64, load_default="")

    @validates_schema
    def _one_of_each(self, data: dict[str, Any], **_: Any) -> None:
        if ("task_id" in data) == ("endpoint" in data):
            raise ValidationError("expected exactly one of task_id and endpoint", "task_id")
        if "input" in data and "input_base64" in data:
            raise ValidationError("expected at most one of input and input_base64", "input")


class ExecutionQuery(Paged):
    """Which executions, newest first."""

    task_id = fields.String(load_default="")
    status = fields.String(load_default="", validate=validate.OneOf(["", *(s.value for s in ExecutionStatus)]))


def idempotency_key() -> str:
    """The caller's Idempotency-Key, or ""; raises `Invalid` for one that is too long or not plain ASCII."""
    key = request.headers.get(KEY_HEADER, "")
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
        environment=body.get("environment", {}),
        mode=Mode(body["mode"]),
        timeout_ms=body["timeout_ms"],
        node_uuid=body["node_uuid"],
        idempotency_key=idempotency_key(),
    )


def execution_json(row: ExecutionRow, *, output: bytes | None = None) -> dict[str, Any]:
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


def _output(output: bytes | None) -> dict[str, str]:
    if output is None:
        return {}
    try:
        return {"output": output.decode()}
    except UnicodeDecodeError:
        return {"output_base64": b64encode(output).decode()}


def registry_json(row: ExecutionRow) -> dict[str, Any]:
    """What the public API calls an execution's record."""
    return {
        "invocation_id": row.execution_id,
        "function_name": "_start",
        "log_ref": {
            "backend": "spear_log",
            "uri_prefix": f"/api/v1/executions/{row.execution_id}/logs",
            "content_type": "application/x-ndjson",
            "compression": "",
        },
        "metadata": {"error_message": row.error} if row.error else {},
    }


def make(platform: Platform) -> Blueprint:
    """The routes under /api/v1/executions."""
    api = Blueprint("executions", __name__, url_prefix="/api/v1/executions", description="Runs of tasks")
    service, tasks = platform.executions, platform.tasks

    @api.post("")
    @api.arguments(ExecutionIn)
    @api.alt_response(200, schema=AnyObject)
    @api.alt_response(202, schema=AnyObject)
    def run(body: dict[str, Any]) -> Any:
        task = tasks.get(body["task_id"]) if "task_id" in body else tasks.at_endpoint(body["endpoint"])
        call = _call(body)
        execution_id, outcome = service.request(origin(), task, call)
        if call.mode is Mode.ASYNC:
            g.position = platform.log.head
            return execution_json(service.get(execution_id)), 202
        row = service.get(execution_id) if outcome else service.wait(execution_id)
        g.position = platform.log.head
        return execution_json(row, output=outcome.output if outcome else service.output(row))

    @api.get("")
    @api.arguments(ExecutionQuery, location="query")
    @api.alt_response(200, schema=AnyObject)
    def list_executions(query: dict[str, Any]) -> Any:
        seen = reader(platform)
        query.pop("as_of", None)
        page = views.list_executions(seen, **query)
        counts = views.execution_counts(seen)
        return {
            "executions": [execution_json(row) for row in page.rows],
            "total_count": sum(counts.values()),
            "counts": counts,
            "next_after": page.next_after,
        }

    @api.get("/<execution_id>")
    @api.arguments(AsOf, location="query")
    @api.alt_response(200, schema=AnyObject)
    def get_execution(query: dict[str, Any], execution_id: str) -> Any:
        seen = reader(platform)
        row = service.get(execution_id, reader=seen)
        shown = execution_json(row, output=service.output(row, reader=seen))
        return {**shown, "found": True, "execution": {**execution_json(row), **registry_json(row)}}

    @api.post("/<execution_id>/terminate")
    @api.arguments(Reason, required=False)
    @api.alt_response(200, schema=AnyObject)
    def terminate(body: dict[str, Any], execution_id: str) -> Any:
        row = service.terminate(origin(), execution_id, body.get("reason", "terminated by request"))
        g.position = platform.log.head
        return {**execution_json(row), "success": True, "final_status": row.status}

    return api
