"""The REST application: shared rules here, one file per resource in `resources/`."""

from collections.abc import Callable
from typing import Any, cast

import msgspec
from flask import Flask, Request, Response
from flask.json.provider import JSONProvider
from werkzeug.routing import MapAdapter, PathConverter, Rule

from spear.adapters.rest import access, docs, errors, gateway, passing, rules
from spear.adapters.rest.resources import (
    ai_models,
    backends,
    deployments,
    events,
    executions,
    files,
    health,
    instances,
    logs,
    mcp_servers,
    nodes,
    objects,
    placement,
    streams,
    task_status,
    tasks,
    tokens,
)
from spear.services.platform import Platform

RESOURCES = (
    nodes, tasks, task_status, instances, executions, logs, placement, files, objects, mcp_servers, backends, ai_models,
    deployments, events, tokens, gateway, streams, health,
)  # fmt: skip


class _Json(JSONProvider):
    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return msgspec.json.encode(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return msgspec.json.decode(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return Response(msgspec.json.encode(self._prepare_response_obj(args, kwargs)), mimetype="application/json")


class _Route(Rule):
    """A rule that is made ready to build its URL when somebody asks for that, as nobody here does."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            built: Any = Rule._compile_builder(rule, append_unknown).__get__(rule)
            return cast(tuple[str, str], built(**values))

        return build


class _Path(PathConverter):
    """Whatever is left, line breaks too: who asks for a key with one is told what a key may hold."""

    part_isolating = False
    regex = "[^/](?s:.*?)"


class _App(Flask):
    url_rule_class = _Route

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func  # no view here is a coroutine; Flask would look into each one on every request

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        adapter = super().create_url_adapter(request)
        if adapter is not None:
            adapter.websocket = False  # a route for WebSockets is a route: it says itself what a handshake lacks
        return adapter


def make_app(platform: Platform, sms: passing.SmsDoor | None = None) -> Flask:
    """The whole REST surface of one process, of which an `sms` that it is linked to answers its part."""
    app = _App("spear", static_folder=None)
    app.json = _Json(app)
    app.url_map.converters["path"] = _Path
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.config.update(docs.SETTINGS)
    rules.install(app, cors=platform.config.cors_enabled)
    access.install(app, platform.tokens)
    if platform.following is not None:
        rules.refuse_writes(app, platform.following)
    if sms is not None:
        passing.install(app, sms, own=platform.config.http_addr, most=platform.config.max_upload_bytes)
    document = docs.Document(app)
    errors.install(app)  # after the document, which brings handlers of its own
    for resource in RESOURCES:
        document.register_blueprint(resource.make(platform))
    if platform.config.enable_swagger:
        app.register_blueprint(docs.make_page())
    if platform.following is None:
        app.wsgi_app = gateway.ShortCut(app.wsgi_app, platform)  # type: ignore[method-assign]
    return app
