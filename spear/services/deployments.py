"""Model deployments: wish for a model on a node, hear how far the node is, take the wish back."""

import re
from uuid import UUID

from spear.domain.deployment import Deployment, Phase
from spear.domain.secret import check_references
from spear.errors import Invalid
from spear.events.record import Committed, Origin
from spear.ports import Ids
from spear.projections import deployments as views
from spear.projections.reader import Reader
from spear.projections.revisions import revision_of
from spear.services.unit import Unit, retrying

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class Deployments:
    """What shall run where. Every change has a revision, the position of its fact in the log."""

    def __init__(self, unit: Unit, reader: Reader, *, ids: Ids) -> None:
        self._unit, self._reader, self._ids = unit, reader, ids

    def put(
        self,
        origin: Origin,
        deployment_id: str = "",
        *,
        target_node_uuid: str,
        provider: str,
        model: str,
        params: dict[str, str],
        status: tuple[Phase, str] | None = None,
    ) -> tuple[str, int, Committed]:
        """Wish for a model on a node, a new one unless it has an id; returns the id and the registry's revision.

        A `status`, a phase and its message, stands beside the wish; without one it is pending. Raises `Invalid`.
        """
        ident = deployment_id or str(self._ids.new())
        if not _ID.fullmatch(ident):
            expected = '1 to 128 letters, digits, dots, underscores, colons or dashes, or ""'
            raise Invalid.field("deployment_id", deployment_id, expected)
        node_uuid = _node_uuid(target_node_uuid)
        check_references("params", params)

        def attempt() -> Committed:
            wish = self._load(ident)
            wish.put(ident, target_node_uuid=node_uuid, provider=provider, model=model, params=params)
            if status:
                wish.report(ident, node_uuid, phase=status[0], message=status[1], updated_at_ms=0)
            return self._unit.save(origin, wish)

        committed = retrying(attempt)
        return ident, self._revision(committed), committed

    def report(
        self,
        origin: Origin,
        deployment_id: str,
        *,
        node_uuid: str,
        observed_revision: int,
        phase: Phase,
        message: str,
        updated_at_ms: int,
    ) -> tuple[bool, Committed]:
        """The node says how far it has got; whether that was about the wish as it is now (0: whatever it is).

        Raises `NotFound`, and `Forbidden` for a node that is not the target.
        """
        speaker = _node_uuid(node_uuid, "node_uuid")

        def attempt() -> tuple[bool, Committed]:
            wish = self._load(deployment_id)
            row = views.get_deployment(self._reader, deployment_id)  # at least as new as the wish
            stale = row is not None and 0 < observed_revision < row.revision
            wish.report(deployment_id, speaker, phase=phase, message=message, updated_at_ms=updated_at_ms)
            return (False, Committed(0, 0, 0)) if stale else (True, self._unit.save(origin, wish))

        return retrying(attempt)

    def delete(self, origin: Origin, deployment_id: str, reason: str, *, node_uuid: str = "") -> tuple[int, Committed]:
        """Take the wish back, if it is for this node where one is named; returns the registry's revision.

        Raises `NotFound`.
        """

        def attempt() -> Committed:
            wish = self._load(deployment_id)
            wish.delete(deployment_id, reason, node_uuid=node_uuid)
            return self._unit.save(origin, wish)

        committed = retrying(attempt)
        return self._revision(committed), committed

    def _load(self, deployment_id: str) -> Deployment:
        return self._unit.blank_or_loaded(Deployment, Deployment.ident(deployment_id))

    def _revision(self, committed: Committed) -> int:
        return committed.last or revision_of(self._reader, views.NOUN)


def _node_uuid(given: str, field: str = "target_node_uuid") -> str:
    try:
        return str(UUID(given))
    except ValueError:
        raise Invalid.field(field, given, "a node's UUID") from None
