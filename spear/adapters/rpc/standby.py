"""The gRPC surface of a read-only standby: what changes something is refused."""

from typing import Any

from spear.adapters.rpc.calls import Asked, Message, Service
from spear.services.following import Following

READS = frozenset((
    "get_node", "list_nodes", "get_node_resource", "list_node_resources", "get_node_with_resource",
    "get_task", "list_tasks", "resolve_endpoint", "subscribe_task_events", "subscribe_events",
    "list_task_instances", "list_instance_executions", "get_execution", "filter",
    "list_mcp_servers", "watch_mcp_servers", "get_node_backends", "list_node_backend_snapshots", "list_model_deployments",
    "watch_model_deployments",
))  # fmt: skip


class ReadOnly:
    """A service whose methods outside `READS` refuse."""

    def __init__(self, service: Service, following: Following) -> None:
        self.DESCRIPTOR = service.DESCRIPTOR
        self._service, self._following = service, following

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._service, name)
        return method if name in READS else self._refuse

    def _refuse(self, request: Message, asked: Asked) -> Message:
        raise self._following.refusal()
