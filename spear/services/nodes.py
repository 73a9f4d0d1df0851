"""Nodes: register, update, beat, report, drain, lose, delete."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from spear.domain.node import Heartbeat, Node, NodeStatus, OutcomeClass, OutcomeReported, ResourcesReported
from spear.domain.token import Token
from spear.errors import Forbidden, NotFound
from spear.events.record import Committed, Origin
from spear.ports import Ids
from spear.projections import nodes as views
from spear.projections.nodes import NodeRow, ResourceRow
from spear.projections.reader import Reader
from spear.services.tokens import ANOTHER_NODE
from spear.services.unit import Unit, as_uuid, retrying

Number = int | float
R = TypeVar("R", NodeRow, ResourceRow)


@dataclass
class OwnNode:
    """Which node this process is; it becomes another one when an operator deleted it and it registered again.

    `drained` is what its SMS said last: whether it gets no new work.
    """

    uuid: str
    drained: bool = False


class Nodes:
    """What can be asked of the fleet."""

    def __init__(self, unit: Unit, reader: Reader, *, ids: Ids) -> None:
        self._unit, self._reader, self._ids = unit, reader, ids

    def register(
        self,
        origin: Origin,
        *,
        uuid: str = "",
        ip_address: str,
        port: int,
        http_port: int,
        metadata: dict[str, str],
        token: Token | None = None,
    ) -> tuple[str, Committed]:
        """Add a node, and bind its token to it; returns its uuid, a new one unless it names its own.

        One that is known is welcomed back.
        """
        ident = as_uuid("node", uuid) if uuid else self._ids.new()
        its_own = token is None or token.node_uuid == str(ident)

        def attempt() -> Committed:
            node = self._unit.load(Node, ident) if uuid else None
            seen = []
            if node is None:
                node = Node(id=ident, ip_address=ip_address, port=port, http_port=http_port, metadata=metadata)
            elif its_own or node.deleted:
                node.register_again(ip_address=ip_address, port=port, http_port=http_port, metadata=metadata)
                seen = [node.observe(Heartbeat, health_info={})]
            else:
                raise Forbidden(f"node {ident} is registered already, and not with this token", code=ANOTHER_NODE)
            if token is None:
                return self._unit.save(origin, node, more=seen)
            token.bind(str(ident))
            return self._unit.save(origin, node, token, more=seen)

        return str(ident), retrying(attempt)

    def get(self, uuid: str, *, reader: Reader | None = None) -> NodeRow:
        """The node; raises `NotFound`."""
        return _known(views.get_node(reader or self._reader, str(as_uuid("node", uuid))), "node", uuid)

    def resources(self, uuid: str, *, reader: Reader | None = None) -> ResourceRow:
        """What the node last reported; raises `NotFound`."""
        return _known(views.get_resource(reader or self._reader, str(as_uuid("resource", uuid))), "resource", uuid)

    def update(
        self,
        origin: Origin,
        uuid: str,
        *,
        ip_address: str | None = None,
        port: int | None = None,
        http_port: int | None = None,
        status: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Committed:
        """Change what is given and count as a sign of life; raises `NotFound`."""

        def attempt() -> Committed:
            node = self._unit.get(Node, uuid)
            node.update(ip_address=ip_address, port=port, http_port=http_port, status=status, metadata=metadata)
            return self._unit.save(origin, node, more=[node.observe(Heartbeat, health_info={})])

        return retrying(attempt)

    def offer(self, origin: Origin, uuid: str, offers: Mapping[str, str]) -> None:
        """What the node offers stands in its metadata beside what else is there; raises `NotFound`."""
        self._tell(origin, uuid, lambda node: node.update(metadata={**node.metadata, **offers}))

    def heartbeat(self, origin: Origin, uuid: str, health_info: dict[str, str]) -> tuple[Committed, bool]:
        """The node lives, and whether it is drained; raises `NotFound` for one that is not registered any more."""

        def attempt() -> tuple[Committed, bool]:
            node = self._unit.get(Node, uuid)
            beat = node.beat(health_info)
            return self._unit.save(origin, node, more=[beat]), node.drained

        return retrying(attempt)

    def report_resources(
        self, origin: Origin, uuid: str, *, numbers: Mapping[str, Number], resource_metadata: dict[str, str]
    ) -> Committed:
        """Replace what is known of the node's resources; numbers that are not given become 0."""
        fields = {name: numbers.get(name, 0) for name in _NUMBERS}
        node = self._unit.get(Node, uuid)
        seen = node.observe(ResourcesReported, **fields, resource_metadata=resource_metadata)
        return self._unit.save(origin, node, more=[seen])

    def drain(self, origin: Origin, uuid: str, reason: str) -> Committed:
        """Give the node no new work, and let go on what runs there; raises `NotFound`."""
        return self._tell(origin, uuid, lambda node: node.drain(reason))

    def undrain(self, origin: Origin, uuid: str, reason: str) -> Committed:
        """Give the node work again; raises `NotFound`."""
        return self._tell(origin, uuid, lambda node: node.undrain(reason))

    def lose(self, origin: Origin, uuid: str, reason: str) -> None:
        """The node was silent for too long."""
        self._tell(origin, uuid, lambda node: node.lose(reason))

    def delete(self, origin: Origin, uuid: str, reason: str) -> Committed:
        """Remove the node; raises `NotFound`."""
        return self._tell(origin, uuid, lambda node: node.delete(reason))

    def remove_lost(self, origin: Origin, uuid: str, reason: str) -> None:
        """Remove the node unless it came back or is removed already."""
        origin = origin.because_of(self._unit.log.stream(uuid)[-1].position)  # its loss, or what was done to it since
        self._tell(origin, uuid, lambda node: node.delete(reason) if node.status == NodeStatus.OFFLINE else None)

    def _tell(self, origin: Origin, uuid: str, command: Callable[[Node], None]) -> Committed:
        def attempt() -> Committed:
            node = self._unit.get(Node, uuid)
            command(node)
            return self._unit.save(origin, node)

        return retrying(attempt)

    def report_outcome(
        self,
        origin: Origin,
        uuid: str,
        *,
        decision_id: str,
        request_id: str,
        task_id: str,
        outcome: OutcomeClass,
        error_message: str,
    ) -> Committed:
        """Remember how an invocation on the node went; raises `NotFound`."""
        node = self._unit.get(Node, uuid)
        seen = node.observe(
            OutcomeReported,
            decision_id=decision_id,
            request_id=request_id,
            task_id=task_id,
            outcome_class=outcome.value,
            error_message=error_message,
        )
        return self._unit.save(origin, node, more=[seen])


_NUMBERS = [name for name in views.RESOURCES.columns if name not in ("node_uuid", "updated_at_us", "resource_metadata")]


def _known(row: R | None, noun: str, uuid: str) -> R:
    if row is None:
        raise NotFound.noun(noun, uuid)
    return row
