"""Whether the process lives, and whether it can be asked."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import fields

from spear import __version__
from spear.adapters.rest.schemas import Resource, answer
from spear.config import Role
from spear.services.platform import Platform

Healthy = answer("Healthy", status=str, timestamp=str, service=str)
Followed = answer("Followed", leader=str, leader_head=int | None, behind=int | None, silent_s=float | None, content=int)
Ready = answer("Ready", status=str, head=int, version=str, following=fields.Nested(Followed))


def make(platform: Platform) -> Resource:
    """The routes /health and /ready."""
    api = Resource("health", __name__, description="Whether the process lives")
    service = "spearlet" if platform.config.role is Role.SPEARLET else "sms"

    @api.get("/health")
    @api.answers(Healthy)
    def health() -> Any:
        """The process answers."""
        return {"status": "healthy", "timestamp": datetime.now(UTC).isoformat(), "service": service}

    @api.get("/ready")
    @api.answers(Ready)
    def ready() -> Any:
        """Everything is open; `head` is the log's last position, `following` how far a standby is behind."""
        head = platform.log.head
        return {"status": "ready", "head": head, "version": __version__, **_following(platform, head)}

    return api


def _following(platform: Platform, head: int) -> dict[str, Any]:
    found = platform.following
    if found is None:
        return {}
    behind = None if found.leader_head is None else max(found.leader_head - head, 0)
    silent_s = None if found.silent_s is None else round(found.silent_s, 3)
    told = {"leader": found.leader, "leader_head": found.leader_head, "behind": behind, "silent_s": silent_s}
    return {"following": {**told, "content": found.content}}
