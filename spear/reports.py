"""What reporting needs from the outside, on both sides: a node whom to tell, an SMS where lines go; ports in the domain's words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from spear.domain.execution import ExecutionReport
from spear.domain.holding import HoldingReport
from spear.domain.instance import InstanceReport
from spear.domain.task import TaskStatus
from spear.ports import LogLine

NOT_ITS_OWN = "NOT_ITS_OWN"  # the code of a `Forbidden` report: of what ran on another node


@dataclass(frozen=True, slots=True)
class LogMark:
    """How far a reported log is: the number of the line that comes next, how many were new, and what will not come."""

    next_seq: int
    accepted: int
    truncated: bool
    completed: bool


class LineStore(Protocol):
    """Where the lines of executions go that run elsewhere; `LogStore` reads them."""

    def append(self, execution_id: str, *, node_uuid: str, task_id: str, lines: Sequence[LogLine]) -> LogMark:
        """Append in order, skip what is there; raise `Refused` for a gap or a finished log, `TooLarge` for a full one."""
        ...

    def finish(self, execution_id: str, *, node_uuid: str, task_id: str) -> LogMark:
        """No more lines will come; what came is on disk."""
        ...


Told: TypeAlias = Callable[[], object]


class Headquarters(Protocol):
    """Where a node reports what it runs; what is told twice changes nothing.

    A report is on its way when its method returns; calling what it returns waits for the answer. Every answer may raise `Unavailable`, `Overloaded` or `Forbidden`: later perhaps; any other `SpearError` is a final no.
    """

    def report_instance(
        self, instance_id: str, task_id: str, seen: InstanceReport, *, runtime: str, sha256: str
    ) -> Told:
        """How an instance is."""
        ...

    def report_execution(
        self, execution_id: str, task_id: str, seen: ExecutionReport, *, mode: str
    ) -> Callable[[], bool]:
        """How an execution is; the answer is True when its result need not be told as well."""
        ...

    def report_object(self, object_id: str, seen: HoldingReport | None, *, node_uuid: str, updated_at_us: int) -> Told:
        """What the node has of an object, None for nothing any more; an SMS that keeps no such index has no use for it."""
        ...

    def report_status(
        self, task_id: str, status: TaskStatus, *, node_uuid: str, updated_at_us: int, reason: str
    ) -> Told:
        """Whether the node has instances of the task."""
        ...

    def report_result(
        self, task_id: str, uri: str, *, status: str, completed_at_us: int, metadata: dict[str, str]
    ) -> Told:
        """How an execution of the task ended."""
        ...

    def append_lines(self, execution_id: str, lines: Sequence[LogLine]) -> LogMark:
        """Lines of an execution that was reported; raise `Refused` for a gap or a finished log, `TooLarge` for a full one."""
        ...

    def finish_lines(self, execution_id: str) -> None:
        """No more lines of it will come."""
        ...
