"""Who has the objects that this process lacks: on an SMS the nodes of its fleet, on a SPEARlet the SMS that it is linked to."""

from collections.abc import Iterator

from spear.domain.node import NodeStatus
from spear.errands import FarObject, NodeAddress, RemoteObjects
from spear.errors import Unavailable
from spear.projections.holdings import holders_of
from spear.projections.nodes import get_node
from spear.projections.reader import Reader
from spear.protocols import passes
from spear.services.nodes import OwnNode
from spear.services.passes import Passes

_MOST_ASKED = 8


class FleetHolders:
    """The nodes of this process's own log: an object is where it was reported, a result where its execution ran."""

    def __init__(self, reader: Reader, remote: RemoteObjects, *, own: OwnNode, passes: Passes) -> None:
        self._reader, self._remote, self._own, self._passes = reader, remote, own, passes

    def find(self, name: str) -> FarObject | None:
        """The object, None where nobody has it; raises `Unavailable` when its node cannot be asked.

        Of several nodes the one that wrote last is asked; the next one only when that one says that it is gone.
        """
        for node_uuid in self._named(name):
            if found := self._remote.find(self._address(node_uuid), name):
                return found
        return None

    def holder(self, name: str) -> str:
        """The node that is asked first, as far as this process was told; "" for none."""
        return next(self._named(name), "")

    def _named(self, name: str) -> Iterator[str]:
        found = holders_of(self._reader, name, most=_MOST_ASKED)
        return (node_uuid for node_uuid in found if node_uuid != self._own.uuid)

    def _address(self, node_uuid: str) -> NodeAddress:
        node = get_node(self._reader, node_uuid)
        if node is None or node.status == NodeStatus.OFFLINE:
            why = "is not registered any more" if node is None else "was declared lost"
            text = f"node {node_uuid} has it, and {why}"
            raise Unavailable(text, code="NODE_UNREACHABLE", details={"node_uuid": node_uuid})
        token = self._passes.issue(node.uuid, passes.SMS)
        return NodeAddress(node.uuid, node.ip_address, node.http_port, token)


class SmsHolder:
    """The SMS of this process, which asks its fleet in turn."""

    def __init__(self, remote: RemoteObjects, sms: NodeAddress) -> None:
        self._remote, self._sms = remote, sms

    def find(self, name: str) -> FarObject | None:
        """The object, None where nobody has it; raises `Unavailable`."""
        return self._remote.find(self._sms, name)

    def holder(self, name: str) -> str:
        """The SMS alone knows, and it is not asked."""
        return ""
