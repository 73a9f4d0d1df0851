"""`?as_of=` on every read, `X-Position` on every write."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.rest.conftest import NODE, done, refused
from tests.server import Server


def written(answer: object) -> int:
    return int(answer.headers["X-Position"])  # type: ignore[attr-defined]


def test_every_write_says_where_it_is_and_the_world_as_of_there_has_it(server: Server) -> None:
    answer = server.post("/api/v1/nodes", json=NODE)
    uuid = done(answer, 201)["node_uuid"]
    created = written(answer)
    answer = server.call("PUT", f"/api/v1/nodes/{uuid}", json={"port": 1})
    changed = written(answer)
    deleted = written(server.call("DELETE", f"/api/v1/nodes/{uuid}"))

    def port(position: int) -> int:
        answer = server.get(f"/api/v1/nodes/{uuid}", params={"as_of": position})
        assert answer.headers["X-As-Of"] == str(position)
        return int(done(answer)["node"]["port"])

    assert created < changed < deleted
    assert [port(created), port(changed), port(deleted - 1)] == [NODE["port"], 1, 1]
    for position in (created - 1, deleted):
        refused(server.get(f"/api/v1/nodes/{uuid}", params={"as_of": position}), 404, "NODE_NOT_FOUND")
    assert "X-As-Of" not in server.get("/api/v1/nodes").headers


def test_every_kind_of_write_answers_with_its_own_position(server: Server, node: str, task: str) -> None:
    outcome = {"decision_id": "d", "request_id": "r", "task_id": task, "node_uuid": node}
    writes = [
        server.post("/api/v1/nodes", json=NODE),
        server.post(f"/api/v1/nodes/{node}/heartbeat"),
        server.call("PUT", f"/api/v1/nodes/{node}/resource"),
        server.post("/api/v1/placement/invocations/report-outcome", json=outcome),
        server.post("/api/v1/tasks", json={"name": "t", "version": "1"}),
        server.call("PUT", f"/api/v1/tasks/{task}", json={"priority": "low"}),
        server.call("DELETE", f"/api/v1/tasks/{task}"),
        server.post(f"/api/v1/nodes/{node}/drain"),
        server.post(f"/api/v1/nodes/{node}/undrain"),
        server.call("DELETE", f"/api/v1/nodes/{node}"),
        file := server.post("/api/v1/files", data=b"x"),
        server.call("DELETE", f"/api/v1/files/{file.json()['id']}"),
        server.call("PUT", "/api/v1/objects/written/once", data=b"x"),
        server.post("/api/v1/objects/written/once/refs"),
        server.call("DELETE", "/api/v1/objects/written/once/refs"),
        server.post("/api/v1/objects/written/once/pin"),
        server.call("DELETE", "/api/v1/objects/written/once/pin"),
        server.call("DELETE", "/api/v1/objects/written/once"),
    ]
    kinds = [
        "NodeRegistered", "Heartbeat", "ResourcesReported", "OutcomeReported", "TaskCreated", "TaskUpdated",
        "EndpointReleased", "NodeDrained", "NodeUndrained", "NodeDeleted", "FileUploaded", "FileDeleted", "ObjectPut",
        "ObjectRefAdded", "ObjectRefRemoved", "ObjectPinned", "ObjectUnpinned", "ObjectDeleted",
    ]  # fmt: skip
    for answer, kind in zip(writes, kinds, strict=True):
        query = {"after": written(answer) - 1, "limit": 1}
        (event,) = done(server.get("/api/v1/events", params=query))["events"]
        assert (event["type"], event["correlation"]) == (kind, answer.headers["X-Request-Id"])


def test_a_run_answers_with_the_position_of_its_end_and_an_accepted_one_with_one_of_its_own(server: Server) -> None:
    task = server.register("hello")
    for mode in ("sync", "async"):
        answer = server.run(task, mode=mode)
        (event,) = done(server.get("/api/v1/events", params={"after": written(answer) - 1, "limit": 1}))["events"]
        assert event["id"] == answer.json()["execution_id"]
        assert mode == "async" or event["type"] == "ExecutionCompleted"


def test_terminating_answers_with_the_position_of_the_end(server: Server) -> None:
    execution = done(server.run(server.register("loop"), mode="async"), 202)["execution_id"]
    answer = server.post(f"/api/v1/executions/{execution}/terminate")
    (event,) = done(server.get("/api/v1/events", params={"after": written(answer) - 1, "limit": 1}))["events"]
    assert (event["type"], event["id"]) == ("ExecutionCancelled", execution)


def test_every_read_takes_as_of(server: Server, node: str, ran: dict) -> None:
    done(server.call("PUT", f"/api/v1/nodes/{node}/resource"))
    head = done(server.get("/ready"))["head"]
    paths = [
        "nodes", f"nodes/{node}", f"nodes/{node}/resource", f"nodes/{node}/with-resource", "resources",
        "tasks", f"tasks/{ran['task_id']}", f"tasks/{ran['task_id']}/instances",
        f"instances/{ran['instance_id']}", f"instances/{ran['instance_id']}/executions",
        "executions", f"executions/{ran['execution_id']}", f"executions/{ran['execution_id']}/placement",
    ]  # fmt: skip
    for path in paths:
        answer = server.get(f"/api/v1/{path}", params={"as_of": head})
        done(answer)
        assert answer.headers["X-As-Of"] == str(head), path


def test_lists_of_the_past_hold_what_was_there(server: Server, ran: dict) -> None:
    for noun in ("nodes", "tasks", "executions"):
        nothing = done(server.get(f"/api/v1/{noun}", params={"as_of": 0}))
        assert (nothing[noun], nothing["total_count"]) == ([], 0)
    then = done(server.get("/api/v1/executions", params={"as_of": ran["position"]}))["executions"]
    assert (then[0]["execution_id"], then[0]["status"]) == (ran["execution_id"], "pending")


def test_log_lines_have_no_past_to_ask_for(server: Server, ran: dict) -> None:
    path = f"/api/v1/executions/{ran['execution_id']}/logs"
    refused(server.get(path, params={"as_of": "1"}), 422, "INVALID_ARGUMENT", "as_of: got '1'", "lines are no events")
    done(server.get(path, params={"as_of": ""}))


def test_a_time_names_the_last_position_before_it(server: Server, node: str) -> None:
    registered, between = done(server.get("/ready"))["head"], datetime.now(UTC)
    gone = written(server.call("DELETE", f"/api/v1/nodes/{node}"))
    for text in (between.isoformat(), between.isoformat().replace("+00:00", "Z")):
        answer = server.get(f"/api/v1/nodes/{node}", params={"as_of": text})
        assert done(answer)["node"]["uuid"] == node
        assert registered <= int(answer.headers["X-As-Of"]) < gone
    later = (between.astimezone() + timedelta(days=1)).isoformat()
    refused(server.get(f"/api/v1/nodes/{node}", params={"as_of": later}), 404, "NODE_NOT_FOUND")
    assert done(server.get("/api/v1/nodes", params={"as_of": "0001-01-01T00:00:00+23:59"}))["nodes"] == []


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "-1",
        "1.5",
        "1e3",
        "٣",
        "9" * 18,
        "9" * 500,
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-13-01T00:00:00Z",
        "\0",
    ],
)
def test_a_version_of_the_world_that_cannot_be_is_refused(server: Server, text: str) -> None:
    for path in ("nodes", "tasks", "executions", "resources", "instances/x"):
        answer = server.get(f"/api/v1/{path}", params={"as_of": text})
        refused(answer, 422, "INVALID_ARGUMENT", "as_of: got", "expected a position")
