"""A server's life as its operator meets it: start, signals, crashes, silence of nodes, roles."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests

from spear.adapters.rpc.generated.sms import node_pb2
from tests.rpc._wire import Stub, connected, refused
from tests.server import Server, events_of, eventually

NODE = {"ip_address": "127.0.0.9", "port": 50052, "metadata": {"zone": "a"}}
RUN = ("ExecutionRequested", "InstanceStarted", "ExecutionStarted", "ExecutionCompleted")
RECORDED = ("NodeRegistered", *RUN, "ObjectPut")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_in_order_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    server = Server(tmp_path).start()
    task = server.register("hello")
    server.run(task)
    assert server.stop(number) == 0
    with server:
        names = [event["type"] for event in events_of(server, ["InstanceStopped", "TaskDeactivated"])]
        assert names == ["InstanceStopped", "TaskDeactivated"]
        assert server.get(f"/api/v1/tasks/{task}").json()["status"] == "inactive"


def test_a_running_execution_gets_its_grace_at_a_stop(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    task = server.register("sleep", config={"limits.wall_ms": "1500"})
    answers: list[int] = []
    caller = threading.Thread(target=lambda: answers.append(server.run(task).status_code))
    caller.start()
    eventually(lambda: events_of(server, ["ExecutionStarted"]))
    assert server.stop() == 0
    caller.join()
    with server:
        assert [e["type"] for e in events_of(server, ["ExecutionTimedOut", "ExecutionCancelled"])] == [
            "ExecutionTimedOut"
        ]


def test_what_outlives_its_grace_is_recorded_as_cancelled(tmp_path: Path) -> None:
    config = tmp_path / "short.toml"
    config.write_text("[executions]\ngrace_ms = 100\n")
    server = Server(tmp_path / "data", "--config", str(config)).start()
    execution = server.run(server.register("loop"), mode="async").json()["execution_id"]
    eventually(lambda: events_of(server, ["ExecutionStarted"]))
    assert server.stop() == 0
    with server:
        shown = server.get(f"/api/v1/executions/{execution}").json()
        assert shown["status"] == "cancelled"
        assert "stopping" in shown["error"]["message"]


def test_after_a_crash_nothing_stays_running_and_the_reason_is_told(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    task = server.register("loop")
    execution = server.run(task, mode="async").json()["execution_id"]
    eventually(lambda: events_of(server, ["ExecutionStarted"]))
    server.kill()
    with server:
        shown = server.get(f"/api/v1/executions/{execution}").json()
        assert (shown["status"], shown["error"]["reason"]) == ("failed", "lost")
        assert "process" in shown["error"]["message"]
        assert "executions ended as failed: 1 (the process that ran it" in server.output()
        assert server.get(f"/api/v1/tasks/{task}/instances").json()["instances"] == []
        assert server.get("/api/v1/executions", params={"status": "running"}).json()["executions"] == []


def test_accepted_work_that_had_not_begun_is_done_after_a_crash(tmp_path: Path) -> None:
    config = tmp_path / "one.toml"
    config.write_text("[executions]\nmax_concurrent = 1\n")
    server = Server(tmp_path / "data", "--config", str(config)).start()
    server.run(server.register("loop"), mode="async")
    eventually(lambda: events_of(server, ["ExecutionStarted"]))
    echo = server.register("echo")
    waiting = server.run(echo, mode="async", input="still here").json()
    assert waiting["status"] == "pending"
    server.kill()
    with server:
        path = f"/api/v1/executions/{waiting['execution_id']}"
        eventually(lambda: server.get(path).json()["status"] == "completed")
        assert server.get(path).json()["output"] == "still here"


def test_a_second_server_on_the_same_data_is_refused_by_name(tmp_path: Path) -> None:
    with Server(tmp_path) as first:
        second = Server(tmp_path)
        done = subprocess.run(second.command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert "spear_server.py --role all" in done.stderr
        assert str(first.process.pid) in done.stderr  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("role", "flag", "key"),
    [
        ("all", "--http-addr", "http.addr"),
        ("all", "--web-admin-addr", "web_admin.addr"),
        ("sms", "--grpc-addr", "grpc.addr"),
        ("sms", "--bus-addr", "bus.addr"),
        ("spearlet", "--http-addr", "spearlet.http.server.addr"),
        ("spearlet", "--grpc-addr", "spearlet.grpc.addr"),
        ("spearlet", "--bus-addr", "spearlet.bus.addr"),
    ],
)
def test_a_taken_port_is_one_line_that_names_the_key(tmp_path: Path, role: str, flag: str, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        command = [*Server(tmp_path, role=role).command, flag, taken]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert f"spear_server: {key}: " in done.stderr
    assert taken in done.stderr


def test_a_server_that_stops_takes_neither_connections_nor_work_while_what_runs_has_its_grace(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    task = server.register("sleep", config={"limits.wall_ms": "1000"})
    server.run(task, mode="async")
    eventually(lambda: events_of(server, ["ExecutionStarted"]))
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.run(task, mode="async").status_code == 503)
    assert server.run(task).json()["error"] == "STOPPING"
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/health", timeout=5)
    assert server.process.wait(20) == 0


def test_a_silent_node_goes_offline_with_a_reason_and_a_heartbeat_brings_it_back(tmp_path: Path) -> None:
    with Server(tmp_path, "--heartbeat-timeout", "1") as server:
        uuid = server.post("/api/v1/nodes", json=NODE).json()["node_uuid"]
        path = f"/api/v1/nodes/{uuid}"
        eventually(lambda: server.get(path).json()["node"]["status"] == "offline")
        lost = events_of(server, ["NodeLost"], noun="node", ident=uuid)
        assert "no heartbeat for" in lost[0]["data"]["reason"]
        assert lost[0]["actor"] == "watchdog"
        assert server.post(f"{path}/heartbeat", json={"health_info": {"cpu_usage": "45%"}}).status_code == 200
        assert events_of(server, ["NodeRecovered"], noun="node", ident=uuid)
        assert server.get(f"{path}/resource").json()["cpu_usage_percent"] == 45


def test_the_cleanup_removes_a_lost_node_and_keeps_its_history(tmp_path: Path) -> None:
    with Server(tmp_path, "--heartbeat-timeout", "1", "--cleanup-interval", "1") as server:
        uuid = server.post("/api/v1/nodes", json=NODE).json()["node_uuid"]
        eventually(lambda: server.get(f"/api/v1/nodes/{uuid}").status_code == 404)
        names = [
            e["type"] for e in events_of(server, ["NodeRegistered", "NodeLost", "NodeDeleted"], noun="node", ident=uuid)
        ]
        assert names == ["NodeRegistered", "NodeLost", "NodeDeleted"]
        assert server.post(f"/api/v1/nodes/{uuid}/heartbeat").status_code == 404


def test_node_removal_after_lengthens_the_life_of_a_lost_node(tmp_path: Path) -> None:
    config = tmp_path / "patient.toml"
    config.write_text("heartbeat_timeout = 1\ncleanup_interval = 1\nnode_removal_after = 600\n")
    with Server(tmp_path / "data", "--config", str(config)) as server:
        uuid = server.post("/api/v1/nodes", json=NODE).json()["node_uuid"]
        eventually(lambda: server.get(f"/api/v1/nodes/{uuid}").json()["node"]["status"] == "offline")
        before = server.get("/ready").json()["head"]
        other = server.post("/api/v1/nodes", json=NODE).json()["node_uuid"]
        eventually(lambda: server.get(f"/api/v1/nodes/{other}").json()["node"]["status"] == "offline")
        assert server.get(f"/api/v1/nodes/{uuid}").status_code == 200
        assert server.get("/ready").json()["head"] > before


def test_the_server_itself_is_a_node_that_keeps_its_uuid(tmp_path: Path) -> None:
    server = Server(tmp_path, "--node-name", "first-machine").start()
    nodes = server.get("/api/v1/nodes").json()["nodes"]
    offered = {"slots": "32", "cpu_cores": str(len(os.sched_getaffinity(0)))}
    assert nodes[0]["metadata"].pop("runtimes").split(",")[0] == "wasm"  # and more, where the machine can
    assert [node["metadata"] for node in nodes] == [{"name": "first-machine", **offered}]
    server.stop()
    with server:
        assert [node["uuid"] for node in server.get("/api/v1/nodes").json()["nodes"]] == [nodes[0]["uuid"]]


def test_a_spearlet_without_an_sms_stands_alone(tmp_path: Path) -> None:
    with Server(tmp_path, role="spearlet") as server:
        assert server.get("/health").json()["service"] == "spearlet"
        done = server.run(server.register("hello")).json()
        assert done["status"] == "completed"
        assert (tmp_path / "spearlet.db").exists()


def test_a_spearlet_removes_content_that_nothing_names_at_every_cleanup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEARLET_CONTENT_RETENTION", "0")
    with Server(tmp_path, "--cleanup-interval", "1", role="spearlet") as server:
        put = server.call("PUT", "/api/v1/objects/large", data=b"x" * 10_000).json()
        kept = tmp_path / "files" / put["sha256"][:2] / put["sha256"]
        assert kept.exists()
        assert server.call("DELETE", "/api/v1/objects/large").status_code == 200
        eventually(lambda: not kept.exists())


def test_an_sms_alone_keeps_tasks_and_says_that_nobody_runs_them(tmp_path: Path) -> None:
    with Server(tmp_path, role="sms") as server:
        answer = server.run(server.register("hello"))
        assert (answer.status_code, answer.json()["error"]) == (503, "NO_NODE")
        assert server.get("/api/v1/nodes").json()["nodes"] == []


def test_every_request_is_a_log_line_with_its_correlation_id_and_so_are_its_events(tmp_path: Path) -> None:
    with Server(tmp_path, "--log-level", "debug", "--log-format", "json") as server:
        task = server.register("echo", endpoint="echo")

        def asked(method: str, path: str, name: str, **options: Any) -> requests.Response:
            answer = server.call(method, path, headers={"X-Request-Id": name}, **options)
            assert answer.headers["X-Request-Id"] == name
            return answer

        asked("POST", "/api/v1/nodes", "a-node", json=NODE)
        asked("POST", "/e/echo", "a-call", data=b"hi")
        asked("POST", "/api/v1/executions", "a-run", json={"task_id": task})
        asked("GET", "/api/v1/nodes/nobody", "a-mistake")
        with connected(server) as channel:
            ask = Stub(channel, node_pb2, "NodeService")
            ask.RegisterNode(node={"ip_address": "127.0.0.9", "port": 1}, sent=(("x-request-id", "a-grpc-node"),))
            with refused(grpc.StatusCode.NOT_FOUND):
                ask.GetNode(uuid="nobody", sent=(("x-request-id", "a-grpc-mistake"),))
        lines = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
        told = [line for line in lines if line["logger"] in ("spear.http", "spear.grpc")]
        assert all(line["correlation_id"] for line in told)
        assert {
            line["correlation_id"]: line["message"] for line in told if line["correlation_id"].startswith("a-")
        } == {
            "a-node": "POST /api/v1/nodes 201",
            "a-call": "POST /e/echo 200",
            "a-run": "POST /api/v1/executions 200",
            "a-mistake": "GET /api/v1/nodes/nobody 404",
            "a-grpc-node": "sms.NodeService/RegisterNode OK",
            "a-grpc-mistake": "sms.NodeService/GetNode NOT_FOUND",
        }
        recorded = [(e["correlation"], e["type"]) for e in events_of(server, RECORDED) if e["correlation"][:2] == "a-"]
        assert recorded == [
            ("a-node", "NodeRegistered"),
            *(("a-call", name) for name in (*RUN, "ObjectPut")),
            *(("a-run", name) for name in (*RUN[:1], *RUN[2:], "ObjectPut")),
            ("a-grpc-node", "NodeRegistered"),
        ]


def test_a_lost_end_of_the_log_is_noticed_at_start(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    copy = (tmp_path / "sms.db").read_bytes(), (tmp_path / "sms.db-wal").read_bytes()
    server.post("/api/v1/nodes", json=NODE)
    server.stop()
    (tmp_path / "sms.db").write_bytes(copy[0])
    (tmp_path / "sms.db-wal").write_bytes(copy[1])
    done = subprocess.run(server.command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "was acknowledged" in done.stderr


def test_with_enable_tls_http_is_encrypted(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    subprocess.run([*made, *named], check=True, capture_output=True)
    config = tmp_path / "tls.toml"
    config.write_text(f'[http]\nenable_tls = true\ncert_path = "{cert}"\nkey_path = "{key}"\n')
    server = Server(tmp_path / "data", "--config", str(config))
    server.url = server.url.replace("http:", "https:")
    server.verify = str(cert)
    with server:
        assert server.get("/health", verify=str(cert)).json()["status"] == "healthy"
        with pytest.raises(requests.ConnectionError):
            requests.get(server.url.replace("https:", "http:") + "/health", timeout=5)
