"""Placement: which nodes should run a task, why not another, why an execution is where it is, and how it went there."""

from dataclasses import asdict
from typing import Any

from flask import g
from marshmallow import fields

from spear.adapters.rest.paging import AsOf
from spear.adapters.rest.requests import caller, origin, reader, wrote
from spear.adapters.rest.schemas import Ident, Resource, Taken, Text, answer, saying, text_map, whole
from spear.domain.node import OutcomeClass
from spear.domain.placement import Rule
from spear.scheduling.explain import explain, explain_why_not
from spear.scheduling.placement import Reason
from spear.services import placements as decided
from spear.services.platform import Platform

_USUAL = 3
_MOST = 1000


class PlaceIn(Taken):
    """Which task wants to run; `max_candidates` 0 means the usual three."""

    request_id = Text(256, required=True)
    task_id = Text(64, required=True)
    max_candidates = whole(0, 2**32 - 1, load_default=_USUAL)
    labels = text_map(load_default=dict)


class WhyNotQuery(Taken):
    """Which task, and which node."""

    task_id = Ident(required=True)
    node_uuid = Ident(required=True)


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
Told = answer("Refusal", reason=Reason, text=str)
_POLICY = {"policy": str, "policy_version": int}
WhyNot = answer(
    "WhyNot", task_id=str, node_uuid=str, fits=bool, refused=[Told], score=float, rank=int, fitting=int,
    explanation=str, **_POLICY,
)  # fmt: skip
Scored = answer(
    "ScoredCandidate", node_uuid=str, score=float, reported=bool, cpu_percent=float, memory_percent=float,
    disk_percent=float, load_1m=float, failures=int, in_flight=int, slots=int,
)  # fmt: skip
RefusedNode = answer("RefusedNode", node_uuid=str, reason=Reason, text=str)
Counts = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
Decision = answer(
    "Decision", **_POLICY, nodes=int, fitting=int, candidates=[Scored], refused=[RefusedNode], refused_counts=Counts
)
Hop = answer("Hop", node_uuid=str, outcome_class=str, error_message=str, position=int)
ExecutionPlacement = answer(
    "ExecutionPlacement", execution_id=str, node_uuid=str, rule=Rule, hops=[Hop], decision=fields.Nested(Decision, required=True, allow_none=True), explanation=str,
    position=int,
)  # fmt: skip


def _outcome(word: str) -> OutcomeClass:
    word = word.strip().lower()
    return OutcomeClass(word) if word in set(OutcomeClass) else OutcomeClass.UNKNOWN


def _why_not_json(node_uuid: str, found: decided.WhyNot) -> dict[str, Any]:
    score, refused = round(found.score, 3), found.refused
    return {
        "fits": not refused,
        "refused": [{"reason": one.reason.value, "text": one.text} for one in refused],
        "score": score,
        "rank": found.rank,
        "fitting": found.fitting,
        "explanation": explain_why_not(node_uuid, refused, score=score, rank=found.rank, fitting=found.fitting),
    }


def _placed_json(execution_id: str, placed: decided.Placed) -> dict[str, Any]:
    hops = [(hop.node_uuid, hop.outcome_class, hop.error_message) for hop in placed.hops]
    return {
        "execution_id": execution_id,
        "node_uuid": placed.node_uuid,
        "rule": placed.rule.value,
        "hops": [asdict(hop) for hop in placed.hops],
        "decision": placed.decision,
        "explanation": explain(placed.node_uuid, placed.rule, placed.decision, hops),
        "position": placed.position,
    }


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/placement, and an execution's placement."""
    api = Resource("placement", __name__, url_prefix="/api/v1", description="Which nodes should run a task, and why")
    nodes, tasks, placements, executions = platform.nodes, platform.tasks, platform.placements, platform.executions

    @api.post("/placement/invocations/place")
    @api.body(PlaceIn)
    @api.answers(Placement, refuses=(404, 503))
    def place(body: dict[str, Any]) -> Any:
        """The best nodes for a task, best first; a pinned task goes to its node or nowhere. The decision is recorded."""
        task, most = tasks.get(body["task_id"]), min(body["max_candidates"] or _USUAL, _MOST)
        decision_id, ranked, committed = placements.place(
            origin(), task, request_id=body["request_id"], labels=body["labels"], most=most
        )
        wrote(committed)
        shown = [
            {"node_uuid": c.node_uuid, "ip_address": c.ip_address, "port": c.port, "score": score}
            for c, score in ranked
        ]
        return {"decision_id": decision_id, "candidates": shown}

    @api.get("/placement/why-not")
    @api.query(WhyNotQuery)
    @api.answers(WhyNot, refuses=(404,))
    def why_not(query: dict[str, Any]) -> Any:
        """Whether a node may run a task as things are, and everything that keeps it from it; nothing is run or recorded."""
        task, node_uuid = tasks.get(query["task_id"]), query["node_uuid"]
        found, (policy, version) = placements.why_not(task, node_uuid), placements.policy
        told = _why_not_json(node_uuid, found)
        return {"task_id": task.task_id, "node_uuid": node_uuid, **told, "policy": policy, "policy_version": version}

    @api.get("/executions/<execution_id>/placement")
    @api.query(AsOf)
    @api.answers(ExecutionPlacement, refuses=(404,))
    def explain_execution(query: dict[str, Any], execution_id: str) -> Any:
        """Why an execution is where it is, in plain words, and the recorded decision if there was a choice."""
        row = executions.get(execution_id, reader=reader(platform))
        return _placed_json(row.execution_id, placements.of_execution(row, until=g.get("as_of")))

    @api.post("/placement/invocations/report-outcome")
    @api.body(OutcomeIn)
    @api.answers(Accepted, refuses=(404, 503))
    def report_outcome(body: dict[str, Any]) -> Any:
        """Remember how it went; nodes that fail are left out for a while."""
        placements.check_asker(caller(), body["decision_id"])
        outcome, uuid = _outcome(body.pop("outcome_class")), body.pop("node_uuid")
        wrote(nodes.report_outcome(origin(), uuid, outcome=outcome, **body))
        return {"accepted": True}

    return api
