"""Who may ask what: every route in one table, checked for every request before its body is looked at."""

import sys

from flask import Flask, request

from spear.adapters.rest.requests import CALLER, Environ
from spear.adapters.rest.server import OPEN
from spear.adapters.rest.upgrade import bring_token
from spear.services import doors
from spear.services.tokens import ANYBODY, Caller, Tokens

# Method, route, and who besides an admin: `itself` is the node whose uuid the route has, `owner` the client that
# requested the execution, `anybody` needs no token, the `fleet` shows a pass.
# A route that is not here is for admins. fmt: off
ROUTES: tuple[tuple[str, str, str], ...] = (
    ("GET", "/health", "anybody"),
    ("GET", "/ready", "anybody"),
    ("GET", "/api/openapi.json", "anybody"),
    ("GET", "/swagger-ui/", "anybody"),
    ("GET", "/swagger-ui/<name>", "anybody"),
    ("POST", "/e/<endpoint>", "operator client"),
    ("GET", "/e/<endpoint>/ws", "operator client"),
    ("POST", "/api/v1/executions", "operator client"),
    ("GET", "/api/v1/executions", "operator client"),
    ("GET", "/api/v1/executions/<execution_id>", "operator client"),
    ("GET", "/api/v1/executions/<execution_id>/placement", "operator client"),
    ("GET", "/api/v1/executions/<execution_id>/logs", "operator client"),
    ("POST", "/api/v1/executions/<execution_id>/terminate", "operator owner"),
    ("POST", "/api/v1/executions/<execution_id>/streams/session", "operator client"),
    (
        "GET",
        "/api/v1/executions/<execution_id>/streams/ws",
        "anybody",
    ),  # who brings a session's token, or at a node a pass
    ("GET", "/api/v1/tasks", "operator node client"),
    ("GET", "/api/v1/tasks/<task_id>", "operator node client"),
    ("GET", "/api/v1/tasks/<task_id>/ws", "operator node client"),
    ("POST", "/api/v1/tasks", "operator"),
    ("PUT", "/api/v1/tasks/<task_id>", "operator"),
    ("DELETE", "/api/v1/tasks/<task_id>", "operator"),
    ("GET", "/api/v1/tasks/<task_id>/instances", "operator"),
    ("GET", "/api/v1/instances/<instance_id>", "operator"),
    ("GET", "/api/v1/instances/<instance_id>/executions", "operator"),
    ("GET", "/api/v1/objects", "operator client"),
    ("GET", "/api/v1/objects/<path:key>", "operator node client fleet"),
    ("PUT", "/api/v1/objects/<path:key>", "operator client"),
    ("DELETE", "/api/v1/objects/<path:key>", "operator client"),
    ("POST", "/api/v1/objects/<path:key>/refs", "operator client"),
    ("DELETE", "/api/v1/objects/<path:key>/refs", "operator client"),
    ("POST", "/api/v1/objects/<path:key>/pin", "operator client"),
    ("DELETE", "/api/v1/objects/<path:key>/pin", "operator client"),
    ("GET", "/api/v1/files", "operator"),
    ("POST", "/api/v1/files", "operator"),
    ("POST", "/api/v1/files/presign-upload", "operator"),
    ("GET", "/api/v1/files/<file_id>", "operator node"),
    ("GET", "/api/v1/files/<file_id>/meta", "operator node"),
    ("DELETE", "/api/v1/files/<file_id>", "operator"),
    ("POST", "/api/v1/nodes", "operator node"),
    ("GET", "/api/v1/nodes", "operator"),
    ("GET", "/api/v1/nodes/<uuid>", "operator itself"),
    ("PUT", "/api/v1/nodes/<uuid>", "operator itself"),
    ("DELETE", "/api/v1/nodes/<uuid>", "operator itself"),
    ("POST", "/api/v1/nodes/<uuid>/heartbeat", "operator itself"),
    ("PUT", "/api/v1/nodes/<uuid>/resource", "operator itself"),
    ("GET", "/api/v1/nodes/<uuid>/resource", "operator itself"),
    ("GET", "/api/v1/nodes/<uuid>/with-resource", "operator itself"),
    ("POST", "/api/v1/nodes/<uuid>/drain", "operator"),
    ("POST", "/api/v1/nodes/<uuid>/undrain", "operator"),
    ("GET", "/api/v1/nodes/<uuid>/backends", "operator itself"),
    ("PUT", "/api/v1/nodes/<uuid>/backends", "operator itself"),
    ("POST", "/api/v1/nodes/<uuid>/ai-models", "operator"),
    ("GET", "/api/v1/nodes/<uuid>/ai-models/deployments", "operator itself"),
    ("DELETE", "/api/v1/nodes/<uuid>/ai-models/deployments/<deployment_id>", "operator"),
    ("PUT", "/api/v1/nodes/<uuid>/ai-models/deployments/<deployment_id>/status", "operator itself"),
    ("GET", "/api/v1/resources", "operator"),
    ("GET", "/api/v1/backends", "operator"),
    ("GET", "/api/v1/backends/<kind>/<path:name>", "operator"),
    ("GET", "/api/v1/ai-models", "operator"),
    ("GET", "/api/v1/ai-models/<provider>/<path:model>", "operator"),
    ("GET", "/api/v1/mcp/servers", "operator node"),
    ("GET", "/api/v1/mcp/servers/<server_id>", "operator node"),
    ("POST", "/api/v1/mcp/servers", "operator"),
    ("DELETE", "/api/v1/mcp/servers/<server_id>", "operator"),
    ("GET", "/api/v1/placement/why-not", "operator"),
    ("POST", "/api/v1/placement/invocations/place", "operator node"),
    ("POST", "/api/v1/placement/invocations/report-outcome", "operator node"),
    ("GET", "/api/v1/events", "operator"),
    ("GET", "/api/v1/events/ws", "operator"),
    ("GET", "/api/v1/tokens", "admin"),
    ("POST", "/api/v1/tokens", "admin"),
    ("DELETE", "/api/v1/tokens/<name>", "admin"),
)
# fmt: on


_ROWS = {(method, rule): doors.row(who) for method, rule, who in ROUTES}


class Access:
    """The table, applied to requests."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def admit(self, environ: Environ, method: str, rule: str, *, node_uuid: str = "") -> Caller:
        """Who asks for this route; raises `Unauthenticated` or `Forbidden`."""
        if environ.get(OPEN) and "HTTP_AUTHORIZATION" not in environ:
            return ANYBODY  # what the rest comes to, without its cost
        row = _ROWS.get((method, rule), doors.ADMINS)
        caller = self._admit(environ, row, f"{method} {rule}")
        if row.itself:
            caller.speaks_for(node_uuid)
        return caller

    def admit_nowhere(self, environ: Environ) -> Caller:
        """Who asks for a route that there is not: nobody learns even that without a token."""
        return self._admit(environ, doors.ALL, "this")

    def _admit(self, environ: Environ, row: doors.Row, what: str) -> Caller:
        given = environ.get("HTTP_AUTHORIZATION", "")
        return row.admit(self._tokens, given, what, open_door=environ.get(OPEN, False))


def install(app: Flask, tokens: Tokens) -> None:
    """Check every request of `app`."""
    access = Access(tokens)

    @app.before_request
    def check() -> None:
        environ, rule = request.environ, request.url_rule
        if "HTTP_UPGRADE" in environ:
            bring_token(environ)
        if rule is None:
            access.admit_nowhere(environ)
            return
        method = "GET" if request.method == "HEAD" else request.method
        uuid = (request.view_args or {}).get("uuid", "")
        environ[CALLER] = access.admit(environ, method, rule.rule, node_uuid=uuid)


def markdown() -> str:
    """The table as docs/security.md shows it."""
    return doors.markdown("Route", ((f"{method} {rule}", who) for method, rule, who in ROUTES))


if __name__ == "__main__":
    sys.stdout.write(markdown())
