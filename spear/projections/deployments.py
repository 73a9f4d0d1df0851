"""The registry of model deployments: rows, folds, queries."""

import msgspec

from spear.domain.deployment import Deployment, Phase
from spear.events.record import Recorded
from spear.projections.reader import Page, Reader
from spear.projections.revisions import revise, revision_of
from spear.projections.tables import Sheets, Table

NOUN = Deployment.TOPIC


class DeploymentRow(msgspec.Struct, gc=False):
    """A wish and how far it has got; `revision` is the position at which it was last put."""

    deployment_id: str
    revision: int
    created_at_us: int
    updated_at_us: int
    target_node_uuid: str
    provider: str
    model: str
    params: dict[str, str]
    phase: str
    message: str
    status_updated_at_ms: int


DEPLOYMENTS = Table("deployments", DeploymentRow, ("revision", "target_node_uuid, revision"))


def _put(sheets: Sheets, fact: Recorded, e: Deployment.DeploymentPut) -> None:
    known = sheets[DEPLOYMENTS].look(e.deployment_id)
    created_at_us = known.created_at_us if known else fact.time_us
    sheets[DEPLOYMENTS][e.deployment_id] = DeploymentRow(
        e.deployment_id, fact.position, created_at_us, fact.time_us, e.target_node_uuid, e.provider, e.model, e.params,
        Phase.PENDING.value, "", fact.time_us // 1000,
    )  # fmt: skip
    revise(sheets, fact)


def _reported(sheets: Sheets, fact: Recorded, e: Deployment.DeploymentStatusReported) -> None:
    row = sheets[DEPLOYMENTS][e.deployment_id]
    if row:
        row.phase, row.message = e.phase, e.message
        row.status_updated_at_ms = e.updated_at_ms or fact.time_us // 1000
    revise(sheets, fact)


def _deleted(sheets: Sheets, fact: Recorded, e: Deployment.DeploymentDeleted) -> None:
    sheets[DEPLOYMENTS].remove(e.deployment_id)
    revise(sheets, fact)


FOLDS = {
    Deployment.DeploymentPut: _put,
    Deployment.DeploymentStatusReported: _reported,
    Deployment.DeploymentDeleted: _deleted,
}


def get_deployment(reader: Reader, deployment_id: str) -> DeploymentRow | None:
    """One deployment."""
    return reader.get(DEPLOYMENTS, deployment_id)


def list_deployments(
    reader: Reader, *, node_uuid: str = "", provider: str = "", limit: int, offset: int = 0
) -> tuple[int, Page[DeploymentRow]]:
    """The registry's revision, and deployments at least as new as that: the last put first."""
    revision = revision_of(reader, NOUN)
    wanted = {name: value for name, value in (("target_node_uuid", node_uuid), ("provider", provider)) if value}
    where = " AND ".join(f"{name} = ?" for name in wanted) or "1"
    total = reader.values(f"SELECT count(*) FROM deployments WHERE {where}", list(wanted.values()))[0][0]
    part = (*wanted.values(), limit, offset)
    rows = reader.rows(DEPLOYMENTS, f"{where} ORDER BY revision DESC LIMIT ? OFFSET ?", part)
    return revision, Page(rows, total, 0)
