"""The one place that turns errors into answers: `{"error": CODE, "message": text, "details": {...}}`."""

import logging

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from spear.errors import Overloaded, PreconditionFailed, SpearError, UnsatisfiableRange

log = logging.getLogger(__name__)
_CODES = {
    400: "MALFORMED_REQUEST",
    404: "ROUTE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "TOO_LARGE",
    414: "URI_TOO_LONG",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "INVALID_ARGUMENT",
}


def answer(status: int, code: str, message: str, details: object) -> Response:
    """The error shape."""
    body = msgspec.json.encode({"error": code, "message": message, "details": details})
    return Response(body, status=status, mimetype="application/json")


def render(error: SpearError) -> Response:
    """The answer for an error that was raised on purpose."""
    response = answer(error.http_status, error.code, error.message, error.details)
    if isinstance(error, Overloaded):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, UnsatisfiableRange):
        response.headers["Content-Range"] = f"bytes */{error.details.get('size', 0)}"
    if isinstance(error, PreconditionFailed) and "version" in error.details:
        response.headers["ETag"] = f'"{error.details["version"]}"'
    if error.http_status == 503:
        response.headers["Retry-After"] = "1"
    return response


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    messages = getattr(error, "data", {}).get("messages")
    if status in (400, 422) and messages:
        place, fields = next(iter(messages.items()))
        return answer(status, _CODES[status], _first_problem(place, fields), messages)
    text = f"no route {request.method} {request.path[:200]}" if status == 404 else str(error.description)
    response = answer(status, _CODES.get(status, error.name.upper().replace(" ", "_")), text, {})
    if "Allow" in (original := error.get_response().headers):
        response.headers["Allow"] = original["Allow"]
    return response


def _first_problem(place: str, fields: object) -> str:
    path: list[str] = []
    while isinstance(fields, dict) and fields:
        name, fields = next(iter(fields.items()))
        path.append(str(name))
    problem = "; ".join(str(text) for text in fields) if isinstance(fields, list) else str(fields)
    return f"{'.'.join(path) or place}: {problem}"


def install(app: Flask) -> None:
    """Render every error of `app` here."""
    app.register_error_handler(SpearError, render)
    app.register_error_handler(HTTPException, _http)
