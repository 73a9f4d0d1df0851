"""What nodes report of the objects that they have."""

import re

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import ident, number, text, text_map
from spear.adapters.rpc.generated.sms import object_registry_pb2 as pb
from spear.domain.holding import HoldingReport
from spear.domain.object import Object
from spear.errors import Invalid
from spear.services.objects import split_name
from spear.services.platform import Platform
from spear.services.unit import as_uuid

_MOST = 2**63 - 1
_LATEST_US = 253_402_300_799_999_999  # the end of the year 9999
_MOST_TEXTS = 4096  # what an object of ours may have is bounded by its characters
_HASH = re.compile("[0-9a-f]{64}")


class ObjectRegistryService:
    """`sms.ObjectRegistryService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["ObjectRegistryService"]

    def __init__(self, platform: Platform) -> None:
        self._reports = platform.reports

    def report_object(self, request: Message, asked: Asked) -> Message:
        """What a node has of an object; `accepted` is false for news that is older than what is known."""
        node_uuid = ident("node_uuid", text("node_uuid", request.node_uuid, most=64, least=1))
        asked.caller.speaks_for(node_uuid)
        seen = _seen(request.object) if request.HasField("object") else None
        object_id = Object.ident(seen.bucket, seen.key) if seen else as_uuid("object", request.object_id)
        at_us = int(number("updated_at_us", request.updated_at_us, 1, _LATEST_US))
        taken = self._reports.object(asked.origin, object_id, seen, node_uuid=node_uuid, updated_at_us=at_us)
        return pb.ReportObjectResponse(accepted=taken)


def _seen(told: Message) -> HoldingReport:
    bucket, key = split_name(f"{told.bucket}/{told.key}")
    if bucket != told.bucket:
        raise Invalid.field("object.bucket", told.bucket, "a bucket without slashes")
    if not _HASH.fullmatch(told.sha256):
        raise Invalid.field("object.sha256", told.sha256, "64 hexadecimal digits")
    return HoldingReport(
        bucket=bucket,
        key=key,
        version=int(number("object.version", told.version, 1, _MOST)),
        sha256=told.sha256,
        size=int(number("object.size", told.size, 0, _MOST)),
        content_type=text("object.content_type", told.content_type, most=256),
        metadata=text_map("object.metadata", told.metadata, most=_MOST_TEXTS),
    )
