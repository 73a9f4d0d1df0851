"""A model that shall run on a node, and how far the node has got with it."""

from enum import StrEnum
from uuid import UUID

from eventsourcing.domain import event

from spear.domain.base import Aggregate, named, topic
from spear.errors import Forbidden, NotFound


class Phase(StrEnum):
    """How far a node has got, in the order of their numbers on the wire, from 1."""

    PENDING = "pending"
    PULLING = "pulling"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"


@topic("deployment")
class Deployment(Aggregate):
    """A wish that its target node fulfils; its id follows from the deployment's, which may be used again."""

    class DeploymentPut(Aggregate.Event):
        deployment_id: str
        target_node_uuid: str
        provider: str
        model: str
        params: dict[str, str]
        former_node_uuid: str

    class DeploymentStatusReported(Aggregate.Event):
        deployment_id: str
        node_uuid: str
        phase: str
        message: str
        updated_at_ms: int

    class DeploymentDeleted(Aggregate.Event):
        deployment_id: str
        target_node_uuid: str
        reason: str

    def begin(self) -> None:
        """Nobody wished it yet."""
        self.target_node_uuid = self.provider = self.model = self.message = ""
        self.params: dict[str, str] = {}
        self.phase: str = Phase.PENDING

    @staticmethod
    def ident(deployment_id: str) -> UUID:
        """The id of the stream of this deployment."""
        return named("deployment", deployment_id)

    def put(
        self, deployment_id: str, *, target_node_uuid: str, provider: str, model: str, params: dict[str, str]
    ) -> None:
        """From now on this shall run there; the same wish is a new one only after it failed."""
        known = (self.target_node_uuid, self.provider, self.model, self.params)
        wish = (target_node_uuid, provider, model, params)
        if wish != known or self.phase == Phase.FAILED:
            former = self.target_node_uuid if self.target_node_uuid != target_node_uuid else ""
            self._put(deployment_id, *wish, former)

    def report(self, deployment_id: str, node_uuid: str, *, phase: Phase, message: str, updated_at_ms: int) -> None:
        """The target node says how far it has got; raises `NotFound`, and `Forbidden` for another node."""
        self._check_present(deployment_id)
        if node_uuid != self.target_node_uuid:
            raise Forbidden(
                f"node_uuid mismatch: deployment {deployment_id!r} is another node's",
                code="ANOTHER_NODE",
                details={"node_uuid": node_uuid},
            )
        if (phase, message) != (self.phase, self.message):
            self._reported(deployment_id, node_uuid, phase.value, message, updated_at_ms)

    def delete(self, deployment_id: str, reason: str, *, node_uuid: str = "") -> None:
        """It shall run no more; its history stays. Raises `NotFound`, also where a node is named that is not its target."""
        self._check_present(deployment_id)
        if node_uuid and node_uuid != self.target_node_uuid:
            raise NotFound.noun("deployment", deployment_id)
        self._deleted(deployment_id, self.target_node_uuid, reason)

    def _check_present(self, deployment_id: str) -> None:
        if not self.target_node_uuid:
            raise NotFound.noun("deployment", deployment_id)

    @event(DeploymentPut)
    def _put(
        self,
        deployment_id: str,
        target_node_uuid: str,
        provider: str,
        model: str,
        params: dict[str, str],
        former_node_uuid: str,
    ) -> None:
        self.target_node_uuid, self.provider, self.model, self.params = target_node_uuid, provider, model, params
        self.phase, self.message = Phase.PENDING, ""

    @event(DeploymentStatusReported)
    def _reported(self, deployment_id: str, node_uuid: str, phase: str, message: str, updated_at_ms: int) -> None:
        self.phase, self.message = phase, message

    @event(DeploymentDeleted)
    def _deleted(self, deployment_id: str, target_node_uuid: str, reason: str) -> None:
        self.begin()
