"""Executions: request, look up, terminate; a request is an event before anybody hears of it."""

from collections.abc import Callable
from time import monotonic
from uuid import UUID

from spear.domain.execution import FINAL, Execution, ExecutionStatus, idempotent_id
from spear.domain.object import RESULTS_BUCKET, result_key
from spear.domain.placement import Rule
from spear.errors import Conflict, Corrupt, NotFound, Overloaded, Refused, Unavailable
from spear.events.record import Origin
from spear.ports import Ids, Outcome
from spear.projections import executions as views
from spear.projections.executions import ExecutionRow
from spear.projections.objects import get_object
from spear.projections.reader import Reader
from spear.projections.tasks import TaskRow
from spear.services.calls import Call, Mode
from spear.services.content import Content, Contents
from spear.services.forwards import Forwards
from spear.services.forwards import in_background as forwarded
from spear.services.journeys import Forward
from spear.services.placements import Choice, Placements, no_node
from spear.services.runs import Runs, Work, in_background, spec_for
from spear.services.tasks import Tasks
from spear.services.unit import Unit, as_uuid, retrying

_FINAL = frozenset(status.value for status in FINAL)
_PATIENCE_S = 1.0


def _nobody(execution_id: str) -> None:
    """Nobody wants to know the id before the end."""


class Executions:
    """What can be asked of executions."""

    def __init__(
        self,
        unit: Unit,
        reader: Reader,
        *,
        runs: Runs,
        tasks: Tasks,
        contents: Contents,
        placements: Placements,
        ids: Ids,
        spawn: Callable[[Callable[[], None]], None],
        forwards: Forwards | None = None,
    ) -> None:
        self._unit, self._reader, self._runs, self._tasks = unit, reader, runs, tasks
        self._contents, self._placements, self._ids, self._spawn = contents, placements, ids, spawn
        self._forwards = forwards

    def request(
        self, origin: Origin, task: TaskRow, call: Call, *, told: Callable[[str], None] = _nobody
    ) -> tuple[str, Outcome | None]:
        """Run a task: the execution's id, and its outcome unless the caller does not wait or had asked before.

        `told` hears the id of a new execution before its end is waited for. Raises `Overloaded` when the queue is full,
        `Unavailable` when this node takes no such work; nothing is recorded then.
        """
        wanted = call.node_uuid or task.node_uuid
        forwards = self._forwards
        if forwards and (wanted or forwards.guide.others) and (choice := self._elsewhere(forwards, task, wanted)):
            return self._forward(forwards, origin, task, call, choice, told)
        self._check_reach(wanted)
        if earlier := self._refused_now(task, call):
            return earlier, None
        with self._contents.keep_bytes(call.input) as kept:
            execution = self._new(task, call, kept, self._runs.node.uuid)
            self._placements.choose(execution, task, pinned=wanted)
            work = self._take_on(origin, task, execution, call)
        if work is None:
            return self._asked_before(str(execution.id), task, call.fingerprint), None
        told(work.execution_id)
        if call.mode is Mode.ASYNC:
            self._spawn(in_background(self._runs, work))
            return work.execution_id, None
        return work.execution_id, self._runs.perform(work)

    def _elsewhere(self, forwards: Forwards, task: TaskRow, wanted: str) -> Choice | None:
        """Which other node is to run it; None for this one, which runs it itself if it has room or nobody else has."""
        own = self._runs.node.uuid
        if own and wanted == own:
            return None
        if own and not wanted and self._placements.fits_here(task) and self._runs.has_room(task):
            return None
        choice = forwards.guide.elsewhere(task, pinned=wanted)
        if choice.node_uuid or (choice.busy and (wanted or not own)):
            return choice
        if own and not wanted:
            return None
        raise no_node(task, wanted, choice)

    def _forward(
        self,
        forwards: Forwards,
        origin: Origin,
        task: TaskRow,
        call: Call,
        choice: Choice,
        told: Callable[[str], None],
    ) -> tuple[str, Outcome | None]:
        if earlier := self._known(task, call):
            return earlier, None
        with forwards.guide.expect(choice.node_uuid), self._contents.keep_bytes(call.input) as kept:
            execution = self._new(task, call, kept, "")
            work = forwards.enter(execution, task, call.input, origin=origin)
            if not self._begin_elsewhere(forwards, work, execution, call, choice):
                return self._asked_before(work.execution_id, task, call.fingerprint), None
        told(work.execution_id)
        if call.mode is Mode.ASYNC:
            self._spawn(forwarded(forwards, work, back=lambda: self._at_home(work, call)))
            return work.execution_id, None
        outcome = forwards.perform(work)
        return work.execution_id, self._at_home(work, call) if work.back else outcome

    def _may_run(self, work: Forward) -> bool:
        return not work.pinned and bool(self._runs.node.uuid) and self._placements.fits_here(work.task)

    def _at_home(self, away: Forward, call: Call) -> Outcome | None:
        """Run here what no other node took; None when somebody else ended it meanwhile."""
        if away.cancelled:
            self._cancel(away.origin, away.execution_id, away.cancelled)
        execution = self._unit.get(Execution, away.execution_id)
        if execution.ended:
            return None
        try:
            work = self._enter(away.origin, away.task, execution, call.input, call)
        except (Overloaded, Unavailable) as error:
            self.end_lost(away.origin, away.execution_id, error.message)
            raise
        return self._runs.perform(work)

    def _begin_elsewhere(
        self, forwards: Forwards, work: Forward, execution: Execution, call: Call, choice: Choice
    ) -> bool:
        """Record the request, and the node unless it has to wait for its turn; False when it was asked before."""
        work.pinned = call.node_uuid or work.task.node_uuid
        work.home = self._may_run(work)
        work.waits, work.output_content_type = call.mode is Mode.SYNC, call.output_content_type
        if choice.node_uuid and work.admitted:
            execution.place(choice.node_uuid, choice.rule, choice.decision)
            work.node_uuid = choice.node_uuid
        try:
            committed = self._unit.save(work.origin, execution)
        except Conflict:
            forwards.abandon(work)
            return False
        except BaseException:  # a killed caller too gives its place back; it goes on up
            forwards.abandon(work)
            raise
        work.origin = work.origin.because_of(committed.first)
        return True

    def _known(self, task: TaskRow, call: Call) -> str:
        """The execution that the caller had asked for before, or ""."""
        if not call.once:
            return ""
        execution_id = str(self._id(task, call))
        if views.get_execution(self._reader, execution_id) is None:
            return ""
        return self._asked_before(execution_id, task, call.fingerprint)

    def _check_reach(self, wanted: str) -> None:
        own = self._runs.node.uuid
        if wanted and wanted != own:
            text = f"node_uuid: got {wanted}, expected {own or 'none'}: this process reaches no other node"
            raise Unavailable(text, code="NODE_UNREACHABLE", details={"node_uuid": wanted})

    def _refused_now(self, task: TaskRow, call: Call) -> str:
        """ "" when this node takes the task; else the execution that the caller had asked for before, if it had."""
        try:
            self._placements.check_here(task, wanted=call.node_uuid)
        except Unavailable:
            if earlier := self._known(task, call):
                return earlier
            raise
        return ""

    def _take_on(self, origin: Origin, task: TaskRow, execution: Execution, call: Call) -> Work | None:
        try:
            work = self._enter(origin, task, execution, call.input, call)
        except (Overloaded, Unavailable):
            if self._known(task, call):
                return None
            raise
        try:
            self._runs.request(work, execution, may_run=not call.once)
        except Conflict:
            self._runs.abandon(work)
            return None
        except BaseException:  # a killed caller too gives its place back; it goes on up
            self._runs.abandon(work)
            raise
        return work

    def _id(self, task: TaskRow, call: Call) -> UUID:
        if call.execution_id:
            return as_uuid("execution", call.execution_id)
        return idempotent_id(task.task_id, call.idempotency_key) if call.idempotency_key else self._ids.new()

    def _new(self, task: TaskRow, call: Call, kept: Content, node_uuid: str) -> Execution:
        return Execution(
            id=self._id(task, call),
            task_id=task.task_id,
            node_uuid=node_uuid,
            mode=call.mode.value,
            args=list(call.args),
            environment=call.environment,
            timeout_ms=call.timeout_ms,
            input_sha256=kept.sha256,
            input_size=kept.size,
            input_inline=kept.inline,
            input_content_type=call.input_content_type,
            fingerprint=call.fingerprint,
        )

    def _enter(self, origin: Origin, task: TaskRow, execution: Execution, data: bytes, call: Call) -> Work:
        spec = spec_for(task, execution, data, self._runs.settings.limits, correlation=origin.correlation)
        waits = call.mode is Mode.SYNC
        return self._runs.enter(task, spec, origin=origin, waits=waits, output_content_type=call.output_content_type)

    def _asked_before(self, execution_id: str, task: TaskRow, fingerprint: str) -> str:
        row = self.get(execution_id)
        if (row.task_id, row.fingerprint) != (task.task_id, fingerprint):
            raise Refused(
                "Idempotency-Key, execution_id: it was used for a different request, or by a request without one",
                code="IDEMPOTENCY_KEY_REUSED",
                details={"execution_id": execution_id},
            )
        return execution_id

    def resume(self, row: ExecutionRow, origin: Origin) -> bool:
        """Take a pending execution of an earlier process on again; False when there is no room now."""
        if self._runs.has(row.execution_id):
            return True
        found = self._task_and_input(row, origin)
        return not found or self._resume(*found, row.execution_id, origin)

    def _task_and_input(self, row: ExecutionRow, origin: Origin) -> tuple[TaskRow, bytes] | None:
        try:
            task = self._tasks.get(row.task_id)
            return task, self._contents.read(Content(row.input_sha256, row.input_size, row.input_inline))
        except (NotFound, Corrupt) as error:
            self.end_lost(origin, row.execution_id, error.message)
            return None

    def _resume(self, task: TaskRow, data: bytes, execution_id: str, origin: Origin) -> bool:
        execution = self._unit.get(Execution, execution_id)
        if execution.status is not ExecutionStatus.PENDING or self.has(execution_id):
            return True  # it went on while its input was read
        try:
            work = self._enter(origin, task, execution, data, Call(mode=Mode.ASYNC))
        except Overloaded:
            return False
        self._spawn(in_background(self._runs, work))
        return True

    def is_here(self, row: ExecutionRow) -> bool:
        """Whether the execution is this process's own to run, and not another node's."""
        return row.node_uuid == self._runs.node.uuid if self._forwards else True

    def has(self, execution_id: str) -> bool:
        """Whether this process has the execution in hand, here or elsewhere."""
        return self._runs.has(execution_id) or bool(self._forwards and self._forwards.has(execution_id))

    def take_up(self, row: ExecutionRow, origin: Origin) -> bool:
        """See an execution of an earlier process that is elsewhere through to its end; False when there is no room now."""
        if self._forwards is None or self.has(row.execution_id):
            return True
        found = self._task_and_input(row, origin)
        return not found or self._take_up(self._forwards, row, *found, origin)

    def _take_up(self, forwards: Forwards, row: ExecutionRow, task: TaskRow, data: bytes, origin: Origin) -> bool:
        execution, placed = self._unit.get(Execution, row.execution_id), self._placements.of_execution(row)
        if execution.ended or self.has(row.execution_id):
            return True  # it went on while its input was read
        if execution.mode == Mode.SYNC and not execution.node_uuid:
            return self.end_lost(origin, row.execution_id, "who waited for it is gone, and no node has it")
        try:
            work = forwards.enter(execution, task, data, origin=origin)
        except Overloaded:
            return False
        work.pinned = task.node_uuid or (execution.node_uuid if placed.rule is Rule.PINNED else "")
        work.only_known = execution.status is ExecutionStatus.RUNNING or execution.mode == Mode.SYNC
        work.home = not work.only_known and self._may_run(work)
        call = Call(input=data, mode=Mode.ASYNC)
        self._spawn(forwarded(forwards, work, back=lambda: self._at_home(work, call)))
        return True

    def reported(self, origin: Origin, execution_id: str, *, node_uuid: str, instance_id: str, start: str) -> bool:
        """A node says that an execution runs or ran there; False when it was not this process that had it run there.

        When it was, its start is known now, and its end is recorded by who asked the node, with the output.
        """
        row = views.get_execution(self._reader, execution_id)
        if self._forwards is None or row is None or not row.input_sha256:
            return False
        self._forwards.began(origin, execution_id, node_uuid=node_uuid, instance_id=instance_id, start=start)
        return True

    def end_lost(self, origin: Origin, execution_id: str, reason: str) -> bool:
        """Record that an execution ended without saying how; False when somebody has it in hand."""

        def attempt() -> None:
            execution = self._unit.get(Execution, execution_id)
            execution.fail(reason, reason="lost")
            self._unit.save(origin, execution)

        if self.has(execution_id):
            return False
        retrying(attempt)
        return True

    def get(self, execution_id: str, *, reader: Reader | None = None) -> ExecutionRow:
        """The execution; raises `NotFound`."""
        row = views.get_execution(reader or self._reader, str(as_uuid("execution", execution_id)))
        if row is None:
            raise NotFound.noun("execution", execution_id)
        return row

    def wait(self, execution_id: str, *, timeout_s: float | None = None) -> ExecutionRow:
        """The execution once it ended, or as it is when `timeout_s` runs out."""
        deadline = None if timeout_s is None else monotonic() + timeout_s
        while True:
            head = self._unit.log.head
            row = self.get(execution_id)
            left_s = None if deadline is None else deadline - monotonic()
            if row.status in _FINAL or (left_s is not None and left_s <= 0):
                return row
            self._unit.log.wait(head, timeout_s=left_s)

    def output(self, row: ExecutionRow, *, reader: Reader | None = None) -> bytes | None:
        """A completed execution's output; None when there is none or its object was deleted."""
        found = get_object(reader or self._reader, f"{RESULTS_BUCKET}/{result_key(row.task_id, row.execution_id)}")
        if row.status != ExecutionStatus.COMPLETED or found is None:
            return None
        return self._contents.read(Content(found.sha256, found.size, found.inline))

    def is_result_elsewhere(self, row: ExecutionRow) -> bool:
        """Whether the output is with another node, which ran the execution by itself."""
        return (
            row.status == ExecutionStatus.COMPLETED and not row.input_sha256 and row.node_uuid != self._runs.node.uuid
        )

    def terminate(self, origin: Origin, execution_id: str, reason: str) -> ExecutionRow:
        """End an execution as cancelled; repeating it changes nothing. Raises `Refused` for one that ended by itself."""
        row = self.get(execution_id)
        if row.status in _FINAL:
            return _only_cancelled(row)
        if not self._stop_elsewhere(row, origin, reason) and not self._runs.stop(row.execution_id, reason):
            if not row.input_sha256:  # known by reports alone: it is another node's own
                self._check_reach(row.node_uuid)
            self._cancel(origin, row.execution_id, reason)
        return _only_cancelled(self.wait(row.execution_id, timeout_s=_PATIENCE_S))

    def _stop_elsewhere(self, row: ExecutionRow, origin: Origin, reason: str) -> bool:
        if self._forwards is None:
            return False
        if row.input_sha256 and not self.is_here(row):  # an earlier process may have sent it there
            self.take_up(row, origin)
        return self._forwards.stop(row.execution_id, reason)

    def _cancel(self, origin: Origin, execution_id: str, reason: str) -> None:
        def attempt() -> None:
            execution = self._unit.get(Execution, execution_id)
            execution.cancel(reason)
            self._unit.save(origin, execution)

        retrying(attempt)


def _only_cancelled(row: ExecutionRow) -> ExecutionRow:
    if row.status in _FINAL and row.status != ExecutionStatus.CANCELLED:
        raise Refused(
            f"execution {row.execution_id} already ended: {row.status}",
            code="EXECUTION_ENDED",
            details={"status": row.status},
        )
    return row
