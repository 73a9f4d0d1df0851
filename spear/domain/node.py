"""A machine that offers to run work."""

from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

from eventsourcing.domain import event

from spear.domain.base import NEXT, UNSTAMPED, Aggregate, event_topic, named, topic
from spear.errors import NotFound

O = TypeVar("O", bound=Aggregate.Event)


class NodeStatus(StrEnum):
    """The statuses the platform itself sets; others may be given by operators and count as not schedulable."""

    ONLINE = "online"
    OFFLINE = "offline"
    ACTIVE = "active"


@event_topic("node.Heartbeat", observed=True)
class Heartbeat(Aggregate.Event):
    """A node said that it lives; recorded in the node's own stream of observations."""

    node_uuid: str
    health_info: dict[str, str]


@event_topic("node.ResourcesReported", observed=True)
class ResourcesReported(Aggregate.Event):
    """A node said how much it has and uses: percents 0..100, bytes, bytes per second, load averages."""

    node_uuid: str
    cpu_usage_percent: float
    memory_usage_percent: float
    disk_usage_percent: float
    total_memory_bytes: int
    used_memory_bytes: int
    available_memory_bytes: int
    total_disk_bytes: int
    used_disk_bytes: int
    network_rx_bytes_per_sec: int
    network_tx_bytes_per_sec: int
    load_average_1m: float
    load_average_5m: float
    load_average_15m: float
    resource_metadata: dict[str, str]


class OutcomeClass(StrEnum):
    """How an invocation on a node went, as its caller saw it."""

    UNKNOWN = "unknown"
    SUCCESS = "success"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    REJECTED = "rejected"
    BAD_REQUEST = "bad_request"
    INTERNAL = "internal"


@event_topic("node.OutcomeReported", observed=True)
class OutcomeReported(Aggregate.Event):
    """A caller said how an invocation on the node went; placement avoids nodes that fail."""

    node_uuid: str
    decision_id: str
    request_id: str
    task_id: str
    outcome_class: str
    error_message: str


@lru_cache(4096)
def observations(node_id: UUID) -> UUID:
    """The stream of a node's heartbeats and resource reports, apart so that the node's own history stays short."""
    return named("observations", str(node_id))


@topic("node")
class Node(Aggregate):
    """A machine that offered to run work."""

    class NodeRegistered(Aggregate.Created):
        ip_address: str
        port: int
        http_port: int
        metadata: dict[str, str]

    class NodeRegisteredAgain(Aggregate.Event):
        ip_address: str
        port: int
        http_port: int
        metadata: dict[str, str]

    class NodeUpdated(Aggregate.Event):
        ip_address: str
        port: int
        http_port: int
        status: str
        metadata: dict[str, str]

    class NodeLost(Aggregate.Event):
        reason: str

    class NodeRecovered(Aggregate.Event):
        reason: str

    class NodeDrained(Aggregate.Event):
        reason: str

    class NodeUndrained(Aggregate.Event):
        reason: str

    class NodeDeleted(Aggregate.Event):
        reason: str

    @event(NodeRegistered)
    def __init__(self, id: UUID, ip_address: str, port: int, http_port: int, metadata: dict[str, str]) -> None:
        self.ip_address, self.port, self.http_port = ip_address, port, http_port
        self.metadata = metadata
        self.status: str = NodeStatus.ONLINE
        self.drained = self.deleted = False

    def register_again(self, *, ip_address: str, port: int, http_port: int, metadata: dict[str, str]) -> None:
        """The machine is back as it is now, even if it was deleted; one that did not change records nothing."""
        known = (self.ip_address, self.port, self.http_port, self.metadata)
        now = (ip_address, port, http_port, metadata)
        if self.deleted or self.status != NodeStatus.ONLINE or now != known:
            self._registered_again(*now)

    def update(
        self,
        *,
        ip_address: str | None = None,
        port: int | None = None,
        http_port: int | None = None,
        status: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        """Change what is given; metadata is replaced whole."""
        self._check_present()
        new = (
            self.ip_address if ip_address is None else ip_address,
            self.port if port is None else port,
            self.http_port if http_port is None else http_port,
            self.status if status is None else status,
            self.metadata if metadata is None else metadata,
        )
        if new != (self.ip_address, self.port, self.http_port, self.status, self.metadata):
            self._updated(*new)

    def beat(self, health_info: dict[str, str]) -> Heartbeat:
        """The node lives; one that was lost recovers."""
        self._check_present()
        if self.status == NodeStatus.OFFLINE:
            self._recovered("heartbeat received")
        return self.observe(Heartbeat, health_info=health_info)

    def observe(self, event_class: type[O], **fields: Any) -> O:
        """Something seen of the node, recorded in its stream of observations."""
        self._check_present()
        return event_class(
            originator_id=observations(self.id),
            originator_version=NEXT,
            timestamp=UNSTAMPED,
            node_uuid=str(self.id),  # type: ignore[call-arg]
            **fields,
        )

    def lose(self, reason: str) -> None:
        """The node has been silent for too long."""
        self._check_present()
        if self.status != NodeStatus.OFFLINE:
            self._lost(reason)

    def drain(self, reason: str) -> None:
        """The node takes no new work; what runs on it goes on."""
        self._check_present()
        if not self.drained:
            self._drained(reason)

    def undrain(self, reason: str) -> None:
        """The node takes work again."""
        self._check_present()
        if self.drained:
            self._undrained(reason)

    def delete(self, reason: str) -> None:
        """The node is gone; its history stays."""
        self._check_present()
        self._deleted(reason)

    def _check_present(self) -> None:
        if self.deleted:
            raise NotFound.noun("node", self.id)

    @event(NodeRegisteredAgain)
    def _registered_again(self, ip_address: str, port: int, http_port: int, metadata: dict[str, str]) -> None:
        self.ip_address, self.port, self.http_port = ip_address, port, http_port
        self.metadata = metadata
        self.status, self.deleted = NodeStatus.ONLINE, False

    @event(NodeUpdated)
    def _updated(self, ip_address: str, port: int, http_port: int, status: str, metadata: dict[str, str]) -> None:
        self.ip_address, self.port, self.http_port = ip_address, port, http_port
        self.status, self.metadata = status, metadata

    @event(NodeLost)
    def _lost(self, reason: str) -> None:
        self.status = NodeStatus.OFFLINE

    @event(NodeRecovered)
    def _recovered(self, reason: str) -> None:
        self.status = NodeStatus.ONLINE

    @event(NodeDrained)
    def _drained(self, reason: str) -> None:
        self.drained = True

    @event(NodeUndrained)
    def _undrained(self, reason: str) -> None:
        self.drained = False

    @event(NodeDeleted)
    def _deleted(self, reason: str) -> None:
        self.deleted = True
