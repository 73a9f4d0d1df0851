"""Keeps this process's own node known: registered once, beating since, with what the machine has and uses."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spear.errors import NotFound, SpearError, Unavailable
from spear.events.record import Origin
from spear.ports import Directory
from spear.services.nodes import Nodes, Number, OwnNode

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Description:
    """How a node is reached, its name (two nodes may share one), and what it offers: `runtimes`, `slots`."""

    ip_address: str
    port: int
    http_port: int
    name: str
    offers: Mapping[str, str]


class OwnLog:
    """This process's own log as a directory; the uuid that it gives is kept under the data directory and presented again.

    `beat` is called with the uuid after each report.
    """

    def __init__(
        self,
        nodes: Nodes,
        node: OwnNode,
        *,
        identity: Path,
        offers: Mapping[str, str],
        beat: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._nodes, self._node, self._identity = nodes, node, identity
        self._offers, self._offered, self._beat = offers, False, beat
        node.uuid = identity.read_text(errors="replace").strip() if identity.exists() else ""

    def register(self, *, uuid: str, ip_address: str, port: int, http_port: int, metadata: Mapping[str, str]) -> str:
        """Add the node under a new uuid; raises `Unavailable` when that cannot be kept."""
        new, _ = self._nodes.register(
            Origin("reporter"), ip_address=ip_address, port=port, http_port=http_port, metadata=dict(metadata)
        )
        self._node.uuid = new  # known already, whether or not it can be kept
        try:
            self._identity.write_text(new)
        except OSError as error:
            raise Unavailable(f"{self._identity}: cannot write the node's uuid: {error.strerror}") from error
        return new

    def report(self, uuid: str, numbers: Mapping[str, Number]) -> None:
        """Beat and report resources; raises `NotFound` when nobody knows the node (any more)."""
        origin = Origin(f"node:{uuid}")
        if not self._offered:
            self._nodes.offer(origin, uuid, self._offers)
            self._offered = True
        self._nodes.heartbeat(origin, uuid, {})
        self._nodes.report_resources(origin, uuid, numbers=dict(numbers), resource_metadata={})
        self._beat(uuid)


class Reporter:
    """This process's entry in one directory; `introduce` tells more of the node, once after each registration."""

    def __init__(
        self,
        directory: Directory,
        *,
        node: OwnNode,
        described: Description,
        measure: Callable[[], dict[str, Number]],
        introduce: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._directory, self._node, self._described, self._measure = directory, node, described, measure
        self._introduce, self._introduced = introduce, False

    def report(self) -> None:
        """Beat and report resources; registers first if nobody knows the node (any more). Raises `Unavailable`."""
        try:
            self._beat()
        except NotFound:
            self.register()
            self._beat()
        if not self._introduced:
            self._tell_more()

    def _beat(self) -> None:
        drained = self._directory.report(self._node.uuid, self._measure())
        if drained is not None:
            self._node.drained = drained

    def _tell_more(self) -> None:
        try:
            self._introduce(self._node.uuid)
            self._introduced = True
        except SpearError as error:  # the node lives all the same
            log.warning("%s; told again with the next heartbeat", error.message)

    def register(self) -> None:
        """Make the node known; raises `Unavailable`."""
        self._introduced = False
        it = self._described
        self._node.uuid = self._directory.register(
            uuid=self._node.uuid,
            ip_address=it.ip_address,
            port=it.port,
            http_port=it.http_port,
            metadata={"name": it.name, **it.offers},
        )
