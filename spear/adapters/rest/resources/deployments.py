"""Models that shall run on nodes."""

from typing import Any

from spear.adapters.rest.paging import AsOf
from spear.adapters.rest.requests import origin, reader, wrote
from spear.adapters.rest.resources.mcp_servers import Revised
from spear.adapters.rest.schemas import TEXTS, Resource, Taken, Text, answer, matching, text_map, whole
from spear.domain.deployment import Phase
from spear.projections import deployments as views
from spear.projections.deployments import DeploymentRow
from spear.services.platform import Platform

_PROVIDERS = {"vllm": "vllm", "llamacpp": "llamacpp", "llama_cpp": "llamacpp", "llama.cpp": "llamacpp"}
_PHASE = dict(enumerate(Phase, 1))
_NUMBER = {phase.value: wire for wire, phase in _PHASE.items()}


class DeploymentIn(Taken):
    """The model that shall run; secrets among `params` only as references such as `${ENV:NAME}`."""

    provider = matching(r"vllm|llamacpp|llama_cpp|llama\.cpp", "vllm or llamacpp", required=True)
    model = matching(r"(?=.*\S)[^\x00]{1,256}", "text of 1 to 256 characters without NUL", required=True)
    params = text_map(load_default=dict)


class StatusIn(Taken):
    """How far the node has got: phases 1 pending, 2 pulling, 3 starting, 4 ready, 5 failed, 6 deleting."""

    phase = whole(1, 6, required=True)
    message = Text(8192, load_default="")
    updated_at_ms = whole(0, 2**53, load_default=0)
    observed_revision = whole(0, 2**53, load_default=0)


class DeploymentQuery(AsOf):
    """Which page."""

    limit = whole(1, 500, strict=False, load_default=200)
    offset = whole(0, 2**31 - 1, strict=False, load_default=0)


Deployed = answer("Deployed", success=bool, deployment_id=str, revision=int)
Heard = answer("Heard", success=bool)
Spec = answer("DeploymentSpec", target_node_uuid=str, provider=str, model=str, params=TEXTS)
Status = answer("DeploymentStatus", phase=int, message=str, updated_at_ms=int)
Deployment = answer(
    "Deployment", deployment_id=str, revision=int, created_at_ms=int, updated_at_ms=int, spec=Spec, status=Status
)
Deployments = answer("Deployments", success=bool, revision=int, total_count=int, deployments=[Deployment])


def deployment_json(row: DeploymentRow) -> dict[str, Any]:
    """A deployment as the API shows it; times in milliseconds."""
    return {
        "deployment_id": row.deployment_id,
        "revision": row.revision,
        "created_at_ms": row.created_at_us // 1000,
        "updated_at_ms": row.updated_at_us // 1000,
        "spec": {
            "target_node_uuid": row.target_node_uuid,
            "provider": row.provider,
            "model": row.model,
            "params": row.params,
        },
        "status": {
            "phase": _NUMBER[row.phase],
            "message": row.message,
            "updated_at_ms": row.status_updated_at_ms,
        },
    }


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/nodes/<uuid>/ai-models."""
    prefix = "/api/v1/nodes/<uuid>/ai-models"
    api = Resource("deployments", __name__, url_prefix=prefix, description="Models that shall run on a node")
    service = platform.registries.deployments

    @api.post("")
    @api.body(DeploymentIn)
    @api.answers(Deployed, refuses=(404, 503))
    def deploy(body: dict[str, Any], uuid: str) -> Any:
        """Wish for a model on the node, which then says how far it has got."""
        wish = {**body, "provider": _PROVIDERS[body["provider"]], "model": body["model"].strip()}
        node = platform.nodes.get(uuid)
        deployment_id, revision, committed = service.put(origin(), target_node_uuid=node.uuid, **wish)
        wrote(committed)
        return {"success": True, "deployment_id": deployment_id, "revision": revision}

    @api.get("/deployments")
    @api.query(DeploymentQuery)
    @api.answers(Deployments, refuses=(404,))
    def list_deployments(query: dict[str, Any], uuid: str) -> Any:
        """The node's deployments, the last put first, and the registry's revision: the position of its last change."""
        query.pop("as_of", None)
        seen = reader(platform)
        node = platform.nodes.get(uuid, reader=seen)
        revision, page = views.list_deployments(seen, node_uuid=node.uuid, **query)
        found = [deployment_json(row) for row in page.rows]
        return {"success": True, "revision": revision, "total_count": page.total, "deployments": found}

    @api.delete("/deployments/<deployment_id>")
    @api.answers(Revised, refuses=(404, 503))
    def delete(uuid: str, deployment_id: str) -> Any:
        """Take the wish back; its history stays."""
        node = platform.nodes.get(uuid)
        revision, committed = service.delete(origin(), deployment_id, "deleted by request", node_uuid=node.uuid)
        wrote(committed)
        return {"success": True, "revision": revision}

    @api.put("/deployments/<deployment_id>/status")
    @api.body(StatusIn)
    @api.answers(Heard, refuses=(404, 503))
    def report(body: dict[str, Any], uuid: str, deployment_id: str) -> Any:
        """The node says how far it has got; no success for what is about an older wish."""
        said = {**body, "phase": _PHASE[body["phase"]]}
        heard, committed = service.report(origin(), deployment_id, node_uuid=uuid, **said)
        wrote(committed)
        return {"success": heard}

    return api
