"""Endpoints by stream: a client talks to whichever executions of a task run, and one is started when none does."""

import re
from time import monotonic

from spear.domain.execution import FINAL, ExecutionStatus
from spear.errors import ExecutionTimedOut, Malformed, SpearError, Unavailable
from spear.events.log import EventLog
from spear.events.record import Origin
from spear.projections.executions import ExecutionRow, list_executions
from spear.projections.reader import Reader
from spear.projections.tasks import TaskRow
from spear.services.calls import Call, Mode
from spear.services.conversations import Switch
from spear.services.executions import Executions
from spear.services.streams import Streams
from spear.services.tasks import Tasks

PATIENCE_S = 30.0
_MOST_CANDIDATES = 50
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Endpoints:
    """The way from an endpoint's name to a conversation with its agent."""

    def __init__(
        self, log: EventLog, reader: Reader, *, tasks: Tasks, executions: Executions, streams: Streams
    ) -> None:
        self._log, self._reader, self._tasks, self._executions = log, reader, tasks, executions
        self._streams = streams

    def open(self, origin: Origin, endpoint: str) -> Switch:
        """Begin a conversation; raises `Malformed`, `NotFound`, `Unavailable`, or `ExecutionTimedOut` when none starts."""
        name = endpoint.strip()
        if not _NAME.fullmatch(name):
            expected = "1 to 64 letters, digits, underscores or dashes"
            raise Malformed(f"endpoint: got {endpoint[:120]!r}, expected {expected}", code="INVALID_ENDPOINT")
        task = self._tasks.obtain_at(origin, name.lower())
        if not self._running(task):
            self._start(origin, task)
        return Switch(self._streams, lambda: self._running(task))

    def _running(self, task: TaskRow) -> list[ExecutionRow]:
        running = ExecutionStatus.RUNNING.value
        return list_executions(self._reader, task_id=task.task_id, status=running, limit=_MOST_CANDIDATES).rows

    def _start(self, origin: Origin, task: TaskRow) -> None:
        try:
            execution_id, _ = self._executions.request(origin, task, Call(mode=Mode.ASYNC))
        except SpearError as error:
            raise Unavailable(error.message, code="NO_EXECUTION_AVAILABLE") from error
        row = self._begun(execution_id)
        if ExecutionStatus(row.status) in FINAL:
            text = f"execution {execution_id} was started and has ended: {row.error or row.status}"
            raise Unavailable(text, code="NO_EXECUTION_AVAILABLE", details={"execution_id": execution_id})

    def _begun(self, execution_id: str) -> ExecutionRow:
        deadline = monotonic() + PATIENCE_S
        while True:
            head = self._log.head
            row = self._executions.get(execution_id)
            if row.status != ExecutionStatus.PENDING:
                return row
            if not self._log.wait(head, timeout_s=deadline - monotonic()):
                text = f"execution {execution_id} did not begin within {PATIENCE_S:g} s"
                raise ExecutionTimedOut(text, code="UPSTREAM_TIMEOUT", details={"execution_id": execution_id})
