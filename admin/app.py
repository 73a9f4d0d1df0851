"""The web admin as one Flask application on a port of its own."""

from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from admin import json_api, pages, show
from admin.client import Api
from spear.errors import SpearError

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_CODES = {404: "ROUTE_NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def make_admin(api: Api, *, rest_url: str) -> Flask:
    """The admin over `api`, which answers as REST does; `rest_url` is where people reach REST."""
    app = Flask("admin", static_url_path="/admin/static")
    app.url_map.strict_slashes = False
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(rest_url=rest_url)
    show.install(app)
    app.register_blueprint(pages.make(api))
    app.register_blueprint(json_api.make(api))
    app.register_error_handler(SpearError, _told)
    app.register_error_handler(HTTPException, _http)
    app.after_request(_protected)
    return app


def _protected(response: Response) -> Response:
    response.headers.update(HEADERS)
    if response.mimetype in ("text/html", "application/json", "text/event-stream"):
        response.headers["Cache-Control"] = "no-store"
    return response


def _told(error: SpearError) -> Any:
    return _answer(error.http_status, error.code, error.message, error.details)


def _http(error: HTTPException) -> Any:
    status = error.code or 500
    text = f"no route {request.method} {request.path[:200]}" if status == 404 else str(error.description)
    return _answer(status, _CODES.get(status, error.name.upper().replace(" ", "_")), text, {})


def _answer(status: int, code: str, message: str, details: object) -> Any:
    if request.path.startswith("/admin/api"):
        return {"error": code, "message": message, "details": details}, status
    return render_template("error.html", status=status, code=code, message=message), status
