"""Placement: which nodes should run a task, and how it went there."""

from typing import Any
from uuid import uuid4

from marshmallow import fields

from spear.adapters.rest.requests import origin, wrote
from spear.adapters.rest.schemas import Resource, Taken, Text, answer, saying, text_map, whole
from spear.domain.node import OutcomeClass
from spear.services.platform import Platform

_USUAL = 3
_MOST = 1000


class PlaceIn(Taken):
    """Which task wants to run; `max_candidates` 0 means the usual three."""

    request_id = Text(256, required=True)
    task_id = Text(64, required=True)
    max_candidates = whole(0, 2**32 - 1, load_default=_USUAL)
    labels = text_map()


class OutcomeIn(Taken):
    """How an invocation on a node went; an outcome class that nobody knows counts as unknown."""

    decision_id = Text(256, required=True)
    request_id = Text(256, required=True)
    task_id = Text(64, required=True)
    node_uuid = Text(64, required=True)
    outcome_class = fields.String(load_default=OutcomeClass.UNKNOWN.value, error_messages=saying("text"))
    error_message = Text(8192, load_default="")


NodeCandidate = answer("NodeCandidate", node_uuid=str, ip_address=str, port=int, score=float)
Placement = answer("Placement", decision_id=str, candidates=[NodeCandidate])
Accepted = answer("Accepted", accepted=bool)


def _outcome(word: str) -> OutcomeClass:
    word = word.strip().lower()
    return OutcomeClass(word) if word in set(OutcomeClass) else OutcomeClass.UNKNOWN


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/placement/invocations."""
    prefix = "/api/v1/placement/invocations"
    api = Resource("placement", __name__, url_prefix=prefix, description="Which nodes should run a task")
    nodes, tasks = platform.nodes, platform.tasks

    @api.post("/place")
    @api.body(PlaceIn)
    @api.answers(Placement, refuses=(404,))
    def place(body: dict[str, Any]) -> Any:
        """The best nodes for a task, best first; a pinned task goes to its node or nowhere."""
        task = tasks.get(body["task_id"])
        placed = nodes.place(most=min(body["max_candidates"] or _USUAL, _MOST), pinned=task.node_uuid)
        shown = [
            {"node_uuid": p.node_uuid, "ip_address": p.ip_address, "port": p.port, "score": p.score} for p in placed
        ]
        return {"decision_id": str(uuid4()), "candidates": shown}

    @api.post("/report-outcome")
    @api.body(OutcomeIn)
    @api.answers(Accepted, refuses=(404, 503))
    def report_outcome(body: dict[str, Any]) -> Any:
        """Remember how it went; nodes that fail are left out for a while."""
        outcome, uuid = _outcome(body.pop("outcome_class")), body.pop("node_uuid")
        wrote(nodes.report_outcome(origin(), uuid, outcome=outcome, **body))
        return {"accepted": True}

    return api
