"""Placement: where work should run, why, and why not elsewhere; a decision is a fact."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

from spear.domain.base import UNSTAMPED
from spear.domain.execution import Execution
from spear.domain.node import NodeStatus
from spear.domain.placement import CandidateFacts, DecisionFacts, InvocationPlaced, RefusedFacts, Rule
from spear.domain.task import ExecutableType
from spear.domain.token import TokenRole
from spear.errands import NodeAddress
from spear.errors import Forbidden, NotFound, Unavailable
from spear.events.mapper import payload
from spear.events.record import Committed, Origin
from spear.ports import Clock, Ids
from spear.projections.executions import ExecutionRow
from spear.projections.fleet import Fleet
from spear.projections.tasks import TaskRow
from spear.scheduling.placement import Candidate, Decision, Ranked, Reason, Refused, Want
from spear.services.nodes import OwnNode
from spear.services.tasks import needs_of
from spear.services.tokens import Caller
from spear.services.unit import Unit, as_uuid

LABEL_KEY = "labels."  # a task's config `labels.zone: a` asks for nodes whose metadata has `zone: a`
NO_NODE = "NO_NODE"
_ASKS = (LABEL_KEY, "resources.")
_NAMED = 8  # how many candidates a recorded decision names


@dataclass(frozen=True, slots=True)
class Hop:
    """A node that was to run an execution and did not take it."""

    node_uuid: str
    outcome_class: str
    error_message: str
    position: int


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an execution runs or was to run, what settled it, the last decision if there was any, and where it was before."""

    node_uuid: str
    rule: Rule
    decision: DecisionFacts | None
    position: int
    hops: tuple[Hop, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Another node for an execution; without one, `busy` says that a node may run it once it has room.

    When failures alone keep all of them out, `opens_in_s` says for how long (0: nobody knows).
    """

    node_uuid: str
    busy: bool
    rule: Rule
    decision: DecisionFacts
    opens_in_s: int = 0


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What keeps a task off a node; for one that may run it, its score and its place among those that may."""

    refused: list[Refused]
    score: float
    rank: int
    fitting: int


class Placements:
    """What can be asked about where work runs."""

    def __init__(self, unit: Unit, fleet: Fleet, *, ids: Ids, clock: Clock, node: OwnNode) -> None:
        self._unit, self._fleet, self._ids, self._clock, self._node = unit, fleet, ids, clock, node

    @property
    def policy(self) -> tuple[str, int]:
        """The name and the version of what decides."""
        return self._fleet.roster.policy.name, self._fleet.roster.policy.version

    def check_here(self, task: TaskRow, *, wanted: str = "") -> None:
        """Raise `Unavailable` when this process's own node takes no new work, or not this task's.

        What its SMS drained it for does not keep out what is `wanted` on this very node, as the SMS's own errands are.
        """
        own = self._fleet.get(self._node.uuid, now_us=self._clock.now_us())
        if own is None:
            return
        if own.drained or (self._node.drained and not wanted):
            why = "by its SMS" if not own.drained else own.drain_reason or "no reason was given"
            text = f"node {own.node_uuid} is drained ({why}); it takes no new work"
            raise Unavailable(text, code="NODE_DRAINED", details={"node_uuid": own.node_uuid})
        if task.capabilities or any(key.startswith(_ASKS) for key in task.config):
            self._check_offer(own, task)

    def fits_here(self, task: TaskRow) -> bool:
        """Whether this process's own node takes the task."""
        try:
            self.check_here(task)
        except Unavailable:
            return False
        return True

    def _check_offer(self, own: Candidate, task: TaskRow) -> None:
        here = replace(wanted(task), runtime="")  # what it cannot run is told by who runs it
        for refused in self._fleet.roster.policy.unsuited(own, here):
            text = f"task {task.task_id} cannot run on node {own.node_uuid}: {refused.text}"
            raise Unavailable(text, code="NODE_UNSUITABLE", details={"node_uuid": own.node_uuid})

    def choose(self, execution: Execution, task: TaskRow, *, pinned: str) -> None:
        """Note in the execution why it runs here, if there is any other node that it could have gone to."""
        own = self._node.uuid
        if own and len(self._fleet.roster) > 1:
            decision = self._decide(wanted(task, pinned=pinned), most=_NAMED)
            execution.place(own, Rule.PINNED if pinned else Rule.LOCAL, _facts(decision, self.policy))

    @property
    def others(self) -> bool:
        """Whether there is a node that is not this process's own."""
        return not self._node.uuid or len(self._fleet.roster) > 1

    @property
    def slots(self) -> int:
        """How many executions the other nodes that take work have slots for."""
        self._fleet.catch_up(self._clock.now_us())
        return self._fleet.roster.slots(without=self._node.uuid)

    def elsewhere(self, task: TaskRow, *, pinned: str = "") -> Choice:
        """The best other node for the task; one that just failed is none."""
        want, own = wanted(task, pinned=pinned), self._node.uuid
        decision = self._decide(want, most=_NAMED)
        found = next((r.candidate.node_uuid for r in decision.ranked if r.candidate.node_uuid != own), "")
        busy = decision.counts.get(Reason.FULL, 0) > self._own_is_full()
        rule = Rule.PINNED if pinned or task.node_uuid else Rule.BEST
        opens_in_s = 0 if found or busy else self._opens_in_s(want)
        return Choice(found, busy, rule, _facts(decision, self.policy), opens_in_s)

    def _opens_in_s(self, want: Want) -> int:
        left_us = self._fleet.roster.opens_at_us(want, but=self._node.uuid) - self._clock.now_us()
        return max(-(-left_us // 1_000_000), 0)

    def _own_is_full(self) -> bool:
        now_us = self._clock.now_us()
        own = self._fleet.get(self._node.uuid, now_us=now_us)
        return own is not None and next(self._fleet.roster.policy.closed(own, now_us=now_us), None) is Reason.FULL

    @contextmanager
    def expect(self, node_uuid: str) -> Iterator[None]:
        """Within the `with` an execution is placed on the node, or not; until then it counts as one in flight there."""
        if node_uuid:
            self._fleet.expect(node_uuid, now_us=self._clock.now_us())
        try:
            yield
        finally:
            self._fleet.recount(node_uuid)

    def address(self, node_uuid: str) -> NodeAddress | None:
        """Where the node answers; None for one that is gone or was declared lost."""
        found = self._fleet.get(node_uuid, now_us=self._clock.now_us())
        if found is None or found.status == NodeStatus.OFFLINE:
            return None
        return NodeAddress(found.node_uuid, found.ip_address, found.port)

    def failing(self, node_uuid: str) -> bool:
        """Whether the node's last invocation failed."""
        found = self._fleet.get(node_uuid, now_us=self._clock.now_us())
        return bool(found and found.failures)

    def place(
        self, origin: Origin, task: TaskRow, *, request_id: str, labels: dict[str, str], most: int
    ) -> tuple[str, list[Ranked], Committed]:
        """The best nodes for a task, best first, and the id of the decision, which is recorded."""
        decision = self._decide(wanted(task, labels=labels), most=most)
        fact = InvocationPlaced(
            originator_id=(ident := self._ids.new()),
            originator_version=1,
            timestamp=UNSTAMPED,
            request_id=request_id,  # type: ignore[call-arg]
            task_id=task.task_id,
            labels=labels,
            decision=_facts(decision, self.policy),
        )
        return str(ident), decision.ranked, self._unit.save(origin, more=[fact])

    def check_asker(self, caller: Caller, decision_id: str) -> None:
        """Raise `Forbidden` for a node's token that did not ask for this decision: how it went is not its to tell."""
        if caller.role is TokenRole.NODE and not self._asked(caller, decision_id):
            text = f"decision_id: got {decision_id!r}, expected a decision that token {caller.name!r} asked for"
            raise Forbidden(text, code="NOT_ITS_DECISION")

    def _asked(self, caller: Caller, decision_id: str) -> bool:
        first = self._unit.log.stream(decision_id, limit=1)
        return any(f.topic == InvocationPlaced.TOPIC and f.actor.partition(":")[2] == caller.name for f in first)

    def _decide(self, want: Want, *, most: int) -> Decision:
        return self._fleet.decide(want, now_us=self._clock.now_us(), most=most)

    def why_not(self, task: TaskRow, node_uuid: str) -> WhyNot:
        """What keeps the task off the node, as of now; raises `NotFound` for a node that is not registered."""
        now_us, want = self._clock.now_us(), wanted(task)
        candidate = self._fleet.get(str(as_uuid("node", node_uuid)), now_us=now_us)
        if candidate is None:
            raise NotFound.noun("node", node_uuid)
        policy = self._fleet.roster.policy
        refused = policy.refusals(candidate, want, now_us=now_us)
        rank, fitting = (0, 0) if refused else self._fleet.roster.rank(candidate.node_uuid, want, now_us=now_us)
        return WhyNot(refused, policy.score(candidate), rank, fitting)

    def of_execution(self, row: ExecutionRow, *, until: int | None = None) -> Placed:
        """What was decided for an execution, up to a position if one is given; no decision means that this node was the only one."""
        rule, decision, position, node_uuid, hops = Rule.LOCAL, None, row.seq, row.node_uuid, []
        for fact in self._unit.log.stream(row.execution_id):
            if until is not None and fact.position > until:
                break
            if fact.topic == Execution.ExecutionPlaced.TOPIC:
                e = cast(Execution.ExecutionPlaced, payload(fact))
                rule, decision, position = Rule(e.rule), e.decision, fact.position
                node_uuid = row.node_uuid or e.node_uuid
            elif fact.topic == Execution.ExecutionSpilled.TOPIC:
                s = cast(Execution.ExecutionSpilled, payload(fact))
                hops.append(Hop(s.node_uuid, s.outcome_class, s.error_message, fact.position))
        return Placed(node_uuid, rule, decision, position, tuple(hops))


def no_node(task: TaskRow, wanted: str, choice: Choice) -> Unavailable:
    """What a caller hears when no other node may run the task, or not the one that is wanted."""
    refused = "; ".join(f"node {one['node_uuid']}: {one['text']}" for one in choice.decision["refused"][:3])
    retry = {"retry_after_s": choice.opens_in_s} if choice.opens_in_s else {}
    if wanted:
        why = refused or "it is not registered"
        text = f"node_uuid: got {wanted}, expected a node that takes work: {why}"
        return Unavailable(text, code="NODE_UNREACHABLE", details={"node_uuid": wanted, **retry})
    nodes = choice.decision["nodes"]
    text = f"none of {nodes} registered nodes may run task {task.task_id} now{f': {refused}' if refused else ''}"
    return Unavailable(text, code=NO_NODE, details=retry)


def wanted(task: TaskRow, *, labels: dict[str, str] | None = None, pinned: str = "") -> Want:
    """What a task asks of a node; `labels` are asked for besides its own."""
    kind, (cpu_cores, memory_mb) = task.executable_type, needs_of(task.config)
    return Want(
        pinned=pinned or task.node_uuid,
        runtime="" if kind == ExecutableType.NONE else kind,
        capabilities=tuple(task.capabilities),
        labels={**_labels(task), **(labels or {})},
        cpu_cores=cpu_cores,
        memory_mb=memory_mb,
    )


def _labels(task: TaskRow) -> dict[str, str]:
    return {key.removeprefix(LABEL_KEY): value for key, value in task.config.items() if key.startswith(LABEL_KEY)}


def _facts(decision: Decision, policy: tuple[str, int]) -> DecisionFacts:
    return {
        "policy": policy[0],
        "policy_version": policy[1],
        "nodes": decision.nodes,
        "fitting": decision.fitting,
        "candidates": [_candidate_facts(ranked) for ranked in decision.ranked[:_NAMED]],
        "refused": [_refused_facts(refused) for refused in decision.refused],
        "refused_counts": {reason.value: count for reason, count in decision.counts.items()},
    }


def _candidate_facts(ranked: Ranked) -> CandidateFacts:
    c = ranked.candidate
    return {
        "node_uuid": c.node_uuid,
        "score": round(ranked.score, 3),
        "reported": c.reported,
        "cpu_percent": c.cpu_percent,
        "memory_percent": c.memory_percent,
        "disk_percent": c.disk_percent,
        "load_1m": c.load_1m,
        "failures": c.failures,
        "in_flight": c.in_flight,
        "slots": c.offer.slots or 0,
    }


def _refused_facts(refused: Refused) -> RefusedFacts:
    return {"node_uuid": refused.node_uuid, "reason": refused.reason.value, "text": refused.text}
