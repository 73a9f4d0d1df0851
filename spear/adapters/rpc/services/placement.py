"""Placement: which nodes should run a task, and how it went there."""

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import text, text_map
from spear.adapters.rpc.generated.sms import placement_pb2 as pb
from spear.domain.node import OutcomeClass
from spear.services import doors
from spear.services.platform import Platform

_USUAL, _MOST = 3, 1000
_OUTCOME = dict(enumerate(OutcomeClass))


class PlacementService:
    """`sms.PlacementService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["PlacementService"]

    def __init__(self, platform: Platform) -> None:
        self._nodes, self._tasks, self._placements = platform.nodes, platform.tasks, platform.placements
        self._passes = platform.passes

    def place_invocation(self, request: Message, asked: Asked) -> Message:
        """The best nodes for a task, best first; a pinned task goes to its node or nowhere."""
        request_id = text("request_id", request.request_id, most=256, least=1)
        task = self._tasks.get(text("task_id", request.task_id, most=64, least=1))
        labels, most = text_map("labels", request.labels), min(request.max_candidates or _USUAL, _MOST)
        decision_id, ranked, _ = self._placements.place(
            asked.origin, task, request_id=request_id, labels=labels, most=most
        )
        candidates = [
            pb.NodeCandidate(
                node_uuid=c.node_uuid, ip_address=c.ip_address, port=c.port, score=score,
                token=doors.sent_on(asked.caller, c.node_uuid, self._passes),
            )
            for c, score in ranked
        ]  # fmt: skip
        return pb.PlaceInvocationResponse(decision_id=decision_id, candidates=candidates)

    def report_invocation_outcome(self, request: Message, asked: Asked) -> Message:
        """Remember how it went; a class that nobody knows counts as unknown."""
        decision_id = text("decision_id", request.decision_id, most=256, least=1)
        self._placements.check_asker(asked.caller, decision_id)
        self._nodes.report_outcome(
            asked.origin,
            text("node_uuid", request.node_uuid, most=64, least=1),
            decision_id=decision_id,
            request_id=text("request_id", request.request_id, most=256, least=1),
            task_id=text("task_id", request.task_id, most=64, least=1),
            outcome=_OUTCOME.get(request.outcome_class, OutcomeClass.UNKNOWN),
            error_message=text("error_message", request.error_message, most=8192),
        )
        return pb.ReportInvocationOutcomeResponse(accepted=True)
