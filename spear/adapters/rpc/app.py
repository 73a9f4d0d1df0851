"""Which services each role answers for."""

from spear.adapters.rpc.calls import Service
from spear.adapters.rpc.generated.sms import execution_log_ingest_pb2, execution_pb2
from spear.adapters.rpc.services.backends import BackendRegistryService
from spear.adapters.rpc.services.deployments import ModelDeploymentRegistryService
from spear.adapters.rpc.services.events import EventsService
from spear.adapters.rpc.services.executions import ExecutionService
from spear.adapters.rpc.services.filters import RouterFilterService
from spear.adapters.rpc.services.index import ExecutionIndexService
from spear.adapters.rpc.services.instances import InstanceService
from spear.adapters.rpc.services.invocations import InvocationService
from spear.adapters.rpc.services.mcp_servers import McpRegistryService
from spear.adapters.rpc.services.nodes import NodeService
from spear.adapters.rpc.services.objects import ObjectService
from spear.adapters.rpc.services.placement import PlacementService
from spear.adapters.rpc.services.tasks import TaskService
from spear.adapters.rpc.standby import ReadOnly
from spear.config import Role
from spear.services.platform import Platform

SMS = (
    NodeService, TaskService, PlacementService, EventsService, ExecutionIndexService, RouterFilterService,
    McpRegistryService, BackendRegistryService, ModelDeploymentRegistryService,
)  # fmt: skip
SPEARLET = (ObjectService, InvocationService, ExecutionService, InstanceService)
LACKING = (  # every method of these answers UNIMPLEMENTED: the platform has nothing behind them yet
    (execution_pb2, "InstanceRegistryService"),
    (execution_pb2, "ExecutionRegistryService"),
    (execution_log_ingest_pb2, "ExecutionLogIngestService"),
)


class _Lacking:
    """A service without a method."""

    def __init__(self, file: object, name: str) -> None:
        self.DESCRIPTOR = file.DESCRIPTOR.services_by_name[name]  # type: ignore[attr-defined]


def make_services(platform: Platform) -> list[Service]:
    """The gRPC surface of one process."""
    role = platform.config.role
    made: list[Service] = []
    if role is not Role.SPEARLET:
        made += [service(platform) for service in SMS]
        made += [_Lacking(file, name) for file, name in LACKING]
    if role is not Role.SMS:
        made += [service(platform) for service in SPEARLET]
    following = platform.following
    return made if following is None else [ReadOnly(service, following) for service in made]
