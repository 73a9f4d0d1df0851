"""The registry of MCP servers."""

from collections.abc import Iterator

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import number, present, text, text_list, text_map, word
from spear.adapters.rpc.generated.sms import mcp_registry_pb2 as pb
from spear.adapters.rpc.watch import watch
from spear.domain.mcp_server import McpServer, McpServerRecord, Transport
from spear.projections import mcp_servers as views
from spear.projections.mcp_servers import McpServerRow
from spear.services.platform import Platform

_TRANSPORT = dict(enumerate(Transport, 1))
_BUDGETS = ("tool_timeout_ms", "max_concurrency", "max_tool_output_bytes")


def _message(row: McpServerRow) -> Message:
    record = row.record
    message = pb.McpServerRecord(
        server_id=row.server_id,
        display_name=record["display_name"],
        transport=f"MCP_TRANSPORT_{record['transport'].upper()}",
        tool_namespace=record["tool_namespace"],
        allowed_tools=record["allowed_tools"],
        updated_at_ms=row.updated_at_us // 1000,
    )
    for name, kind in (
        ("stdio", pb.McpStdioConfig),
        ("http", pb.McpHttpConfig),
        ("approval_policy", pb.McpApprovalPolicy),
        ("budgets", pb.McpBudgets),
    ):
        if any(record[name].values()):  # type: ignore[literal-required]
            getattr(message, name).CopyFrom(kind(**record[name]))  # type: ignore[literal-required]
    return message


def _record(given: Message) -> McpServerRecord:
    stdio, http, policy = given.stdio, given.http, given.approval_policy
    return {
        "display_name": text("display_name", given.display_name, most=256),
        "transport": word("transport", given.transport, _TRANSPORT, pb.McpTransport).value,
        "stdio": {
            "command": text("stdio.command", stdio.command, most=2048),
            "args": text_list("stdio.args", stdio.args, most=8192),
            "env": text_map("stdio.env", stdio.env),
            "cwd": text("stdio.cwd", stdio.cwd, most=2048),
        },
        "http": {
            "url": text("http.url", http.url, most=2048),
            "headers": text_map("http.headers", http.headers),
            "auth_ref": text("http.auth_ref", http.auth_ref, most=256),
        },
        "tool_namespace": text("tool_namespace", given.tool_namespace, most=256),
        "allowed_tools": text_list("allowed_tools", given.allowed_tools, most=256),
        "approval_policy": {
            "default_policy": text("approval_policy.default_policy", policy.default_policy, most=64),
            "per_tool": text_map("approval_policy.per_tool", policy.per_tool, most=256),
        },
        "budgets": {  # type: ignore[typeddict-item]
            name: number(f"budgets.{name}", getattr(given.budgets, name), 0, 2**53) for name in _BUDGETS
        },
    }


def _told(event: McpServer.McpServerPut | McpServer.McpServerDeleted) -> dict[str, bool]:
    return {event.server_id: isinstance(event, McpServer.McpServerPut)}


class McpRegistryService:
    """`sms.McpRegistryService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["McpRegistryService"]

    def __init__(self, platform: Platform) -> None:
        self._servers, self._reader, self._log = platform.registries.mcp_servers, platform.reader, platform.log

    def list_mcp_servers(self, request: Message, asked: Asked) -> Message:
        """Every server by its id; `since_revision` leaves none out."""
        revision, rows = views.list_mcp_servers(self._reader)
        return pb.ListMcpServersResponse(revision=revision, servers=[_message(row) for row in rows])

    def watch_mcp_servers(self, request: Message, asked: Asked) -> Iterator[Message]:
        """Which servers changed after a revision, and which change from now on."""
        for changed in watch(self._log, views.NOUN, request.since_revision, _told):
            event = pb.McpRegistryEvent(revision=changed.revision, upserts=changed.upserts, deletes=changed.deletes)
            yield pb.WatchMcpServersResponse(event=event)

    def upsert_mcp_server(self, request: Message, asked: Asked) -> Message:
        """Register a server, or replace what is known of it."""
        record = present(request, "record")
        revision, _ = self._servers.put(asked.origin, record.server_id, _record(record))
        return pb.UpsertMcpServerResponse(revision=revision)

    def delete_mcp_server(self, request: Message, asked: Asked) -> Message:
        """Take a server out; its history stays."""
        server_id = text("server_id", request.server_id, most=128, least=1)
        revision, _ = self._servers.delete(asked.origin, server_id, "deleted by request")
        return pb.DeleteMcpServerResponse(revision=revision)
