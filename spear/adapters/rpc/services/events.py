"""What happened, followed from a position on."""

from collections.abc import Iterator

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import text
from spear.adapters.rpc.follow import AFTER_EVENT, Place, envelopes
from spear.adapters.rpc.generated.sms import events_pb2 as pb
from spear.errors import Invalid
from spear.services.platform import Platform

_TYPES = {number: f"type.{name.rpartition('_')[2].lower()}" for name, number in pb.ResourceType.items() if number}


def _stream(selector: Message) -> str:
    chosen = selector.WhichOneof("selector")
    if chosen is None:
        raise Invalid("selector is required", details={"field": "selector"})
    if chosen == "all":
        return "all"
    if chosen == "node_uuid":
        return f"node.{text('selector.node_uuid', selector.node_uuid, most=64, least=1).lower()}"
    if chosen == "resource_type":
        if selector.resource_type not in _TYPES:
            raise Invalid(f"unsupported resource_type {selector.resource_type}, expected 1 to 5")
        return _TYPES[selector.resource_type]
    return text("selector.stream", selector.stream, most=256, least=1)


class EventsService:
    """`sms.EventsService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["EventsService"]

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def subscribe_events(self, request: Message, asked: Asked) -> Iterator[Message]:
        """Every event of one stream after a position, for ever; `replay_limit` cuts nothing off, so nothing is missed.

        Whoever sends the `event_id` at that position as metadata learns when the log was restored meanwhile.
        """
        place = Place(request.after_seq, "after_seq", asked.told(AFTER_EVENT))
        return envelopes(self._platform, _stream(request.selector), place)
