"""What the inside needs from other nodes: executions as errands, what became of them, and who knows the way."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, Protocol

from spear.domain.node import OutcomeClass
from spear.ports import Outcome, StreamLink

NO_TASK = "TASK_NOT_FOUND"  # the code of a node that does not know the task, nor its SMS


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where a node answers calls, and what its SMS gave to be shown there."""

    node_uuid: str
    host: str
    port: int
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Errand:
    """One execution that another node is to run; asked again in the same words it is the same run."""

    execution_id: str
    task_id: str
    input: bytes
    input_content_type: str
    args: tuple[str, ...]
    environment: Mapping[str, str]
    timeout_ms: int
    correlation: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """How an execution ended on another node; `instance_id` is empty when it could not start there."""

    outcome: Outcome
    instance_id: str = ""
    start: str = ""
    duration_us: int = 0


class Arrival(StrEnum):
    """What is known of an errand that got no answer."""

    REFUSED = "refused"  # the node said no, and does not have it
    UNSENT = "unsent"  # it never left here, or came no further than the door
    UNKNOWN = "unknown"  # it may have arrived, and run


@dataclass(frozen=True, slots=True)
class Declined:
    """An errand that got no answer: what became of it, the class of the trouble, a text, and the error's code."""

    arrival: Arrival
    outcome: OutcomeClass
    text: str
    code: str = "UNAVAILABLE"


class Placer(Protocol):
    """An SMS that knows which other nodes should run a task; every call may raise `Unavailable`."""

    def place(self, task_id: str, *, request_id: str, most: int) -> tuple[str, list[tuple[NodeAddress, float]]]:
        """The id of the decision, and the best nodes with their scores, best first."""
        ...

    def node(self, node_uuid: str) -> NodeAddress | None:
        """Where the node answers; None for one that is gone or was declared lost."""
        ...

    def tell_outcome(
        self, node_uuid: str, *, decision_id: str, request_id: str, task_id: str, outcome: OutcomeClass, text: str
    ) -> None:
        """How an invocation on the node went."""
        ...


class RemoteNodes(Protocol):
    """Other nodes, as one that forwards executions reaches them."""

    def invoke(self, node: NodeAddress, errand: Errand, *, timeout_s: float) -> Answer | Declined:
        """Have the errand run there, once however often it is asked, and block this caller until it ended."""
        ...

    def knows(self, node: NodeAddress, execution_id: str) -> bool:
        """Whether the node has the execution; raises `Unavailable` when it does not say."""
        ...

    def terminate(self, node: NodeAddress, execution_id: str, reason: str) -> bool:
        """Have the execution end as cancelled; False when the node does not know it. Raises `Unavailable`."""
        ...


class StreamLinks(Protocol):
    """The way to the user streams of executions on other nodes."""

    def open(self, node: NodeAddress, execution_id: str) -> StreamLink:
        """A link to the execution at the node whose HTTP answers at this address; raises `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class FarObject:
    """An object as another process has it; `open_at` reads it there from a byte on.

    Opening and reading raise `Unavailable`; a whole that is not what its hash says is `Corrupt` before its last bytes are read.
    """

    size: int
    sha256: str
    content_type: str
    metadata: Mapping[str, str]
    open_at: Callable[[int], AbstractContextManager[BinaryIO]]


class RemoteObjects(Protocol):
    """The objects of other processes."""

    def find(self, at: NodeAddress, name: str) -> FarObject | None:
        """The object that the process whose HTTP answers there has under this name; None for none. Raises `Unavailable`."""
        ...


class Holders(Protocol):
    """Who has the objects that this process lacks."""

    def find(self, name: str) -> FarObject | None:
        """The object, None where nobody has it; raises `Unavailable` when who has it, or who would know, cannot be asked."""
        ...

    def holder(self, name: str) -> str:
        """The node that has the object, as far as this process was told; "" for none."""
        ...
