"""Nodes, their heartbeats and resources."""

import re
from typing import Any

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import ident, number, present, seconds, text, text_map
from spear.adapters.rpc.generated.sms import node_pb2 as pb
from spear.domain.node import NodeStatus
from spear.errors import Invalid, NotFound
from spear.projections import nodes as views
from spear.projections.nodes import NodeRow, ResourceRow
from spear.services import doors
from spear.services.platform import Platform

_ALL = 10_000
_STATUS = re.compile("[a-z][a-z0-9_-]{0,31}")
_PERCENTS = ("cpu_usage_percent", "memory_usage_percent", "disk_usage_percent")
_LOADS = ("load_average_1m", "load_average_5m", "load_average_15m")
_SIZES = (
    "total_memory_bytes", "used_memory_bytes", "available_memory_bytes", "total_disk_bytes", "used_disk_bytes",
    "network_rx_bytes_per_sec", "network_tx_bytes_per_sec",
)  # fmt: skip
_BOUNDS = {**dict.fromkeys(_PERCENTS, 100), **dict.fromkeys(_LOADS, 1e9), **dict.fromkeys(_SIZES, 2**62)}


def node_message(row: NodeRow) -> Message:
    """A node as the wire has it; times in seconds."""
    return pb.Node(
        uuid=row.uuid,
        ip_address=row.ip_address,
        port=row.port,
        http_port=row.http_port,
        status=row.status,
        last_heartbeat=seconds(row.last_heartbeat_us),
        registered_at=seconds(row.registered_at_us),
        metadata=row.metadata,
    )


def _resource_message(row: ResourceRow) -> Message:
    return pb.NodeResource(
        node_uuid=row.node_uuid,
        updated_at=seconds(row.updated_at_us),
        resource_metadata=row.resource_metadata,
        **{name: getattr(row, name) for name in _BOUNDS},
    )


def _described(node: Message) -> dict[str, Any]:
    return {
        "ip_address": text("node.ip_address", node.ip_address, most=255, least=1),
        "port": number("node.port", node.port, 1, 65535),
        "http_port": number("node.http_port", node.http_port, 0, 65535),
        "metadata": text_map("node.metadata", node.metadata),
    }


def _status(given: str) -> str | None:
    if given and not _STATUS.fullmatch(given):
        expected = "a word of at most 32 small letters, digits, _ or -, such as online"
        raise Invalid.field("node.status", given, expected)
    return given or None


class NodeService:
    """`sms.NodeService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["NodeService"]

    def __init__(self, platform: Platform) -> None:
        self._nodes, self._reader, self._clock = platform.nodes, platform.reader, platform.clock
        self._tokens, self._passes = platform.tokens, platform.passes

    def register_node(self, request: Message, asked: Asked) -> Message:
        """Add a node, or welcome back the one of this uuid; without a uuid it gets one."""
        node = present(request, "node")
        uuid = ident("node.uuid", node.uuid)
        if node.status.lower() not in ("", NodeStatus.ONLINE):
            raise Invalid.field("node.status", node.status, '"online", or "" which means the same')
        token = self._tokens.of_new_node(asked.caller, uuid)
        uuid, _ = self._nodes.register(asked.origin, uuid=uuid, **_described(node), token=token)
        key = self._passes.key_of(uuid)
        return pb.RegisterNodeResponse(
            success=True, message="Node registered successfully", node_uuid=uuid, pass_key=key
        )

    def update_node(self, request: Message, asked: Asked) -> Message:
        """Replace what is known of a node; an empty status stays as it is."""
        node = present(request, "node")
        uuid = node.uuid or request.uuid
        self._nodes.update(asked.origin, uuid, status=_status(node.status), **_described(node))
        return pb.UpdateNodeResponse(success=True, message="Node updated successfully")

    def delete_node(self, request: Message, asked: Asked) -> Message:
        """Remove a node; its history stays."""
        self._nodes.delete(asked.origin, request.uuid, "deleted by request")
        return pb.DeleteNodeResponse(success=True, message="Node deleted successfully")

    def heartbeat(self, request: Message, asked: Asked) -> Message:
        """The node lives; one that was lost is back."""
        health = text_map("health_info", request.health_info)
        committed, drained = self._nodes.heartbeat(asked.origin, request.uuid, health)
        return pb.HeartbeatResponse(
            success=True,
            message="Heartbeat received",
            server_timestamp=seconds(committed.time_us),
            pass_key=self._passes.key_of(request.uuid),
            drained=drained,
        )

    def list_nodes(self, request: Message, asked: Asked) -> Message:
        """Nodes in the order they were registered, of one status if one is asked for."""
        page = views.list_nodes(self._reader, status=request.status_filter, limit=_ALL)
        return pb.ListNodesResponse(nodes=[node_message(row) for row in page.rows])

    def get_node(self, request: Message, asked: Asked) -> Message:
        """One node, with what the asker may show there."""
        row = self._nodes.get(request.uuid)
        token = doors.sent_on(asked.caller, row.uuid, self._passes)
        return pb.GetNodeResponse(found=True, node=node_message(row), token=token)

    def update_node_resource(self, request: Message, asked: Asked) -> Message:
        """Replace what is known of a node's resources."""
        given = present(request, "resource")
        numbers = {name: number(f"resource.{name}", getattr(given, name), 0, most) for name, most in _BOUNDS.items()}
        metadata = text_map("resource.resource_metadata", given.resource_metadata)
        self._nodes.report_resources(asked.origin, given.node_uuid, numbers=numbers, resource_metadata=metadata)
        return pb.UpdateNodeResourceResponse(success=True, message="Resource updated successfully")

    def get_node_resource(self, request: Message, asked: Asked) -> Message:
        """What a node last reported, if it did."""
        try:
            row = self._nodes.resources(request.node_uuid)
        except NotFound:
            return pb.GetNodeResourceResponse(found=False)
        return pb.GetNodeResourceResponse(found=True, resource=_resource_message(row))

    def list_node_resources(self, request: Message, asked: Asked) -> Message:
        """What these nodes, or all, last reported, by uuid."""
        uuids = [uuid.strip().lower() for uuid in request.node_uuids[:_ALL]]
        rows = views.list_resources(self._reader, uuids, limit=_ALL)
        return pb.ListNodeResourcesResponse(resources=[_resource_message(row) for row in rows])

    def get_node_with_resource(self, request: Message, asked: Asked) -> Message:
        """One node with its resources, if it reported any."""
        try:
            node = self._nodes.get(request.uuid)
        except NotFound:
            return pb.GetNodeWithResourceResponse(found=False)
        row = views.get_resource(self._reader, node.uuid)
        found = pb.GetNodeWithResourceResponse(found=True, node=node_message(node))
        if row:
            found.resource.CopyFrom(_resource_message(row))
        return found
