"""A SPEARlet that stood alone and is linked to an SMS now: whose tasks, files and nodes are asked for there, and whose run."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from spear.adapters.rpc.generated.sms import node_pb2
from tests.e2e.test_forwarding import joined, uuid_of
from tests.rest._sockets import HANDSHAKE, heard
from tests.rest._sockets import connected as dialled
from tests.rpc._wire import Stub, connected
from tests.server import Server, events_of, eventually


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


def test_tasks_at_a_linked_node_are_those_of_its_sms(node: Server, sms: Server, earlier: tuple[str, str]) -> None:
    task = node.register("echo", endpoint="anywhere")
    assert sms.post("/e/anywhere", data=b"hi").content == b"hi"
    for at, path in ((sms, ""), (node, "")):
        assert at.get(f"/api/v1/tasks/{task}{path}").json()["name"] == "echo"
    eventually(lambda: node.get("/api/v1/tasks").json() == sms.get("/api/v1/tasks").json())  # while ends are reported
    changed = node.call("PUT", f"/api/v1/tasks/{task}", json={"description": "new"})
    assert (changed.status_code, sms.get(f"/api/v1/tasks/{task}").json()["description"]) == (200, "new")
    here = {found["task_id"] for found in node.get("/api/v1/tasks?here=true").json()["tasks"]}
    assert here == {*earlier, *here} and sms.get(f"/api/v1/tasks/{earlier[0]}").status_code == 404
    again = node.post("/api/v1/tasks", json={"name": "again", "version": "1", "endpoint": "anywhere"})
    assert (again.status_code, again.json()["error"]) == (409, "ENDPOINT_EXISTS")


def test_a_task_that_is_deleted_at_a_node_is_gone_everywhere(node: Server, sms: Server) -> None:
    task = sms.register("echo", endpoint="short")
    assert node.post("/e/short", data=b"hi").content == b"hi"
    assert node.call("DELETE", f"/api/v1/tasks/{task}").status_code == 200
    eventually(lambda: node.get(f"/api/v1/tasks/{task}?here=true").status_code == 404)
    for at in (sms, node):
        assert at.run(task).status_code == 404
        assert at.post("/e/short").status_code == 404


def test_the_position_of_a_write_at_the_sms_is_not_told_as_one_of_the_node(node: Server, sms: Server) -> None:
    answer = node.post("/api/v1/tasks", json={"name": "n", "version": "1"}, headers={"X-Request-Id": "mine"})
    [event] = events_of(sms, ["TaskCreated"], noun="task", ident=answer.json()["task_id"])
    assert answer.headers["X-Sms-Position"] == str(event["position"])
    assert "X-Position" not in answer.headers
    assert (event["correlation"], answer.headers["X-Request-Id"]) == ("mine", "mine")
    past = node.get(f"/api/v1/tasks?as_of={event['position'] - 1}")
    assert past.headers["X-As-Of"] == str(event["position"] - 1)
    assert answer.json()["task_id"] not in past.text


def test_pages_at_a_node_go_on_where_they_stopped(node: Server, sms: Server) -> None:
    for _ in range(3):
        sms.post("/api/v1/tasks", json={"name": "page", "version": "1"})
    whole = [task["task_id"] for task in sms.get("/api/v1/tasks").json()["tasks"]]
    found, after = [], 0
    while page := node.get(f"/api/v1/tasks?limit=2&after={after}").json():
        found += [task["task_id"] for task in page["tasks"]]
        if not (after := page["next_after"]):
            break
    assert found == whole


def test_files_at_a_node_go_to_its_sms_and_come_back_from_there(node: Server, sms: Server) -> None:
    content = Random(1).randbytes(3_000_000)
    pieces = (content[at : at + 700_000] for at in range(0, len(content), 700_000))
    sent = node.post("/api/v1/files", data=pieces, headers={"x-file-name": "gr\u00fcn.bin".encode()}).json()
    path = f"/api/v1/files/{sent['id']}"
    assert (sent["size"], sms.get(f"{path}/meta").json()["name"]) == (3_000_000, "gr\u00fcn.bin")
    whole = node.get(path)
    assert whole.content == content
    kept = ("ETag", "Content-Length", "Content-Disposition", "Content-Type", "Accept-Ranges", "X-Content-Type-Options")
    assert [whole.headers[name] for name in kept] == [sms.get(path).headers[name] for name in kept]
    part = node.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (
        206,
        content[10:20],
        "bytes 10-19/3000000",
    )
    assert node.get(path, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert node.get(path, headers={"Range": "bytes=3000000-"}).status_code == 416
    head = node.call("HEAD", path)
    assert (head.headers["Content-Length"], head.content) == ("3000000", b"")
    assert node.get(f"{path}?here=true").status_code == 404
    assert node.call("DELETE", path).status_code == 200
    assert sms.get(path).status_code == 404


def test_nodes_at_a_node_are_the_whole_fleet(node: Server, sms: Server) -> None:
    other = sms.post("/api/v1/nodes", json={"ip_address": "127.0.0.1", "port": 1}).json()["node_uuid"]
    assert {one["uuid"] for one in node.get("/api/v1/nodes").json()["nodes"]} == {uuid_of(node), other}
    assert node.post(f"/api/v1/nodes/{other}/drain", json={"reason": "enough"}).json()["node"]["drained"]
    assert sms.get(f"/api/v1/nodes/{other}").json()["node"]["drained"]
    assert [one["uuid"] for one in node.get("/api/v1/nodes?here=true").json()["nodes"]] == [uuid_of(node)]
    assert node.call("DELETE", f"/api/v1/nodes/{other}").status_code == 200


def test_the_status_of_a_task_is_told_by_the_node_itself(node: Server, sms: Server) -> None:
    task = sms.register("hello", endpoint="told")
    path = f"/api/v1/tasks/{task}/ws"
    assert node.get(path, headers=HANDSHAKE | {"Host": f"127.0.0.1:{node.port}"}).status_code == 404
    assert node.post("/e/told").status_code == 200
    with dialled(node, path) as client:
        assert heard(client)["task"]["status"] == "active"
        sms.call("PUT", f"/api/v1/tasks/{task}", json={"description": "better"})
        assert heard(client)["task"]["description"] == "better"
        sms.call("DELETE", f"/api/v1/tasks/{task}")
        gone = next(one for one in iter(lambda: heard(client), None) if one["event"]["type"] == "TaskUnregistered")
        assert gone["task"] is None


def test_what_a_task_writes_lies_in_a_folder_of_its_own_beneath_its_node_s(node: Server, sms: Server) -> None:
    task = sms.register("exit3")
    execution = sms.run(task).json()["execution_id"]
    for at in (node, sms):
        [found] = eventually(lambda at=at: list(at.data_dir.glob(f"logs/tasks/*/*/{execution}.log")))
        assert found.parts[-3:-1] == (uuid_of(node), task)
        eventually(lambda found=found: "giving up" in found.read_text())


def test_a_word_that_is_neither_true_nor_false_is_refused(node: Server) -> None:
    answer = node.get("/api/v1/tasks?here=perhaps")
    assert (answer.status_code, answer.json()["details"]["field"]) == (422, "here")


def test_a_request_that_no_route_takes_is_refused_at_the_node(node: Server) -> None:
    assert node.get("/api/v1/tasks/x/y/z").json()["error"] == "ROUTE_NOT_FOUND"
    assert node.call("PATCH", "/api/v1/tasks").status_code == 405


def test_while_the_sms_is_away_its_part_is_503_and_what_the_node_has_is_there(node: Server, sms: Server) -> None:
    sms.stop()
    try:
        for method, path in (("GET", "tasks"), ("POST", "files"), ("GET", "nodes")):
            answer = node.call(method, f"/api/v1/{path}")
            assert (answer.status_code, answer.json()["error"]) == (503, "SMS_UNREACHABLE")
            who = f"the SMS at 127.0.0.1:{sms.port}, which keeps tasks, files and nodes,"
            assert answer.json()["message"] == f"{who} cannot be asked: Connection refused"
            assert int(answer.headers["Retry-After"]) >= 1
        assert node.get("/api/v1/tasks?here=true").status_code == 200
        assert node.post("/e/own").status_code == 200
    finally:
        sms.start()
