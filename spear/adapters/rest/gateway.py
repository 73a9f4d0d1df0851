"""`POST /e/<endpoint>`: the raw body goes in, the raw output comes out."""

from flask import Blueprint, Response, request

from spear.adapters.rest.requests import origin
from spear.adapters.rest.resources.executions import idempotency_key
from spear.errors import ExecutionFailed, ExecutionTimedOut, SpearError, TooLarge
from spear.ports import End, Outcome
from spear.services.executions import OUTPUT_CONTENT_TYPE, Call
from spear.services.platform import Platform

_FORM = "application/x-www-form-urlencoded"  # what curl says of any -d; it is never what an agent means


def make(platform: Platform) -> Blueprint:
    """The route /e/<endpoint>."""
    door = Blueprint("gateway", __name__)
    service, tasks, limit = platform.executions, platform.tasks, platform.config.max_upload_bytes

    @door.post("/e/<endpoint>")
    def invoke(endpoint: str) -> Response:
        task = tasks.at_endpoint(endpoint)
        data = read_body(limit)
        content_type = request.content_type or OUTPUT_CONTENT_TYPE
        kept = OUTPUT_CONTENT_TYPE if content_type.startswith(_FORM) else content_type
        call = Call(
            input=data, input_content_type=kept, output_content_type=kept, idempotency_key=idempotency_key()
        )
        execution_id, outcome = service.request(origin(), task, call)
        outcome = outcome or _earlier(platform, execution_id)
        if outcome.end is not End.COMPLETED:
            raise failure(execution_id, outcome)
        return Response(outcome.output, mimetype=kept, headers={"X-Execution-Id": execution_id})

    return door


def read_body(limit: int) -> bytes:
    """The whole request body; raises `TooLarge` over `limit` bytes, before reading it when its length is told."""
    told = request.content_length
    data = b"" if told is not None and told > limit else request.stream.read(limit + 1)
    if (told or 0) > limit or len(data) > limit:
        raise TooLarge(f"the body is larger than the limit of {limit} bytes", details={"limit": limit})
    return data


def _earlier(platform: Platform, execution_id: str) -> Outcome:
    row = platform.executions.wait(execution_id)
    output = platform.executions.output(row) or b""
    return Outcome(End(row.status), output, error=row.error, reason=row.reason, code=row.error_code)


def failure(execution_id: str, outcome: Outcome) -> SpearError:
    """What a caller hears of a run that did not complete."""
    kind = ExecutionTimedOut if outcome.end is End.TIMEOUT else ExecutionFailed
    code = outcome.code if outcome.end is End.FAILED else kind.code
    details = {"execution_id": execution_id, "status": outcome.end.value, "reason": outcome.reason}
    return kind(outcome.error, code=code, details={**details, "exit_code": outcome.exit_code})
