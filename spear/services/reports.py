"""Reports: what nodes say of their instances, executions, results and log lines becomes facts here, each once."""

from collections.abc import Sequence
from uuid import UUID

from spear.domain.execution import FINAL, Execution, ExecutionReport
from spear.domain.holding import Holding, HoldingReport
from spear.domain.instance import Instance, InstanceReport
from spear.domain.object import is_result
from spear.domain.task import Task
from spear.domain.token import TokenRole
from spear.errors import Forbidden, Invalid, NotFound, Refused
from spear.events.record import Origin
from spear.ports import LogLine
from spear.projections.executions import ExecutionRow, get_execution
from spear.projections.holdings import get_holding
from spear.projections.reader import Reader
from spear.projections.tasks import EXECUTION_ID, task_results
from spear.reports import NOT_ITS_OWN, LineStore, LogMark
from spear.services.forwards import Forwards
from spear.services.nodes import OwnNode
from spear.services.tokens import Caller
from spear.services.unit import Unit, as_uuid, retrying

_FINAL = frozenset(status.value for status in FINAL)


class Reports:
    """What can be reported: again, late and in any order; what is older than what is known changes nothing.

    This process's own node has nothing to report: its facts are in this log already.
    """

    def __init__(
        self, unit: Unit, reader: Reader, *, lines: LineStore, node: OwnNode, forwards: Forwards | None = None
    ) -> None:
        self._unit, self._reader, self._lines, self._node, self._forwards = unit, reader, lines, node, forwards

    def instance(
        self, origin: Origin, instance_id: str, task_id: str, seen: InstanceReport, *, runtime: str, sha256: str
    ) -> tuple[bool, int]:
        """Whether the report was taken over, and the time of the newest that was, in microseconds; raises `Refused`."""
        ident = as_uuid("instance", instance_id)

        def attempt() -> tuple[bool, int]:
            instance = self._unit.load(Instance, ident) or Instance(
                id=ident, task_id=task_id, node_uuid=seen.node_uuid, runtime=runtime, sha256=sha256
            )
            _same_task(f"instance {ident}", instance.task_id, task_id)
            taken = instance.report(seen)
            self._unit.save(origin, instance)
            return taken, instance.reported_at_us

        self._refuse_own(seen.node_uuid)
        return retrying(attempt)

    def execution(
        self, origin: Origin, execution_id: str, task_id: str, seen: ExecutionReport, *, mode: str
    ) -> tuple[bool, int]:
        """Likewise of an execution, whether it was requested here or is heard of for the first time."""
        ident = as_uuid("execution", execution_id)

        def attempt() -> tuple[bool, int]:
            execution = self._unit.load(Execution, ident) or Execution(
                id=ident, task_id=task_id, node_uuid=seen.node_uuid, mode=mode, args=[], environment={}, timeout_ms=0,
                input_sha256="", input_size=0, input_inline="", input_content_type="", fingerprint="",
            )  # fmt: skip
            _same_task(f"execution {ident}", execution.task_id, task_id)
            taken = execution.report(seen)
            self._unit.save(origin, execution)
            if execution.ended:
                self._unit.forget(execution)
            return taken, execution.reported_at_us

        self._refuse_own(seen.node_uuid)
        if self._forwards and seen.started_at_us:  # whoever sent it there must not send it elsewhere any more
            self._forwards.began(
                origin, str(ident), node_uuid=seen.node_uuid, instance_id=seen.instance_id, start=seen.start
            )
        return retrying(attempt)

    def object(
        self, origin: Origin, object_id: UUID, seen: HoldingReport | None, *, node_uuid: str, updated_at_us: int
    ) -> bool:
        """Likewise of what a node has of an object, None for nothing: whether the report was taken over."""

        def attempt() -> bool:
            holding = self._unit.blank_or_loaded(Holding, Holding.ident(node_uuid, object_id))
            listed = seen is None and get_holding(self._reader, str(holding.id)) is not None
            taken = holding.report(node_uuid, seen, at_us=updated_at_us, result=listed)
            self._unit.save(origin, holding)
            return taken

        self._refuse_own(node_uuid)
        if seen and is_result(seen.bucket, seen.key):
            raise Refused(f"object.key: got {seen.key}, but of a result its execution tells, and nobody else")
        return retrying(attempt)

    def _refuse_own(self, node_uuid: str) -> None:
        if node_uuid == self._node.uuid:
            raise Refused(f"node_uuid: got {node_uuid}, which is this process's own node and has nothing to report")

    def result(
        self,
        origin: Origin,
        task_id: str,
        uri: str,
        *,
        caller: Caller,
        status: str,
        completed_at_us: int,
        metadata: dict[str, str],
    ) -> None:
        """How an execution of the task ended, unless its own end tells that anyway.

        Raises `NotFound`, and `Forbidden` for a node's token when it did not run on that node.
        """
        task = self._unit.get(Task, task_id)
        told = task.result(uri, status=status, completed_at_us=completed_at_us, metadata=metadata)
        ran = get_execution(self._reader, metadata.get(EXECUTION_ID, ""))
        ran = ran if ran and ran.task_id == str(task.id) else None
        if caller.role is TokenRole.NODE and (ran is None or ran.node_uuid != caller.node_uuid):
            raise _not_its_own(caller, str(task.id), metadata)
        told_by_end = ran is not None and _tells_result(ran)
        known = told_by_end or self._is_last(str(task.id), uri, status, metadata)
        self._unit.save(origin, task, more=[] if known else [told])

    def knows_result(self, execution_id: str) -> bool:
        """Whether the execution's own end tells how its task fared, or will."""
        row = get_execution(self._reader, str(as_uuid("execution", execution_id)))
        return row is not None and _tells_result(row)

    def _is_last(self, task_id: str, uri: str, status: str, metadata: dict[str, str]) -> bool:
        last = task_results(self._reader, [task_id]).get(task_id)
        return last is not None and (last.last_result_uri, last.last_result_status, last.metadata) == (
            uri or last.last_result_uri, status, metadata,
        )  # fmt: skip

    def reported(self, execution_id: str) -> ExecutionRow:
        """An execution that another node has; raises `NotFound` for one that nobody reported yet, else `Refused`."""
        row = get_execution(self._reader, str(as_uuid("execution", execution_id)))
        if row is None:
            raise NotFound.noun("execution", execution_id)
        self._refuse_own(row.node_uuid)
        return row

    def append(self, row: ExecutionRow, lines: Sequence[LogLine]) -> LogMark:
        """Append log lines of a reported execution; those that are there are skipped.

        Raises `Refused` for a gap and for a finished log, `TooLarge` for one that is full.
        """
        if any(line.seq < 1 for line in lines):
            raise Invalid("seq must be > 0", details={"field": "lines.seq"})
        return self._lines.append(row.execution_id, node_uuid=row.node_uuid, task_id=row.task_id, lines=lines)

    def finish(self, row: ExecutionRow) -> LogMark:
        """No more lines will come; what came is on disk. May be repeated."""
        return self._lines.finish(row.execution_id, node_uuid=row.node_uuid, task_id=row.task_id)


def _tells_result(row: ExecutionRow) -> bool:
    return row.status in _FINAL or bool(row.input_sha256)


def _not_its_own(caller: Caller, task_id: str, metadata: dict[str, str]) -> Forbidden:
    expected = f"an execution of task {task_id} that ran on the node of token {caller.name!r}"
    text = f"result_metadata.{EXECUTION_ID}: got {metadata.get(EXECUTION_ID, '')!r}, expected {expected}"
    return Forbidden(text, code=NOT_ITS_OWN)


def _same_task(what: str, known: str, told: str) -> None:
    if known != told:
        raise Refused(f"task_id: got {told}, but {what} belongs to task {known}")
