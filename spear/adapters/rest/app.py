"""The REST application: shared rules here, one file per resource in `resources/`."""

import logging
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import msgspec
from flask import Flask, Response, g, request
from flask.json.provider import JSONProvider
from flask_smorest import Api

from spear import __version__
from spear.adapters.rest import errors, gateway
from spear.adapters.rest.requests import correlation
from spear.adapters.rest.resources import executions, nodes, tasks
from spear.logs import correlation_id
from spear.services.platform import Platform

log = logging.getLogger("spear.http")
RESOURCES = (nodes, tasks, executions)
RAW = {"gateway.invoke", "files.upload", "objects.put"}
MAX_JSON_BYTES = 2 * 1024 * 1024


class _Json(JSONProvider):
    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return msgspec.json.encode(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return msgspec.json.decode(s)


def make_app(platform: Platform, *, service: str) -> Flask:
    """The whole REST surface of one process; `service` is what /health calls it."""
    app = Flask("spear", static_folder=None)
    app.json = _Json(app)
    app.url_map.strict_slashes = False
    app.config.update(
        API_TITLE="SPEAR",
        API_VERSION="v1",
        OPENAPI_VERSION="3.0.3",
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={"info": {"description": "Runs AI agents; everything that happens is a fact in one log."}},
    )
    errors.install(app)
    api = Api(app)
    for resource in RESOURCES:
        api.register_blueprint(resource.make(platform))
    app.register_blueprint(gateway.make(platform))
    _add_health(app, platform, service)
    _add_rules(app, platform)
    return app


def _add_health(app: Flask, platform: Platform, service: str) -> None:
    @app.get("/health")
    def health() -> Any:
        return {"status": "healthy", "timestamp": datetime.now(UTC).isoformat(), "service": service}

    @app.get("/ready")
    def ready() -> Any:
        return {"status": "ready", "head": platform.log.head, "version": __version__}


def _add_rules(app: Flask, platform: Platform) -> None:
    @app.before_request
    def begin() -> Response | None:
        g.correlation = correlation()
        g.token = correlation_id.set(g.correlation)
        g.started = perf_counter()
        return _wrong_body() if request.content_length and request.endpoint not in RAW else None

    @app.after_request
    def finish(response: Response) -> Response:
        headers = response.headers
        headers["X-Request-Id"] = g.correlation
        if "position" in g:
            headers["X-Position"] = str(g.position)
        if "as_of" in g:
            headers["X-As-Of"] = str(g.as_of)
        if platform.config.cors_enabled:
            headers["Access-Control-Allow-Origin"] = "*"
        if log.isEnabledFor(logging.DEBUG):
            took_ms = round((perf_counter() - g.started) * 1000, 3)
            log.debug("%s %s %d", request.method, request.path, response.status_code, extra={"took_ms": took_ms})
        return response

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        if "token" in g:
            correlation_id.reset(g.pop("token"))


def _wrong_body() -> Response | None:
    if (request.content_length or 0) > MAX_JSON_BYTES:
        text = f"the body has {request.content_length} bytes; JSON bodies may have {MAX_JSON_BYTES}"
        return errors.answer(413, "TOO_LARGE", text, {"limit": MAX_JSON_BYTES})
    if request.mimetype and not request.is_json:
        text = f"Content-Type: got {request.mimetype!r}, expected application/json"
        return errors.answer(415, "UNSUPPORTED_MEDIA_TYPE", text, {})
    return None


