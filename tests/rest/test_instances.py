"""Instances and executions over HTTP, in the shapes of the public API."""

import pytest

from tests.rest.conftest import done, refused
from tests.server import Server


def test_the_instances_of_a_task_are_summed_up(server: Server, ran: dict) -> None:
    found = done(server.get(f"/api/v1/tasks/{ran['task_id']}/instances"))
    (instance,) = found["instances"]
    assert found["next_page_token"] == ""
    assert set(instance) == {"instance_id", "node_uuid", "status", "last_seen_ms", "current_execution_id"}
    assert (instance["instance_id"], instance["status"]) == (ran["instance_id"], "idle")
    assert instance["last_seen_ms"] >= ran["completed_at_ms"]


def test_one_instance_is_shown_whole(server: Server, ran: dict) -> None:
    found = done(server.get(f"/api/v1/instances/{ran['instance_id'].upper()}"))
    assert (found["instance_id"], found["task_id"]) == (ran["instance_id"], ran["task_id"])
    assert (found["node_uuid"], found["runtime"], found["running"]) == (ran["node_uuid"], "wasm", 0)
    assert len(found["sha256"]) == 64


def test_what_ran_on_an_instance_comes_newest_first_in_pages(server: Server) -> None:
    task = server.register("hello")
    runs = [done(server.run(task)) for _ in range(3)]
    path = f"/api/v1/instances/{runs[0]['instance_id']}/executions"
    found, token = [], ""
    for _ in runs:
        page = done(server.get(path, params={"limit": 1, "page_token": token}))
        found += page["executions"]
        token = page["next_page_token"]
    assert [e["execution_id"] for e in found] == [run["execution_id"] for run in reversed(runs)]
    assert token == ""
    assert set(found[0]) == {"execution_id", "task_id", "status", "started_at_ms", "completed_at_ms", "function_name"}
    assert (found[0]["task_id"], found[0]["status"]) == (task, "completed")


def test_an_instance_that_stopped_leaves_the_list_and_can_still_be_seen(server: Server) -> None:
    task = server.register("hello")
    ran = done(server.run(task))
    before = done(server.get("/ready"))["head"]
    done(server.call("DELETE", f"/api/v1/tasks/{task.upper()}"))
    assert done(server.get(f"/api/v1/instances/{ran['instance_id']}"))["status"] == "terminated"
    past = done(server.get(f"/api/v1/tasks/{task}/instances", params={"as_of": before}))
    assert [i["instance_id"] for i in past["instances"]] == [ran["instance_id"]]


def test_an_execution_is_shown_with_its_output_and_its_public_record(server: Server, ran: dict) -> None:
    found = done(server.get(f"/api/v1/executions/{ran['execution_id']}"))
    assert (found["found"], found["output"]) == (True, ran["output"])
    record = found["execution"]
    assert set(record) >= {
        "execution_id", "invocation_id", "task_id", "function_name", "node_uuid", "instance_id", "status",
        "started_at_ms", "completed_at_ms", "log_ref", "metadata", "updated_at_ms",
    }  # fmt: skip
    assert set(record["log_ref"]) == {"backend", "uri_prefix", "content_type", "compression"}
    assert server.get(record["log_ref"]["uri_prefix"]).status_code == 200


def test_executions_are_filtered_and_their_total_counts_what_was_filtered(server: Server) -> None:
    good, bad = server.register("hello"), server.register("exit3")
    for task in (good, good, bad):
        server.run(task)

    def found(**query: str) -> tuple[set[str], int]:
        page = done(server.get("/api/v1/executions", params=query))
        return {e["task_id"] for e in page["executions"]}, page["total_count"]

    assert found(task_id=good) == ({good}, 2)
    assert found(task_id=bad, status="failed") == ({bad}, 1)
    assert found(task_id=bad, status="completed") == (set(), 0)
    everything = done(server.get("/api/v1/executions", params={"status": "failed"}))
    assert everything["total_count"] == everything["counts"]["failed"] >= 1


def test_an_asynchronous_execution_is_accepted_and_can_be_terminated_twice(server: Server) -> None:
    answer = server.run(server.register("loop"), mode="async")
    accepted = done(answer, 202)
    assert accepted["status"] in ("pending", "running")
    path = f"/api/v1/executions/{accepted['execution_id']}/terminate"
    for body in ({}, {"json": {"reason": "enough"}}):
        ended = done(server.post(path, **body))
        assert (ended["success"], ended["final_status"], ended["status"]) == (True, "cancelled", "cancelled")


def test_an_execution_that_ended_by_itself_cannot_be_terminated(server: Server, ran: dict) -> None:
    path = f"/api/v1/executions/{ran['execution_id']}/terminate"
    refused(server.post(path), 409, "EXECUTION_ENDED", "completed")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "task_id: missing, expected exactly one of task_id and endpoint"),
        ({"task_id": "a", "endpoint": "b"}, "task_id: got 'a', expected exactly one of"),
        ({"endpoint": "b", "input": "", "input_base64": ""}, "input: got '', expected at most one of"),
        ({"endpoint": "b", "mode": "later"}, "mode: got 'later', expected one of sync, async"),
        ({"endpoint": "b", "timeout_ms": 1.5}, "timeout_ms: got 1.5, expected a whole number from 0 to 3600000"),
        ({"endpoint": "b", "args": [None]}, "args.0: got None, expected text"),
        ({"endpoint": "b", "environment": {"A": "\0"}}, "environment.A: got '\\x00', expected text"),
    ],
)
def test_a_bad_call_is_refused_before_anything_is_recorded(server: Server, body: dict, words: str) -> None:
    before = done(server.get("/api/v1/executions"))["total_count"]
    refused(server.post("/api/v1/executions", json=body), 422, "INVALID_ARGUMENT", words)
    assert done(server.get("/api/v1/executions"))["total_count"] == before


@pytest.mark.parametrize("ident", ["nobody", "5f0d7ed6-7402-45f7-9671-22c2b0833e2f", "%00"])
def test_an_id_that_names_nothing_is_not_found(server: Server, ident: str) -> None:
    refused(server.get(f"/api/v1/instances/{ident}"), 404, "INSTANCE_NOT_FOUND")
    refused(server.get(f"/api/v1/instances/{ident}/executions"), 404, "INSTANCE_NOT_FOUND")
    refused(server.get(f"/api/v1/executions/{ident}"), 404, "EXECUTION_NOT_FOUND")
    refused(server.post(f"/api/v1/executions/{ident}/terminate"), 404, "EXECUTION_NOT_FOUND")


def test_a_task_that_nobody_knows_cannot_be_run(server: Server) -> None:
    refused(server.run("nobody"), 404, "TASK_NOT_FOUND", "nobody")
    refused(server.post("/api/v1/executions", json={"endpoint": "nowhere"}), 404, "ENDPOINT_NOT_FOUND", "nowhere")
