"""A live sandbox of a task on a node."""

from enum import StrEnum
from uuid import UUID

from eventsourcing.domain import event

from spear.domain.base import Aggregate, topic


class InstanceStatus(StrEnum):
    """Whether runs can start on it."""

    RUNNING = "running"
    IDLE = "idle"
    TERMINATING = "terminating"
    TERMINATED = "terminated"


@topic("instance")
class Instance(Aggregate):
    """A prepared sandbox of a task on a node; executions run on it one by one or side by side, sharing only code."""

    class InstanceStarted(Aggregate.Created):
        task_id: str
        node_uuid: str
        runtime: str
        sha256: str

    class InstanceStopped(Aggregate.Event):
        reason: str

    @event(InstanceStarted)
    def __init__(self, id: UUID, task_id: str, node_uuid: str, runtime: str, sha256: str) -> None:
        self.task_id, self.node_uuid = task_id, node_uuid
        self.stopped = False

    def stop(self, reason: str) -> None:
        """No more runs start on it."""
        if not self.stopped:
            self._stopped(reason)

    @event(InstanceStopped)
    def _stopped(self, reason: str) -> None:
        self.stopped = True
