"""The one place that turns errors into answers: `{"error": CODE, "message": text, "details": {...}}`."""

import logging

import msgspec
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from spear.errors import (
    ExecutionFailed,
    ExecutionTimedOut,
    Overloaded,
    PreconditionFailed,
    SpearError,
    Unauthenticated,
    Unavailable,
    UnsatisfiableRange,
)

_CODES = {
    400: "MALFORMED_REQUEST",
    404: "ROUTE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    500: "INTERNAL",
}

log = logging.getLogger(__name__)


def answer(status: int, code: str, message: str, details: object) -> Response:
    """The error shape."""
    body = msgspec.json.encode({"error": code, "message": message, "details": details})
    return Response(body, status=status, mimetype="application/json")


def render(error: SpearError) -> Response:
    """The answer for an error that was raised on purpose."""
    response = answer(error.http_status, error.code, error.message, error.details)
    if error.http_status == 500:
        log.error("%s: %s", error.code, error.message)
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Overloaded):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, ExecutionFailed | ExecutionTimedOut | Unavailable) and "execution_id" in error.details:
        response.headers["X-Execution-Id"] = str(error.details["execution_id"])
    if isinstance(error, UnsatisfiableRange):
        response.headers["Content-Range"] = f"bytes */{error.details.get('size', 0)}"
    if isinstance(error, PreconditionFailed) and "version" in error.details:
        response.headers["ETag"] = f'"{error.details["version"]}"'
    if error.http_status == 503:
        response.headers["Retry-After"] = str(error.details.get("retry_after_s", 1))
    return response


def _http(error: HTTPException) -> Response:
    """The answer for what the router found wrong, and for a bug: Flask has logged it once, with its traceback."""
    status = error.code or 500
    code = _CODES.get(status, error.name.upper().replace(" ", "_"))
    response = answer(status, code, _text(status, error), {"correlation": g.correlation} if status == 500 else {})
    if "Allow" in (original := error.get_response().headers):
        response.headers["Allow"] = original["Allow"]
    return response


def _text(status: int, error: HTTPException) -> str:
    if status == 404:
        return f"no route {request.method} {request.path[:200]}"
    if status == 405:
        return f"{request.method} is not allowed on {request.path[:200]}"
    if status == 500:
        return f"an unexpected error; the server's log tells more under correlation {g.correlation}"
    return str(error.description)


def install(app: Flask) -> None:
    """Render every error of `app` here."""
    app.register_error_handler(SpearError, render)
    app.register_error_handler(HTTPException, _http)
