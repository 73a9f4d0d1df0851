"""A server of tools that agents may use by the Model Context Protocol."""

from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from eventsourcing.domain import event

from spear.domain.base import Aggregate, named, topic
from spear.errors import NotFound


class Transport(StrEnum):
    """How a server is reached, in the order of their numbers on the wire, from 1."""

    STDIO = "stdio"
    STREAMABLE_HTTP = "streamable_http"


class Stdio(TypedDict):
    """A program that a node starts; `env` holds references to secrets such as `${ENV:NAME}`, never secrets."""

    command: str
    args: list[str]
    env: dict[str, str]
    cwd: str


class Http(TypedDict):
    """A server that a node calls; `headers` hold references to secrets, `auth_ref` names a credential of the node."""

    url: str
    headers: dict[str, str]
    auth_ref: str


class ApprovalPolicy(TypedDict):
    """Which calls a person must allow, by the words of the public SPEAR."""

    default_policy: str
    per_tool: dict[str, str]


class Budgets(TypedDict):
    """How much a tool may use; 0 is not given."""

    tool_timeout_ms: int
    max_concurrency: int
    max_tool_output_bytes: int


class McpServerRecord(TypedDict):
    """Everything about a server but its id; of `stdio` and `http` the `transport` says which counts.

    `allowed_tools` are patterns with `*` and `?`; none allow nothing.
    """

    display_name: str
    transport: str
    stdio: Stdio
    http: Http
    tool_namespace: str
    allowed_tools: list[str]
    approval_policy: ApprovalPolicy
    budgets: Budgets


@topic("mcp_server")
class McpServer(Aggregate):
    """An entry of the registry; its id follows from the server's, which may be used again after a deletion."""

    class McpServerPut(Aggregate.Event):
        server_id: str
        record: McpServerRecord

    class McpServerDeleted(Aggregate.Event):
        server_id: str
        reason: str

    def begin(self) -> None:
        """Nobody registered it yet."""
        self.record: McpServerRecord | None = None

    @staticmethod
    def ident(server_id: str) -> UUID:
        """The id of the stream of this server."""
        return named("mcp_server", server_id)

    def put(self, server_id: str, record: McpServerRecord) -> None:
        """From now on the server is as the record says."""
        if self.record != record:
            self._put(server_id, record)

    def delete(self, server_id: str, reason: str) -> None:
        """Nobody uses it any more; its history stays. Raises `NotFound`."""
        if self.record is None:
            raise NotFound.noun("mcp server", server_id)
        self._deleted(server_id, reason)

    @event(McpServerPut)
    def _put(self, server_id: str, record: McpServerRecord) -> None:
        self.record = record

    @event(McpServerDeleted)
    def _deleted(self, server_id: str, reason: str) -> None:
        self.record = None
