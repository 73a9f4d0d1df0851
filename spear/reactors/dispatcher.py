"""Finds executions that nobody has in hand: those that can still begin are begun, the others are ended as lost."""

import logging
from collections.abc import Iterator

from spear.domain.execution import ExecutionStatus
from spear.events.record import Origin
from spear.projections import executions
from spear.projections.executions import ExecutionRow
from spear.projections.reader import Reader
from spear.services.calls import Mode
from spear.services.executions import Executions
from spear.services.nodes import OwnNode

log = logging.getLogger(__name__)
ORIGIN, FORWARDER = Origin("dispatcher"), Origin("forwarder")
DIED = "the process that ran it ended before it did"
LOST = "the server could not record its start or its end when that happened"


class Dispatcher:
    """Looks at what has not ended here by the log, and compares it with what this process has in hand."""

    def __init__(self, reader: Reader, service: Executions) -> None:
        self._reader, self._service = reader, service

    def dispatch(self) -> None:
        """Begin pending asynchronous executions, oldest first, as many as there is room for."""
        for row in self._unfinished(ExecutionStatus.PENDING):
            if row.mode == Mode.ASYNC and not self._service.resume(row, ORIGIN.because_of(row.seq)):
                return

    def end_lost(self, reason: str = LOST) -> None:
        """End executions that somebody waited for, or that run, but that nobody has in hand."""
        ended = 0
        for status in (ExecutionStatus.RUNNING, ExecutionStatus.PENDING):
            for row in self._unfinished(status):
                if status is ExecutionStatus.RUNNING or row.mode == Mode.SYNC:
                    origin = ORIGIN.because_of(row.seq)
                    ended += self._service.end_lost(origin, row.execution_id, reason)
        if ended:
            log.warning("executions ended as failed: %d (%s)", ended, reason)

    def _unfinished(self, status: ExecutionStatus) -> Iterator[ExecutionRow]:
        after = 0
        while page := executions.unfinished(self._reader, status, after=after):
            yield from filter(self._service.is_here, page)
            after = page[-1].seq


class Forwarder:
    """Sees executions through that an earlier process sent elsewhere, or that could not be recorded when they ended."""

    def __init__(self, reader: Reader, service: Executions, node: OwnNode) -> None:
        self._reader, self._service, self._node = reader, service, node

    def look(self) -> None:
        """Ask for what nobody asks for, as much as there is room for; running ones first."""
        for status in (ExecutionStatus.RUNNING, ExecutionStatus.PENDING):
            after = 0
            while page := executions.unfinished_elsewhere(self._reader, self._node.uuid, status, after=after):
                if not all(self._service.take_up(row, FORWARDER.because_of(row.seq)) for row in page):
                    return
                after = page[-1].seq
