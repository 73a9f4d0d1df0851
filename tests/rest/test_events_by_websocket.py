"""The feed and tasks' status by WebSocket: the same cursors as anywhere, nothing missed, and tokens that no log shows."""

from pathlib import Path

from tests.rest._server import serving
from tests.rest._sockets import HANDSHAKE, closed, connected, dial, heard
from tests.rest.conftest import NODE, done, refused
from tests.server import Server

WS = "/api/v1/events/ws"


def test_events_come_as_in_a_page_and_go_on_from_any_cursor(server: Server, node: str) -> None:
    whole = done(server.get("/api/v1/events", params={"id": node}))["events"]
    with connected(server, f"{WS}?id={node}") as client:
        assert [heard(client) for _ in whole] == whole
        done(server.post(f"/api/v1/nodes/{node}/heartbeat"))
        beat = heard(client)
    assert (beat["type"], beat["previous"]) == ("Heartbeat", whole[-1]["position"])
    with connected(server, f"{WS}?cursor={whole[0]['cursor']}") as client:
        assert heard(client) == (whole[1:] + [beat])[0]


def test_after_now_only_what_happens_from_now_on_is_heard(server: Server) -> None:
    with connected(server, f"{WS}?after=-1&noun=node&type=NodeRegistered") as client:
        uuid = done(server.post("/api/v1/nodes", json=NODE), 201)["node_uuid"]
        assert heard(client)["id"] == uuid


def test_a_reader_who_comes_and_goes_over_restarts_misses_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        found, cursor = [], ""
        for turn in range(6):
            for number in range(20):
                assert server.put(f"/objects/b/{number}", data=b"%d" % turn).ok
            with connected(server, f"{WS}?cursor={cursor}" if cursor else WS) as client:
                found += [heard(client) for _ in range(5 + turn)]  # and some on their way are lost
            cursor = found[-1]["cursor"]
            if turn in (1, 3):
                server.kill()
                server.start()
        head = done(server.get("/events"))["head"]
        with connected(server, f"{WS}?cursor={cursor}") as client:
            found += [heard(client) for _ in range(head - len(found))]
        assert [event["position"] for event in found] == list(range(1, head + 1))


def test_a_server_that_stops_says_goodbye_with_1001(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        client, silent = dial(server, WS), dial(server, WS)
        server.process.terminate()
        assert closed(client) == (1001, "the server is stopping")
        assert server.process.wait(20) == 0
        client.shutdown()
        silent.shutdown()
        assert "Traceback" not in server.output()


def test_a_tasks_status_is_told_as_it_is_and_after_each_change_until_it_is_gone(server: Server) -> None:
    task_id = server.register("hello")
    with connected(server, f"/api/v1/tasks/{task_id.upper()}/ws") as client:
        first = heard(client)
        assert (first["task"], first["event"]) == (done(server.get(f"/api/v1/tasks/{task_id}")), None)
        done(server.run(task_id))
        active = heard(client)
        assert (active["event"]["type"], active["task"]["status"]) == ("TaskActivated", "active")
        done(server.call("PUT", f"/api/v1/tasks/{task_id}", json={"description": "better"}))
        assert heard(client)["task"]["description"] == "better"
        done(server.call("DELETE", f"/api/v1/tasks/{task_id}"))
        gone = next(one for one in iter(lambda: heard(client), None) if one["event"]["type"] == "TaskUnregistered")
        assert gone["task"] is None and closed(client) == (1000, "the task was unregistered")
    with connected(server, f"/api/v1/tasks/{task_id}/ws?cursor={first['cursor']}") as client:
        assert heard(client)["event"]["type"] == "TaskActivated"
        assert closed(client) == (1000, "the task was unregistered")


def test_the_cursor_of_something_else_is_no_place_in_a_tasks_status(server: Server, task: str, node: str) -> None:
    cursor = done(server.get("/api/v1/events", params={"id": node}))["next_cursor"]
    for text in (cursor, "x"):
        answer = server.get(f"/api/v1/tasks/{task}/ws", params={"cursor": text}, headers=HANDSHAKE)
        refused(answer, 422, "INVALID_ARGUMENT", "cursor: got")
