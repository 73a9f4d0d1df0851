"""Starts executions that were accepted by an earlier process and never began."""

from spear.domain.execution import ExecutionStatus
from spear.events.record import Origin
from spear.projections import executions
from spear.projections.reader import Reader
from spear.services.executions import Executions

ORIGIN = Origin("dispatcher")


class Dispatcher:
    """Takes pending asynchronous executions on again, oldest first, as there is room."""

    def __init__(self, reader: Reader, service: Executions) -> None:
        self._reader, self._service = reader, service
        self._after = 0
        self.done = False

    def dispatch(self) -> None:
        """Take on as many as fit; `done` once everything that was left is in hand."""
        while left := executions.unfinished(self._reader, ExecutionStatus.PENDING, after=self._after):
            for row in left:
                if not self._service.resume(row, ORIGIN):
                    return
                self._after = row.seq
        self.done = True
