"""A node of the public SPEAR at an SMS of ours: what it runs for the SMS, and how its failures are understood."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self
from uuid import UUID, uuid4

import grpc
import pytest

from spear.adapters.rpc.generated.spearlet import function_pb2 as pb
from tests.server import Server

COMPLETED, FAILED = pb.EXECUTION_STATUS_COMPLETED, pb.EXECUTION_STATUS_FAILED


class PublicNode:
    """Answers as the public SPEARlet does: it runs whatever it is asked, also twice, and each failure is INTERNAL."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failing = ""
        self._server = grpc.server(ThreadPoolExecutor(4))
        for service, name, method, request in (
            ("InvocationService", "Invoke", self._invoke, pb.InvokeRequest),
            ("ExecutionService", "GetExecution", self._show, pb.GetExecutionRequest),
        ):
            handler = grpc.unary_unary_rpc_method_handler(
                method, request.FromString, lambda message: message.SerializeToString()
            )
            made = grpc.method_handlers_generic_handler(f"spearlet.{service}", {name: handler})
            self._server.add_generic_rpc_handlers([made])
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def _invoke(self, request: Any, context: Any) -> Any:
        self.asked.append(request.execution_id)
        if self.failing:
            context.abort(grpc.StatusCode.INTERNAL, self.failing)
        told = {"execution_id": request.execution_id, "invocation_id": request.invocation_id, "status": COMPLETED}
        return pb.InvokeResponse(**told, instance_id=f"inst-{uuid4()}", output={"data": b"[]"})

    def _show(self, request: Any, context: Any) -> Any:
        if request.execution_id not in self.asked:
            context.abort(grpc.StatusCode.NOT_FOUND, "execution not found")
        error = {"code": "EXECUTION_ERROR", "message": self.failing}
        return pb.Execution(
            execution_id=request.execution_id, status=FAILED if self.failing else COMPLETED, error=error
        )

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("public") / "sms", role="sms") as running:
        yield running


@pytest.fixture(scope="module")
def node(sms: Server) -> Iterator[PublicNode]:
    with PublicNode() as public:
        body = {"ip_address": "127.0.0.1", "port": public.port, "metadata": {"name": "public"}}
        assert sms.post("/api/v1/nodes", json=body).status_code == 201
        yield public


def test_what_it_runs_for_the_sms_is_answered(sms: Server, node: PublicNode) -> None:
    found = sms.run(sms.register("hello")).json()
    assert (found["status"], found["output"]) == ("completed", "[]")
    assert str(UUID(found["instance_id"])) == found["instance_id"]
    assert node.asked == [found["execution_id"]]


def test_an_agent_that_fails_there_has_failed_and_runs_no_second_time(sms: Server, node: PublicNode) -> None:
    node.asked, node.failing = [], "Runtime error: the agent broke"
    task = sms.register("hello", endpoint="breaks")
    found = sms.run(task, timeout_ms=3000).json()
    assert (found["status"], found["error"]["code"]) == ("failed", "EXECUTION_FAILED")
    assert found["error"]["message"] == node.failing
    answer = sms.post("/e/breaks")
    assert (answer.status_code, node.failing in answer.text) == (502, True)
    assert node.asked == [found["execution_id"], answer.headers["X-Execution-Id"]]
    placed = sms.get(f"/api/v1/executions/{found['execution_id']}/placement").json()
    assert placed["hops"] == []
