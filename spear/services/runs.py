"""Runs on this node: admission, start, end; what cannot be recorded at once is settled later and never forgotten."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field

from spear.domain.base import Aggregate
from spear.domain.execution import Execution
from spear.errors import SpearError, Unavailable
from spear.events.record import Origin
from spear.ports import Bell, Clock, End, Limits, LogStore, Outcome, Run, RunSpec, Ticket
from spear.projections.tasks import TaskRow
from spear.scheduling.admission import Admission
from spear.services.endings import OUTPUT_CONTENT_TYPE, Endings
from spear.services.instances import Instances, Lease
from spear.services.nodes import OwnNode
from spear.services.tasks import concurrency_of, limits_of
from spear.services.unit import Unit, retrying

log = logging.getLogger(__name__)
_QUICK_S = 0.005


@dataclass(frozen=True, slots=True)
class Settings:
    """What one node allows."""

    limits: Limits
    max_concurrent: int
    max_concurrent_per_task: int
    queue_limit: int


@dataclass(eq=False)
class Work:
    """One execution that this process has taken on, from admission to its end."""

    execution_id: str
    task: TaskRow
    spec: RunSpec
    origin: Origin
    waits: bool
    ticket: Ticket
    node_uuid: str = ""
    admitted: bool = False
    lease: Lease | None = None
    run: Run | None = None
    logs: ExitStack = field(default_factory=ExitStack)
    outcome: Outcome | None = None
    cancelled: str = ""
    recorded: bool = False
    awaited: list[Ticket] = field(default_factory=list)
    result_taken: bool = False
    started_us: int = 0
    output_content_type: str = OUTPUT_CONTENT_TYPE


class Runs:
    """Everything that runs here now, and the way in."""

    def __init__(
        self,
        unit: Unit,
        *,
        instances: Instances,
        endings: Endings,
        logs: LogStore,
        clock: Clock,
        bell: Bell,
        node: OwnNode,
        settings: Settings,
    ) -> None:
        self._unit, self._instances, self._endings, self._logs = unit, instances, endings, logs
        self._clock, self._bell, self.node, self.settings = clock, bell, node, settings
        self._admission: Admission[Work] = Admission(per_node=settings.max_concurrent, queue_limit=settings.queue_limit)
        self._works: dict[str, Work] = {}
        self._unsettled: dict[str, tuple[Work, Outcome]] = {}
        self._closing = ""
        self._emptied: Ticket | None = None

    def enter(
        self,
        task: TaskRow,
        spec: RunSpec,
        *,
        origin: Origin,
        waits: bool,
        output_content_type: str = OUTPUT_CONTENT_TYPE,
    ) -> Work:
        """Take an execution on; raises `Overloaded` when the queue is full and `Unavailable` while closing.

        `waits` says that somebody waits for the end; whoever enters must `request` and `perform`, or `abandon`.
        """
        if self._closing:
            raise Unavailable(f"no execution can start: {self._closing}", code="STOPPING")
        work = Work(
            spec.execution_id, task, spec, origin, waits, self._bell.ticket(), output_content_type=output_content_type
        )
        per_task = concurrency_of(task.config, self.settings.max_concurrent_per_task)
        work.admitted = self._admission.enter(work, task.task_id, per_task=per_task, priority=task.priority)
        self._works.setdefault(work.execution_id, work)
        return work

    def request(self, work: Work, execution: Execution, *, may_run: bool) -> None:
        """Record the request; when nothing has to be waited for, with the start as one commit.

        With `may_run` the guest runs meanwhile, and if it is a quick one its end is in that commit too; nobody hears of it
        before.
        """
        if work.admitted and work.waits:
            work.lease = self._instances.warm(work.task.task_id)
        if work.lease is not None:
            self._begin(work, execution)
            if may_run:
                with suppress(SpearError):  # `perform` will try again and say so
                    self._launch(work, work.lease)
        if work.run is not None and work.run.wait(_QUICK_S):
            self._record_all(work, execution, work.run.result())
        else:
            committed = self._unit.save(work.origin, execution)
            work.origin = work.origin.because_of(committed.first)
        self._works[work.execution_id] = work  # and no other with the same id

    def await_request(self, execution_id: str) -> None:
        """Return once the request of an execution is recorded that this process has in hand."""
        work = self._works.get(execution_id)
        if work is not None and not work.recorded:
            ticket = self._bell.ticket()
            work.awaited.append(ticket)
            ticket.wait()

    def has(self, execution_id: str) -> bool:
        """Whether this process has the execution in hand."""
        return execution_id in self._works or execution_id in self._unsettled

    def has_room(self, task: TaskRow) -> bool:
        """Whether an execution of the task would start at once."""
        per_task = concurrency_of(task.config, self.settings.max_concurrent_per_task)
        return not self._closing and self._admission.fits(task.task_id, per_task=per_task)

    def abandon(self, work: Work) -> None:
        """Give the place back of what was not recorded; what it did is forgotten."""
        try:
            if work.run is not None:
                work.run.stop("it was not recorded")
                work.run.result()
                work.logs.close()
        finally:
            self._drop(work)

    def _drop(self, work: Work) -> None:
        if self._works.get(work.execution_id) is work:
            del self._works[work.execution_id]
        if work.lease is not None:
            self._instances.release(work.lease)
            work.lease = None
        if work.admitted:
            self._grant(self._admission.leave(work.task.task_id))
            work.admitted = False
        else:
            self._admission.abandon(work)
        if not self._works and self._emptied is not None:
            self._bell.ring([self._emptied])

    def perform(self, work: Work) -> Outcome | None:
        """Wait for a place, run, and record the end; None when the server closed before it could start.

        Raises `Unavailable` when the start or the end cannot be recorded now; an end is settled later.
        """
        if work.outcome is not None:
            self._drop(work)
            return work.outcome
        work.recorded = True
        self._bell.ring(work.awaited)
        try:
            while not work.admitted and not work.cancelled and not self._left_for_later(work):
                work.ticket = self._bell.ticket()
                work.ticket.wait()
            if self._left_for_later(work):
                return None
            return self._end(work, self._run_to_end(work))
        finally:
            self._drop(work)

    def _left_for_later(self, work: Work) -> bool:
        return bool(self._closing) and not work.waits and not work.admitted and not work.cancelled

    def _run_to_end(self, work: Work) -> Outcome:
        if work.lease is None and not work.cancelled:
            try:
                work.lease = self._instances.acquire(work.origin, work.task)
            except SpearError as error:
                return _not_started(error)
        if work.cancelled or work.lease is None or not (work.started_us or self._record_start(work)):
            return Outcome(End.CANCELLED, error=work.cancelled, reason="terminated", last_action="waiting")
        try:
            return self._run(work, work.lease)
        except SpearError as error:
            return _not_started(error)

    def _record_start(self, work: Work) -> bool:
        """Whether it could start: somebody may have ended it meanwhile."""

        def attempt() -> bool:
            execution = self._unit.get(Execution, work.execution_id)
            if execution.ended:
                return False
            self._begin(work, execution)
            self._unit.save(work.origin, execution)
            return True

        return retrying(attempt)

    def _begin(self, work: Work, execution: Execution) -> None:
        assert work.lease is not None
        work.started_us, work.node_uuid = self._clock.now_us(), self.node.uuid
        execution.begin_on(work.lease.live.instance_id, node_uuid=work.node_uuid, start=work.lease.start)

    def _run(self, work: Work, lease: Lease) -> Outcome:
        run = work.run or self._launch(work, lease)
        with work.logs:
            if work.cancelled:
                run.stop(work.cancelled)
            return run.result()

    def _launch(self, work: Work, lease: Lease) -> Run:
        sink = self._logs.sink(
            work.execution_id,
            node_uuid=work.node_uuid,
            task_id=work.task.task_id,
            limit_bytes=work.spec.limits.log_bytes,
        )
        with ExitStack() as logs:
            work.run = lease.live.sandbox.start(work.spec, logs.enter_context(sink))
            work.logs = logs.pop_all()
        return work.run

    def _end(self, work: Work, outcome: Outcome) -> Outcome:
        try:
            self._record_end(work, outcome)
        except SpearError:
            self._unsettled[work.execution_id] = work, outcome
            raise
        return outcome

    def _record_all(self, work: Work, execution: Execution, outcome: Outcome) -> None:
        work.logs.close()

        def attempt() -> None:
            with self._ended(execution, work, outcome) as changed:
                self._unit.save(work.origin, *changed)
            self._unit.forget(*changed)

        retrying(attempt)
        work.outcome = outcome

    def _record_end(self, work: Work, outcome: Outcome) -> None:
        def attempt() -> None:
            execution = self._unit.get(Execution, work.execution_id)
            if execution.ended:
                return
            with self._ended(execution, work, outcome) as changed:
                self._unit.save(work.origin, *changed)
            self._unit.forget(*changed)

        retrying(attempt)

    def _ended(self, execution: Execution, work: Work, outcome: Outcome) -> AbstractContextManager[Sequence[Aggregate]]:
        duration_us = max(self._clock.now_us() - work.started_us, 0) if work.started_us else 0
        return self._endings.of(execution, work, outcome, duration_us=duration_us)

    def stop(self, execution_id: str, reason: str) -> bool:
        """End a run or a wait as cancelled, if it has not ended; False when this process does not have it in hand."""
        work = self._works.get(execution_id)
        if work is None:
            return execution_id in self._unsettled
        work.cancelled = work.cancelled or reason
        if work.run is not None:
            work.run.stop(reason)
        self._bell.ring([work.ticket])
        return True

    def settle(self) -> None:
        """Record the ends that could not be recorded when they happened; raises `Unavailable` while that is so."""
        for execution_id, (work, outcome) in list(self._unsettled.items()):
            try:
                self._record_end(work, outcome)
            except Unavailable:
                raise
            except SpearError as error:
                log.error("execution %s: its end cannot be recorded: %s", execution_id, error.message)
                continue
            self._unsettled.pop(execution_id, None)

    def close(self, reason: str, *, grace_s: float) -> None:
        """Start nothing more, give what runs its grace, stop the rest; blocks this caller. May be called twice."""
        self._closing = reason
        self._bell.ring([work.ticket for work in self._works.values()])
        if self._wait_until_empty(grace_s):
            return
        for work in list(self._works.values()):
            self.stop(work.execution_id, reason)
        self._wait_until_empty(5.0)

    def _wait_until_empty(self, timeout_s: float) -> bool:
        self._emptied = self._bell.ticket()
        return not self._works or self._emptied.wait(timeout_s)

    def _grant(self, admitted: list[Work]) -> None:
        for work in admitted:
            work.admitted = True
        self._bell.ring([work.ticket for work in admitted])

    @property
    def running(self) -> int:
        """How many executions run here."""
        return self._admission.running

    @property
    def waiting(self) -> int:
        """How many executions wait for a place here."""
        return self._admission.waiting


def spec_for(task: TaskRow, execution: Execution, data: bytes, defaults: Limits, *, correlation: str = "") -> RunSpec:
    """The run that an execution asks of its task: the call's arguments and environment after the task's own."""
    limits = limits_of(task.config, defaults)
    wall_ms = min(execution.timeout_ms or limits.wall_ms, limits.wall_ms)
    return RunSpec(
        execution_id=str(execution.id),
        input=data,
        args=(*task.executable_args, *execution.args),
        environment={**task.executable_env, **execution.environment, "TASK_ID": task.task_id},
        limits=Limits(wall_ms, limits.memory_bytes, limits.output_bytes, limits.log_bytes),
        task_id=task.task_id,
        config=task.config,
        correlation=correlation,
    )


def _not_started(error: SpearError) -> Outcome:
    return Outcome(End.FAILED, error=error.message, reason="start", code=error.code)


def in_background(runs: Runs, work: Work) -> Callable[[], None]:
    """What to run for an execution nobody waits for; an end that cannot be recorded now is settled later."""

    def main() -> None:
        try:
            runs.perform(work)
        except SpearError as error:
            log.error("execution %s: its end is not recorded yet: %s", work.execution_id, error.message)

    return main
