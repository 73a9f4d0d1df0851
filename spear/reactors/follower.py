"""Lets what the SMS says of tasks take effect on a node that took them over."""

import logging
from pathlib import Path

from spear.errors import NotFound, Refused, Unavailable
from spear.events.record import Origin
from spear.ports import TaskChange, TaskSource
from spear.services.instances import Instances
from spear.services.nodes import OwnNode
from spear.services.tasks import Tasks

log = logging.getLogger(__name__)
ORIGIN = Origin("follower")


class Follower:
    """Follows the SMS's task events from a cursor in a file; what it was told twice changes nothing the second time."""

    def __init__(self, source: TaskSource, tasks: Tasks, instances: Instances, *, node: OwnNode, folder: Path) -> None:
        self._source, self._tasks, self._instances, self._node, self._folder = source, tasks, instances, node, folder

    def follow(self) -> None:
        """Follow until the stream breaks: raises `Unavailable`, or `Refused` for what the SMS does not accept."""
        try:
            for position, task_id, change in self._source.changes(self._node.uuid, after=self._position()):
                self._act(task_id, change)
                self._keep(position)
        except Refused:
            if self._position():
                log.warning("the SMS has no event %d, so its log is another one: from its beginning", self._position())
                self._cursor.unlink(missing_ok=True)
            else:
                raise

    def _act(self, task_id: str, change: TaskChange) -> None:
        if change is TaskChange.CREATED:
            self._tasks.obtain(ORIGIN, task_id)
            return
        try:
            known = self._tasks.get(task_id)
        except NotFound:
            return
        if change is TaskChange.GONE or not self._tasks.refresh(ORIGIN, known.task_id):
            gone = self._tasks.unregister(ORIGIN, known.task_id, "unregistered at the SMS")
            self._instances.stop(ORIGIN.because_of(gone.first), known.task_id, "task unregistered")

    def _keep(self, position: int) -> None:
        try:
            self._cursor.write_text(str(position))
        except OSError as error:
            raise Unavailable(f"{self._cursor}: cannot keep the cursor: {error.strerror}") from error

    @property
    def _cursor(self) -> Path:
        return self._folder / f"task_events_cursor_{self._node.uuid}.json"

    def _position(self) -> int:
        try:
            return int(self._cursor.read_text())
        except (FileNotFoundError, ValueError):
            return 0  # all that this node has to know is told again
