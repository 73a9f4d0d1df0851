"""The registry of MCP servers: put, delete, list."""

import re

from spear.domain.mcp_server import McpServer, McpServerRecord, Transport
from spear.domain.secret import check_references, check_url
from spear.errors import Invalid, NotFound, Refused
from spear.events.record import Committed, Origin
from spear.projections import mcp_servers as views
from spear.projections.mcp_servers import McpServerRow
from spear.projections.reader import Reader
from spear.projections.revisions import revision_of
from spear.services.unit import Unit, retrying

MOST = 1000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")


class McpServers:
    """Which servers of tools agents may use. Every change has a revision, the position of its fact in the log."""

    def __init__(self, unit: Unit, reader: Reader) -> None:
        self._unit, self._reader = unit, reader

    def put(self, origin: Origin, server_id: str, record: McpServerRecord) -> tuple[int, Committed]:
        """Register the server, or replace what is known of it; returns the registry's revision.

        Raises `Invalid`, also for a secret in the clear, and `Refused` when `MOST` are registered.
        """
        record = _checked(server_id, record)

        def attempt() -> Committed:
            server = self._unit.blank_or_loaded(McpServer, McpServer.ident(server_id))
            if server.record is None and views.count_mcp_servers(self._reader) >= MOST:
                raise Refused(f"{MOST} MCP servers are registered, which is the limit; delete one first")
            server.put(server_id, record)
            return self._unit.save(origin, server)

        return self._revised(retrying(attempt))

    def delete(self, origin: Origin, server_id: str, reason: str) -> tuple[int, Committed]:
        """Take the server out; returns the registry's revision. Raises `NotFound`."""

        def attempt() -> Committed:
            server = self._unit.blank_or_loaded(McpServer, McpServer.ident(server_id))
            server.delete(server_id, reason)
            return self._unit.save(origin, server)

        return self._revised(retrying(attempt))

    def _revised(self, committed: Committed) -> tuple[int, Committed]:
        return committed.last or revision_of(self._reader, views.NOUN), committed

    def get(self, server_id: str, *, reader: Reader | None = None) -> McpServerRow:
        """One server; raises `NotFound`."""
        row = views.get_mcp_server(reader or self._reader, server_id)
        if row is None:
            raise NotFound.noun("mcp server", server_id)
        return row


def _checked(server_id: str, record: McpServerRecord) -> McpServerRecord:
    if not _ID.fullmatch(server_id):
        expected = "1 to 128 letters, digits, dots, underscores, colons, @ or dashes, the first a letter or digit"
        raise Invalid.field("server_id", server_id, expected)
    stdio, http = record["stdio"], record["http"]
    if record["transport"] == Transport.STDIO and not stdio["command"].strip():
        raise Invalid.field("stdio.command", stdio["command"], "a command, for transport stdio")
    if record["transport"] == Transport.STREAMABLE_HTTP or http["url"]:
        check_url("http.url", http["url"])
    check_references("stdio.env", stdio["env"])
    check_references("http.headers", http["headers"])
    return {**record, "tool_namespace": record["tool_namespace"] or f"mcp.{server_id}"}
