"""A SPEARlet that stood alone and is linked to an SMS now: whose tasks, files and nodes are asked for there, and whose run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spear.adapters.rpc.generated.sms import node_pb2
from tests.e2e.test_forwarding import joined, uuid_of
from tests.rpc._wire import Stub, connected
from tests.server import Server, events_of


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("linked") / "sms", role="sms") as found:
        yield found


@pytest.fixture(scope="module")
def earlier(sms: Server) -> tuple[str, str]:
    """The tasks that the node registered when it stood alone: one to call, one that has the name of a task of the SMS."""
    with Server(sms.data_dir.parent / "one", role="spearlet") as alone:
        found = alone.register("hello", endpoint="own"), alone.register("hello", endpoint="taken")
        alone.stop()
    return found


@pytest.fixture(scope="module")
def node(sms: Server, earlier: tuple[str, str]) -> Iterator[Server]:
    with joined(sms.data_dir.parent, sms, "one") as found:
        yield found


def test_agents_of_a_node_that_stood_alone_run_once_it_is_linked(node: Server, earlier: tuple[str, str]) -> None:
    assert node.post("/e/own").content.strip() == b"Hello from SPEAR!"
    assert node.run(earlier[0]).json()["status"] == "completed"


def test_a_task_of_the_sms_runs_where_another_task_has_its_name(node: Server, sms: Server) -> None:
    task = sms.register("echo", endpoint="taken")
    assert sms.post("/e/taken", data=b"from the SMS").content == b"from the SMS"
    assert node.run(task, input="by its id").json()["output"] == "by its id"
    assert node.post("/e/taken").content.strip() == b"Hello from SPEAR!"


def test_a_task_that_the_node_dropped_is_taken_over_again_when_the_sms_asks(node: Server, sms: Server) -> None:
    task = sms.register("echo", endpoint="dropped")
    assert sms.post("/e/dropped", data=b"one").content == b"one"
    assert node.call("DELETE", f"/api/v1/tasks/{task}?here=true").status_code == 200
    assert node.get(f"/api/v1/tasks/{task}?here=true").status_code == 404
    assert sms.post("/e/dropped", data=b"two").content == b"two"
    assert node.post("/e/dropped", data=b"three").content == b"three"
    assert [event["type"] for event in events_of(node, ["TaskCreated", "TaskRegisteredAgain"], noun="task", ident=task)] == [
        "TaskCreated", "TaskRegisteredAgain",
    ]  # fmt: skip


def test_a_node_that_does_not_know_the_task_is_left_for_the_next(node: Server, sms: Server, tmp_path: Path) -> None:
    task = sms.register("echo", endpoint="spilled")
    with Server(tmp_path / "stranger", role="spearlet") as stranger:
        known = node_pb2.Node(uuid=uuid_of(stranger), ip_address="127.0.0.1", port=stranger.grpc_port, status="online")
        with connected(sms) as line:
            uuid = Stub(line, node_pb2, "NodeService").RegisterNode(node=known).node_uuid
        for one, cpu in ((uuid, 0), (uuid_of(node), 90)):
            sms.call("PUT", f"/api/v1/nodes/{one}/resource", json={"cpu_usage_percent": cpu})
        answer = sms.post("/e/spilled", data=b"somewhere")
        assert answer.content == b"somewhere"
        placed = sms.get(f"/api/v1/executions/{answer.headers['X-Execution-Id']}/placement").json()
        assert [(hop["node_uuid"], hop["outcome_class"]) for hop in placed["hops"]] == [(uuid, "unavailable")]
        assert f"task '{task}' not found" in placed["hops"][0]["error_message"]
        sms.call("DELETE", f"/api/v1/nodes/{uuid}")
