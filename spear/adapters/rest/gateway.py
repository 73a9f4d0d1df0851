"""`POST /e/<endpoint>`: the raw body goes in, the raw output comes out under the input's content type."""

import re
from collections.abc import Iterable
from typing import Any

from flask import Response, g, request

from spear.adapters.rest import access, content, rules
from spear.adapters.rest.requests import Environ, origin, read_body
from spear.adapters.rest.resources.executions import idempotency_key
from spear.adapters.rest.schemas import Resource
from spear.adapters.rest.server import Wsgi
from spear.errors import ExecutionFailed, ExecutionTimedOut, NotFound, SpearError, Unavailable
from spear.events.record import Origin
from spear.logs import bound
from spear.ports import End, Outcome
from spear.projections.executions import NO_EXIT_CODE
from spear.services.calls import Call
from spear.services.placements import NO_NODE
from spear.services.platform import Platform

_PLAIN = re.compile(r"/e/([A-Za-z0-9._-]+)")
_FAILED = "spear.failed"
_RULE = "/e/<endpoint>"


def make(platform: Platform) -> Resource:
    """The route /e/<endpoint>."""
    door = Resource("gateway", __name__, description="Call an agent by its endpoint")

    @door.post(_RULE)
    @content.takes_bytes(door)
    @content.answers_bytes(door, refuses=(409, 429, 502, 503, 504))
    def invoke(endpoint: str) -> Response:
        """Run the task behind an endpoint: the raw body goes in, the raw output comes out."""
        if failed := request.environ.pop(_FAILED, None):
            if isinstance(failed, ExecutionFailed | ExecutionTimedOut):
                g.position = platform.log.head
            raise failed
        headers, output = _call(platform, endpoint, request.environ, origin())
        return Response(output, headers=headers)

    return door


class ShortCut:
    """Answers good calls of endpoints without Flask, which costs several times as much; all else is told by Flask."""

    def __init__(self, flask: Wsgi, platform: Platform) -> None:
        self._flask, self._platform = flask, platform
        self._access = access.Access(platform.tokens)
        self._open = rules.OPEN if platform.config.cors_enabled else ()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        plain = _PLAIN.fullmatch(environ["PATH_INFO"])
        if plain is None or environ["REQUEST_METHOD"] != "POST" or "HTTP_UPGRADE" in environ:
            return self._flask(environ, start_response)
        known_as, started = rules.begin(environ)
        with bound(known_as):
            try:
                caller = self._access.admit(environ, "POST", _RULE)
                headers, output = _call(self._platform, plain[1], environ, Origin(caller.actor("rest"), known_as))
            except SpearError as error:
                environ[_FAILED] = error
                return self._flask(environ, start_response)
            rules.tell("POST", environ["PATH_INFO"], 200, started)
        start_response("200 OK", [*headers, *self._open, ("X-Request-Id", known_as)])
        return [output]


def _call(platform: Platform, endpoint: str, environ: Environ, origin: Origin) -> tuple[list[tuple[str, str]], bytes]:
    """The headers and the body of a good answer; raises what the caller hears instead."""
    kept = content.content_type(environ)
    task = platform.tasks.obtain_at(origin, endpoint)
    call = Call(
        input=read_body(environ, platform.config.max_upload_bytes),
        input_content_type=kept,
        output_content_type=kept,
        idempotency_key=idempotency_key(environ),
    )
    execution_id, outcome = platform.executions.request(origin, task, call)
    outcome = outcome or _earlier(platform, execution_id)
    if outcome.end is not End.COMPLETED:
        raise failure(execution_id, outcome)
    headers = [
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Type", kept),
        ("Content-Length", str(len(outcome.output))),
        ("X-Execution-Id", execution_id),
        ("X-Position", str(platform.log.head)),  # it was recorded there or before
    ]
    return headers, outcome.output


def _earlier(platform: Platform, execution_id: str) -> Outcome:
    row = platform.executions.wait(execution_id)
    output = platform.executions.output(row)
    if output is None and row.status == End.COMPLETED:
        raise NotFound(f"the output of execution {execution_id} was deleted", code="OUTPUT_NOT_FOUND")
    exit_code = None if row.exit_code == NO_EXIT_CODE else row.exit_code
    return Outcome(End(row.status), output or b"", exit_code, row.error, row.reason, code=row.error_code)


def failure(execution_id: str, outcome: Outcome) -> SpearError:
    """What a caller hears of a run that did not complete; one that could not begin, and not by its own fault, may be asked again."""
    kind = ExecutionTimedOut if outcome.end is End.TIMEOUT else ExecutionFailed
    code = outcome.code if outcome.end is End.FAILED else kind.code
    details = {"execution_id": execution_id, "status": outcome.end.value, "reason": outcome.reason}
    if outcome.code in (NO_NODE, Unavailable.code):
        return Unavailable(outcome.error, code=outcome.code, details=details)
    return kind(outcome.error, code=code, details={**details, "exit_code": outcome.exit_code})
