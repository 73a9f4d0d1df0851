"""The OpenAPI document's own description, and the page that shows it; everything is served from here, never a CDN."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import gevent
from flask import Blueprint, Flask, Response, send_from_directory
from flask_smorest import Api

from spear.adapters.rest.schemas import ErrorBody

_ASSETS = Path(__file__).parent / "static" / "swagger-ui"
_ABOUT = """\
Runs AI agents; everything that happens is a fact in one log.

Every answer carries `X-Request-Id`. A write answers with `X-Position`, the position of its fact in the log; a read with
`?as_of=<position or RFC 3339 time>` looks at the world as it was then and answers with `X-As-Of`.
A SPEARlet that is linked to an SMS passes on what is asked of tasks, files and nodes, unless with `?here=true`; a write there answers with
`X-Sms-Position`, a position in the log of the SMS.
Every error has one shape: `{"error": CODE, "message": text, "details": {...}}`. Unknown fields are ignored, except where a route says that it refuses them."""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>SPEAR API</title>
  <link rel="stylesheet" href="/swagger-ui/swagger-ui.css">
  <link rel="icon" type="image/png" href="/swagger-ui/favicon-32x32.png">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="/swagger-ui/swagger-ui-bundle.js"></script>
  <script>
    SwaggerUIBundle({url: "/api/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});
  </script>
</body>
</html>
"""
SETTINGS = {
    "API_TITLE": "SPEAR",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.0.3",
    "OPENAPI_URL_PREFIX": "/api",
    "OPENAPI_JSON_PATH": "openapi.json",
    "API_SPEC_OPTIONS": {
        "info": {"description": _ABOUT},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],  # none on loopback
    },
}


class Document(Api):  # type: ignore[misc]
    """The OpenAPI document: each operation lists its errors, all of the one shape.

    It is written when it is first read; that takes a twelfth of what a start takes.
    """

    ERROR_SCHEMA = ErrorBody
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask) -> None:
        self._chapters: list[Callable[[], None]] = []
        super().__init__(app)

    def put_off(self, chapter: Callable[[], None]) -> None:
        """Write this part of the document, after those before it, when the document is read."""
        self._chapters.append(chapter)

    def _openapi_json(self) -> Response:
        while self._chapters:
            self._chapters.pop(0)()
            gevent.sleep(0)  # a chapter takes milliseconds; everybody gets on between two, other readers with the next
        return cast(Response, super()._openapi_json())


def make_page() -> Blueprint:
    """Swagger UI at /swagger-ui and /swagger-ui/."""
    door = Blueprint("swagger", __name__, url_prefix="/swagger-ui")

    @door.get("/")
    def page() -> Response:
        return Response(_PAGE, mimetype="text/html")

    @door.get("/<name>")
    def asset(name: str) -> Response:
        return send_from_directory(_ASSETS, name, max_age=3600)

    return door
