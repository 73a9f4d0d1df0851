"""Agents as their users meet them: a real server, real modules, real limits."""

import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server, events_of, eventually


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("executions")) as running:
        yield running


def test_a_first_run_is_cold_and_the_next_is_warm(server: Server) -> None:
    task = server.register("hello")
    first, second = server.run(task).json(), server.run(task).json()
    assert (first["status"], first["start"], first["exit_code"]) == ("completed", "cold", 0)
    assert "hello" in first["output"].lower()
    assert second["start"] == "warm"
    assert second["instance_id"] == first["instance_id"]


def test_input_comes_out_of_echo_byte_for_byte(server: Server) -> None:
    task = server.register("echo", endpoint="echo-bytes")
    data = bytes(range(256)) * 100
    assert server.post("/e/ECHO-bytes", data=data).content == data
    assert server.run(task, input="grüß dich").json()["output"] == "grüß dich"
    shown = server.run(task, input_base64="/wD/").json()
    assert b64decode(shown["output_base64"]) == b"\xff\x00\xff"


ANSWERED = {
    "execution_id", "task_id", "status", "exit_code", "output_content_type", "error", "started_at_ms",
    "completed_at_ms", "duration_ms", "start", "node_uuid", "instance_id",
}  # fmt: skip


def test_the_answer_to_a_call_says_how_it_went_where_and_when(server: Server) -> None:
    (node,) = server.get("/api/v1/nodes").json()["nodes"]
    task, began_ms = server.register("echo"), time.time() * 1000
    answer = server.run(task, input="hi")
    shown = answer.json()
    assert (answer.status_code, ANSWERED - set(shown)) == (200, set())
    assert {name: shown[name] for name in ("status", "exit_code", "output", "output_content_type", "error")} == {
        "status": "completed", "exit_code": 0, "output": "hi", "output_content_type": "application/octet-stream",
        "error": None,
    }  # fmt: skip
    assert began_ms - 1 <= shown["started_at_ms"] <= shown["completed_at_ms"] <= time.time() * 1000 + 1
    assert 0 < shown["duration_ms"] <= shown["completed_at_ms"] - shown["started_at_ms"] + 1
    assert shown["node_uuid"] == node["uuid"]
    assert server.get(f"/api/v1/instances/{shown['instance_id']}").json()["task_id"] == task
    found = server.get(f"/api/v1/executions/{shown['execution_id']}").json()
    assert shown == {name: found[name] for name in shown}
    unreadable = server.run(task, input_base64="/wD/").json()
    assert "output" not in unreadable and unreadable["output_base64"] == "/wD/"


def test_a_call_that_is_accepted_is_answered_with_what_is_known_so_far(server: Server) -> None:
    answer = server.run(server.register("sleep", config={"limits.wall_ms": "100"}), mode="async")
    shown = answer.json()
    assert (answer.status_code, ANSWERED - set(shown)) == (202, set())
    assert {name: shown[name] for name in ("exit_code", "error", "completed_at_ms", "duration_ms")} == {
        "exit_code": None, "error": None, "completed_at_ms": 0, "duration_ms": 0,
    }  # fmt: skip
    assert not {"output", "output_base64"} & set(shown)


def test_arguments_and_environment_come_from_the_task_and_the_call(server: Server) -> None:
    task = server.register("env_args", args=["one"], env={"FROM_TASK": "1", "BOTH": "task"})
    shown = server.run(task, args=["two"], environment={"BOTH": "call"}).json()["output"]
    assert "one" in shown
    assert "two" in shown
    assert "FROM_TASK=1" in shown
    assert "BOTH=call" in shown


def test_a_non_zero_exit_code_is_a_failure_with_that_code(server: Server) -> None:
    task = server.register("exit3", endpoint="exit-three")
    shown = server.run(task).json()
    assert (shown["status"], shown["exit_code"]) == ("failed", 3)
    answer = server.post("/e/exit-three")
    assert answer.status_code == 502
    assert answer.json()["details"]["exit_code"] == 3


LIMITS = [
    ("loop", {"limits.wall_ms": "300"}, "timeout", "wall_time"),
    ("sleep", {"limits.wall_ms": "300"}, "timeout", "wall_time"),
    ("grow", {"limits.memory_bytes": "16777216"}, "failed", "memory"),
    ("output_flood", {"limits.output_bytes": "100000"}, "failed", "output_bytes"),
    ("log_flood", {"limits.log_bytes": "100000"}, "failed", "log_bytes"),
    ("trap", {}, "failed", "trap"),
]


@pytest.mark.parametrize(("sample", "config", "status", "reason"), LIMITS)
def test_the_error_says_which_limit_fired(
    server: Server, sample: str, config: dict[str, str], status: str, reason: str
) -> None:
    shown = server.run(server.register(sample, config=config)).json()
    assert (shown["status"], shown["error"]["reason"]) == (status, reason)
    assert shown["error"]["message"]
    assert shown["error"]["last_action"]


def test_a_gateway_timeout_is_504(server: Server) -> None:
    server.register("loop", config={"limits.wall_ms": "200"}, endpoint="loop-gate")
    answer = server.post("/e/loop-gate")
    assert (answer.status_code, answer.json()["error"]) == (504, "EXECUTION_TIMEOUT")


def test_a_call_may_shorten_the_time_but_not_lengthen_it(server: Server) -> None:
    task = server.register("loop", config={"limits.wall_ms": "400"})
    assert server.run(task, timeout_ms=100).json()["duration_ms"] < 400
    assert server.run(task, timeout_ms=60_000).json()["duration_ms"] < 5000


@pytest.mark.parametrize("sample", ["loop", "sleep"])
def test_terminate_ends_a_guest_whatever_it_does(server: Server, sample: str) -> None:
    execution = server.run(server.register(sample), mode="async")
    assert execution.status_code == 202
    path = f"/api/v1/executions/{execution.json()['execution_id']}"
    eventually(lambda: server.get(path).json()["status"] == "running")
    shown = server.post(f"{path}/terminate", json={"reason": "enough"}).json()
    assert shown["status"] == "cancelled"
    assert shown["error"]["message"].startswith("terminated: enough")
    assert server.post(f"{path}/terminate").json()["status"] == "cancelled"


def test_terminating_what_ended_by_itself_is_refused(server: Server) -> None:
    done = server.run(server.register("hello")).json()
    answer = server.post(f"/api/v1/executions/{done['execution_id']}/terminate")
    assert (answer.status_code, answer.json()["error"]) == (409, "EXECUTION_ENDED")


def test_bytes_that_are_not_a_module_are_refused_when_the_instance_is_made(server: Server) -> None:
    uri = server.upload(b"MZ not a module")["uri"]
    body = {"name": "bad", "version": "1", "executable": {"type": "wasm", "uri": uri}}
    task = server.post("/api/v1/tasks", json=body).json()["task_id"]
    shown = server.run(task).json()
    assert (shown["status"], shown["error"]["code"]) == ("failed", "InvalidConfiguration")
    assert "not a WebAssembly module" in shown["error"]["message"]


def test_a_wrong_checksum_is_refused(server: Server) -> None:
    shown = server.run(server.register("hello", checksum_sha256="0" * 64)).json()
    assert shown["error"]["code"] == "InvalidConfiguration"
    assert "0" * 64 in shown["error"]["message"]


@pytest.mark.parametrize(
    "form", ["sms+file://{id}", "smsfile://{id}", "sms+file://{host}/{id}", "smsfile://{host}/{id}"]
)
def test_every_form_of_file_uri_names_the_module(server: Server, form: str) -> None:
    file_id = server.upload((Path(__file__).parents[2] / "samples/build/hello.wasm").read_bytes())["id"]
    uri = form.format(id=file_id, host=f"127.0.0.1:{server.port}")
    body = {"name": "by-uri", "version": "1", "executable": {"type": "wasm", "uri": uri}}
    task = server.post("/api/v1/tasks", json=body).json()["task_id"]
    assert server.run(task).json()["status"] == "completed"


def test_the_same_idempotency_key_runs_once_and_answers_twice(server: Server) -> None:
    task = server.register("echo")
    headers = {"Idempotency-Key": "order-17"}
    first, second = (
        server.post("/api/v1/executions", json={"task_id": task, "input": "pay"}, headers=headers).json()
        for _ in range(2)
    )
    assert second["execution_id"] == first["execution_id"]
    assert second["output"] == first["output"] == "pay"
    assert len(events_of(server, ["ExecutionStarted"], noun="execution", ident=first["execution_id"])) == 1


def test_an_idempotency_key_for_another_request_is_refused(server: Server) -> None:
    task = server.register("echo")
    headers = {"Idempotency-Key": "order-18"}
    server.post("/api/v1/executions", json={"task_id": task, "input": "a"}, headers=headers)
    answer = server.post("/api/v1/executions", json={"task_id": task, "input": "b"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_callers_with_one_key_at_the_same_time_share_one_run(server: Server) -> None:
    task = server.register("sleep", config={"limits.wall_ms": "700"})
    seen: list[str] = []

    def ask() -> None:
        body, headers = {"task_id": task}, {"Idempotency-Key": "together"}
        seen.append(server.post("/api/v1/executions", json=body, headers=headers).json()["execution_id"])

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_a_completed_result_is_an_object_of_the_task(server: Server) -> None:
    task = server.register("echo")
    done = server.run(task, input="keep me").json()
    path = f"results/{task}/{done['execution_id']}"
    assert server.get(f"/api/v1/objects/{path}").content == b"keep me"
    assert server.get(f"/api/v1/tasks/{task}").json()["last_result_uri"].endswith(path)


def test_standard_error_and_log_calls_become_log_lines(server: Server) -> None:
    done = server.run(server.register("log")).json()
    page = server.get(f"/api/v1/executions/{done['execution_id']}/logs").json()
    assert page["completed"] is True
    assert [line["seq"] for line in page["lines"]] == list(range(1, len(page["lines"]) + 1))
    assert [(line["stream"], line["message"]) for line in page["lines"]] == [("log", "hello was here")]
    failed = server.run(server.register("exit3")).json()
    (line,) = server.get(f"/api/v1/executions/{failed['execution_id']}/logs").json()["lines"]
    assert (line["stream"], line["message"]) == ("stderr", "giving up")


def test_what_agents_write_is_never_in_the_servers_own_log(server: Server) -> None:
    for sample in ("log", "exit3"):
        assert server.run(server.register(sample)).json()["execution_id"]
    logged = server.output() + (server.data_dir / "logs" / "sms.log").read_text()
    assert "configured: " in logged
    assert not [words for words in ("Hello from SPEAR", "hello was here", "giving up") if words in logged]


def test_a_task_has_its_documented_life(server: Server) -> None:
    task = server.register("hello")
    assert server.get(f"/api/v1/tasks/{task}").json()["status"] == "registered"
    server.run(task)
    assert server.get(f"/api/v1/tasks/{task}").json()["status"] == "active"
    assert server.call("DELETE", f"/api/v1/tasks/{task}").status_code == 200
    assert server.get(f"/api/v1/tasks/{task}").status_code == 404
    names = [e["type"] for e in server.get("/api/v1/events", params={"noun": "task", "id": task}).json()["events"]]
    assert names[:2] == ["TaskCreated", "TaskActivated"]
    assert "TaskUnregistered" in names
    (gone,) = events_of(server, ["TaskUnregistered"], noun="task", ident=task)
    assert events_of(server, ["InstanceStopped"])[-1]["cause"] == gone["position"]


def test_the_server_answers_while_two_guests_compute(server: Server) -> None:
    task = server.register("loop", config={"limits.wall_ms": "1500"})
    running = [server.run(task, mode="async").json()["execution_id"] for _ in range(2)]
    eventually(lambda: all(server.get(f"/api/v1/executions/{i}").json()["status"] == "running" for i in running))
    began = time.monotonic()
    answered = 0
    while time.monotonic() - began < 0.5:
        assert server.get("/health").status_code == 200
        answered += 1
    assert answered >= 10


def test_a_full_queue_is_429_with_retry_after_and_records_nothing(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text("[executions]\nmax_concurrent = 1\nqueue_limit = 1\n")
    with Server(tmp_path / "data", "--config", str(config)) as small:
        task = small.register("loop", endpoint="busy", config={"limits.wall_ms": "20000"})
        taken = [small.run(task, mode="async") for _ in range(2)]
        assert [answer.status_code for answer in taken] == [202, 202]
        head = small.get("/ready").json()["head"]
        for answer in (small.run(task), small.post("/e/busy")):
            assert (answer.status_code, answer.json()["error"]) == (429, "OVERLOADED")
            assert int(answer.headers["Retry-After"]) >= 1
        assert not events_of(small, ["ExecutionRequested"])[2:]
        assert head <= small.get("/ready").json()["head"]
        for answer in taken:
            small.post(f"/api/v1/executions/{answer.json()['execution_id']}/terminate")
