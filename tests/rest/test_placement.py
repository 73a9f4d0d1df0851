"""Placement over HTTP: candidates, pins, what failures and drains do, and why."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest
import requests

from tests.rest.conftest import NODE, done, refused
from tests.server import Server, events_of

PLACE, REPORT = "/api/v1/placement/invocations/place", "/api/v1/placement/invocations/report-outcome"


def pinned(server: Server, node: str) -> str:
    return str(done(server.post("/api/v1/tasks", json={"name": "p", "version": "1", "node_uuid": node}))["task_id"])


def candidates(server: Server, task: str, **more: object) -> list[dict]:
    return list(done(server.post(PLACE, json={"request_id": "r", "task_id": task, **more}))["candidates"])


def report(server: Server, node: str, outcome: str) -> None:
    body = {"decision_id": "d", "request_id": "r", "task_id": "t", "node_uuid": node, "outcome_class": outcome}
    assert done(server.post(REPORT, json=body)) == {"accepted": True}


def test_a_task_is_placed_on_the_emptiest_nodes_first(server: Server, task: str) -> None:
    for percent in (20, 10, 30):
        uuid = done(server.post("/api/v1/nodes", json=NODE), 201)["node_uuid"]
        done(server.call("PUT", f"/api/v1/nodes/{uuid}/resource", json={"cpu_usage_percent": percent}))
    found = done(server.post(PLACE, json={"request_id": "r", "task_id": task, "labels": {"zone": "a"}}))
    assert UUID(found["decision_id"])
    assert len(found["candidates"]) == 3
    assert set(found["candidates"][0]) == {"node_uuid", "ip_address", "port", "score"}
    scores = [c["score"] for c in found["candidates"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (2, 2), (0, 3)])
def test_as_many_candidates_come_as_were_asked_for(server: Server, task: str, asked: int, given: int) -> None:
    for _ in range(3):
        done(server.post("/api/v1/nodes", json=NODE), 201)
    assert len(candidates(server, task, max_candidates=asked)) == given


def test_a_pinned_task_goes_to_its_node_or_nowhere(server: Server, node: str) -> None:
    task = pinned(server, node.upper())
    (found,) = candidates(server, task)
    assert (found["node_uuid"], found["ip_address"], found["port"]) == (node, NODE["ip_address"], NODE["port"])
    done(server.call("DELETE", f"/api/v1/nodes/{node}"))
    assert candidates(server, task) == []


@pytest.mark.parametrize(("status", "takes_work"), [("active", True), ("maintenance", False), ("online", True)])
def test_an_active_node_takes_work_as_one_that_is_online_does(
    server: Server, node: str, status: str, takes_work: bool
) -> None:
    done(server.call("PUT", f"/api/v1/nodes/{node}", json={"status": status, "metadata": {"zone": "b"}}))
    assert [found["node_uuid"] for found in candidates(server, pinned(server, node))] == [node] * takes_work


@pytest.mark.parametrize("outcome", ["overloaded", "UNAVAILABLE", "Timeout"])
def test_a_node_that_failed_is_left_out_until_it_succeeds(server: Server, node: str, outcome: str) -> None:
    task = pinned(server, node)
    report(server, node, outcome)
    assert candidates(server, task) == []
    report(server, node, "success")
    assert [c["node_uuid"] for c in candidates(server, task)] == [node]


@pytest.mark.parametrize("outcome", ["rejected", "bad_request", "internal", "unknown", "never heard of"])
def test_what_is_not_the_nodes_fault_does_not_count(server: Server, node: str, outcome: str) -> None:
    report(server, node, outcome)
    assert len(candidates(server, pinned(server, node))) == 1


def test_what_cannot_be_placed_or_reported_is_refused(server: Server, node: str) -> None:
    refused(server.post(PLACE, json={"request_id": "r", "task_id": "t"}), 404, "TASK_NOT_FOUND")
    refused(server.post(PLACE, json={"task_id": "t"}), 422, "INVALID_ARGUMENT", "request_id: missing")
    body = {"decision_id": "d", "request_id": "r", "task_id": "t", "node_uuid": str(uuid4())}
    refused(server.post(REPORT, json=body), 404, "NODE_NOT_FOUND")
    refused(server.post(REPORT, json={**body, "node_uuid": node, "outcome_class": 1}), 422, "INVALID_ARGUMENT")


def test_labels_choose_among_nodes_by_their_metadata(server: Server, node: str, task: str) -> None:
    only = done(server.post("/api/v1/nodes", json={**NODE, "metadata": {"rack": node}}), 201)["node_uuid"]
    assert [c["node_uuid"] for c in candidates(server, task, labels={"rack": node})] == [only]
    assert candidates(server, task, labels={"rack": "nowhere"}) == []


def test_a_decision_is_recorded_under_the_id_that_the_caller_hears(server: Server, node: str) -> None:
    task = pinned(server, node)
    answer = server.post(PLACE, json={"request_id": "r-1", "task_id": task})
    (event,) = events_of(server, ["InvocationPlaced"], noun="placement", ident=done(answer)["decision_id"])
    assert str(event["position"]) == answer.headers["X-Position"]
    data = event["data"]
    assert (data["request_id"], data["task_id"], data["labels"]) == ("r-1", task, {})
    assert [c["node_uuid"] for c in data["decision"]["candidates"]] == [node]
    assert data["decision"]["refused_counts"] == {"pinned_elsewhere": data["decision"]["nodes"] - 1}


def drain(server: Server, node: str, how: str = "drain", **body: str) -> dict:
    return dict(done(server.post(f"/api/v1/nodes/{node}/{how}", json=body))["node"])


def test_a_drained_node_is_shown_so_gets_no_work_and_may_be_given_work_again(server: Server, node: str) -> None:
    task = pinned(server, node)
    shown = drain(server, node, reason="a new kernel")
    assert (shown["uuid"], shown["status"], shown["drained"]) == (node, "online", True)
    assert candidates(server, task) == []
    drain(server, node, reason="again")
    assert drain(server, node, "undrain")["drained"] is False
    drain(server, node, "undrain")
    assert len(candidates(server, task)) == 1
    drains = events_of(server, ["NodeDrained", "NodeUndrained"], noun="node", ident=node)
    assert [event["data"] for event in drains] == [{"reason": "a new kernel"}, {"reason": "undrained by request"}]


@pytest.mark.parametrize("how", ["drain", "undrain"])
def test_only_a_registered_node_can_be_drained(server: Server, how: str) -> None:
    refused(server.post(f"/api/v1/nodes/{uuid4()}/{how}"), 404, "NODE_NOT_FOUND")
    refused(server.post(f"/api/v1/nodes/none/{how}"), 404, "NODE_NOT_FOUND")


def why_not(server: Server, task: str, node: str) -> dict:
    return done(server.get("/api/v1/placement/why-not", params={"task_id": task, "node_uuid": node}))


def test_why_not_answers_before_anything_runs(server: Server, node: str) -> None:
    task = pinned(server, node)
    found = why_not(server, task, node)
    assert (found["fits"], found["refused"], found["rank"], found["fitting"]) == (True, [], 1, 1)
    assert f"Node {node} may run it" in found["explanation"]
    drain(server, node, reason="a new kernel")
    found = why_not(server, task, node)
    assert (found["fits"], found["rank"]) == (False, 0)
    assert found["refused"] == [{"reason": "drained", "text": "it is drained: a new kernel"}]
    assert found["explanation"] == f"Node {node} may not run it: it is drained: a new kernel."
    assert (found["policy"], found["policy_version"]) == ("least-used", 1)


def test_why_not_needs_a_task_and_a_node_that_exist(server: Server, node: str, task: str) -> None:
    path = "/api/v1/placement/why-not"
    refused(server.get(path, params={"task_id": task}), 422, "INVALID_ARGUMENT", "node_uuid: missing")
    refused(server.get(path, params={"task_id": task, "node_uuid": "x"}), 422, "INVALID_ARGUMENT", "node_uuid: got 'x'")
    refused(server.get(path, params={"task_id": task, "node_uuid": str(uuid4())}), 404, "NODE_NOT_FOUND")
    refused(server.get(path, params={"task_id": str(uuid4()), "node_uuid": node}), 404, "TASK_NOT_FOUND")


def test_an_execution_tells_why_it_is_where_it_is(server: Server, node: str, ran: dict) -> None:
    drain(server, node, reason="a new kernel")
    execution = done(server.run(ran["task_id"]))
    found = done(server.get(f"/api/v1/executions/{execution['execution_id']}/placement"))
    assert (found["execution_id"], found["node_uuid"]) == (execution["execution_id"], execution["node_uuid"])
    assert (found["rule"], found["decision"]["policy"]) == ("local", "least-used")
    assert found["decision"]["refused_counts"]["drained"] >= 1
    assert f"Node {execution['node_uuid']} took the call and runs it itself" in found["explanation"]
    refused(server.get(f"/api/v1/executions/{uuid4()}/placement"), 404, "EXECUTION_NOT_FOUND")


def test_where_an_execution_is_can_be_asked_as_of_earlier(server: Server, node: str, ran: dict) -> None:
    ident = done(server.run(ran["task_id"]))["execution_id"]
    facts = {e["type"]: e["position"] for e in events_of(server, [], noun="execution", ident=ident)}

    def then(as_of: int) -> requests.Response:
        return server.get(f"/api/v1/executions/{ident}/placement", params={"as_of": as_of})

    refused(then(facts["ExecutionRequested"] - 1), 404, "EXECUTION_NOT_FOUND")
    assert done(then(facts["ExecutionPlaced"] - 1))["decision"] is None
    placed = then(facts["ExecutionPlaced"])
    assert placed.headers["X-As-Of"] == str(facts["ExecutionPlaced"])
    assert done(placed)["decision"]["policy"] == "least-used"
    refused(then(10**9), 422, "INVALID_ARGUMENT", "as_of: got 1000000000")


def test_calls_on_a_drained_node_are_refused_until_it_takes_work_again_and_across_a_restart(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.register("hello", endpoint="hello")
        execution = server.post("/e/hello", data="x").headers["X-Execution-Id"]
        found = done(server.get(f"/api/v1/executions/{execution}/placement"))
        assert (found["rule"], found["decision"]) == ("local", None)
        assert "no other node to choose from" in found["explanation"]
        drain(server, found["node_uuid"], reason="a new kernel")
        refused(server.post("/e/hello", data="x"), 503, "NODE_DRAINED", "a new kernel")
        server.stop()
        server.start()
        refused(server.post("/e/hello", data="x"), 503, "NODE_DRAINED", "a new kernel")
        assert done(server.get("/api/v1/executions"))["total_count"] == 1
        drain(server, found["node_uuid"], "undrain")
        assert server.post("/e/hello", data="x").status_code == 200
