"""The model backends of each node."""

from typing import Any

from marshmallow import fields, validate

from spear.adapters.rest.paging import AsOf
from spear.adapters.rest.requests import origin, reader, wrote
from spear.adapters.rest.schemas import Resource, Taken, Text, answer, saying, text_list, whole
from spear.domain.backend import Backend, BackendStatus, Hosting
from spear.services.platform import Platform

_STATUS, _HOSTING = dict(enumerate(BackendStatus, 1)), dict(enumerate(Hosting))
_STATUS_NUMBER = {status.value: wire for wire, status in _STATUS.items()}
HOSTING_NUMBER = {hosting.value: wire for wire, hosting in _HOSTING.items()}
_A_LIST = "a list of at most 256 backends"


class BackendIn(Taken):
    """One backend as its node describes it; `status` 1 is available, 2 not; `hosting` 1 is remote, 2 on the node."""

    name = Text(256, load_default="")
    kind = Text(64, load_default="")
    operations = text_list(64, load_default=list)
    features = text_list(64, load_default=list)
    transports = text_list(64, load_default=list)
    weight = whole(0, 2**32 - 1, load_default=0)
    priority = whole(-(2**31), 2**31 - 1, load_default=0)
    base_url = Text(2048, load_default="")
    status = whole(0, 2, load_default=0)
    status_reason = Text(1024, load_default="")
    provider = Text(64, load_default="")
    model = Text(256, load_default="")
    hosting = whole(0, 2, load_default=0)


class ReportIn(Taken):
    """All backends of a node; `revision` counts its reports, `reported_at_ms` 0 is now."""

    revision = whole(0, 2**53, load_default=0)
    reported_at_ms = whole(0, 2**53, load_default=0)
    backends = fields.List(
        fields.Nested(BackendIn, error_messages=saying("a JSON object")),
        required=True,
        validate=validate.Length(max=256, error=_A_LIST),
        error_messages=saying(_A_LIST),
    )


LISTS: dict[str, Any] = {name: [str] for name in ("operations", "features", "transports")}
_TEXTS = dict.fromkeys(("name", "kind", "base_url", "status_reason", "provider", "model"), str)
_NUMBERS = dict.fromkeys(("weight", "priority", "status", "hosting"), int)
Reported = answer("BackendsReported", success=bool, message=str, accepted_revision=int)
Snapshot = answer("BackendSnapshot", revision=int, reported_at_ms=int)
NodeBackend = answer("NodeBackend", **_TEXTS, **LISTS, **_NUMBERS)
NodeBackends = answer(
    "NodeBackends",
    found=bool,
    node_uuid=str,
    backends=[NodeBackend],
    snapshot=fields.Nested(Snapshot, required=True, allow_none=True),
)


def _taken(given: dict[str, Any]) -> Backend:
    status = _STATUS.get(given["status"], BackendStatus.UNAVAILABLE)
    reason = given["status_reason"] or ("" if given["status"] else "unspecified")
    words: Any = {"status": status.value, "status_reason": reason, "hosting": _HOSTING[given["hosting"]].value}
    found: Any = {**given, **words}
    return found  # type: ignore[no-any-return]


def _numbered(backend: Backend) -> dict[str, Any]:
    numbers = {"status": _STATUS_NUMBER[backend["status"]], "hosting": HOSTING_NUMBER[backend["hosting"]]}
    return {**backend, **numbers}


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/nodes/<uuid>/backends."""
    api = Resource("backends", __name__, url_prefix="/api/v1", description="The model backends of each node")
    service = platform.registries.backends

    @api.get("/nodes/<uuid>/backends")
    @api.query(AsOf)
    @api.answers(NodeBackends, refuses=(404,))
    def of_node(query: dict[str, Any], uuid: str) -> Any:
        """What one node last reported, if it did."""
        seen = reader(platform)
        node = platform.nodes.get(uuid, reader=seen)
        row = service.of_node(node.uuid, reader=seen)
        return {
            "found": row is not None,
            "node_uuid": node.uuid,
            "backends": [_numbered(backend) for backend in row.backends] if row else [],
            "snapshot": {"revision": row.revision, "reported_at_ms": row.reported_at_ms} if row else None,
        }

    @api.put("/nodes/<uuid>/backends")
    @api.body(ReportIn)
    @api.answers(Reported, refuses=(404, 503))
    def report(body: dict[str, Any], uuid: str) -> Any:
        """Replace what is known of a node's backends; a late report changes nothing."""
        described = {**body, "backends": [_taken(given) for given in body["backends"]]}
        kept, committed = service.report(origin(), uuid, **described)
        wrote(committed)
        return {"success": True, "message": "Backends reported", "accepted_revision": kept}

    return api
