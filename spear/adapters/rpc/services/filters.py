"""The SMS's own router filter: it lets every backend through."""

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.generated.spearlet import router_filter_pb2 as pb
from spear.services.platform import Platform


class RouterFilterService:
    """`spearlet.RouterFilterService` as an SMS answers it."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["RouterFilterService"]

    def __init__(self, platform: Platform) -> None:
        """It needs nothing of the platform."""

    def filter(self, request: Message, asked: Asked) -> Message:
        """No decision about any candidate."""
        debug = {
            "engine": "sms_builtin",
            "mode": "noop",
            "candidates": str(len(request.candidates)),
            "operation": str(request.operation),
        }
        return pb.FilterResponse(correlation_id=request.correlation_id, decision_id="sms_builtin", debug=debug)
