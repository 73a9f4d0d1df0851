"""Who knows the other nodes: the fleet of an SMS."""

import logging
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager

from spear.domain.node import OutcomeClass
from spear.errors import SpearError
from spear.events.record import Origin
from spear.ports import Errand, NodeAddress
from spear.projections.tasks import TaskRow
from spear.services.nodes import Nodes
from spear.services.placements import Choice, Placements

log = logging.getLogger(__name__)


class FleetGuide:
    """The nodes that are registered in this process's own log."""

    def __init__(self, placements: Placements, nodes: Nodes) -> None:
        self._placements, self._nodes = placements, nodes

    @property
    def others(self) -> bool:
        """Whether there may be any."""
        return self._placements.others

    @property
    def slots(self) -> int:
        """How many executions they have slots for, all together."""
        return self._placements.slots

    def elsewhere(self, task: TaskRow, *, pinned: str = "", but: AbstractSet[str] = frozenset()) -> Choice:
        """The best other node for the task, leaving out those that it was refused by."""
        return self._placements.elsewhere(task, pinned=pinned, but=but)

    def expect(self, node_uuid: str) -> AbstractContextManager[None]:
        """Within the `with` the execution is placed on the node, or not; until it is, it counts as one in flight there."""
        return self._placements.expect(node_uuid)

    def address(self, node_uuid: str) -> NodeAddress | None:
        """Where the node answers; None for one that is gone or was declared lost."""
        return self._placements.address(node_uuid)

    def report(self, origin: Origin, node_uuid: str, errand: Errand, outcome: OutcomeClass, text: str) -> None:
        """Remember how it went there, as far as that can be; a success is news only after a failure."""
        if outcome is OutcomeClass.SUCCESS and not self._placements.failing(node_uuid):
            return
        ident = errand.execution_id
        try:
            self._nodes.report_outcome(
                origin, node_uuid, decision_id=ident, request_id=ident, task_id=errand.task_id,
                outcome=outcome, error_message=text,
            )  # fmt: skip
        except SpearError as error:
            log.warning("how it went on node %s is not remembered: %s", node_uuid, error.message)
