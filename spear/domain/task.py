"""A registered agent, and the endpoint name that at most one task owns."""

from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from eventsourcing.domain import event

from spear.domain.base import NEXT, UNSTAMPED, Aggregate, event_topic, named, topic
from spear.errors import AlreadyExists, NotFound


class TaskStatus(StrEnum):
    """Whether a task is only known, has instances, or had some."""

    REGISTERED = "registered"
    ACTIVE = "active"
    INACTIVE = "inactive"


class Priority(StrEnum):
    """How urgent a task's work is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class ExecutableType(StrEnum):
    """What kind of program a task runs; NONE is a record with an endpoint and nothing to start."""

    NONE = "none"
    WASM = "wasm"
    PROCESS = "process"
    BINARY = "binary"
    SCRIPT = "script"
    CONTAINER = "container"


class Executable(TypedDict):
    """What to run and how; `type` is an ExecutableType's value."""

    type: str
    uri: str
    name: str
    checksum_sha256: str
    args: list[str]
    env: dict[str, str]


@event_topic("task.TaskResultReported", observed=True)
class TaskResultReported(Aggregate.Event):
    """A node said how an execution of the task ended; recorded in a stream of its own, so that the task's stays short."""

    task_id: str
    result_uri: str
    result_status: str
    completed_at_us: int
    metadata: dict[str, str]


@topic("task")
class Task(Aggregate):
    """A registered agent."""

    class TaskCreated(Aggregate.Created):
        name: str
        description: str
        priority: str
        node_uuid: str
        endpoint: str
        version: str
        capabilities: list[str]
        metadata: dict[str, str]
        config: dict[str, str]
        executable: Executable

    class TaskRegisteredAgain(Aggregate.Event):
        name: str
        description: str
        priority: str
        node_uuid: str
        endpoint: str
        version: str
        capabilities: list[str]
        metadata: dict[str, str]
        config: dict[str, str]
        executable: Executable

    class TaskUpdated(Aggregate.Event):
        description: str
        priority: str
        metadata: dict[str, str]
        config: dict[str, str]

    class TaskActivated(Aggregate.Event):
        reason: str

    class TaskDeactivated(Aggregate.Event):
        reason: str

    class TaskUnregistered(Aggregate.Event):
        reason: str

    @event(TaskCreated)
    def __init__(
        self,
        id: UUID,
        name: str,
        description: str,
        priority: str,
        node_uuid: str,
        endpoint: str,
        version: str,
        capabilities: list[str],
        metadata: dict[str, str],
        config: dict[str, str],
        executable: Executable,
    ) -> None:
        self.name, self.endpoint, self.node_uuid = name, endpoint, node_uuid
        self.description, self.priority, self.metadata, self.config = description, priority, metadata, config
        self.executable = executable
        self.task_version, self.capabilities = version, capabilities
        self.status = TaskStatus.REGISTERED
        self.unregistered = False

    def register_again(
        self,
        *,
        name: str,
        description: str,
        priority: str,
        node_uuid: str,
        endpoint: str,
        version: str,
        capabilities: list[str],
        metadata: dict[str, str],
        config: dict[str, str],
        executable: Executable,
    ) -> None:
        """The task is back as it is described; one that never went records nothing."""
        if self.unregistered:
            self._registered_again(
                name, description, priority, node_uuid, endpoint, version, capabilities, metadata, config, executable
            )

    def update(
        self,
        *,
        description: str | None = None,
        priority: str | None = None,
        metadata: dict[str, str] | None = None,
        config: dict[str, str] | None = None,
    ) -> None:
        """Change what is given; maps are replaced whole. What a task runs never changes: register another task."""
        self._check_present()
        new = (
            self.description if description is None else description,
            self.priority if priority is None else priority,
            self.metadata if metadata is None else metadata,
            self.config if config is None else config,
        )
        if new != (self.description, self.priority, self.metadata, self.config):
            self._updated(*new)

    def activate(self, reason: str) -> None:
        """An instance runs."""
        self._check_present()
        if self.status is not TaskStatus.ACTIVE:
            self._activated(reason)

    def deactivate(self, reason: str) -> None:
        """The last instance is gone."""
        if not self.unregistered and self.status is TaskStatus.ACTIVE:
            self._deactivated(reason)

    def report(self, status: TaskStatus, reason: str) -> None:
        """A node says whether it has instances."""
        self._check_present()
        if status is TaskStatus.ACTIVE:
            self.activate(reason)
        else:
            self.deactivate(reason)

    def result(self, uri: str, *, status: str, completed_at_us: int, metadata: dict[str, str]) -> TaskResultReported:
        """How an execution ended, for the stream of the task's results."""
        self._check_present()
        return TaskResultReported(
            originator_id=named("task_results", str(self.id)),
            originator_version=NEXT,
            timestamp=UNSTAMPED,
            task_id=str(self.id),  # type: ignore[call-arg]
            result_uri=uri,
            result_status=status,
            completed_at_us=completed_at_us,
            metadata=metadata,
        )

    def unregister(self, reason: str) -> None:
        """The task takes no more work; its history stays."""
        self._check_present()
        self._unregistered(reason)

    def _check_present(self) -> None:
        if self.unregistered:
            raise NotFound.noun("task", self.id)

    @event(TaskRegisteredAgain)
    def _registered_again(
        self,
        name: str,
        description: str,
        priority: str,
        node_uuid: str,
        endpoint: str,
        version: str,
        capabilities: list[str],
        metadata: dict[str, str],
        config: dict[str, str],
        executable: Executable,
    ) -> None:
        self.name, self.endpoint, self.node_uuid = name, endpoint, node_uuid
        self.description, self.priority, self.metadata, self.config = description, priority, metadata, config
        self.executable = executable
        self.task_version, self.capabilities = version, capabilities
        self.status = TaskStatus.REGISTERED
        self.unregistered = False

    @event(TaskUpdated)
    def _updated(self, description: str, priority: str, metadata: dict[str, str], config: dict[str, str]) -> None:
        self.description, self.priority, self.metadata, self.config = description, priority, metadata, config

    @event(TaskActivated)
    def _activated(self, reason: str) -> None:
        self.status = TaskStatus.ACTIVE

    @event(TaskDeactivated)
    def _deactivated(self, reason: str) -> None:
        self.status = TaskStatus.INACTIVE

    @event(TaskUnregistered)
    def _unregistered(self, reason: str) -> None:
        self.unregistered = True


@topic("endpoint")
class Endpoint(Aggregate):
    """A name under which at most one task can be called; its id follows from the name."""

    class EndpointClaimed(Aggregate.Event):
        endpoint: str
        task_id: str

    class EndpointReleased(Aggregate.Event):
        endpoint: str
        task_id: str

    def begin(self) -> None:
        """Nobody owns it yet."""
        self.task_id = ""

    @staticmethod
    def ident(endpoint: str) -> UUID:
        """The id of the stream that guards this name."""
        return named("endpoint", endpoint)

    def claim(self, endpoint: str, task_id: str) -> None:
        """Take the name; refused while another task has it."""
        if self.task_id and self.task_id != task_id:
            raise AlreadyExists(
                f"endpoint {endpoint!r} already exists: task {self.task_id} has it",
                code="ENDPOINT_EXISTS",
                details={"field": "endpoint", "task_id": self.task_id},
            )
        if not self.task_id:
            self._claimed(endpoint, task_id)

    def release(self, endpoint: str, task_id: str) -> None:
        """Give the name back."""
        if self.task_id == task_id:
            self._released(endpoint, task_id)

    @event(EndpointClaimed)
    def _claimed(self, endpoint: str, task_id: str) -> None:
        self.task_id = task_id

    @event(EndpointReleased)
    def _released(self, endpoint: str, task_id: str) -> None:
        self.task_id = ""
