"""An SMS that runs executions on its SPEARlets, as real processes: sent, spilled, asked for again, ended once."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from spear.adapters.rpc.generated.sms import node_pb2
from spear.adapters.rpc.generated.spearlet import function_pb2
from tests.e2e._lossy import Lossy
from tests.rpc._wire import Stub, connected
from tests.server import Server, events_of, eventually

FLAGS = "--auto-register", "--node-name"


def joined(folder: Path, sms: Server, name: str, *, most: int = 2) -> Server:
    """A SPEARlet of the SMS that runs `most` executions at once and queues none; it reports resources once, and then the test does."""
    config = folder / f"{name}.toml"
    config.write_text(
        f"[spearlet]\nheartbeat_interval = 60\nsms_http_addr = '127.0.0.1:{sms.port}'\nsms_connect_retry_ms = 50\n"
        f"[executions]\nmax_concurrent = {most}\nqueue_limit = 0\n"
    )
    link = ["--config", str(config), "--sms-addr", f"127.0.0.1:{sms.grpc_port}", *FLAGS, name]
    return Server(folder / name, *link, role="spearlet")


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "sms.toml").write_text("[executions]\ngrace_ms = 100\n")
    with Server(folder / "sms", "--config", str(folder / "sms.toml"), role="sms") as found:
        yield found


@pytest.fixture(scope="module")
def both(sms: Server) -> Iterator[tuple[Server, Server]]:
    folder = sms.data_dir.parent
    with joined(folder, sms, "one") as one, joined(folder, sms, "two") as two:
        yield one, two


@pytest.fixture
def nodes(sms: Server, both: tuple[Server, Server]) -> tuple[Server, Server]:
    """The node that placement likes best, and the other one; both take work."""
    best, other = both
    for node, cpu in ((best, 0), (other, 90)):
        report_success(sms, node)
        resource = {"cpu_usage_percent": cpu, "memory_usage_percent": 0, "disk_usage_percent": 0, "load_average_1m": 0}
        assert sms.call("PUT", f"/api/v1/nodes/{uuid_of(node)}/resource", json=resource).status_code == 200
    return best, other


def uuid_of(node: Server) -> str:
    """The uuid that the node keeps."""
    return (node.data_dir / "node_uuid").read_text()


def report_success(sms: Server, node: Server) -> None:
    """End the node's penalty."""
    named = {"decision_id": "d", "request_id": "r", "task_id": "t", "node_uuid": uuid_of(node)}
    sms.post("/api/v1/placement/invocations/report-outcome", json={**named, "outcome_class": "success"})


def shown(server: Server, ident: str) -> dict[str, Any]:
    """An execution as one process has it."""
    found: dict[str, Any] = server.get(f"/api/v1/executions/{ident}").json()
    return found


def runs_of(nodes: tuple[Server, Server], ident: str) -> Counter[str]:
    """How often each node's own log has the execution requested: how often it could run."""
    found = {uuid_of(node): events_of(node, ["ExecutionRequested"], noun="execution", ident=ident) for node in nodes}
    return Counter({uuid: len(events) for uuid, events in found.items() if events})


def begun(sms: Server, task: str, node: Server, **body: Any) -> str:
    """An asynchronous execution that runs on the node by now."""
    answer = sms.run(task, mode="async", **body)
    assert answer.status_code == 202, answer.text
    ident = str(answer.json()["execution_id"])
    eventually(lambda: shown(node, ident).get("status") == "running")
    return ident


def ended(sms: Server, ident: str) -> dict[str, Any]:
    """The execution once the SMS knows its end."""
    eventually(lambda: shown(sms, ident)["status"] not in ("pending", "running"), within_s=30)
    return shown(sms, ident)


def test_a_call_runs_on_a_node_and_its_output_comes_back(sms: Server, nodes: tuple[Server, Server]) -> None:
    sms.register("echo", endpoint="mirror")
    answer = sms.post("/e/mirror", data=b"hi there", headers={"Content-Type": "text/x"})
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, b"hi there", "text/x")
    here = shown(sms, ident := answer.headers["X-Execution-Id"])
    there = shown(nodes[0], ident)
    assert (here["status"], here["output"], here["node_uuid"]) == ("completed", "hi there", uuid_of(nodes[0]))
    assert {key: here[key] for key in ("instance_id", "start")} == {key: there[key] for key in ("instance_id", "start")}
    assert runs_of(nodes, ident) == {uuid_of(nodes[0]): 1}


def test_arguments_environment_and_exit_codes_travel(sms: Server, nodes: tuple[Server, Server]) -> None:
    told = sms.run(sms.register("env_args"), args=["a", "b c"], environment={"COLOUR": "green"}).json()
    assert "b c" in told["output"]
    assert "COLOUR=green" in told["output"]
    failed = sms.run(sms.register("exit3")).json()
    assert (failed["status"], failed["exit_code"]) == ("failed", 3)


def test_an_asynchronous_one_is_accepted_and_completes(sms: Server, nodes: tuple[Server, Server]) -> None:
    answer = sms.run(sms.register("hello"), mode="async")
    assert answer.status_code == 202
    found = ended(sms, answer.json()["execution_id"])
    assert (found["status"], found["output"].strip()) == ("completed", "Hello from SPEAR!")


def test_a_full_node_spills_to_the_other_and_that_is_explained(sms: Server, nodes: tuple[Server, Server]) -> None:
    best, other = nodes
    sleep = sms.register("sleep", config={"limits.concurrency": "1"})  # which the SMS does not count for each node
    busy = begun(best, sleep, best)
    found = sms.run(sleep, args=["1"]).json()
    best.post(f"/api/v1/executions/{busy}/terminate")
    assert (found["status"], found["node_uuid"]) == ("completed", uuid_of(other))
    placed = sms.get(f"/api/v1/executions/{found['execution_id']}/placement").json()
    assert [(hop["node_uuid"], hop["outcome_class"]) for hop in placed["hops"]] == [(uuid_of(best), "overloaded")]
    assert f"Node {uuid_of(best)} did not take it: overloaded" in placed["explanation"]
    assert f"Node {uuid_of(other)} was the best" in placed["explanation"]
    assert runs_of(nodes, found["execution_id"]) == {uuid_of(other): 1}


def test_a_full_spearlet_asks_its_sms_and_sends_the_call_on(sms: Server, nodes: tuple[Server, Server]) -> None:
    best, other = nodes
    loop = sms.register("loop")
    sms.register("hello", endpoint="greet")
    busy = [begun(best, loop, best) for _ in range(2)]
    answer = best.post("/e/greet")
    for ident in busy:
        best.post(f"/api/v1/executions/{ident}/terminate")
    assert answer.content.strip() == b"Hello from SPEAR!"
    ident = answer.headers["X-Execution-Id"]
    assert [shown(node, ident)["node_uuid"] for node in nodes] == [uuid_of(other)] * 2
    text = best.get(f"/api/v1/executions/{ident}/placement").json()["explanation"]
    assert f"Node {uuid_of(other)} was the best of those that may run it. The SMS decided (" in text


def test_a_spearlet_sends_what_is_pinned_to_another_node_there(sms: Server, nodes: tuple[Server, Server]) -> None:
    best, other = nodes
    found = best.run(sms.register("hello"), node_uuid=uuid_of(other)).json()
    assert (found["status"], found["node_uuid"]) == ("completed", uuid_of(other))


def test_an_answer_that_gets_lost_is_asked_for_again(sms: Server, nodes: tuple[Server, Server]) -> None:
    best, _ = nodes
    echo, uuid = sms.register("echo"), uuid_of(best)
    with Lossy(best.grpc_port, 2000) as wire:
        assert sms.call("PUT", f"/api/v1/nodes/{uuid}", json={"port": wire.port}).status_code == 200
        found = sms.run(echo, input="x" * 5000).json()
        sms.call("PUT", f"/api/v1/nodes/{uuid}", json={"port": best.grpc_port})
        assert wire.connections == 2
    assert (found["status"], found["output"], found["node_uuid"]) == ("completed", "x" * 5000, uuid)
    assert runs_of(nodes, found["execution_id"]) == {uuid: 1}


def test_a_pinned_task_runs_on_its_node_and_a_drained_one_gets_none(sms: Server, nodes: tuple[Server, Server]) -> None:
    best, other = nodes
    hello = sms.register("hello")
    assert sms.run(hello, node_uuid=uuid_of(other)).json()["node_uuid"] == uuid_of(other)
    sms.post(f"/api/v1/nodes/{uuid_of(best)}/drain", json={"reason": "a new kernel"})
    try:
        assert sms.run(hello).json()["node_uuid"] == uuid_of(other)
        refused = sms.run(hello, node_uuid=uuid_of(best))
        assert (refused.status_code, refused.json()["error"]) == (503, "NODE_UNREACHABLE")
        assert "a new kernel" in refused.json()["message"]
    finally:
        sms.post(f"/api/v1/nodes/{uuid_of(best)}/undrain")
    assert sms.run(hello).json()["node_uuid"] == uuid_of(best)


def test_terminate_at_the_sms_ends_the_agent_on_its_node(sms: Server, nodes: tuple[Server, Server]) -> None:
    ident = begun(sms, sms.register("loop"), nodes[0])
    answer = sms.post(f"/api/v1/executions/{ident}/terminate", json={"reason": "enough"})
    assert (answer.status_code, answer.json()["final_status"]) == (200, "cancelled")
    assert shown(nodes[0], ident)["status"] == "cancelled"


@pytest.mark.parametrize("end", [Server.kill, Server.stop])
def test_an_sms_that_was_away_finds_again_what_it_had_run_elsewhere(
    sms: Server, nodes: tuple[Server, Server], end: Callable[[Server], object]
) -> None:
    ident = begun(sms, sms.register("sleep"), nodes[0], args=["1000"])
    end(sms)
    sms.start()
    found = ended(sms, ident)
    assert (found["status"], found["node_uuid"]) == ("completed", uuid_of(nodes[0]))
    assert runs_of(nodes, ident) == {uuid_of(nodes[0]): 1}


def test_a_node_killed_while_it_runs_an_execution_ends_it_as_failed_once(
    sms: Server, nodes: tuple[Server, Server]
) -> None:
    best, _ = nodes
    ident = begun(sms, sms.register("loop"), best)
    best.kill()
    best.start()
    found = ended(sms, ident)
    assert (found["status"], found["node_uuid"], found["error"]["reason"]) == ("failed", uuid_of(best), "lost")
    assert runs_of(nodes, ident) == {uuid_of(best): 1}


def test_a_node_that_is_away_is_passed_over(sms: Server, nodes: tuple[Server, Server]) -> None:
    best, other = nodes
    hello = sms.register("hello")
    best.kill()
    try:
        found = sms.run(hello).json()
        assert (found["status"], found["node_uuid"]) == ("completed", uuid_of(other))
        placed = sms.get(f"/api/v1/executions/{found['execution_id']}/placement").json()
        assert [hop["outcome_class"] for hop in placed["hops"]] == ["unavailable"]
    finally:
        best.start()


def test_a_node_that_is_back_is_reached_at_once(sms: Server, nodes: tuple[Server, Server]) -> None:
    best, _ = nodes
    hello = sms.register("hello")
    best.kill()
    try:
        for _ in range(3):  # each fails to reach it
            assert sms.run(hello).json()["status"] == "completed"
            report_success(sms, best)
    finally:
        best.start()
    found = sms.run(hello, node_uuid=uuid_of(best)).json()
    placed = sms.get(f"/api/v1/executions/{found['execution_id']}/placement").json()
    assert (found["status"], found["node_uuid"], placed["hops"]) == ("completed", uuid_of(best), [])


def test_while_no_node_can_be_reached_a_call_is_told_when_to_come_again(
    sms: Server, nodes: tuple[Server, Server]
) -> None:
    sms.register("echo", endpoint="later", config={"limits.wall_ms": "5000"})
    for node in nodes:
        node.kill()
    try:
        first, second = (sms.post("/e/later", data=b"x") for _ in range(2))
    finally:
        for node in nodes:
            node.start()
    assert {answer.status_code for answer in (first, second)} == {503}
    assert {answer.json()["error"] for answer in (first, second)} == {"NO_NODE"}
    ended_as = shown(sms, first.headers["X-Execution-Id"])
    assert (ended_as["status"], ended_as["error"]["code"], first.headers["Retry-After"]) == ("failed", "NO_NODE", "1")
    assert "X-Execution-Id" not in second.headers and 1 < int(second.headers["Retry-After"]) <= 20
    for node in nodes:
        report_success(sms, node)
    assert sms.post("/e/later", data=b"x").content == b"x"


def test_an_idempotency_key_names_one_run_in_the_whole_fleet(sms: Server, nodes: tuple[Server, Server]) -> None:
    sms.register("echo", endpoint="once")
    answers = [sms.post("/e/once", data=b"x", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert {answer.content for answer in answers} == {b"x"}
    (ident,) = {answer.headers["X-Execution-Id"] for answer in answers}
    assert sum(runs_of(nodes, ident).values()) == 1


def test_a_key_at_two_spearlets_is_one_id_with_two_runs_and_at_the_sms_after_them_it_is_refused(
    sms: Server, nodes: tuple[Server, Server]
) -> None:
    sms.register("echo", endpoint="twice")
    asked = {"data": b"x", "headers": {"Idempotency-Key": "k"}}
    first, second = (node.post("/e/twice", **asked) for node in nodes)
    ident = first.headers["X-Execution-Id"]
    assert (second.headers["X-Execution-Id"], first.content, second.content) == (ident, b"x", b"x")
    assert runs_of(nodes, ident) == {uuid_of(node): 1 for node in nodes}
    eventually(lambda: sms.get(f"/api/v1/executions/{ident}").status_code == 200)
    again = sms.post("/e/twice", **asked)
    assert (again.status_code, again.json()["error"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert nodes[0].post("/e/twice", **asked).headers["X-Execution-Id"] == ident
    assert runs_of(nodes, ident) == {uuid_of(node): 1 for node in nodes}


def test_a_deadline_that_passes_at_a_spearlet_ends_the_agent_on_the_other_node(
    sms: Server, nodes: tuple[Server, Server]
) -> None:
    best, other = nodes
    loop, late = sms.register("loop"), sms.register("loop")
    busy = [begun(best, loop, best) for _ in range(2)]
    with connected(best) as channel:
        invoke = Stub(channel, function_pb2, "InvocationService").Invoke.later(task_id=late, timeout=3)
        [ident] = eventually(lambda: [one["execution_id"] for one in executions_of(other, late, "running")])
        assert invoke.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert shown(best, ident)["node_uuid"] == uuid_of(other)
    for server in nodes:
        eventually(lambda server=server: shown(server, ident)["status"] == "cancelled")
        assert "deadline passed" in shown(server, ident)["error"]["message"]
    for ident in busy:
        best.post(f"/api/v1/executions/{ident}/terminate")


def executions_of(server: Server, task: str, status: str) -> list[dict[str, Any]]:
    """What one process has of a task's executions in this status."""
    found = server.get("/api/v1/executions", params={"task_id": task, "status": status}).json()["executions"]
    return list(found)


def test_an_sms_answers_nodes_however_many_calls_it_waits_for(sms: Server) -> None:
    """gevent's own pool of native threads would be full by ten."""
    task = sms.register("sleep", config={"limits.concurrency": "64"})
    with joined(sms.data_dir.parent, sms, "wide", most=16) as wide:
        asked = [sms.run(task, mode="async", args=["20000"], node_uuid=uuid_of(wide)) for _ in range(14)]
        assert {answer.status_code for answer in asked} == {202}
        eventually(lambda: len(events_of(wide, ["ExecutionStarted"])) == 14)
        with connected(sms) as channel:
            assert Stub(channel, node_pb2, "NodeService").GetNode(uuid=uuid_of(wide), timeout=5).found
