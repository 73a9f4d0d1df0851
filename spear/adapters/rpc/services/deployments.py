"""Models that shall run on nodes."""

from collections.abc import Iterator

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import ident, number, present, text, text_map, word
from spear.adapters.rpc.generated.sms import model_deployment_registry_pb2 as pb
from spear.adapters.rpc.watch import watch
from spear.domain.deployment import Deployment, Phase
from spear.projections import deployments as views
from spear.projections.deployments import DeploymentRow
from spear.services.platform import Platform

_USUAL, _MOST = 200, 500
_PHASE = dict(enumerate(Phase, 1))


def _message(row: DeploymentRow) -> Message:
    spec = pb.ModelDeploymentSpec(
        target_node_uuid=row.target_node_uuid, provider=row.provider, model=row.model, params=row.params
    )
    status = pb.ModelDeploymentStatus(
        phase=f"MODEL_DEPLOYMENT_PHASE_{row.phase.upper()}", message=row.message, updated_at_ms=row.status_updated_at_ms
    )
    return pb.ModelDeploymentRecord(
        deployment_id=row.deployment_id,
        revision=row.revision,
        created_at_ms=row.created_at_us // 1000,
        updated_at_ms=row.updated_at_us // 1000,
        spec=spec,
        status=status,
    )


def _status(given: Message) -> tuple[Phase, str]:
    phase = word("status.phase", given.phase, _PHASE, pb.ModelDeploymentPhase)
    return phase, text("status.message", given.message, most=8192)


def _told_to(node_uuid: str, event: Deployment.Event) -> dict[str, bool]:
    if isinstance(event, Deployment.DeploymentDeleted):
        return {event.deployment_id: False} if event.target_node_uuid == node_uuid else {}
    if isinstance(event, Deployment.DeploymentStatusReported):
        return {event.deployment_id: True} if event.node_uuid == node_uuid else {}
    assert isinstance(event, Deployment.DeploymentPut)
    told = {event.former_node_uuid: False, event.target_node_uuid: True}
    return {event.deployment_id: told[node_uuid]} if node_uuid in told else {}


class ModelDeploymentRegistryService:
    """`sms.ModelDeploymentRegistryService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["ModelDeploymentRegistryService"]

    def __init__(self, platform: Platform) -> None:
        self._deployments, self._reader, self._log = platform.registries.deployments, platform.reader, platform.log

    def list_model_deployments(self, request: Message, asked: Asked) -> Message:
        """Deployments of one node or provider, or all: the last put first."""
        revision, page = views.list_deployments(
            self._reader,
            node_uuid=ident("target_node_uuid", request.target_node_uuid),
            provider=text("provider", request.provider, most=64),
            limit=min(request.limit or _USUAL, _MOST),
            offset=request.offset,
        )
        records = [_message(row) for row in page.rows]
        return pb.ListModelDeploymentsResponse(revision=revision, records=records, total_count=page.total)

    def watch_model_deployments(self, request: Message, asked: Asked) -> Iterator[Message]:
        """Which of a node's deployments changed after a revision, and which change from now on."""
        node_uuid = ident("target_node_uuid", text("target_node_uuid", request.target_node_uuid, most=64, least=1))
        for changed in watch(self._log, views.NOUN, request.since_revision, lambda event: _told_to(node_uuid, event)):
            event = pb.ModelDeploymentEvent(revision=changed.revision, upserts=changed.upserts, deletes=changed.deletes)
            yield pb.WatchModelDeploymentsResponse(event=event)

    def upsert_model_deployment(self, request: Message, asked: Asked) -> Message:
        """Wish for a model on a node; without an id the wish gets one."""
        record = present(request, "record")
        spec = present(record, "spec")
        deployment_id, revision, _ = self._deployments.put(
            asked.origin,
            record.deployment_id,
            target_node_uuid=spec.target_node_uuid,
            provider=text("provider", spec.provider.strip(), most=64, least=1),
            model=text("model", spec.model.strip(), most=256, least=1),
            params=text_map("params", spec.params),
            status=_status(record.status) if record.status.phase else None,
        )
        return pb.UpsertModelDeploymentResponse(revision=revision, deployment_id=deployment_id)

    def delete_model_deployment(self, request: Message, asked: Asked) -> Message:
        """Take the wish back; its history stays."""
        deployment_id = text("deployment_id", request.deployment_id, most=128, least=1)
        revision, _ = self._deployments.delete(asked.origin, deployment_id, "deleted by request")
        return pb.DeleteModelDeploymentResponse(revision=revision)

    def report_model_deployment_status(self, request: Message, asked: Asked) -> Message:
        """The node says how far it has got; no success for what is about an older wish."""
        phase, message = _status(present(request, "status"))
        heard, _ = self._deployments.report(
            asked.origin,
            text("deployment_id", request.deployment_id, most=128, least=1),
            node_uuid=request.node_uuid,
            observed_revision=request.observed_revision,
            phase=phase,
            message=message,
            updated_at_ms=int(number("status.updated_at_ms", request.status.updated_at_ms, 0, 2**53)),
        )
        return pb.ReportModelDeploymentStatusResponse(success=heard)
