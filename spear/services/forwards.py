"""Executions that run on other nodes: admitted, seen through by a journey each, and ended once."""

import logging
from collections.abc import Callable
from time import monotonic

from spear.domain.execution import Execution, ExecutionStatus, Start
from spear.errands import Answer, Errand, RemoteNodes
from spear.errors import SpearError, Unavailable
from spear.events.record import Origin
from spear.ports import Bell, Outcome, Ticket
from spear.projections.tasks import TaskRow
from spear.scheduling.admission import Admission
from spear.services.endings import Endings
from spear.services.journeys import Bounds, Forward, Guide, Journeys
from spear.services.tasks import concurrency_of
from spear.services.unit import Unit, retrying

log = logging.getLogger(__name__)


class Forwards:
    """Everything that runs elsewhere for this process, and the way there."""

    def __init__(
        self,
        unit: Unit,
        *,
        guide: Guide,
        nodes: RemoteNodes,
        endings: Endings,
        bell: Bell,
        bounds: Bounds,
        spawn: Callable[[Callable[[], None]], None],
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._unit, self.guide, self._endings = unit, guide, endings
        self._bell, self._bounds, self._spawn = bell, bounds, spawn
        self._journeys = Journeys(unit, guide=guide, nodes=nodes, bell=bell, bounds=bounds, now_s=now_s)
        self._admission: Admission[Forward] = Admission(per_node=0, queue_limit=bounds.queue_limit)
        self._works: dict[str, Forward] = {}
        self._emptied: Ticket | None = None

    def enter(self, execution: Execution, task: TaskRow, data: bytes, *, origin: Origin) -> Forward:
        """Take an execution on; raises `Overloaded` when the queue is full and `Unavailable` while closing.

        Whoever enters must `perform` or `abandon`. One that may be on a node already takes no turn.
        """
        if self._journeys.closing:
            raise Unavailable(f"no execution can start: {self._journeys.closing}", code="STOPPING")
        forward = Forward(_errand(execution, data, origin), task, origin, self._bell.ticket())
        forward.node_uuid, forward.doubt = execution.node_uuid, bool(execution.node_uuid)
        forward.admitted = self._admit(forward)
        self._works.setdefault(forward.execution_id, forward)
        return forward

    def _admit(self, forward: Forward) -> bool:
        task = forward.task
        if forward.doubt:
            self._admission.admit(task.task_id)
            return True
        self.look()
        per_task = concurrency_of(task.config, self._bounds.most)
        return self._admission.enter(forward, task.task_id, per_task=per_task, priority=task.priority)

    def abandon(self, forward: Forward) -> None:
        """Give the place back."""
        if self._works.get(forward.execution_id) is forward:
            del self._works[forward.execution_id]
        if forward.admitted:
            self._grant(self._admission.leave(forward.task.task_id))
            forward.admitted = False
        else:
            self._admission.abandon(forward)
        if not self._works and self._emptied is not None:
            self._bell.ring([self._emptied])

    def look(self) -> None:
        """Let as many go at once as the other nodes have slots for."""
        self._grant(self._admission.resize(min(self.guide.slots, self._bounds.most)))

    def _grant(self, admitted: list[Forward]) -> None:
        for forward in admitted:
            forward.admitted = True
        self._bell.ring([forward.ticket for forward in admitted])

    def has(self, execution_id: str) -> bool:
        """Whether this process has the execution in hand."""
        return execution_id in self._works

    def perform(self, forward: Forward) -> Outcome | None:
        """See it through to its end; None when somebody else recorded that, or has to: the process is closing.

        Raises `Unavailable` when its end cannot be recorded now, or when the process closes while somebody waits for it.
        """
        self._works[forward.execution_id] = forward
        try:
            answer = self._journeys.answer(forward)
            if answer is not None:
                self._record_end(forward, answer)
        finally:
            self.abandon(forward)
        if answer is None and self._journeys.closing and forward.waits:
            raise Unavailable(
                f"execution {forward.execution_id} goes on without this process: {self._journeys.closing}"
            )
        return answer.outcome if answer else None

    def _record_end(self, forward: Forward, answer: Answer) -> None:
        def attempt() -> None:
            execution = self._unit.get(Execution, forward.execution_id)
            if execution.ended:
                return
            if execution.status is ExecutionStatus.PENDING and answer.instance_id:
                start = Start(answer.start or Start.WARM)
                execution.begin_on(answer.instance_id, node_uuid=forward.node_uuid, start=start)
            ended = self._endings.of(execution, forward, answer.outcome, duration_us=answer.duration_us)
            with ended as changed:
                self._unit.save(forward.origin, *changed)
            self._unit.forget(*changed)

        retrying(attempt)

    def began(self, origin: Origin, execution_id: str, *, node_uuid: str, instance_id: str, start: str) -> None:
        """The node says that an execution that is in hand runs there now."""
        forward = self._works.get(execution_id)
        if forward is None or forward.node_uuid != node_uuid:
            return

        def attempt() -> None:
            execution = self._unit.get(Execution, execution_id)
            if execution.status is ExecutionStatus.PENDING:
                execution.begin_on(instance_id, node_uuid=node_uuid, start=Start(start or Start.WARM))
                self._unit.save(origin, execution)

        forward.only_known = True  # from here on it may not go anywhere else
        retrying(attempt)

    def stop(self, execution_id: str, reason: str) -> bool:
        """End an execution as cancelled, wherever it is by now; False when this process does not have it in hand."""
        forward = self._works.get(execution_id)
        if forward is None:
            return False
        if not forward.cancelled:
            forward.cancelled = reason
            self._spawn(lambda: self._journeys.tell_to_stop(forward, lambda: self.has(execution_id)))
        self._bell.ring([forward.ticket])
        return True

    def close(self, reason: str, *, grace_s: float) -> None:
        """Send nothing more and give what is under way its grace; it goes on elsewhere. May be called twice."""
        self._journeys.closing = reason
        self._bell.ring([forward.ticket for forward in self._works.values()])
        self._wait_until_empty(grace_s)

    def _wait_until_empty(self, timeout_s: float) -> bool:
        self._emptied = self._bell.ticket()
        return not self._works or self._emptied.wait(timeout_s)


def _errand(execution: Execution, data: bytes, origin: Origin) -> Errand:
    return Errand(
        execution_id=str(execution.id),
        task_id=execution.task_id,
        input=data,
        input_content_type=execution.input_content_type,
        args=tuple(execution.args),
        environment=execution.environment,
        timeout_ms=execution.timeout_ms,
        correlation=origin.correlation,
    )


def _nowhere() -> None:
    """What has no home does not come back."""


def in_background(forwards: Forwards, forward: Forward, *, back: Callable[[], object] = _nowhere) -> Callable[[], None]:
    """What to run for an execution nobody waits for; an end that cannot be recorded now is asked for again later.

    `back` runs it here when no other node took it.
    """

    def main() -> None:
        try:
            forwards.perform(forward)
            if forward.back:
                back()
        except SpearError as error:
            log.error("execution %s: its end is not recorded yet: %s", forward.execution_id, error.message)

    return main
