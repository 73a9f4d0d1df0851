"""`POST /e/<endpoint>`: bytes in, bytes out, and a clear answer when there are none."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.rest._server import SAMPLES, serving
from tests.server import eventually

LIMIT = 2_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    data = tmp_path_factory.mktemp("gateway") / "data"
    with serving(data, "--max-upload-bytes", str(LIMIT)) as found:
        for name in ("hello", "echo", "exit3", "trap"):
            found.agent(SAMPLES / f"{name}.wasm", name)
        found.agent(SAMPLES / "loop.wasm", "loop", **{"limits.wall_ms": "300"})
        found.agent(SAMPLES / "sleep.wasm", "one", **{"limits.concurrency": "1"})
        yield found


def test_the_raw_output_comes_out(server):
    answer = server.post("/e/hello")
    assert (answer.status_code, answer.content) == (200, b"Hello from SPEAR!\n")
    execution = server.get(f"/executions/{answer.headers['X-Execution-Id']}").json()
    assert execution["status"] == "completed"


@pytest.mark.parametrize(("endpoint", "status"), [("hello", "completed"), ("exit3", "failed"), ("loop", "timeout")])
def test_an_answer_says_which_version_of_the_world_has_its_end(server, endpoint, status):
    before = server.get("/ready").json()["head"]
    answer = server.post(f"/e/{endpoint}")
    position = int(answer.headers["X-Position"])
    assert before < position <= server.get("/ready").json()["head"]
    path = f"/executions/{answer.headers['X-Execution-Id']}"
    assert server.get(path, params={"as_of": position}).json()["status"] == status


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (None, "application/octet-stream"),
        ("application/x-www-form-urlencoded", "application/octet-stream"),
        ("application/x-www-form-urlencoded; charset=utf-8", "application/octet-stream"),
        ("text/plain", "text/plain"),
        ("text/plain; charset=iso-8859-1", "text/plain; charset=iso-8859-1"),
        ("application/json", "application/json"),
        ("multipart/form-data; boundary=x", "multipart/form-data; boundary=x"),
        ("image/png", "image/png"),
    ],
)
def test_the_content_type_is_kept_and_the_body_is_never_parsed(server, sent, kept):
    body = b'--x\r\n{"a": a=1&b=%zz\x00\xff'
    answer = server.post("/e/echo", body, headers={"Content-Type": sent} if sent else {})
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, body, kept)
    execution_id = answer.headers["X-Execution-Id"]
    (requested,) = server.get("/events", params={"id": execution_id, "type": "ExecutionRequested"}).json()["events"]
    assert requested["data"]["input_content_type"] == kept


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 1_000_000])
def test_a_body_of_any_size_passes(server, size):
    body = os.urandom(size)
    assert server.post("/e/echo", body).content == body


def test_a_chunked_body_passes(server):
    pieces = [os.urandom(size) for size in (1, 70_000, 5)]
    assert server.post("/e/echo", iter(pieces)).content == b"".join(pieces)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_and_nothing_runs(server, chunked):
    head, body = server.get("/ready").json()["head"], b"x" * (LIMIT + 1)
    answer = server.post("/e/echo", iter([body]) if chunked else body)
    assert (answer.status_code, answer.json()["details"]) == (413, {"limit": LIMIT})
    assert server.get("/events", params={"after": head, "noun": "execution"}).json()["events"] == []


def test_a_name_is_found_in_any_case(server):
    assert server.post("/e/HeLLo").content == b"Hello from SPEAR!\n"


@pytest.mark.parametrize("path", ["/e/echo/", "/e/echo?a=1", "/e/ech%6f", "//e/echo"])
def test_a_path_may_be_spelled_in_odd_ways(server, path):
    answer = server.raw(f"POST {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi".encode())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nhi")
    assert b"\r\nX-Execution-Id: " in answer and answer.count(b"\r\nX-Request-Id: ") == 1


def test_a_failure_keeps_the_callers_correlation_id_and_is_open_to_other_origins(server):
    answer = server.post("/e/exit3", headers={"X-Request-Id": "mine-1"})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (502, "mine-1")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("endpoint", ["nobody", "a%20b", "%00", "x" * 300, "日"])
def test_an_unknown_endpoint_is_not_found(server, endpoint):
    answer = server.post(f"/e/{endpoint}", b"x")
    assert (answer.status_code, answer.json()["error"]) == (404, "ENDPOINT_NOT_FOUND")


def test_other_methods_are_not_allowed(server):
    for method in ("GET", "PUT", "DELETE"):
        answer = server.call(method, "/e/hello")
        assert (answer.status_code, answer.json()["error"]) == (405, "METHOD_NOT_ALLOWED")
        assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(("endpoint", "reason", "exit_code"), [("exit3", "exit_code", 3), ("trap", "trap", None)])
def test_a_failure_says_what_failed(server, endpoint, reason, exit_code):
    answer = server.post(f"/e/{endpoint}")
    shown = answer.json()
    assert answer.status_code == 502
    assert (shown["error"], shown["details"]["reason"]) == ("EXECUTION_FAILED", reason)
    assert shown["details"]["exit_code"] == exit_code
    assert shown["details"]["execution_id"] == answer.headers["X-Execution-Id"]
    assert server.get(f"/executions/{answer.headers['X-Execution-Id']}").json()["status"] == "failed"


def test_running_out_of_time_is_a_timeout(server):
    answer = server.post("/e/loop")
    assert (answer.status_code, answer.json()["error"]) == (504, "EXECUTION_TIMEOUT")
    assert server.get(f"/executions/{answer.headers['X-Execution-Id']}").json()["status"] == "timeout"


def test_one_that_is_terminated_by_somebody_else_says_so(server):
    answers = []
    caller = threading.Thread(target=lambda: answers.append(requests.post(f"{server.url}/e/one", timeout=30)))
    caller.start()

    def running():
        return server.get("/executions", params={"status": "running"}).json()["executions"]

    (execution,) = eventually(running)
    server.call("POST", f"/executions/{execution['execution_id']}/terminate")
    caller.join(20)
    assert (answers[0].status_code, answers[0].json()["details"]["status"]) == (502, "cancelled")
    assert answers[0].headers["X-Execution-Id"] == execution["execution_id"]


def test_too_many_at_once_are_asked_to_come_back(tmp_path):
    (tmp_path / "config.toml").write_text("[executions]\nmax_concurrent = 1\nqueue_limit = 1\n")
    with serving(tmp_path / "data", "--config", str(tmp_path / "config.toml")) as server:
        server.agent(SAMPLES / "loop.wasm", "loop", **{"limits.wall_ms": "1500"})
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: requests.post(f"{server.url}/e/loop", timeout=30), range(8)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [429] * 6 + [504] * 2
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["Retry-After"]) >= 1 and refused.json()["error"] == "OVERLOADED"


def test_the_same_key_runs_once_and_answers_twice(server):
    answers = [server.post("/e/echo", b"once", headers={"Idempotency-Key": "k1"}) for _ in range(2)]
    assert [answer.content for answer in answers] == [b"once", b"once"]
    assert answers[0].headers["X-Execution-Id"] == answers[1].headers["X-Execution-Id"]
    other = server.post("/e/echo", b"other", headers={"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["error"]) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_the_same_failed_key_fails_the_same_way(server):
    answers = [server.post("/e/exit3", headers={"Idempotency-Key": "k2"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [502, 502]
    assert answers[0].json() == answers[1].json()


def test_an_answer_that_was_deleted_is_not_given_again_as_an_empty_one(server):
    execution_id = server.post("/e/echo", b"once", headers={"Idempotency-Key": "k3"}).headers["X-Execution-Id"]
    task_id = server.get(f"/executions/{execution_id}").json()["task_id"]
    assert server.delete(f"/objects/results/{task_id}/{execution_id}").ok
    again = server.post("/e/echo", b"once", headers={"Idempotency-Key": "k3"})
    assert (again.status_code, again.json()["error"]) == (404, "OUTPUT_NOT_FOUND")
