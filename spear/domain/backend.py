"""A model backend as the node that can reach it describes it."""

from enum import StrEnum
from typing import TypedDict

from spear.domain.base import Aggregate, event_topic


class BackendStatus(StrEnum):
    """Whether calls may go there, in the order of their numbers on the wire, from 1."""

    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"


class Hosting(StrEnum):
    """Where the model runs, in the order of their numbers on the wire, from 0."""

    UNKNOWN = "unknown"
    REMOTE = "remote"
    LOCAL = "local"


class Backend(TypedDict):
    """One backend; `status` is a BackendStatus, `hosting` a Hosting."""

    name: str
    kind: str
    operations: list[str]
    features: list[str]
    transports: list[str]
    weight: int
    priority: int
    base_url: str
    status: str
    status_reason: str
    provider: str
    model: str
    hosting: str


@event_topic("backend.BackendsReported", observed=True)
class BackendsReported(Aggregate.Event):
    """A node said which backends it has, all of them; recorded in its stream of observations.

    `revision` counts the node's reports since it started, `reported_at_ms` is the node's clock, or 0.
    """

    node_uuid: str
    revision: int
    reported_at_ms: int
    backends: list[Backend]
