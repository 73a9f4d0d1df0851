"""Nodes, their heartbeats and resources."""

from typing import Any

from flask import g
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from spear.adapters.rest.requests import AsOf, OffsetPaged, Text, origin, reader, text_map, wrote
from spear.errors import NotFound
from spear.projections import nodes as views
from spear.projections.nodes import NodeRow, ResourceRow
from spear.services.nodes import known
from spear.services.platform import Platform

_PORT = validate.Range(0, 65535)
_PERCENTS = ("cpu_usage_percent", "memory_usage_percent", "disk_usage_percent")
_LOADS = ("load_average_1m", "load_average_5m", "load_average_15m")
_SIZES = (
    "total_memory_bytes", "used_memory_bytes", "available_memory_bytes", "total_disk_bytes", "used_disk_bytes",
    "network_rx_bytes_per_sec", "network_tx_bytes_per_sec",
)  # fmt: skip


class NodeIn(Schema):
    """What a node says of itself when it registers."""

    ip_address = Text(255, required=True)
    port = fields.Integer(required=True, strict=True, validate=validate.Range(1, 65535))
    http_port = fields.Integer(load_default=0, strict=True, validate=_PORT)
    metadata = text_map()


class NodeChange(Schema):
    """What may be changed; metadata is replaced whole."""

    ip_address = Text(255)
    port = fields.Integer(strict=True, validate=validate.Range(1, 65535))
    http_port = fields.Integer(strict=True, validate=_PORT)
    status = fields.String(validate=validate.Regexp(r"^[a-z][a-z0-9_-]{0,31}$"))
    metadata = text_map()


class NodeQuery(OffsetPaged):
    """Which nodes."""

    status = fields.String(load_default="")


class Health(Schema):
    """What a node may say of its health: text such as "45%"."""

    health_info = text_map()


def _resource_fields() -> dict[str, Any]:
    percent = {name: fields.Float(validate=validate.Range(0, 100)) for name in _PERCENTS}
    load = {name: fields.Float(validate=validate.Range(0, 1e9)) for name in _LOADS}
    size = {name: fields.Integer(strict=True, validate=validate.Range(0, 2**62)) for name in _SIZES}
    return {**percent, **size, **load, "resource_metadata": text_map()}


ResourceIn = Schema.from_dict(_resource_fields(), name="ResourceIn")


class ResourceQuery(AsOf):
    """Which nodes' resources: comma-separated uuids, or all."""

    node_uuids = fields.String(load_default="")
    limit = fields.Integer(load_default=1000, validate=validate.Range(1, 1000))
    after = fields.String(load_default="")


class Registered(Schema):
    """The new node's id."""

    success = fields.Boolean()
    message = fields.String()
    node_uuid = fields.String()


class Done(Schema):
    """It is recorded."""

    success = fields.Boolean()
    message = fields.String()


class AnyObject(Schema):
    """A JSON object; see the guide for its fields."""

    class Meta:
        unknown = "include"


def node_json(row: NodeRow) -> dict[str, Any]:
    """A node as the API shows it; times in seconds."""
    return {
        "uuid": row.uuid,
        "ip_address": row.ip_address,
        "port": row.port,
        "http_port": row.http_port,
        "status": row.status,
        "last_heartbeat": row.last_heartbeat_us // 1_000_000,
        "registered_at": row.registered_at_us // 1_000_000,
        "metadata": row.metadata,
        "health_info": row.health_info,
    }


def resource_json(row: ResourceRow) -> dict[str, Any]:
    """A node's resources as the API shows them."""
    shown = {name: getattr(row, name) for name in (*_PERCENTS, *_SIZES, *_LOADS)}
    return {
        "node_uuid": row.node_uuid,
        **shown,
        "updated_at": row.updated_at_us // 1_000_000,
        "resource_metadata": row.resource_metadata,
    }


def make(platform: Platform) -> Blueprint:
    """The routes under /api/v1/nodes and /api/v1/resources."""
    api = Blueprint("nodes", __name__, url_prefix="/api/v1", description="Nodes and what they have")
    service = platform.nodes

    @api.post("/nodes")
    @api.arguments(NodeIn)
    @api.response(201, Registered)
    def register(body: dict[str, Any]) -> Any:
        uuid = service.register(
            origin(),
            ip_address=body["ip_address"],
            port=body["port"],
            http_port=body["http_port"],
            metadata=body.get("metadata", {}),
        )
        g.position = platform.log.head
        return {"success": True, "message": "Node registered successfully", "node_uuid": uuid}

    @api.get("/nodes")
    @api.arguments(NodeQuery, location="query")
    @api.alt_response(200, schema=AnyObject)
    def list_nodes(query: dict[str, Any]) -> Any:
        page = views.list_nodes(
            reader(platform), status=query["status"], after=query["after"], offset=query["offset"], limit=query["limit"]
        )
        nodes = [node_json(row) for row in page.rows]
        return {"success": True, "nodes": nodes, "total_count": page.total, "next_after": page.next_after}

    @api.get("/nodes/<uuid>")
    @api.arguments(AsOf, location="query")
    @api.alt_response(200, schema=AnyObject)
    def get_node(query: dict[str, Any], uuid: str) -> Any:
        return {"success": True, "node": node_json(known(views.get_node(reader(platform), uuid), uuid))}

    @api.put("/nodes/<uuid>")
    @api.arguments(NodeChange)
    @api.response(200, Done)
    def update(body: dict[str, Any], uuid: str) -> Any:
        wrote(service.update(origin(), uuid, **body))
        return {"success": True, "message": "Node updated successfully"}

    @api.delete("/nodes/<uuid>")
    @api.response(200, Done)
    def delete(uuid: str) -> Any:
        service.delete(origin(), uuid, "deleted by request")
        g.position = platform.log.head
        return {"success": True, "message": "Node deleted successfully"}

    @api.post("/nodes/<uuid>/heartbeat")
    @api.arguments(Health, required=False)
    @api.response(200, Done)
    def heartbeat(body: dict[str, Any], uuid: str) -> Any:
        wrote(service.heartbeat(origin(), uuid, body.get("health_info", {})))
        return {"success": True, "message": "Heartbeat received"}

    @api.put("/nodes/<uuid>/resource")
    @api.arguments(ResourceIn, required=False)
    @api.response(200, Done)
    def report(body: dict[str, Any], uuid: str) -> Any:
        metadata = body.pop("resource_metadata", {})
        wrote(service.report_resources(origin(), uuid, numbers=body, resource_metadata=metadata))
        return {"success": True, "message": "Resource updated successfully"}

    @api.get("/nodes/<uuid>/resource")
    @api.arguments(AsOf, location="query")
    @api.alt_response(200, schema=AnyObject)
    def get_resource(query: dict[str, Any], uuid: str) -> Any:
        row = views.get_resource(reader(platform), uuid)
        if row is None:
            raise NotFound.noun("resource", uuid)
        return resource_json(row)

    @api.get("/nodes/<uuid>/with-resource")
    @api.arguments(AsOf, location="query")
    @api.alt_response(200, schema=AnyObject)
    def with_resource(query: dict[str, Any], uuid: str) -> Any:
        seen = reader(platform)
        node = node_json(known(views.get_node(seen, uuid), uuid))
        row = views.get_resource(seen, uuid)
        return {**node, "resource": resource_json(row)} if row else node

    @api.get("/resources")
    @api.arguments(ResourceQuery, location="query")
    @api.alt_response(200, schema=AnyObject)
    def list_resources(query: dict[str, Any]) -> Any:
        uuids = [part.strip() for part in query["node_uuids"].split(",") if part.strip()][:1000]
        rows = views.list_resources(reader(platform), uuids, after=query["after"], limit=query["limit"])
        return {"resources": [resource_json(row) for row in rows]}

    return api
