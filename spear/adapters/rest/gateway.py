"""`POST /e/<endpoint>`: the raw body goes in, the raw output comes out under the input's content type."""

from flask import Response

from spear.adapters.rest import content
from spear.adapters.rest.errors import render
from spear.adapters.rest.requests import origin, read_body
from spear.adapters.rest.resources.executions import idempotency_key
from spear.adapters.rest.schemas import Resource
from spear.errors import ExecutionFailed, ExecutionTimedOut, NotFound, SpearError
from spear.ports import End, Outcome
from spear.projections.executions import NO_EXIT_CODE
from spear.services.executions import Call
from spear.services.platform import Platform

ID_HEADER = "X-Execution-Id"


def make(platform: Platform) -> Resource:
    """The route /e/<endpoint>."""
    door = Resource("gateway", __name__, description="Call an agent by its endpoint")
    service, tasks, limit = platform.executions, platform.tasks, platform.config.max_upload_bytes

    @door.post("/e/<endpoint>")
    @content.takes_bytes(door)
    @content.answers_bytes(door, refuses=(409, 429, 502, 504))
    def invoke(endpoint: str) -> Response:
        """Run the task behind an endpoint: the raw body goes in, the raw output comes out."""
        task, kept = tasks.at_endpoint(endpoint), content.content_type()
        call = Call(
            input=read_body(limit),
            input_content_type=kept,
            output_content_type=kept,
            idempotency_key=idempotency_key(),
        )
        execution_id, outcome = service.request(origin(), task, call)
        response = _answer(execution_id, outcome or _earlier(platform, execution_id), kept)
        response.headers[ID_HEADER] = execution_id
        return response

    return door


def _answer(execution_id: str, outcome: Outcome, content_type: str) -> Response:
    if outcome.end is not End.COMPLETED:
        return render(failure(execution_id, outcome))
    return Response(outcome.output, content_type=content_type, headers={"X-Content-Type-Options": "nosniff"})


def _earlier(platform: Platform, execution_id: str) -> Outcome:
    row = platform.executions.wait(execution_id)
    output = platform.executions.output(row)
    if output is None and row.status == End.COMPLETED:
        raise NotFound(f"the output of execution {execution_id} was deleted", code="OUTPUT_NOT_FOUND")
    exit_code = None if row.exit_code == NO_EXIT_CODE else row.exit_code
    return Outcome(End(row.status), output or b"", exit_code, row.error, row.reason, code=row.error_code)


def failure(execution_id: str, outcome: Outcome) -> SpearError:
    """What a caller hears of a run that did not complete."""
    kind = ExecutionTimedOut if outcome.end is End.TIMEOUT else ExecutionFailed
    code = outcome.code if outcome.end is End.FAILED else kind.code
    details = {"execution_id": execution_id, "status": outcome.end.value, "reason": outcome.reason}
    return kind(outcome.error, code=code, details={**details, "exit_code": outcome.exit_code})
