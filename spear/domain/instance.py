"""A live sandbox of a task on a node."""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReport:
    """What a node says of an instance that it has; times in microseconds."""

    node_uuid: str
    status: InstanceStatus
    current_execution_id: str
    created_at_us: int
    updated_at_us: int


@topic("instance")
class Instance(Aggregate):
    """A prepared sandbox of a task on a node; executions run on it one by one or side by side, sharing only code."""

    reported_at_us = 0  # the time of the last report that was taken over
    reported = ("", "")  # the status and the running execution that it told

    class InstanceStarted(Aggregate.Created):
        task_id: str
        node_uuid: str
        runtime: str
        sha256: str

    class InstanceStopped(Aggregate.Event):
        reason: str

    class InstanceReported(Aggregate.Event):
        status: str
        current_execution_id: str
        created_at_us: int
        updated_at_us: int

    @event(InstanceStarted)
    def __init__(self, id: UUID, task_id: str, node_uuid: str, runtime: str, sha256: str) -> None:
        self.task_id, self.node_uuid = task_id, node_uuid
        self.stopped = False

    def stop(self, reason: str) -> None:
        """No more runs start on it."""
        if not self.stopped:
            self._stopped(reason)

    def report(self, seen: InstanceReport) -> bool:
        """Take over what its node says; False for old news, and for what another node says. What is gone stays gone."""
        if self.node_uuid != seen.node_uuid or seen.updated_at_us < self.reported_at_us:
            return False
        if self.stopped:
            return seen.status is InstanceStatus.TERMINATED
        if (seen.status.value, seen.current_execution_id) != self.reported:
            self._reported(seen.status.value, seen.current_execution_id, seen.created_at_us, seen.updated_at_us)
        return True

    @event(InstanceStopped)
    def _stopped(self, reason: str) -> None:
        self.stopped = True

    @event(InstanceReported)
    def _reported(self, status: str, current_execution_id: str, created_at_us: int, updated_at_us: int) -> None:
        self.reported, self.reported_at_us = (status, current_execution_id), updated_at_us
        self.stopped = status == InstanceStatus.TERMINATED
