"""Placement over HTTP: candidates, pins, and what failures do."""

from uuid import UUID, uuid4

import pytest

from tests.rest.conftest import NODE, done, refused
from tests.server import Server

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
    found = done(server.post(PLACE, json={"request_id": "r", "task_id": task, "labels": {"a": "b"}}))
    assert UUID(found["decision_id"]).version == 4
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
