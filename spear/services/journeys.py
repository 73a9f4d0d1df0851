"""The way of one execution through other nodes: placed, asked, asked again, spilled to the next, until there is an answer."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import Protocol

from spear.domain.execution import Execution
from spear.domain.node import OutcomeClass
from spear.domain.task import Task
from spear.errands import NO_TASK, Answer, Arrival, Declined, Errand, NodeAddress, RemoteNodes
from spear.errors import Unavailable
from spear.events.record import Origin
from spear.ports import Bell, End, Limits, Outcome, Ticket
from spear.projections.tasks import TaskRow
from spear.scheduling.spillback import SPILLING, Move, Patience, move
from spear.services.endings import OUTPUT_CONTENT_TYPE
from spear.services.placements import NO_NODE, Choice
from spear.services.tasks import limits_of
from spear.services.unit import Unit, as_uuid, retrying

_GRACE_S = 10.0
_LOOK_S = 1.0


class Guide(Protocol):
    """Knows the other nodes."""

    @property
    def others(self) -> bool:
        """Whether there may be any."""
        ...

    @property
    def slots(self) -> int:
        """How many executions they have slots for, all together."""
        ...

    def elsewhere(self, task: TaskRow, *, pinned: str = "") -> Choice:
        """The best other node for the task; one that just failed is none."""
        ...

    def expect(self, node_uuid: str) -> AbstractContextManager[None]:
        """Within the `with` an execution is placed on the node, or not; until it is, it counts as one in flight there."""
        ...

    def address(self, node_uuid: str) -> NodeAddress | None:
        """Where the node answers; None for one that is gone or was declared lost. Raises `Unavailable` when nobody can say."""
        ...

    def report(self, origin: Origin, node_uuid: str, errand: Errand, outcome: OutcomeClass, text: str) -> None:
        """Remember how it went there, as far as that can be; a success is news only after a failure."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of other nodes' work this process has in hand; `grace_s` is how much longer than it may take an execution is waited for."""

    most: int
    queue_limit: int
    limits: Limits
    grace_s: float = _GRACE_S
    first_pause_s: float = 0.05


@dataclass(eq=False)
class Forward:
    """One execution for another node, from admission to its end; `doubt` says that the node may have it.

    One with a `home` has come `back` to be run by this process's own node when no other takes it.
    """

    errand: Errand
    task: TaskRow
    origin: Origin
    ticket: Ticket
    waits: bool = False
    pinned: str = ""
    node_uuid: str = ""
    doubt: bool = False
    only_known: bool = False
    output_content_type: str = OUTPUT_CONTENT_TYPE
    admitted: bool = False
    cancelled: str = ""
    over: bool = False
    home: bool = False
    back: bool = False
    hops: int = 0
    opens_in_s: int = 0  # from its last look for a node
    result_taken: bool = False

    @property
    def execution_id(self) -> str:
        """The execution's id, the same in every log."""
        return self.errand.execution_id


class Journeys:
    """Sends executions on their way; `closing` says why none takes another step."""

    def __init__(
        self, unit: Unit, *, guide: Guide, nodes: RemoteNodes, bell: Bell, bounds: Bounds, now_s: Callable[[], float]
    ) -> None:
        self._unit, self._guide, self._nodes, self._bell = unit, guide, nodes, bell
        self._bounds, self._now_s = bounds, now_s
        self.closing = ""

    def answer(self, forward: Forward) -> Answer | None:
        """How it ended; None when somebody else recorded an end, when the process closes, or when it comes back."""
        wall_ms = limits_of(forward.task.config, self._bounds.limits).wall_ms
        limit_s = min(forward.errand.timeout_ms or wall_ms, wall_ms) / 1000 + self._bounds.grace_s
        patience = Patience(self._now_s, limit_s, first_s=self._bounds.first_pause_s)
        for answer in self._steps(forward, patience):
            if answer is not None or self.closing or forward.over or forward.back:
                return answer
        return None

    def _steps(self, forward: Forward, patience: Patience) -> Iterator[Answer | None]:
        while not forward.admitted and not forward.cancelled:
            yield self._wait_for_turn(forward, patience)
        patience.renew()
        while True:
            if forward.cancelled and not forward.doubt:
                yield _cancelled(forward)
            elif forward.node_uuid or self._place(forward, patience):
                yield self._ask(forward, patience)
            else:
                yield self._wait_for_node(forward, patience)

    def _wait_for_turn(self, forward: Forward, patience: Patience) -> Answer | None:
        if forward.home:
            forward.back = True
            return None
        if self._guide.slots:
            patience.hope()
        elif forward.waits:
            forward.opens_in_s = self._guide.elsewhere(forward.task, pinned=forward.pinned).opens_in_s
        if _in_vain(forward, patience):
            return _nobody(forward)
        self._pause(forward, _LOOK_S)
        return None

    def _wait_for_node(self, forward: Forward, patience: Patience) -> Answer | None:
        if forward.home:
            forward.back = True
            return None
        if _in_vain(forward, patience):
            return _nobody(forward)
        self._pause(forward, patience.pause_s())
        return None

    def _pause(self, forward: Forward, seconds: float) -> None:
        if not forward.cancelled and not self.closing:
            forward.ticket = self._bell.ticket()
            forward.ticket.wait(seconds)

    def _place(self, forward: Forward, patience: Patience) -> bool:
        choice = self._guide.elsewhere(forward.task, pinned=forward.pinned)
        forward.opens_in_s = choice.opens_in_s
        if choice.busy:
            patience.hope()
        if not choice.node_uuid:
            return False

        def place(execution: Execution) -> None:
            execution.place(choice.node_uuid, choice.rule, choice.decision)

        with self._guide.expect(choice.node_uuid):
            placed = self._change(forward, place)
        if placed:
            forward.node_uuid = choice.node_uuid
            patience.renew()
        return bool(forward.node_uuid)

    def _change(self, forward: Forward, change: Callable[[Execution], None]) -> bool:
        """Whether it could be recorded: somebody may have ended the execution meanwhile."""

        def attempt() -> bool:
            execution = self._unit.get(Execution, forward.execution_id)
            if not execution.ended:
                change(execution)
                self._unit.save(forward.origin, execution)
            return not execution.ended

        forward.over = not retrying(attempt)
        return not forward.over

    def _ask(self, forward: Forward, patience: Patience) -> Answer | None:
        try:
            node = self._guide.address(forward.node_uuid)
        except Unavailable as error:
            return self._declined(forward, _unreached(Arrival.UNSENT, error.message), patience)
        if node is None and forward.doubt:
            return _lost(forward, "it was declared lost or removed")
        if node is None:
            text = f"node {forward.node_uuid} was declared lost or removed"
            return self._declined(forward, _unreached(Arrival.REFUSED, text), patience)
        told = self._told(forward, node, patience)
        if isinstance(told, Answer):
            self._guide.report(forward.origin, node.node_uuid, forward.errand, OutcomeClass.SUCCESS, "")
            return told
        return None if self.closing else self._declined(forward, told, patience)

    def _told(self, forward: Forward, node: NodeAddress, patience: Patience) -> Answer | Declined:
        if forward.only_known or forward.cancelled:
            try:
                if not self._nodes.knows(node, forward.execution_id):
                    return _cancelled(forward) if forward.cancelled else _lost(forward, "it does not know it")
            except Unavailable as error:
                return _unreached(Arrival.UNKNOWN, error.message)
        return self._nodes.invoke(node, forward.errand, timeout_s=patience.limit_s)

    def _declined(self, forward: Forward, told: Declined, patience: Patience) -> Answer | None:
        if told.code == NO_TASK and self._unregistered(forward.task.task_id):
            told = replace(told, outcome=OutcomeClass.REJECTED)  # no fault of the node, and no other one has it
        if not forward.doubt:
            self._guide.report(forward.origin, forward.node_uuid, forward.errand, told.outcome, told.text)
        match move(told, doubt=forward.doubt, hops=forward.hops):
            case Move.AGAIN:
                forward.doubt = True
                if patience.spent:
                    return self._give_up(forward, told.text)
                self._pause(forward, patience.pause_s())
            case _ if forward.only_known:
                return _lost(forward, told.text)
            case Move.NEXT:
                self._spill(forward, told)
            case Move.END if forward.home and told.outcome in SPILLING:
                self._spill(forward, told)
                forward.back = not forward.over
            case Move.END:
                return Answer(Outcome(End.FAILED, error=told.text, reason="start", code=told.code))
        return None

    def _unregistered(self, task_id: str) -> bool:
        task = self._unit.load(Task, as_uuid("task", task_id))
        return task is None or task.unregistered

    def _spill(self, forward: Forward, told: Declined) -> None:
        def spill(execution: Execution) -> None:
            execution.spill(forward.node_uuid, told.outcome, told.text)

        if self._change(forward, spill):
            forward.node_uuid, forward.doubt, forward.hops = "", False, forward.hops + 1

    def _give_up(self, forward: Forward, text: str) -> Answer:
        with suppress(Unavailable):
            if node := self._guide.address(forward.node_uuid):
                self._nodes.terminate(node, forward.execution_id, "nobody waits for it any more")
        return _lost(forward, text)

    def tell_to_stop(self, forward: Forward, going_on: Callable[[], bool]) -> None:
        """Have its node end it, wherever it is by now, as long as it is going on."""
        patience = Patience(self._now_s, self._bounds.grace_s, first_s=self._bounds.first_pause_s)
        while going_on() and not patience.spent:  # what is on its way there is not known there yet
            with suppress(Unavailable):
                node = self._guide.address(forward.node_uuid) if forward.node_uuid else None
                if node and self._nodes.terminate(node, forward.execution_id, forward.cancelled):
                    return
            self._bell.ticket().wait(patience.pause_s())


def _unreached(arrival: Arrival, text: str) -> Declined:
    return Declined(arrival, OutcomeClass.UNAVAILABLE, text)


def _cancelled(forward: Forward) -> Answer:
    return Answer(Outcome(End.CANCELLED, error=forward.cancelled, reason="terminated", last_action="waiting"))


def _in_vain(forward: Forward, patience: Patience) -> bool:
    """Whether no node takes it in time, as far as that is known; what nobody waits for may still have luck."""
    return patience.spent or (forward.waits and forward.opens_in_s > patience.left_s)


def _nobody(forward: Forward) -> Answer:
    soonest = f", the first one in {forward.opens_in_s} s" if forward.opens_in_s else ""
    error = f"no node took it: none may run task {forward.task.task_id} now{soonest}"
    return Answer(Outcome(End.FAILED, error=error, reason="start", code=NO_NODE))


def _lost(forward: Forward, text: str) -> Answer:
    error = f"nobody knows whether it ran on node {forward.node_uuid}: {text}"
    return Answer(Outcome(End.FAILED, error=error, reason="lost"))
