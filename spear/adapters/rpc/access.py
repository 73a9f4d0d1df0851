"""Who may ask what: every method in one table, checked for every call before its message is looked at."""

import sys
from typing import Any

from spear.services import doors
from spear.services.tokens import ANYBODY, Caller, Tokens

# Method, who besides an admin, and for `itself` where the message names the node: a node's token speaks for no other.
# `owner` is the client that requested the execution, `anybody` needs no token, the `fleet` shows a pass. A method that is not here is for admins. fmt: off
METHODS: tuple[tuple[str, str, str], ...] = (
    ("grpc.health.v1.Health/Check", "anybody", ""),
    ("grpc.health.v1.Health/List", "operator node client", ""),
    ("grpc.health.v1.Health/Watch", "operator node client", ""),
    ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "operator node client", ""),
    ("sms.NodeService/RegisterNode", "operator node", ""),
    ("sms.NodeService/UpdateNode", "operator itself", "uuid node.uuid"),
    ("sms.NodeService/DeleteNode", "operator itself", "uuid"),
    ("sms.NodeService/Heartbeat", "operator itself", "uuid"),
    ("sms.NodeService/ListNodes", "operator", ""),
    ("sms.NodeService/GetNode", "operator node", ""),
    ("sms.NodeService/UpdateNodeResource", "operator itself", "resource.node_uuid"),
    ("sms.NodeService/GetNodeResource", "operator itself", "node_uuid"),
    ("sms.NodeService/ListNodeResources", "operator", ""),
    ("sms.NodeService/GetNodeWithResource", "operator itself", "uuid"),
    ("sms.TaskService/RegisterTask", "operator", ""),
    ("sms.TaskService/ListTasks", "operator node client", ""),
    ("sms.TaskService/GetTask", "operator node client", ""),
    ("sms.TaskService/UnregisterTask", "operator", ""),
    ("sms.TaskService/SubscribeTaskEvents", "operator itself", "node_uuid"),
    ("sms.TaskService/ResolveEndpoint", "operator node client", ""),
    ("sms.TaskService/UpdateTaskStatus", "operator itself", "node_uuid"),
    ("sms.TaskService/UpdateTaskResult", "operator node", ""),
    ("sms.PlacementService/PlaceInvocation", "operator node", ""),
    ("sms.PlacementService/ReportInvocationOutcome", "operator node", ""),
    ("sms.EventsService/SubscribeEvents", "operator", ""),
    ("sms.ExecutionIndexService/ListTaskInstances", "operator", ""),
    ("sms.ExecutionIndexService/ListInstanceExecutions", "operator", ""),
    ("sms.ExecutionIndexService/GetExecution", "operator client", ""),
    ("sms.InstanceRegistryService/ReportInstance", "operator itself", "node_uuid"),
    ("sms.ExecutionRegistryService/ReportExecution", "operator itself", "node_uuid"),
    ("sms.ExecutionLogIngestService/AppendExecutionLogs", "operator node", ""),
    ("sms.ExecutionLogIngestService/FinalizeExecutionLogs", "operator node", ""),
    ("sms.ObjectRegistryService/ReportObject", "operator itself", "node_uuid"),
    ("sms.McpRegistryService/ListMcpServers", "operator node", ""),
    ("sms.McpRegistryService/WatchMcpServers", "operator node", ""),
    ("sms.McpRegistryService/UpsertMcpServer", "operator", ""),
    ("sms.McpRegistryService/DeleteMcpServer", "operator", ""),
    ("sms.BackendRegistryService/ReportNodeBackends", "operator itself", "snapshot.node_uuid"),
    ("sms.BackendRegistryService/GetNodeBackends", "operator itself", "node_uuid"),
    ("sms.BackendRegistryService/ListNodeBackendSnapshots", "operator", ""),
    ("sms.ModelDeploymentRegistryService/ListModelDeployments", "operator node", ""),
    ("sms.ModelDeploymentRegistryService/WatchModelDeployments", "operator node", ""),
    ("sms.ModelDeploymentRegistryService/UpsertModelDeployment", "operator", ""),
    ("sms.ModelDeploymentRegistryService/DeleteModelDeployment", "operator", ""),
    ("sms.ModelDeploymentRegistryService/ReportModelDeploymentStatus", "operator itself", "node_uuid"),
    ("spearlet.RouterFilterService/Filter", "operator node", ""),
    ("spearlet.ObjectService/PutObject", "operator client", ""),
    ("spearlet.ObjectService/GetObject", "operator client", ""),
    ("spearlet.ObjectService/ListObjects", "operator client", ""),
    ("spearlet.ObjectService/AddObjectRef", "operator client", ""),
    ("spearlet.ObjectService/RemoveObjectRef", "operator client", ""),
    ("spearlet.ObjectService/PinObject", "operator client", ""),
    ("spearlet.ObjectService/UnpinObject", "operator client", ""),
    ("spearlet.ObjectService/DeleteObject", "operator client", ""),
    ("spearlet.InvocationService/Invoke", "operator client fleet", ""),
    ("spearlet.ExecutionService/GetExecution", "operator client fleet", ""),
    ("spearlet.ExecutionService/ListExecutions", "operator client", ""),
    ("spearlet.ExecutionService/TerminateExecution", "operator owner fleet", ""),
    ("spearlet.InstanceService/DestroyInstance", "operator", ""),
)
# fmt: on
_ROWS = {method: (doors.row(who), paths.split()) for method, who, paths in METHODS}
_UNKNOWN = (doors.ADMINS, list[str]())


class Access:
    """The table, applied to the calls of one address."""

    def __init__(self, tokens: Tokens, *, open_door: bool) -> None:
        self.tokens, self._open = tokens, open_door

    def admit(self, method: str, authorization: str) -> Caller:
        """Who asks for this method; raises `Unauthenticated` or `Forbidden`."""
        if self._open and not authorization:
            return ANYBODY  # what the rest comes to, without its cost
        return _ROWS.get(method, _UNKNOWN)[0].admit(self.tokens, authorization, method, open_door=self._open)

    def check(self, method: str, caller: Caller, request: Any) -> None:
        """Raise `Forbidden` when a node's token asks as another node."""
        row, paths = _ROWS.get(method, _UNKNOWN)
        if row.itself and caller is not ANYBODY:
            named = [_at(request, path) for path in paths]
            for node_uuid in [one for one in named if one] or [""]:
                caller.speaks_for(node_uuid)


def _at(message: Any, path: str) -> str:
    for name in path.split("."):
        message = getattr(message, name)
    return str(message)


def markdown() -> str:
    """The table as docs/security.md shows it."""
    return doors.markdown("Method", ((method, who) for method, who, _ in METHODS))


if __name__ == "__main__":
    sys.stdout.write(markdown())
