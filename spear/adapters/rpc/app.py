"""Which services each role answers for."""

from spear.adapters.rpc.calls import Service
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
from spear.adapters.rpc.services.object_registry import ObjectRegistryService
from spear.adapters.rpc.services.objects import ObjectService
from spear.adapters.rpc.services.placement import PlacementService
from spear.adapters.rpc.services.reports import (
    ExecutionLogIngestService,
    ExecutionRegistryService,
    InstanceRegistryService,
)
from spear.adapters.rpc.services.tasks import TaskService
from spear.adapters.rpc.standby import ReadOnly
from spear.config import Role
from spear.services.platform import Platform

SMS = (
    NodeService, TaskService, PlacementService, EventsService, ExecutionIndexService, RouterFilterService,
    McpRegistryService, BackendRegistryService, ModelDeploymentRegistryService,
    InstanceRegistryService, ExecutionRegistryService, ExecutionLogIngestService, ObjectRegistryService,
)  # fmt: skip
SPEARLET = (ObjectService, InvocationService, ExecutionService, InstanceService)


def make_services(platform: Platform) -> list[Service]:
    """The gRPC surface of one process."""
    role = platform.config.role
    made: list[Service] = []
    if role is not Role.SPEARLET:
        made += [service(platform) for service in SMS]
    if role is not Role.SMS:
        made += [service(platform) for service in SPEARLET]
    following = platform.following
    return made if following is None else [ReadOnly(service, following) for service in made]
