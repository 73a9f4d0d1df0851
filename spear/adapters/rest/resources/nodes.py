"""Nodes, their heartbeats and resources."""

from typing import Any

from marshmallow import fields

from spear.adapters.rest.paging import AsOf, OffsetPaged
from spear.adapters.rest.requests import caller, origin, reader, wrote
from spear.adapters.rest.schemas import (
    TEXTS,
    Reason,
    Resource,
    Taken,
    Text,
    TextOrNumber,
    answer,
    matching,
    number,
    text_map,
    whole,
)  # fmt: skip
from spear.projections import nodes as views
from spear.projections.nodes import NodeRow, ResourceRow
from spear.services.platform import Platform

_PERCENTS = ("cpu_usage_percent", "memory_usage_percent", "disk_usage_percent")
_LOADS = ("load_average_1m", "load_average_5m", "load_average_15m")
_SIZES = (
    "total_memory_bytes", "used_memory_bytes", "available_memory_bytes", "total_disk_bytes", "used_disk_bytes",
    "network_rx_bytes_per_sec", "network_tx_bytes_per_sec",
)  # fmt: skip
_STATUS = ("[a-z][a-z0-9_-]{0,31}", "a word of at most 32 small letters, digits, _ or -, such as online")


class NodeIn(Taken):
    """What a node says of itself when it registers."""

    ip_address = Text(255, least=1, required=True)
    port = whole(1, 65535, required=True)
    http_port = whole(0, 65535, load_default=0)
    metadata = text_map(load_default=dict)


class NodeChange(Taken):
    """What may be changed; metadata is replaced whole."""

    ip_address = Text(255, least=1)
    port = whole(1, 65535)
    http_port = whole(0, 65535)
    status = matching(*_STATUS)
    metadata = text_map()


class NodeQuery(OffsetPaged):
    """Which nodes."""

    status = fields.String(load_default="")


class Health(Taken):
    """What a node may say of its health: text such as "45%", or numbers."""

    health_info = text_map(values=TextOrNumber, load_default=dict)


class ResourcesIn(
    Taken.from_dict(  # type: ignore[misc]
        {
            **{name: number(0, 100) for name in _PERCENTS},
            **{name: whole(0, 2**62) for name in _SIZES},
            **{name: number(0, 1e9) for name in _LOADS},
        }
    )
):
    """What a node has and uses; what is left out counts as 0."""

    resource_metadata = text_map(load_default=dict)


class ResourcesQuery(AsOf):
    """Which nodes' resources: comma-separated uuids, or all."""

    node_uuids = fields.String(load_default="")
    limit = whole(1, 1000, strict=False, load_default=1000)
    after = Text(64, load_default="")


_NODE = {
    "uuid": str,
    "ip_address": str,
    "port": int,
    "http_port": int,
    "status": str,
    "drained": bool,
    "last_heartbeat": int,
    "registered_at": int,
    "metadata": TEXTS,
    "health_info": TEXTS,
}
_MEASURES = {**dict.fromkeys(_PERCENTS, float), **dict.fromkeys(_SIZES, int), **dict.fromkeys(_LOADS, float)}
Done = answer("Done", success=bool, message=str)
Registered = answer("Registered", success=bool, message=str, node_uuid=str)
Node = answer("Node", **_NODE)
OneNode = answer("OneNode", success=bool, node=Node)
Nodes = answer("Nodes", success=bool, nodes=[Node], total_count=int, next_after=int)
Resources = answer("Resources", node_uuid=str, **_MEASURES, updated_at=int, resource_metadata=TEXTS)
NodeWithResources = answer("NodeWithResources", **_NODE, resource=fields.Nested(Resources))
AllResources = answer("AllResources", resources=[Resources], next_after=str)


def node_json(row: NodeRow) -> dict[str, Any]:
    """A node as the API shows it; times in seconds."""
    return {
        "uuid": row.uuid,
        "ip_address": row.ip_address,
        "port": row.port,
        "http_port": row.http_port,
        "status": row.status,
        "drained": row.drained,
        "last_heartbeat": row.last_heartbeat_us // 1_000_000,
        "registered_at": row.registered_at_us // 1_000_000,
        "metadata": row.metadata,
        "health_info": row.health_info,
    }


def resources_json(row: ResourceRow) -> dict[str, Any]:
    """A node's resources as the API shows them."""
    return {
        "node_uuid": row.node_uuid,
        **{name: getattr(row, name) for name in _MEASURES},
        "updated_at": row.updated_at_us // 1_000_000,
        "resource_metadata": row.resource_metadata,
    }


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/nodes and /api/v1/resources."""
    api = Resource("nodes", __name__, url_prefix="/api/v1", description="Nodes and what they have")
    _kept(api, platform)
    _working(api, platform)
    _measured(api, platform)
    return api


def _kept(api: Resource, platform: Platform) -> None:
    service = platform.nodes

    @api.post("/nodes")
    @api.body(NodeIn)
    @api.answers(Registered, status=201, refuses=(503,))
    def register(body: dict[str, Any]) -> Any:
        """Add a node; the server gives it its uuid. A node's token speaks for this node from now on."""
        uuid, committed = service.register(origin(), **body, token=platform.tokens.of_new_node(caller()))
        wrote(committed)
        return {"success": True, "message": "Node registered successfully", "node_uuid": uuid}, 201

    @api.get("/nodes")
    @api.query(NodeQuery)
    @api.answers(Nodes)
    def list_nodes(query: dict[str, Any]) -> Any:
        """Nodes in the order they were registered."""
        query.pop("as_of", None)
        page = views.list_nodes(reader(platform), **query)
        nodes = [node_json(row) for row in page.rows]
        return {"success": True, "nodes": nodes, "total_count": page.total, "next_after": page.next_after}

    @api.get("/nodes/<uuid>")
    @api.query(AsOf)
    @api.answers(OneNode, refuses=(404,))
    def get_node(query: dict[str, Any], uuid: str) -> Any:
        """One node."""
        return {"success": True, "node": node_json(service.get(uuid, reader=reader(platform)))}

    @api.put("/nodes/<uuid>")
    @api.body(NodeChange, required=False)
    @api.answers(Done, refuses=(404, 503))
    def update(body: dict[str, Any], uuid: str) -> Any:
        """Change what is given; it counts as a heartbeat."""
        wrote(service.update(origin(), uuid, **body))
        return {"success": True, "message": "Node updated successfully"}

    @api.delete("/nodes/<uuid>")
    @api.answers(Done, refuses=(404, 503))
    def delete(uuid: str) -> Any:
        """Remove a node; its history stays."""
        wrote(service.delete(origin(), uuid, "deleted by request"))
        return {"success": True, "message": "Node deleted successfully"}


def _working(api: Resource, platform: Platform) -> None:
    service = platform.nodes

    @api.post("/nodes/<uuid>/drain")
    @api.body(Reason, required=False)
    @api.answers(OneNode, refuses=(404, 503))
    def drain(body: dict[str, Any], uuid: str) -> Any:
        """Give a node no new work; what runs on it goes on. Repeating it changes nothing."""
        wrote(service.drain(origin(), uuid, body.get("reason", "drained by request")))
        return {"success": True, "node": node_json(service.get(uuid))}

    @api.post("/nodes/<uuid>/undrain")
    @api.body(Reason, required=False)
    @api.answers(OneNode, refuses=(404, 503))
    def undrain(body: dict[str, Any], uuid: str) -> Any:
        """Give a node work again. Repeating it changes nothing."""
        wrote(service.undrain(origin(), uuid, body.get("reason", "undrained by request")))
        return {"success": True, "node": node_json(service.get(uuid))}

    @api.post("/nodes/<uuid>/heartbeat")
    @api.body(Health, required=False)
    @api.answers(Done, refuses=(404, 503))
    def heartbeat(body: dict[str, Any], uuid: str) -> Any:
        """The node lives; one that was lost is back."""
        wrote(service.heartbeat(origin(), uuid, body["health_info"])[0])
        return {"success": True, "message": "Heartbeat received"}


def _measured(api: Resource, platform: Platform) -> None:
    service = platform.nodes

    @api.put("/nodes/<uuid>/resource")
    @api.body(ResourcesIn, required=False)
    @api.answers(Done, refuses=(404, 503))
    def report(body: dict[str, Any], uuid: str) -> Any:
        """Replace what is known of the node's resources."""
        metadata = body.pop("resource_metadata")
        wrote(service.report_resources(origin(), uuid, numbers=body, resource_metadata=metadata))
        return {"success": True, "message": "Resource updated successfully"}

    @api.get("/nodes/<uuid>/resource")
    @api.query(AsOf)
    @api.answers(Resources, refuses=(404,))
    def get_resource(query: dict[str, Any], uuid: str) -> Any:
        """What the node last reported."""
        return resources_json(service.resources(uuid, reader=reader(platform)))

    @api.get("/nodes/<uuid>/with-resource")
    @api.query(AsOf)
    @api.answers(NodeWithResources, refuses=(404,))
    def with_resource(query: dict[str, Any], uuid: str) -> Any:
        """One node with its resources, if it reported any."""
        seen = reader(platform)
        node = service.get(uuid, reader=seen)
        row = views.get_resource(seen, node.uuid)
        return {**node_json(node), "resource": resources_json(row)} if row else node_json(node)

    @api.get("/resources")
    @api.query(ResourcesQuery)
    @api.answers(AllResources)
    def list_resources(query: dict[str, Any]) -> Any:
        """What nodes last reported, by uuid."""
        uuids = [part.strip().lower() for part in query["node_uuids"].split(",") if part.strip()]
        limit = query["limit"]
        rows = views.list_resources(reader(platform), uuids, after=query["after"], limit=limit + 1)
        next_after = rows[limit - 1].node_uuid if len(rows) > limit else ""
        return {"resources": [resources_json(row) for row in rows[:limit]], "next_after": next_after}
