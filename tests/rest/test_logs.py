"""The lines of executions over HTTP, as a page and as a stream."""

import itertools
import threading

import pytest
import wasmtime

from tests.rest._server import SAMPLES, listening, serving
from tests.server import eventually

# Writes a line, waits as many milliseconds as its first argument has characters times 100, and writes another.
TWO_LINES = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "spear" "sleep_ms" (func $sleep (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00\\16\\00\\00\\00\\07\\00\\00\\00first\\nsecond\\n")
  (func (export "_start")
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 64)))
    (call $sleep (i32.const %d))
    (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 64)))))"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("logs") / "data") as found:
        found.agent(SAMPLES / "log.wasm", "hello")
        found.agent(SAMPLES / "exit3.wasm", "exit3")
        found.agent(SAMPLES / "log_flood.wasm", "flood", **{"limits.log_bytes": "100000"})
        found.agent(bytes(wasmtime.wat2wasm(TWO_LINES % 600)), "two")
        stuck = bytes(wasmtime.wat2wasm(TWO_LINES % 3_600_000))
        found.agent(stuck, "stuck", **{"limits.wall_ms": "3600000"})
        found.agent(stuck, "one_by_one", **{"limits.wall_ms": "3600000", "limits.concurrency": "1"})
        yield found


def run(server, endpoint):
    return server.post(f"/e/{endpoint}").headers["X-Execution-Id"]


def start(server, endpoint):
    answer = server.call("POST", "/executions", json={"endpoint": endpoint, "mode": "async"})
    assert answer.status_code == 202, answer.text
    return answer.json()["execution_id"]


def page(server, execution_id, **query):
    answer = server.get(f"/executions/{execution_id}/logs", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_page_has_the_lines_with_their_number_time_stream_and_level(server):
    execution_id = run(server, "hello")
    shown = page(server, execution_id)
    (line,) = shown["lines"]
    assert line == {"seq": 1, "ts_ms": line["ts_ms"], "stream": "log", "level": "info", "message": "hello was here"}
    assert shown | {"lines": []} == {
        "execution_id": execution_id,
        "lines": [],
        "next_after": 1,
        "truncated": False,
        "completed": True,
    }


def test_what_a_failed_execution_said_on_stderr_is_there(server):
    (line,) = page(server, run(server, "exit3"))["lines"]
    assert (line["stream"], line["message"]) == ("stderr", "giving up")


def test_pages_continue_where_the_last_one_ended(server):
    execution_id = run(server, "flood")
    whole = page(server, execution_id, limit=10_000)
    assert whole["truncated"] is True and len(whole["lines"]) > 500
    found, after = [], 0
    while lines := (part := page(server, execution_id, limit=333, after=after))["lines"]:
        found, after = found + lines, part["next_after"]
    assert found == whole["lines"]
    assert [line["seq"] for line in found] == list(range(1, len(found) + 1))


def test_filters_leave_only_what_was_asked_for(server):
    execution_id = run(server, "hello")
    assert len(page(server, execution_id, stream="log", level="info")["lines"]) == 1
    assert page(server, execution_id, stream="stderr")["lines"] == []
    assert page(server, execution_id, level="error")["lines"] == []


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 10_001}, {"after": -1}, {"stream": "x"}, {"level": "loud"}, {"follow": "maybe"}]
)
def test_a_query_that_makes_no_sense_is_refused(server, query):
    answer = server.get(f"/executions/{run(server, 'hello')}/logs", params=query)
    assert (answer.status_code, answer.json()["details"]["field"]) == (422, next(iter(query)))


@pytest.mark.parametrize("ident", ["nonsense", "00000000-0000-0000-0000-000000000000"])
def test_the_lines_of_an_unknown_execution_are_not_found(server, ident):
    for headers in ({}, {"Accept": "text/event-stream"}):
        answer = server.get(f"/executions/{ident}/logs", headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (404, "EXECUTION_NOT_FOUND")


def test_a_running_execution_shows_the_lines_so_far(server):
    execution_id = start(server, "stuck")
    shown = eventually(lambda: (found := page(server, execution_id))["lines"] and found)
    assert ([line["message"] for line in shown["lines"]], shown["completed"]) == (["first"], False)
    server.call("POST", f"/executions/{execution_id}/terminate")
    assert eventually(lambda: page(server, execution_id)["completed"])


def test_following_gives_each_line_as_it_comes_and_then_the_end(server):
    execution_id = start(server, "two")
    with listening(server, f"/executions/{execution_id}/logs") as heard:
        first = next(heard)
        assert (first.id, first.data["message"]) == ("1", "first")
        assert page(server, execution_id)["completed"] is False
        second, end = heard
    assert (second.id, second.data["message"]) == ("2", "second")
    assert (end.event, end.data) == ("end", {"status": "completed", "truncated": False})


def test_following_may_be_asked_for_in_the_query(server):
    with listening(server, f"/executions/{run(server, 'hello')}/logs?follow=true") as heard:
        assert [one.event for one in heard] == ["", "end"]


def test_following_an_execution_that_ended_gives_all_of_it(server):
    execution_id = run(server, "flood")
    with listening(server, f"/executions/{execution_id}/logs?limit=100") as heard:
        *lines, end = heard
    assert [one.data for one in lines] == page(server, execution_id, limit=10_000)["lines"]
    assert end.data == {"status": "failed", "truncated": True}


def test_a_reader_who_was_cut_off_continues_after_the_last_line_it_heard(server):
    execution_id = run(server, "flood")
    path = f"/executions/{execution_id}/logs"
    with listening(server, path) as heard:
        before = [one.data for one in itertools.islice(heard, 123)]
    with listening(server, path, after="123") as heard:
        *rest, _ = heard
    assert before + [one.data for one in rest] == page(server, execution_id, limit=10_000)["lines"]


def test_a_reader_who_is_there_before_the_execution_starts_misses_nothing(server):
    busy, waiting = start(server, "one_by_one"), start(server, "one_by_one")
    with listening(server, f"/executions/{waiting}/logs") as heard:
        assert page(server, waiting)["lines"] == []
        server.call("POST", f"/executions/{busy}/terminate")
        assert next(heard).data["message"] == "first"
        server.call("POST", f"/executions/{waiting}/terminate")
        assert [event.data["status"] for event in heard] == ["cancelled"]


def test_many_readers_hear_the_same(server):
    execution_id, heard_by = start(server, "two"), {}

    def listen(number):
        with listening(server, f"/executions/{execution_id}/logs") as heard:
            heard_by[number] = [(one.id, one.event, one.data) for one in heard]

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(heard_by) == 8 and len(heard_by[0]) == 3
    assert all(heard_by[number] == heard_by[0] for number in heard_by)


def test_lines_outlive_a_restart(tmp_path):
    with serving(tmp_path / "data") as server:
        server.agent(SAMPLES / "log.wasm", "hello")
        execution_id = run(server, "hello")
        before = page(server, execution_id)
        server.restart()
        assert page(server, execution_id) == before


def test_a_follower_does_not_keep_the_server_from_stopping(tmp_path):
    with serving(tmp_path / "data", "--log-level", "debug") as server:
        server.agent(bytes(wasmtime.wat2wasm(TWO_LINES % 3_600_000)), "stuck", **{"limits.wall_ms": "3600000"})
        execution_id = start(server, "stuck")
        with listening(server, f"/executions/{execution_id}/logs") as heard:
            assert next(heard).data["message"] == "first"
            assert server.timed_stop() < 10
        assert "Traceback" not in server.output()
