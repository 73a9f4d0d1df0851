"""Whether the process lives, and whether it can be asked."""

from datetime import UTC, datetime
from typing import Any

from spear import __version__
from spear.adapters.rest.schemas import Resource, answer
from spear.config import Role
from spear.services.platform import Platform

Healthy = answer("Healthy", status=str, timestamp=str, service=str)
Ready = answer("Ready", status=str, head=int, version=str)


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
        """Everything is open; `head` is the log's last position."""
        return {"status": "ready", "head": platform.log.head, "version": __version__}

    return api
