"""MCP servers: programs and services whose tools agents may use."""

from typing import Any

from marshmallow import fields

from spear.adapters.rest.paging import AsOf
from spear.adapters.rest.requests import origin, reader, wrote
from spear.adapters.rest.schemas import (
    TEXTS,
    Resource,
    Taken,
    Text,
    answer,
    choice,
    saying,
    text_list,
    text_map,
    whole,
)  # fmt: skip
from spear.domain.mcp_server import Transport
from spear.projections import mcp_servers as views
from spear.projections.mcp_servers import McpServerRow
from spear.services.platform import Platform

_NUMBER = {transport.value: wire for wire, transport in enumerate(Transport, 1)}
_BUDGETS = ("tool_timeout_ms", "max_concurrency", "max_tool_output_bytes")
_AN_OBJECT = saying("a JSON object")


class StdioIn(Taken):
    """A program that a node starts; secrets only as references such as `${ENV:NAME}`."""

    command = Text(2048, load_default="")
    args = text_list(8192, load_default=list)
    env = text_map(load_default=dict)
    cwd = Text(2048, load_default="")


class HttpIn(Taken):
    """A server that a node calls; secrets only as references such as `Bearer ${ENV:NAME}`."""

    url = Text(2048, load_default="")
    headers = text_map(load_default=dict)
    auth_ref = Text(256, load_default="")


class PolicyIn(Taken):
    """Which calls a person must allow."""

    default_policy = Text(64, load_default="")
    per_tool = text_map(256, load_default=dict)


BudgetsIn = Taken.from_dict({name: whole(0, 2**53, load_default=0) for name in _BUDGETS}, name="BudgetsIn")


class McpServerIn(Taken):
    """Everything about a server; what is left out counts as empty, and no allowed tools allow none."""

    server_id = Text(128, least=1, required=True)
    transport = choice(Transport, required=True)
    display_name = Text(256, load_default="")
    stdio = fields.Nested(StdioIn, load_default=lambda: StdioIn().load({}), error_messages=_AN_OBJECT)
    http = fields.Nested(HttpIn, load_default=lambda: HttpIn().load({}), error_messages=_AN_OBJECT)
    tool_namespace = Text(256, load_default="")
    allowed_tools = text_list(256, load_default=list)
    approval_policy = fields.Nested(PolicyIn, load_default=lambda: PolicyIn().load({}), error_messages=_AN_OBJECT)
    budgets = fields.Nested(BudgetsIn, load_default=lambda: BudgetsIn().load({}), error_messages=_AN_OBJECT)


Revised = answer("Revised", success=bool, revision=int)
Stdio = answer("McpStdio", command=str, args=[str], env=TEXTS, cwd=str)
Http = answer("McpHttp", url=str, headers=TEXTS, auth_ref=str)
Policy = answer("McpApprovalPolicy", default_policy=str, per_tool=TEXTS)
Budgets = answer("McpBudgets", **dict.fromkeys(_BUDGETS, int))
McpServer = answer(
    "McpServer",
    server_id=str,
    display_name=str,
    transport=int,
    stdio=fields.Nested(Stdio, required=True, allow_none=True),
    http=fields.Nested(Http, required=True, allow_none=True),
    tool_namespace=str,
    allowed_tools=[str],
    approval_policy=fields.Nested(Policy, required=True, allow_none=True),
    budgets=fields.Nested(Budgets, required=True, allow_none=True),
    updated_at_ms=int,
)
OneMcpServer = answer("OneMcpServer", success=bool, server=McpServer)
McpServers = answer("McpServers", success=bool, revision=int, servers=[McpServer])


def mcp_server_json(row: McpServerRow) -> dict[str, Any]:
    """A server as the API shows it: `transport` 1 is stdio, 2 streamable HTTP; parts that say nothing are null."""
    record: Any = row.record
    parts = {name: part if any(part.values()) else None for name, part in record.items() if isinstance(part, dict)}
    return {
        "server_id": row.server_id,
        **record,
        **parts,
        "transport": _NUMBER[record["transport"]],
        "updated_at_ms": row.updated_at_us // 1000,
    }


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/mcp."""
    api = Resource("mcp", __name__, url_prefix="/api/v1/mcp", description="Servers of tools for agents")
    service = platform.registries.mcp_servers

    @api.get("/servers")
    @api.query(AsOf)
    @api.answers(McpServers)
    def list_servers(query: dict[str, Any]) -> Any:
        """Every server by its id, and the registry's revision: the position of its last change."""
        revision, rows = views.list_mcp_servers(reader(platform))
        return {"success": True, "revision": revision, "servers": [mcp_server_json(row) for row in rows]}

    @api.get("/servers/<server_id>")
    @api.query(AsOf)
    @api.answers(OneMcpServer, refuses=(404,))
    def get_server(query: dict[str, Any], server_id: str) -> Any:
        """One server."""
        return {"success": True, "server": mcp_server_json(service.get(server_id, reader=reader(platform)))}

    @api.post("/servers")
    @api.body(McpServerIn)
    @api.answers(Revised, refuses=(409, 503))
    def put_server(body: dict[str, Any]) -> Any:
        """Register a server, or replace what is known of it whole."""
        revision, committed = service.put(origin(), body.pop("server_id"), body)  # type: ignore[arg-type]
        wrote(committed)
        return {"success": True, "revision": revision}

    @api.delete("/servers/<server_id>")
    @api.answers(Revised, refuses=(404, 503))
    def delete_server(server_id: str) -> Any:
        """Take a server out; its history stays."""
        revision, committed = service.delete(origin(), server_id, "deleted by request")
        wrote(committed)
        return {"success": True, "revision": revision}

    return api
