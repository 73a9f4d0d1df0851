"""What holds for every request: a correlation id, the headers of an answer, and what pages of other origins may do."""

import logging
from time import perf_counter

from flask import Flask, Response, current_app, g, request

from spear.adapters.rest.requests import Environ, correlation
from spear.logs import correlation_id
from spear.services.following import Following

log = logging.getLogger("spear.http")
_SHOWN = "X-Request-Id, X-Position, X-Sms-Position, X-As-Of, X-Execution-Id, ETag, Retry-After, Content-Range, Content-Disposition"
_BEGUN = "spear.begun"
_READING = ("GET", "HEAD", "OPTIONS")
FOREIGN = "spear.foreign"  # a page of an origin that nobody knows asks, without a token
OPEN = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", _SHOWN))


def install(app: Flask, *, cors: bool) -> None:
    """Apply the rules to every route of `app`; with `cors`, pages of other origins may call them."""
    app.before_request(_begin)
    app.after_request(_finish)
    if cors:
        app.after_request(_let_others_in)
    app.teardown_request(_end)


def refuse_writes(app: Flask, following: Following) -> None:
    """Let nobody change anything."""

    @app.before_request
    def check() -> None:
        if request.method not in _READING:
            raise following.refusal()


def begin(environ: Environ) -> tuple[str, float]:
    """The request's correlation id, and when it was first asked for here."""
    begun: tuple[str, float] = environ.setdefault(_BEGUN, (correlation(environ), perf_counter()))
    return begun


def _begin() -> Response | None:
    g.correlation, g.started = begin(request.environ)
    g.token = correlation_id.set(g.correlation)
    return _options() if request.method == "OPTIONS" and request.url_rule else None


def _options() -> Response:
    response = current_app.make_default_options_response()
    response.status_code = 204
    del response.headers["Content-Type"]
    return response


def _finish(response: Response) -> Response:
    headers = response.headers
    headers.add("X-Request-Id", g.correlation)
    if (position := g.get("position")) is not None:
        headers.add("X-Position", str(position))
    if (as_of := g.get("as_of")) is not None:
        headers.add("X-As-Of", str(as_of))
    tell(request.method, request.path, response.status_code, g.started)
    return response


def tell(method: str, path: str, status: int, started: float) -> None:
    """Log a request that was answered."""
    if log.isEnabledFor(logging.DEBUG):
        took_ms = round((perf_counter() - started) * 1000, 3)
        log.debug("%s %s %d", method, path, status, extra={"took_ms": took_ms})


def _let_others_in(response: Response) -> Response:
    if FOREIGN in request.environ and request.method != "OPTIONS":
        return response
    headers = response.headers
    for name, value in OPEN:
        headers.add(name, value)
    if request.method == "OPTIONS" and "Allow" in headers:
        headers["Access-Control-Allow-Methods"] = headers["Allow"]
        headers["Access-Control-Allow-Headers"] = "*, Authorization"  # which the star does not stand for
        headers["Access-Control-Max-Age"] = "86400"
    return response


def _end(_: BaseException | None) -> None:
    if token := g.pop("token", None):
        correlation_id.reset(token)
