"""The registry of MCP servers: rows, folds, queries."""

import msgspec

from spear.domain.mcp_server import McpServer, McpServerRecord
from spear.events.record import Recorded
from spear.projections.reader import Reader
from spear.projections.revisions import revise, revision_of
from spear.projections.tables import Sheets, Table

NOUN = McpServer.TOPIC


class McpServerRow(msgspec.Struct, gc=False):
    """A registered server."""

    server_id: str
    updated_at_us: int
    record: McpServerRecord


MCP_SERVERS = Table("mcp_servers", McpServerRow)


def _put(sheets: Sheets, fact: Recorded, e: McpServer.McpServerPut) -> None:
    sheets[MCP_SERVERS][e.server_id] = McpServerRow(e.server_id, fact.time_us, e.record)
    revise(sheets, fact)


def _deleted(sheets: Sheets, fact: Recorded, e: McpServer.McpServerDeleted) -> None:
    sheets[MCP_SERVERS].remove(e.server_id)
    revise(sheets, fact)


FOLDS = {McpServer.McpServerPut: _put, McpServer.McpServerDeleted: _deleted}


def get_mcp_server(reader: Reader, server_id: str) -> McpServerRow | None:
    """One server."""
    return reader.get(MCP_SERVERS, server_id)


def count_mcp_servers(reader: Reader) -> int:
    """How many there are."""
    count: int = reader.values("SELECT count(*) FROM mcp_servers")[0][0]
    return count


def list_mcp_servers(reader: Reader) -> tuple[int, list[McpServerRow]]:
    """The registry's revision, and every server by its id, at least as new as that."""
    revision = revision_of(reader, NOUN)
    return revision, reader.rows(MCP_SERVERS, "1 ORDER BY server_id")
