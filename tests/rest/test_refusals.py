"""Requests that look harmless and must not be taken: found by people who tried."""

from uuid import uuid4

import pytest

from tests.server import SAMPLES


def test_a_cursor_beyond_the_log_is_refused_with_the_true_head(server):
    head = server.get("/ready").json()["head"]
    answer = server.get("/api/v1/events", params={"after": head + 1_000_000})
    assert answer.status_code == 422
    assert "a position from 0 to" in answer.json()["message"]


def test_an_empty_if_match_is_no_permission_to_overwrite(server):
    server.call("PUT", "/api/v1/objects/kept", data=b"first")
    assert server.call("PUT", "/api/v1/objects/kept", data=b"second", headers={"If-Match": ""}).status_code == 422
    assert server.get("/api/v1/objects/kept").content == b"first"


def test_keys_that_are_not_utf8_are_refused_instead_of_falling_together(server):
    for key in ("col%ff", "col%fe"):
        assert server.call("PUT", f"/api/v1/objects/{key}", data=b"a").status_code == 422


@pytest.mark.parametrize("where", ["task", "call"])
def test_work_for_another_node_is_not_done_here(server, where):
    other = str(uuid4())
    uri = server.upload((SAMPLES / "hello.wasm").read_bytes())["uri"]
    body = {"name": "pinned", "version": "1", "executable": {"type": "wasm", "uri": uri}}
    pinned = body | ({"node_uuid": other} if where == "task" else {})
    task = server.post("/api/v1/tasks", json=pinned).json()["task_id"]
    answer = server.run(task, **({"node_uuid": other} if where == "call" else {}))
    assert (answer.status_code, answer.json()["error"]) == (503, "NODE_UNREACHABLE")
    assert other in answer.json()["message"]
