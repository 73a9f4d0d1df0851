"""The registries of an SMS: MCP servers, model backends, model deployments."""

from dataclasses import dataclass
from typing import Self

from spear.ports import Ids
from spear.projections.reader import Reader
from spear.services.backends import Backends
from spear.services.deployments import Deployments
from spear.services.mcp_servers import McpServers
from spear.services.unit import Unit


@dataclass(frozen=True)
class Registries:
    """What agents may use beside the platform itself."""

    mcp_servers: McpServers
    backends: Backends
    deployments: Deployments

    @classmethod
    def over(cls, unit: Unit, reader: Reader, *, ids: Ids) -> Self:
        """The registries that this log keeps."""
        return cls(McpServers(unit, reader), Backends(unit, reader), Deployments(unit, reader, ids=ids))
