"""Who knows the other nodes: an SMS its own fleet, a SPEARlet the SMS that it is linked to."""

import logging
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from time import monotonic

from spear.domain.node import OutcomeClass
from spear.domain.placement import SMS_DECISION, CandidateFacts, DecisionFacts, Rule
from spear.errands import Errand, NodeAddress, Placer
from spear.errors import Refused, SpearError, Unavailable
from spear.events.record import Origin
from spear.projections.tasks import TaskRow
from spear.protocols import passes
from spear.services.nodes import Nodes, OwnNode
from spear.services.passes import Passes
from spear.services.placements import Choice, Placements

log = logging.getLogger(__name__)
_MOST_NAMED = 8
_REMEMBERED = 1024
_IN_VAIN_S = 1.0


class FleetGuide:
    """The nodes that are registered in this process's own log."""

    def __init__(self, placements: Placements, nodes: Nodes, passes: Passes) -> None:
        self._placements, self._nodes, self._passes = placements, nodes, passes

    @property
    def others(self) -> bool:
        """Whether there may be any."""
        return self._placements.others

    @property
    def slots(self) -> int:
        """How many executions they have slots for, all together."""
        return self._placements.slots

    def elsewhere(self, task: TaskRow, *, pinned: str = "") -> Choice:
        """The best other node for the task; one that just failed is none."""
        return self._placements.elsewhere(task, pinned=pinned)

    def expect(self, node_uuid: str) -> AbstractContextManager[None]:
        """Within the `with` the execution is placed on the node, or not; until it is, it counts as one in flight there."""
        return self._placements.expect(node_uuid)

    def address(self, node_uuid: str) -> NodeAddress | None:
        """Where the node answers; None for one that is gone or was declared lost."""
        found = self._placements.address(node_uuid)
        return replace(found, token=self._passes.issue(node_uuid, passes.SMS)) if found else None

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


class SmsGuide:
    """The nodes that this SPEARlet's SMS names; while it does not answer there are none but those it named before."""

    def __init__(self, sms: Placer, own: OwnNode, *, most: int) -> None:
        self._sms, self._own, self.slots = sms, own, most
        self._named: OrderedDict[str, tuple[NodeAddress, str]] = OrderedDict()  # and by which decision
        self._failing: set[str] = set()
        self._in_vain: dict[str, float] = {}  # and until when not to ask again

    @property
    def others(self) -> bool:
        """Whether there may be any."""
        return True

    def elsewhere(self, task: TaskRow, *, pinned: str = "") -> Choice:
        """The best other node for the task; one that just failed is none. Asked in vain, the SMS is not asked again for a second."""
        rule, wanted = (Rule.PINNED, pinned) if pinned else (Rule.BEST, task.task_id)
        if monotonic() < self._in_vain.get(wanted, 0):
            return Choice("", False, rule, _named("", []))
        try:
            choice = self._pinned(pinned) if pinned else self._best(task)
        except SpearError as error:
            log.warning("the SMS names no node for task %s: %s", task.task_id, error.message)
            choice = Choice("", False, rule, _named("", []))
        if not choice.node_uuid:
            if len(self._in_vain) >= _REMEMBERED:
                self._in_vain.clear()
            self._in_vain[wanted] = monotonic() + _IN_VAIN_S
        return choice

    def _pinned(self, node_uuid: str) -> Choice:
        found = self._sms.node(node_uuid)
        if found:
            self._remember(found, "")
        return Choice(found.node_uuid if found else "", False, Rule.PINNED, _named("", []))

    def _best(self, task: TaskRow) -> Choice:
        decision_id, found = self._sms.place(task.task_id, request_id=self._own.uuid, most=_MOST_NAMED)
        fits = [(node, score) for node, score in found if node.node_uuid != self._own.uuid]
        for node, _ in fits[:1]:
            self._remember(node, decision_id)
        return Choice(fits[0][0].node_uuid if fits else "", False, Rule.BEST, _named(decision_id, found))

    def _remember(self, node: NodeAddress, decision_id: str) -> None:
        self._named[node.node_uuid] = node, decision_id
        self._named.move_to_end(node.node_uuid)
        while len(self._named) > _REMEMBERED:
            self._failing.discard(self._named.popitem(last=False)[0])

    def expect(self, node_uuid: str) -> AbstractContextManager[None]:
        """The SMS hears of what is in flight there from the node."""
        return nullcontext()

    def address(self, node_uuid: str) -> NodeAddress | None:
        """Where the node answers, as it was named or, after trouble, as the SMS says now; None for one that is gone or lost.

        Raises `Unavailable` when nobody can say.
        """
        named = self._named.get(node_uuid)
        if named and node_uuid not in self._failing:
            return named[0]
        try:
            return self._sms.node(node_uuid)
        except Refused as error:
            raise Unavailable(error.message) from None

    def report(self, origin: Origin, node_uuid: str, errand: Errand, outcome: OutcomeClass, text: str) -> None:
        """Tell the SMS how it went where the SMS had it go, as far as that can be; a success is news only after a failure."""
        if outcome is OutcomeClass.SUCCESS and node_uuid not in self._failing:
            return
        (self._failing.discard if outcome is OutcomeClass.SUCCESS else self._failing.add)(node_uuid)
        decision_id = self._named[node_uuid][1] if node_uuid in self._named else ""
        if not decision_id:
            return  # the caller named the node, and the SMS hears only of what it decided
        try:
            self._sms.tell_outcome(
                node_uuid, decision_id=decision_id, request_id=errand.execution_id, task_id=errand.task_id,
                outcome=outcome, text=text,
            )  # fmt: skip
        except SpearError as error:
            log.warning("the SMS does not hear how it went on node %s: %s", node_uuid, error.message)


def _named(decision_id: str, found: list[tuple[NodeAddress, float]]) -> DecisionFacts:
    """A decision of which only the SMS has the reasons."""
    return {
        "policy": f"{SMS_DECISION}{decision_id}",
        "policy_version": 0,
        "nodes": len(found),
        "fitting": len(found),
        "candidates": [_candidate(node.node_uuid, score) for node, score in found],
        "refused": [],
        "refused_counts": {},
    }


def _candidate(node_uuid: str, score: float) -> CandidateFacts:
    return {
        "node_uuid": node_uuid, "score": round(score, 3), "reported": False, "cpu_percent": 0.0, "memory_percent": 0.0,
        "disk_percent": 0.0, "load_1m": 0.0, "failures": 0, "in_flight": 0, "slots": 0,
    }  # fmt: skip
