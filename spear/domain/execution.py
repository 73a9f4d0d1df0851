"""One run of a task."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from eventsourcing.domain import event

from spear.domain.base import NEXT, UNSTAMPED, Aggregate, event_topic, named, topic
from spear.domain.node import OutcomeClass, observations
from spear.domain.placement import DecisionFacts, Rule
from spear.errors import Refused


class ExecutionStatus(StrEnum):
    """Where an execution stands; the last four are final."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


FINAL = frozenset(
    {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED, ExecutionStatus.TIMEOUT}
)


class Start(StrEnum):
    """Whether the instance had to be made for this run."""

    COLD = "cold"
    WARM = "warm"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport:
    """What a node says of an execution that it has; times in microseconds, 0 for what has not happened."""

    node_uuid: str
    status: ExecutionStatus
    updated_at_us: int
    instance_id: str = ""
    start: str = ""
    requested_at_us: int = 0
    started_at_us: int = 0
    completed_at_us: int = 0
    duration_us: int = 0
    exit_code: int | None = None
    output_size: int = 0
    output_content_type: str = ""
    code: str = ""
    error: str = ""
    reason: str = ""
    last_action: str = ""


@event_topic("execution.ModelCalled", observed=True)
class ModelCalled(Aggregate.Event):
    """A run asked a model backend, which counted so many tokens; in the execution's own stream of observations.

    `outcome` is "completed", or the code of what went wrong. What was said is not kept.
    """

    execution_id: str
    task_id: str
    backend: str
    model: str
    outcome: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    duration_us: int

    @classmethod
    def by(cls, execution_id: str, **fields: str | int) -> "ModelCalled":
        """The call of one run."""
        stream = observations(UUID(execution_id))
        return cls(
            originator_id=stream,
            originator_version=NEXT,
            timestamp=UNSTAMPED,
            execution_id=execution_id,  # type: ignore[call-arg]
            **fields,
        )


def idempotent_id(task_id: str, key: str) -> UUID:
    """The execution that a task and an Idempotency-Key name, so that asking twice clashes instead of running twice."""
    return named("execution", f"{task_id}/{key}")


@topic("execution")
class Execution(Aggregate):
    """One run of a task; it ends exactly once."""

    reported_at_us = 0  # the time of the last report that was taken over

    class ExecutionRequested(Aggregate.Created):
        task_id: str
        node_uuid: str
        mode: str
        args: list[str]
        environment: dict[str, str]
        timeout_ms: int
        input_sha256: str
        input_size: int
        input_inline: str
        input_content_type: str
        fingerprint: str

    class ExecutionPlaced(Aggregate.Event):
        node_uuid: str
        rule: str
        decision: DecisionFacts

    class ExecutionSpilled(Aggregate.Event):
        node_uuid: str
        outcome_class: str
        error_message: str

    class ExecutionStarted(Aggregate.Event):
        instance_id: str
        node_uuid: str
        start: str

    class ExecutionCompleted(Aggregate.Event):
        exit_code: int
        output_sha256: str
        output_size: int
        output_content_type: str
        duration_us: int

    class ExecutionFailed(Aggregate.Event):
        code: str
        error: str
        reason: str
        last_action: str
        exit_code: int | None
        duration_us: int

    class ExecutionCancelled(Aggregate.Event):
        reason: str
        last_action: str
        duration_us: int

    class ExecutionTimedOut(Aggregate.Event):
        error: str
        last_action: str
        duration_us: int

    class ExecutionStartReported(Aggregate.Event):
        instance_id: str
        node_uuid: str
        start: str
        requested_at_us: int
        started_at_us: int
        reported_at_us: int

    class ExecutionEndReported(Aggregate.Event):
        node_uuid: str
        status: str
        requested_at_us: int
        completed_at_us: int
        duration_us: int
        exit_code: int | None
        output_size: int
        output_content_type: str
        code: str
        error: str
        reason: str
        last_action: str
        reported_at_us: int

    @event(ExecutionRequested)
    def __init__(
        self,
        id: UUID,
        task_id: str,
        node_uuid: str,
        mode: str,
        args: list[str],
        environment: dict[str, str],
        timeout_ms: int,
        input_sha256: str,
        input_size: int,
        input_inline: str,
        input_content_type: str,
        fingerprint: str,
    ) -> None:
        self.task_id, self.node_uuid, self.mode = task_id, node_uuid, mode
        self.args, self.environment, self.timeout_ms = args, environment, timeout_ms
        self.input_sha256, self.input_inline, self.input_size = input_sha256, input_inline, input_size
        self.input_content_type, self.fingerprint = input_content_type, fingerprint
        self.instance_id = ""
        self.status = ExecutionStatus.PENDING

    @property
    def ended(self) -> bool:
        """Whether a final event is recorded."""
        return self.status in FINAL

    def place(self, node_uuid: str, rule: Rule, decision: DecisionFacts) -> None:
        """There was a choice, and this node is to run it."""
        if self.status is not ExecutionStatus.PENDING:
            raise Refused(f"execution {self.id} is {self.status}; only a pending one can be placed")
        self._placed(node_uuid, rule.value, decision)

    def spill(self, node_uuid: str, outcome: OutcomeClass, error_message: str) -> None:
        """The node that was to run it did not take it; it waits for another."""
        if self.status is not ExecutionStatus.PENDING:
            raise Refused(f"execution {self.id} is {self.status}; only a pending one can go elsewhere")
        self._spilled(node_uuid, outcome.value, error_message)

    def begin_on(self, instance_id: str, *, node_uuid: str, start: Start) -> None:
        """A run starts on an instance."""
        if self.status is not ExecutionStatus.PENDING:
            raise Refused(f"execution {self.id} is {self.status}; it can start only once")
        self._started(instance_id, node_uuid, start.value)

    def complete(self, *, exit_code: int, sha256: str, size: int, content_type: str, duration_us: int) -> None:
        """The run ended well."""
        if not self.ended:
            self._completed(exit_code, sha256, size, content_type, duration_us)

    def fail(
        self,
        error: str,
        *,
        code: str = "EXECUTION_FAILED",
        reason: str = "",
        last_action: str = "",
        exit_code: int | None = None,
        duration_us: int = 0,
    ) -> None:
        """The run ended badly, or could not begin."""
        if not self.ended:
            self._failed(code, error, reason, last_action, exit_code, duration_us)

    def cancel(self, reason: str, *, last_action: str = "", duration_us: int = 0) -> None:
        """Somebody ended it."""
        if not self.ended:
            self._cancelled(reason, last_action, duration_us)

    def time_out(self, error: str, *, last_action: str = "", duration_us: int = 0) -> None:
        """Its wall time ran out."""
        if not self.ended:
            self._timed_out(error, last_action, duration_us)

    def report(self, seen: ExecutionReport) -> bool:
        """Take over what the node that has it says; False for old news, and for what another node says.

        An end is final: nothing that is told later undoes it. The end of what was requested here comes with the answer
        to whoever asked the node, who has the output too.
        """
        if self.node_uuid not in ("", seen.node_uuid) or seen.updated_at_us < self.reported_at_us:
            return False
        if self.ended or seen.status is ExecutionStatus.PENDING:
            return seen.status is self.status
        if self.status is ExecutionStatus.PENDING and seen.started_at_us:
            self._start_reported(
                seen.instance_id, seen.node_uuid, seen.start,
                seen.requested_at_us, seen.started_at_us, seen.updated_at_us,
            )  # fmt: skip
        if seen.status in FINAL and not self.input_sha256:
            self._end_reported(
                seen.node_uuid, seen.status.value, seen.requested_at_us, seen.completed_at_us, seen.duration_us,
                seen.exit_code, seen.output_size, seen.output_content_type,
                seen.code, seen.error, seen.reason, seen.last_action, seen.updated_at_us,
            )  # fmt: skip
        return True

    @event(ExecutionPlaced)
    def _placed(self, node_uuid: str, rule: str, decision: DecisionFacts) -> None:
        self.node_uuid = node_uuid

    @event(ExecutionSpilled)
    def _spilled(self, node_uuid: str, outcome_class: str, error_message: str) -> None:
        self.node_uuid = ""

    @event(ExecutionStarted)
    def _started(self, instance_id: str, node_uuid: str, start: str) -> None:
        self.status = ExecutionStatus.RUNNING
        self.instance_id, self.node_uuid = instance_id, node_uuid

    @event(ExecutionCompleted)
    def _completed(
        self,
        exit_code: int,
        output_sha256: str,
        output_size: int,
        output_content_type: str,
        duration_us: int,
    ) -> None:
        self.status = ExecutionStatus.COMPLETED

    @event(ExecutionFailed)
    def _failed(
        self, code: str, error: str, reason: str, last_action: str, exit_code: int | None, duration_us: int
    ) -> None:
        self.status = ExecutionStatus.FAILED

    @event(ExecutionCancelled)
    def _cancelled(self, reason: str, last_action: str, duration_us: int) -> None:
        self.status = ExecutionStatus.CANCELLED

    @event(ExecutionTimedOut)
    def _timed_out(self, error: str, last_action: str, duration_us: int) -> None:
        self.status = ExecutionStatus.TIMEOUT

    @event(ExecutionStartReported)
    def _start_reported(
        self,
        instance_id: str,
        node_uuid: str,
        start: str,
        requested_at_us: int,
        started_at_us: int,
        reported_at_us: int,
    ) -> None:
        self.status = ExecutionStatus.RUNNING
        self.instance_id, self.node_uuid, self.reported_at_us = instance_id, node_uuid, reported_at_us

    @event(ExecutionEndReported)
    def _end_reported(
        self,
        node_uuid: str,
        status: str,
        requested_at_us: int,
        completed_at_us: int,
        duration_us: int,
        exit_code: int | None,
        output_size: int,
        output_content_type: str,
        code: str,
        error: str,
        reason: str,
        last_action: str,
        reported_at_us: int,
    ) -> None:
        self.status = next((final for final in FINAL if final == status), ExecutionStatus.FAILED)
        self.node_uuid, self.reported_at_us = node_uuid, reported_at_us
