"""Keeps this process's own node known: registered once, beating since, with what the machine has and uses."""

from collections.abc import Callable
from pathlib import Path

from spear.errors import NotFound, Unavailable
from spear.events.record import Origin
from spear.services.nodes import Nodes, Number, OwnNode


class Reporter:
    """This process's entry in the log; the node's uuid is kept under the data directory and presented again."""

    def __init__(
        self,
        nodes: Nodes,
        node: OwnNode,
        *,
        identity: Path,
        ip_address: str,
        port: int,
        http_port: int,
        name: str,
        measure: Callable[[], dict[str, Number]],
    ) -> None:
        self._nodes, self._node, self._identity, self._measure = nodes, node, identity, measure
        self._ip_address, self._port, self._http_port, self._name = ip_address, port, http_port, name
        node.uuid = identity.read_text(errors="replace").strip() if identity.exists() else ""

    def report(self) -> None:
        """Beat and report resources; registers first if nobody knows the node (any more). Raises `Unavailable`."""
        try:
            self._say()
        except NotFound:
            self._register()
            self._say()

    def _say(self) -> None:
        uuid = self._node.uuid
        origin = Origin(f"node:{uuid}")
        self._nodes.heartbeat(origin, uuid, {})
        self._nodes.report_resources(origin, uuid, numbers=self._measure(), resource_metadata={})

    def _register(self) -> None:
        self._node.uuid, _ = self._nodes.register(
            Origin("reporter"),
            ip_address=self._ip_address,
            port=self._port,
            http_port=self._http_port,
            metadata={"name": self._name},
        )
        try:
            self._identity.write_text(self._node.uuid)
        except OSError as error:
            raise Unavailable(f"{self._identity}: cannot write the node's uuid: {error.strerror}") from error
