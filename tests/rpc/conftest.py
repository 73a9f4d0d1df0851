"""One real server process for the whole suite, a channel to it, and a stub for each service."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc
import pytest

from spear.adapters.rpc.generated.sms import (
    backend_registry_pb2,
    events_pb2,
    execution_log_ingest_pb2,
    execution_pb2,
    mcp_registry_pb2,
    model_deployment_registry_pb2,
    node_pb2,
    object_registry_pb2,
    placement_pb2,
    task_pb2,
)
from spear.adapters.rpc.generated.spearlet import function_pb2, instance_pb2, object_pb2, router_filter_pb2

if TYPE_CHECKING:  # a conftest may not skip while it is imported; its tests do
    from tests.server import Server

MOST_STREAMS = 64
FILES = (
    node_pb2, task_pb2, placement_pb2, events_pb2, execution_pb2, function_pb2, instance_pb2, object_pb2,
    router_filter_pb2, backend_registry_pb2, mcp_registry_pb2, model_deployment_registry_pb2, execution_log_ingest_pb2,
    object_registry_pb2,
)  # fmt: skip


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Server"]:
    """A server in role all that every test of the suite shares."""
    from tests.server import Server

    folder = tmp_path_factory.mktemp("rpc")
    (folder / "config.toml").write_text(f"[grpc]\nmax_streams = {MOST_STREAMS}\n")
    with Server(folder / "data", "--config", str(folder / "config.toml")) as running:
        yield running


@pytest.fixture(scope="session")
def channel(server: "Server") -> Iterator[grpc.Channel]:
    """A channel to the shared server."""
    from tests.rpc._wire import connected

    with connected(server) as opened:
        yield opened


@pytest.fixture(scope="session")
def stub(channel: grpc.Channel) -> Callable[[str], Any]:
    """The stub of a service, by its full name."""
    from tests.rpc._wire import Stub

    services = {s.full_name: (file, s.name) for file in FILES for s in file.DESCRIPTOR.services_by_name.values()}
    return lambda name: Stub(channel, *services[name])


@pytest.fixture(scope="session")
def nodes(stub):
    return stub("sms.NodeService")


@pytest.fixture(scope="session")
def tasks(stub):
    return stub("sms.TaskService")


@pytest.fixture(scope="session")
def invocations(stub):
    return stub("spearlet.InvocationService")


@pytest.fixture(scope="session")
def executions(stub):
    return stub("spearlet.ExecutionService")


@pytest.fixture(scope="session")
def objects(stub):
    return stub("spearlet.ObjectService")


@pytest.fixture(scope="session")
def mcp(stub):
    return stub("sms.McpRegistryService")


@pytest.fixture(scope="session")
def backends(stub):
    return stub("sms.BackendRegistryService")


@pytest.fixture(scope="session")
def deployments(stub):
    return stub("sms.ModelDeploymentRegistryService")


@pytest.fixture(scope="session")
def hello(server: "Server") -> str:
    """The task id of the hello agent."""
    return server.register("hello")


@pytest.fixture
def fresh() -> str:
    """A uuid that nobody used."""
    return str(uuid4())
