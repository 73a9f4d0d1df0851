"""The read side of /admin/api for MCP servers, model backends, AI models and deployments."""

from typing import Any

from flask import Blueprint

from admin.client import Client
from admin.queries import passed_on

_PAGE = ("q", "limit", "offset")


def add(door: Blueprint, rest: Client) -> None:
    """Its routes."""
    _add_mcp_servers(door, rest)
    _add_backends(door, rest)
    _add_models(door, rest)


def _add_mcp_servers(door: Blueprint, rest: Client) -> None:
    @door.get("/mcp/servers")
    def servers() -> Any:
        return rest.get("mcp", "servers")

    @door.get("/mcp/servers/<server_id>")
    def server(server_id: str) -> Any:
        return _found(rest.find("mcp", "servers", server_id))


def _add_backends(door: Blueprint, rest: Client) -> None:
    @door.get("/backends")
    def backends() -> Any:
        return rest.get("backends", **passed_on(*_PAGE, "status"))

    @door.get("/backends/<kind>/<path:name>")
    def backend(kind: str, name: str) -> Any:
        return _found(rest.find("backends", kind, name))

    @door.get("/nodes/<uuid>/backends")
    def of_node(uuid: str) -> Any:
        nothing = {"found": False, "node_uuid": uuid, "backends": [], "snapshot": None}
        return rest.find("nodes", uuid, "backends") or nothing


def _add_models(door: Blueprint, rest: Client) -> None:
    @door.get("/ai-models")
    def models() -> Any:
        return rest.get("ai-models", **passed_on(*_PAGE, "hosting", "provider"))

    @door.get("/ai-models/<provider>/<path:model>")
    def model(provider: str, model: str) -> Any:
        return _found(rest.find("ai-models", provider, model, **passed_on("hosting")))

    @door.get("/nodes/<uuid>/ai-models/deployments")
    def deployments(uuid: str) -> Any:
        return rest.get("nodes", uuid, "ai-models", "deployments", **passed_on("limit", "offset"))


def _found(answer: Any) -> Any:
    return {**answer, "found": True} if answer else {"success": True, "found": False}
