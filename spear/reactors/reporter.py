"""Keeps this process's own node known: registered once, beating since, with what the machine has and uses."""

from collections.abc import Callable
from pathlib import Path

from spear.errors import NotFound
from spear.events.record import Origin
from spear.services.nodes import Nodes, Number


class Reporter:
    """The node's own entry in the log; its uuid is kept under the data directory and presented again."""

    def __init__(
        self,
        nodes: Nodes,
        *,
        identity: Path,
        ip_address: str,
        port: int,
        http_port: int,
        name: str,
        measure: Callable[[], dict[str, Number]],
    ) -> None:
        self._nodes, self._identity, self._measure = nodes, identity, measure
        self._ip_address, self._port, self._http_port, self._name = ip_address, port, http_port, name
        self.node_uuid = identity.read_text().strip() if identity.exists() else ""

    def report(self) -> None:
        """Beat and report resources; registers first if nobody knows the node (any more)."""
        try:
            self._say()
        except NotFound:
            self._register()
            self._say()

    def _say(self) -> None:
        origin = Origin(f"node:{self.node_uuid}")
        self._nodes.heartbeat(origin, self.node_uuid, {})
        self._nodes.report_resources(origin, self.node_uuid, numbers=self._measure(), resource_metadata={})

    def _register(self) -> None:
        self.node_uuid, _ = self._nodes.register(
            Origin("reporter"),
            ip_address=self._ip_address,
            port=self._port,
            http_port=self._http_port,
            metadata={"name": self._name},
        )
        self._identity.write_text(self.node_uuid)
