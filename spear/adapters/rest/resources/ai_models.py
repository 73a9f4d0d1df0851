"""What all nodes together offer: their backends by name, and by the model that they serve."""

from typing import Any

from spear.adapters.rest.paging import AsOf
from spear.adapters.rest.requests import reader
from spear.adapters.rest.resources.backends import HOSTING_NUMBER, LISTS
from spear.adapters.rest.schemas import Resource, Text, answer, choice, whole
from spear.domain.backend import BackendStatus, Hosting
from spear.errors import NotFound
from spear.services.offers import Group, Offer, backends, models
from spear.services.platform import Platform


class _Listed(AsOf):
    q = Text(256, load_default="")
    limit = whole(1, 1000, strict=False, load_default=500)
    offset = whole(0, 2**31 - 1, strict=False, load_default=0)


class BackendQuery(_Listed):
    """Which backends: `q` is part of the name or kind."""

    status = choice(BackendStatus, "", load_default="")


class ModelQuery(_Listed):
    """Which models: `q` is part of the provider, the model, or a backend's name, kind or URL."""

    hosting = choice(Hosting, "", load_default="")
    provider = Text(64, load_default="")


class HostingQuery(AsOf):
    """Where the model runs, if that matters."""

    hosting = choice(Hosting, "", load_default="")


_SUMMARY: dict[str, Any] = {**LISTS, "available_nodes": int, "total_nodes": int}
_PLACE = {
    "node_uuid": str, "status": BackendStatus, "status_reason": str, "weight": int, "priority": int, "base_url": str,
    "provider": str, "model": str,
}  # fmt: skip
BackendAt = answer("BackendAt", **_PLACE, hosting=int)
Backend = answer("Backend", name=str, kind=str, **_SUMMARY, nodes=[BackendAt])
Backends = answer("Backends", success=bool, backends=[Backend], total_count=int)
OneBackend = answer("OneBackend", success=bool, backend=Backend)
ModelAt = answer("ModelAt", backend_name=str, kind=str, **_PLACE, hosting=Hosting)
Model = answer("AiModel", provider=str, model=str, hosting=Hosting, **_SUMMARY, instances=[ModelAt])
Models = answer("AiModels", success=bool, models=[Model], total_count=int)
OneModel = answer("OneAiModel", success=bool, model=Model)


def _place(offer: Offer) -> dict[str, Any]:
    said: Any = offer.backend
    status = BackendStatus.AVAILABLE if offer.available else BackendStatus.UNAVAILABLE
    now = {"node_uuid": offer.node_uuid, "status": status.value, "status_reason": offer.reason}
    return {**{name: said.get(name) for name in _PLACE}, **now}


def _summary(group: Group) -> dict[str, Any]:
    lists: dict[str, Any] = {name: group.all(name) for name in LISTS}  # type: ignore[arg-type]
    return {**lists, "available_nodes": group.available_nodes, "total_nodes": group.total_nodes}


def backend_json(group: Group) -> dict[str, Any]:
    """A backend as the API shows it."""
    kind, name = group.key
    nodes = [{**_place(offer), "hosting": HOSTING_NUMBER[offer.backend["hosting"]]} for offer in group.offers]
    return {"name": name, "kind": kind, **_summary(group), "nodes": nodes}


def model_json(group: Group) -> dict[str, Any]:
    """A model as the API shows it."""
    places = [
        {**_place(offer), "backend_name": b["name"], "kind": b["kind"], "hosting": b["hosting"]}
        for offer, b in ((offer, offer.backend) for offer in group.offers)
    ]
    provider, model, hosting = group.key
    return {"provider": provider, "model": model, "hosting": hosting, **_summary(group), "instances": places}


def _page(groups: list[Group], query: dict[str, Any]) -> list[Group]:
    return groups[query["offset"] : query["offset"] + query["limit"]]


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/backends and /api/v1/ai-models."""
    api = Resource("ai-models", __name__, url_prefix="/api/v1", description="What all nodes offer")

    @api.get("/backends")
    @api.query(BackendQuery)
    @api.answers(Backends)
    def list_backends(query: dict[str, Any]) -> Any:
        """Backends with the nodes that have them; the one that most nodes can use first."""
        found = backends(reader(platform), q=query["q"], status=query["status"])
        page = [backend_json(group) for group in _page(found, query)]
        return {"success": True, "backends": page, "total_count": len(found)}

    @api.get("/backends/<kind>/<path:name>")
    @api.query(AsOf)
    @api.answers(OneBackend, refuses=(404,))
    def get_backend(query: dict[str, Any], kind: str, name: str) -> Any:
        """One backend."""
        found = next((group for group in backends(reader(platform)) if group.key == (kind, name)), None)
        if found is None:
            raise NotFound.noun("backend", f"{kind}/{name}")
        return {"success": True, "backend": backend_json(found)}

    @api.get("/ai-models")
    @api.query(ModelQuery)
    @api.answers(Models)
    def list_models(query: dict[str, Any]) -> Any:
        """Models by provider and name, with the backends that serve them."""
        found = models(reader(platform), q=query["q"], provider=query["provider"], hosting=query["hosting"])
        page = [model_json(group) for group in _page(found, query)]
        return {"success": True, "models": page, "total_count": len(found)}

    @api.get("/ai-models/<provider>/<path:model>")
    @api.query(HostingQuery)
    @api.answers(OneModel, refuses=(404,))
    def get_model(query: dict[str, Any], provider: str, model: str) -> Any:
        """One model, the first one where it runs in several ways."""
        found = models(reader(platform), provider=provider, hosting=query["hosting"])
        group = next((group for group in found if group.key[1] == model), None)
        if group is None:
            raise NotFound.noun("model", f"{provider}/{model}")
        return {"success": True, "model": model_json(group)}

    return api
