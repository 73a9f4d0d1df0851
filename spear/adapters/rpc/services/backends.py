"""The model backends of each node."""

from typing import Any

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import number, present, text, text_list, word
from spear.adapters.rpc.generated.sms import backend_registry_pb2 as pb
from spear.domain.backend import Backend, BackendStatus, Hosting
from spear.errors import Invalid, NotFound
from spear.projections import backends as views
from spear.projections.backends import BackendsRow
from spear.services.platform import Platform

_USUAL, _MOST, _MOST_BACKENDS = 200, 1000, 256
_STATUS = dict(enumerate(BackendStatus, 1))
_HOSTING = dict(enumerate(Hosting))
_HOSTED = {Hosting.UNKNOWN: "UNSPECIFIED", Hosting.REMOTE: "REMOTE", Hosting.LOCAL: "NODE_LOCAL"}


def _message(row: BackendsRow) -> Message:
    return pb.NodeBackendSnapshot(
        node_uuid=row.node_uuid,
        revision=row.revision,
        reported_at_ms=row.reported_at_ms,
        backends=map(backend_message, row.backends),
    )


def backend_message(backend: Backend) -> Message:
    """A backend as the wire tells it."""
    words: Any = {
        "status": f"BACKEND_STATUS_{backend['status'].upper()}",
        "hosting": f"BACKEND_HOSTING_{_HOSTED[Hosting(backend['hosting'])]}",
    }
    return pb.BackendInfo(**{**backend, **words})


def _backend(at: str, given: Message) -> Backend:
    status = word(f"{at}.status", given.status, {0: BackendStatus.UNAVAILABLE, **_STATUS}, pb.BackendStatus)
    reason = text(f"{at}.status_reason", given.status_reason, most=1024)
    return {
        "name": text(f"{at}.name", given.name, most=256),
        "kind": text(f"{at}.kind", given.kind, most=64),
        "operations": text_list(f"{at}.operations", given.operations, most=64),
        "features": text_list(f"{at}.features", given.features, most=64),
        "transports": text_list(f"{at}.transports", given.transports, most=64),
        "weight": given.weight,
        "priority": given.priority,
        "base_url": text(f"{at}.base_url", given.base_url, most=2048),
        "status": status.value,
        "status_reason": reason or ("" if given.status else "unspecified"),
        "provider": text(f"{at}.provider", given.provider, most=64),
        "model": text(f"{at}.model", given.model, most=256),
        "hosting": word(f"{at}.hosting", given.hosting, _HOSTING, pb.BackendHosting).value,
    }


class BackendRegistryService:
    """`sms.BackendRegistryService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["BackendRegistryService"]

    def __init__(self, platform: Platform) -> None:
        self._backends, self._reader = platform.registries.backends, platform.reader

    def report_node_backends(self, request: Message, asked: Asked) -> Message:
        """Replace what is known of a node's backends; a late report changes nothing and hears which revision is kept."""
        given = present(request, "snapshot")
        if len(given.backends) > _MOST_BACKENDS:
            raise Invalid.field("backends", f"{len(given.backends)} entries", f"at most {_MOST_BACKENDS} backends")
        kept, _ = self._backends.report(
            asked.origin,
            text("node_uuid", given.node_uuid, most=64, least=1),
            revision=int(number("revision", given.revision, 0, 2**53)),
            reported_at_ms=int(number("reported_at_ms", given.reported_at_ms, 0, 2**53)),
            backends=[_backend(f"backends.{n}", backend) for n, backend in enumerate(given.backends)],
        )
        return pb.ReportNodeBackendsResponse(success=True, message="Backends reported", accepted_revision=kept)

    def get_node_backends(self, request: Message, asked: Asked) -> Message:
        """The backends of one node, if it reported any."""
        try:
            row = self._backends.of_node(request.node_uuid)
        except NotFound:
            row = None
        return pb.GetNodeBackendsResponse(found=row is not None, snapshot=_message(row) if row else None)

    def list_node_backend_snapshots(self, request: Message, asked: Asked) -> Message:
        """The backends of each node, by its uuid."""
        limit = min(request.limit or _USUAL, _MOST)
        page = views.list_backends(self._reader, limit=limit, offset=request.offset)
        return pb.ListNodeBackendSnapshotsResponse(
            snapshots=[_message(row) for row in page.rows], total_count=page.total
        )
