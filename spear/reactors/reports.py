"""Tells the SMS what happened on this node, in the order of the node's own log, from a bookmark that survives it."""

import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spear.domain.execution import FINAL, Execution, ExecutionReport, ExecutionStatus
from spear.domain.holding import HoldingReport
from spear.domain.instance import Instance, InstanceReport, InstanceStatus
from spear.domain.object import Object, is_result
from spear.domain.task import Task, TaskStatus
from spear.errors import SpearError, Unavailable
from spear.events.log import EventLog
from spear.events.mapper import payload
from spear.events.record import Recorded
from spear.ports import Bell, Threads
from spear.projections.executions import NO_EXIT_CODE, ExecutionRow, get_execution
from spear.projections.instances import get_instance
from spear.projections.reader import Reader
from spear.projections.tasks import EXECUTION_ID, result_uri
from spear.reactors.lines import LATER, LineSender
from spear.reports import NOT_ITS_OWN, Headquarters, Told
from spear.services.nodes import OwnNode

log = logging.getLogger(__name__)
_IDLE_S = 60.0
_PAGE = 200
_AT_ONCE = 32
_GATHER_S = 0.05
_ENDS = (
    Execution.ExecutionCompleted,
    Execution.ExecutionFailed,
    Execution.ExecutionCancelled,
    Execution.ExecutionTimedOut,
)
_FINAL = frozenset(status.value for status in FINAL)
_END_TOPICS = frozenset(event.TOPIC for event in _ENDS)
_OBJECT = (Object.ObjectPut.TOPIC, Object.ObjectDeleted.TOPIC)
_STATUS = {Task.TaskActivated.TOPIC: TaskStatus.ACTIVE, Task.TaskDeactivated.TOPIC: TaskStatus.INACTIVE}
_TOPICS = (
    Instance.InstanceStarted.TOPIC,
    Instance.InstanceStopped.TOPIC,
    Execution.ExecutionRequested.TOPIC,
    Execution.ExecutionStarted.TOPIC,
    *sorted(_END_TOPICS),
    *_STATUS,
    *_OBJECT,
)
_OFTEN = frozenset({"execution", "object"})  # of these a page is told as it is after the last, and many at once
_SAID = {
    Execution.ExecutionRequested.TOPIC: ExecutionStatus.PENDING,
    Execution.ExecutionStarted.TOPIC: ExecutionStatus.RUNNING,
}


class Bookmark:
    """How far the log was told to whom, in a file that is replaced whole; one for another SMS begins anew."""

    def __init__(self, path: Path, *, sms: str, threads: Threads) -> None:
        self._path, self._sms, self._threads = path, sms, threads

    def read(self, head: int) -> int:
        """The last position that was told; 0 when nothing was, or when it lies beyond `head`."""
        try:
            found = json.loads(self._path.read_text())
            position = int(found["position"]) if found["sms"] == self._sms else 0
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0  # all is told again
        return position if 0 <= position <= head else 0

    def write(self, position: int) -> None:
        """Remember it durably; raises `Unavailable`."""
        try:
            self._threads.call(lambda: self._replace(json.dumps({"sms": self._sms, "position": position})))
        except OSError as error:
            raise Unavailable(f"{self._path}: cannot write the bookmark: {error.strerror}") from error

    def _replace(self, text: str) -> None:
        unfinished = self._path.with_suffix(".new")
        with unfinished.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._path)


class ReportSender:
    """Follows the log and reports instances, executions, task status, results and objects; what was told again changes nothing.

    An execution's end is told after its log lines. Executions of which a page of the log tells more than one thing are
    reported as they are after the last, and what happens next is awaited for a moment, in which most executions end.
    """

    def __init__(
        self,
        log: EventLog,
        reader: Reader,
        sms: Headquarters,
        *,
        node: OwnNode,
        lines: LineSender,
        bookmark: Bookmark,
        bell: Bell,
    ) -> None:
        self._log, self._reader, self._sms = log, reader, sms
        self._node, self._lines, self._bookmark, self._bell = node, lines, bookmark, bell

    def follow(self) -> None:
        """Report from the bookmark on, for ever; raises what is in `LATER` when the SMS takes nothing now."""
        position = self._bookmark.read(self._log.head)
        for facts in self._log.follow(position, idle_s=_IDLE_S, topics=_TOPICS, limit=_PAGE):
            if facts:
                if len(facts) < _PAGE:
                    self._bell.ticket().wait(_GATHER_S)
                self._tell(facts)
                self._bookmark.write(facts[-1].position)

    def _tell(self, facts: Sequence[Recorded]) -> None:
        last = {fact.originator_id: fact.position for fact in facts}
        tell = {
            "instance": self._instance, "task": self._task, "execution": self._execution, "object": self._object,
        }  # fmt: skip
        newest = [fact for fact in facts if fact.noun not in _OFTEN or last[fact.originator_id] == fact.position]
        known = self._send(newest, lambda fact: tell[fact.noun](fact))
        ends = [fact for fact in newest if fact.topic in _END_TOPICS and fact.position not in known]
        self._send(ends, self._result)

    def _send(self, facts: Sequence[Recorded], tell: Callable[[Recorded], Told | None]) -> set[int]:
        """Tell these in order, a few at once; returns when all are answered: the positions of whose result the SMS knows."""
        known: set[int] = set()
        under_way: deque[tuple[Recorded, Told]] = deque()

        def settle(fact: Recorded, told: Told) -> None:
            with _refusal_of(fact):
                if told() is True:
                    known.add(fact.position)

        for fact in facts:
            if fact.topic == Object.ObjectDeleted.TOPIC:  # a result is known before it is gone
                while any(sent.noun == "execution" for sent, _ in under_way):
                    settle(*under_way.popleft())
            with _refusal_of(fact):
                if told := tell(fact):
                    under_way.append((fact, told))
            most = _AT_ONCE if fact.noun in _OFTEN else 0  # an instance is known before what runs on it
            while len(under_way) > most:
                settle(*under_way.popleft())
        for fact, told in under_way:
            settle(fact, told)
        return known

    def _instance(self, fact: Recorded) -> Told | None:
        row = get_instance(self._reader, fact.originator_id)
        if row is None or row.node_uuid != self._node.uuid:
            return None
        gone = fact.topic == Instance.InstanceStopped.TOPIC
        seen = InstanceReport(
            node_uuid=row.node_uuid,
            status=InstanceStatus.TERMINATED if gone else InstanceStatus.IDLE,
            current_execution_id="",
            created_at_us=row.created_at_us,
            updated_at_us=fact.time_us,
        )
        return self._sms.report_instance(row.instance_id, row.task_id, seen, runtime=row.runtime, sha256=row.sha256)

    def _object(self, fact: Recorded) -> Told | None:
        seen = None
        if fact.topic == Object.ObjectPut.TOPIC:
            put: Any = payload(fact)
            if is_result(put.bucket, put.key):
                return None  # it is where its execution ran, which is told
            seen = HoldingReport(
                bucket=put.bucket, key=put.key, version=put.object_version, sha256=put.sha256, size=put.size,
                content_type=put.content_type, metadata=put.metadata,
            )  # fmt: skip
        return self._sms.report_object(fact.originator_id, seen, node_uuid=self._node.uuid, updated_at_us=fact.time_us)

    def _task(self, fact: Recorded) -> Told:
        status = _STATUS[fact.topic]
        reason = "instance started" if status is TaskStatus.ACTIVE else "no instances"
        return self._sms.report_status(
            fact.originator_id, status, node_uuid=self._node.uuid, updated_at_us=fact.time_us, reason=reason
        )

    def _own(self, fact: Recorded) -> ExecutionRow | None:
        """The execution if it is this node's to tell: what it sent on is told by the node where it began, else by its end here."""
        row = get_execution(self._reader, fact.originator_id)
        if row is None or row.node_uuid == self._node.uuid:
            return row
        return row if row.status in _FINAL and not row.started_at_us else None

    def _execution(self, fact: Recorded) -> Told | None:
        row, end = self._own(fact), fact.topic in _END_TOPICS
        if row is None or (not end and row.status != _SAID[fact.topic]):
            return None  # what it is by now is told when the log comes to that
        if end and row.started_at_us and self._lines.has_any(row):
            self._report(row, ExecutionStatus.RUNNING)()  # whose lines are told must be known
            self._lines.finish(row)
        elif row.status == ExecutionStatus.RUNNING:
            self._report(row, ExecutionStatus.RUNNING)()
            self._lines.begin(row)
            return None
        return self._report(row, ExecutionStatus(row.status))

    def _report(self, row: ExecutionRow, status: ExecutionStatus) -> Callable[[], bool]:
        seen = ExecutionReport(
            node_uuid=self._node.uuid,
            status=status,
            updated_at_us=row.updated_at_us if status == row.status else row.started_at_us,
            instance_id=row.instance_id,
            start=row.start,
            requested_at_us=row.requested_at_us,
            started_at_us=row.started_at_us,
            completed_at_us=row.completed_at_us,
            duration_us=row.duration_us,
            exit_code=None if row.exit_code == NO_EXIT_CODE else row.exit_code,
            output_size=row.output_size,
            output_content_type=row.output_content_type,
            code=row.error_code,
            error=row.error,
            reason=row.reason,
            last_action=row.last_action,
        )
        return self._sms.report_execution(row.execution_id, row.task_id, seen, mode=row.mode)

    def _result(self, fact: Recorded) -> Told | None:
        row = self._own(fact)
        if row is None:
            return None
        completed = row.status == ExecutionStatus.COMPLETED
        metadata = {EXECUTION_ID: row.execution_id, "execution_time_ms": str(row.duration_us // 1000)}
        return self._sms.report_result(
            row.task_id,
            result_uri(row.task_id, row.execution_id) if completed else "",
            status="terminated" if row.status == ExecutionStatus.CANCELLED else row.status,
            completed_at_us=row.completed_at_us,
            metadata={**metadata, "error_message": row.error} if row.error else metadata,
        )


@contextmanager
def _refusal_of(fact: Recorded) -> Iterator[None]:
    """What the SMS will never take is told to the log; nothing behind it waits for that."""
    try:
        yield
    except SpearError as error:
        if isinstance(error, LATER) and error.code != NOT_ITS_OWN:
            raise
        log.error("the SMS refuses the report of event %d (%s): %s", fact.position, fact.topic, error.message)
