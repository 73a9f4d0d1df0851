"""A SPEARlet and its SMS as two processes: connect, register, beat, lose each other, find each other again."""

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from tests.e2e.test_start import refused
from tests.server import Server, events_of, eventually

MEASURED = (
    "cpu_usage_percent", "memory_usage_percent", "disk_usage_percent", "used_memory_bytes", "used_disk_bytes",
    "network_rx_bytes_per_sec", "network_tx_bytes_per_sec", "load_average_1m", "load_average_5m", "load_average_15m",
)  # fmt: skip


@pytest.fixture
def sms(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "sms", role="sms") as found:
        yield found


def spearlet(folder: Path, sms: Server, *flags: str, **keys: int) -> Server:
    """A SPEARlet that beats every second."""
    config = folder / "spearlet.toml"
    lines = {"heartbeat_interval": 1, "sms_connect_retry_ms": 50, "sms_connect_timeout_ms": 5000} | keys
    config.write_text("[spearlet]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items()))
    join = ["--config", str(config), "--sms-addr", f"127.0.0.1:{sms.grpc_port}", *flags]
    return Server(folder / "spearlet", *join, role="spearlet")


def identity(node: Server) -> str:
    """The uuid that the node keeps."""
    return (node.data_dir / "node_uuid").read_text()


def known(sms: Server, uuid: str) -> dict[str, Any] | None:
    """The node as the SMS has it."""
    answer = sms.get(f"/api/v1/nodes/{uuid}")
    return answer.json()["node"] if answer.status_code == 200 else None


def beats(sms: Server, uuid: str) -> int:
    """How often the node was heard."""
    return len([one for one in events_of(sms, ["Heartbeat"]) if one["data"]["node_uuid"] == uuid])


def resource(sms: Server, uuid: str) -> dict[str, Any]:
    """What the SMS knows of the node's machine."""
    return dict(sms.get(f"/api/v1/nodes/{uuid}/resource").json())


def test_with_auto_register_the_node_is_known_as_soon_as_it_is_ready(tmp_path: Path, sms: Server) -> None:
    with spearlet(tmp_path, sms, "--auto-register", "--node-name", "left") as node:
        found = known(sms, identity(node))
        assert found is not None
        assert (found["status"], found["metadata"]["name"]) == ("online", "left")
        assert (found["port"], found["http_port"]) == (node.grpc_port, node.port)


def test_a_node_that_asked_for_any_free_port_is_known_with_the_one_it_got(tmp_path: Path, sms: Server) -> None:
    with spearlet(tmp_path, sms, "--auto-register", "--grpc-addr", "127.0.0.1:0") as node:
        found = known(sms, identity(node))
        assert found is not None
        assert found["port"] > 0
        assert f"grpc 127.0.0.1:{found['port']}" in node.output()


def test_it_beats_with_what_the_machine_has_and_uses(tmp_path: Path, sms: Server) -> None:
    with spearlet(tmp_path, sms) as node:
        uuid = identity(node)
        eventually(lambda: known(sms, uuid) and beats(sms, uuid) >= 2)
        eventually(lambda: all(resource(sms, uuid)[name] > 0 for name in MEASURED))
        shown = resource(sms, uuid)
        assert shown["total_memory_bytes"] == psutil.virtual_memory().total
        assert shown["total_memory_bytes"] > shown["used_memory_bytes"]
        assert shown["total_disk_bytes"] > shown["used_disk_bytes"]


def test_two_nodes_share_a_name_and_not_an_identity(tmp_path: Path, sms: Server) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with (
        spearlet(folders[0], sms, "--auto-register", "--node-name", "twin") as one,
        spearlet(folders[1], sms, "--auto-register", "--node-name", "twin") as two,
    ):
        assert identity(one) != identity(two)
        assert {node["uuid"] for node in sms.get("/api/v1/nodes").json()["nodes"]} == {identity(one), identity(two)}


def test_it_is_the_same_node_after_both_were_killed(tmp_path: Path, sms: Server) -> None:
    with spearlet(tmp_path, sms, "--auto-register") as node:
        uuid = identity(node)
        before = beats(sms, uuid)
        sms.kill()
        sms.start()
        eventually(lambda: beats(sms, uuid) > before)
        node.kill()
        node.start()
        assert identity(node) == uuid
        assert [one["uuid"] for one in sms.get("/api/v1/nodes").json()["nodes"]] == [uuid]


def test_a_node_that_the_sms_forgot_registers_again(tmp_path: Path, sms: Server) -> None:
    with spearlet(tmp_path, sms, "--auto-register") as node:
        uuid = identity(node)
        assert sms.session.delete(f"{sms.url}/api/v1/nodes/{uuid}", timeout=10).status_code in (200, 204)
        eventually(lambda: known(sms, uuid))


@pytest.mark.parametrize("flags", [(), ("--auto-register",)])
def test_without_an_sms_at_that_address_it_does_not_start(tmp_path: Path, flags: tuple[str, ...]) -> None:
    nobody = Server(tmp_path / "nobody")
    told = refused(spearlet(tmp_path, nobody, *flags, sms_connect_timeout_ms=300))
    assert f"spearlet.sms_grpc_addr: no SMS answers at 127.0.0.1:{nobody.grpc_port} within 300 ms" in told


@pytest.mark.parametrize(("retry_ms", "few"), [(20_000, True), (100, False)])
def test_until_it_is_connected_it_tries_as_often_as_it_is_told(tmp_path: Path, retry_ms: int, few: bool) -> None:
    attempts = []

    def hang_up() -> None:
        with suppress(OSError):
            while True:
                listener.accept()[0].close()
                attempts.append(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=hang_up)
        thread.start()
        nobody = Server(tmp_path / "nobody")
        nobody.grpc_port = listener.getsockname()[1]
        refused(spearlet(tmp_path, nobody, sms_connect_timeout_ms=1000, sms_connect_retry_ms=retry_ms))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(30)
    assert (len(attempts) == 1) is few, attempts


def test_it_waits_for_an_sms_that_starts_after_it(tmp_path: Path) -> None:
    late = Server(tmp_path / "late", role="sms")
    node = spearlet(tmp_path, late, "--auto-register", sms_connect_timeout_ms=30000)
    node.process = node.spawn()
    try:
        eventually((node.data_dir / "lock").exists)  # it is about to connect
        with late:
            eventually(node.is_ready)
            assert known(late, identity(node))
    finally:
        node.kill()


def test_a_node_that_has_no_answer_for_too_long_ends_and_says_why(tmp_path: Path, sms: Server) -> None:
    with spearlet(tmp_path, sms, "--auto-register", reconnect_total_timeout_ms=500) as node:
        sms.kill()
        assert node.process is not None
        assert node.process.wait(20) == 1
        assert "reconnect_total_timeout_ms" in node.output()


def test_without_the_flags_it_stands_alone(tmp_path: Path, sms: Server) -> None:
    with Server(tmp_path / "alone", role="spearlet") as node:
        assert identity(node)
        assert sms.get("/api/v1/nodes").json()["nodes"] == []


def asked(node: Server, **body: Any) -> dict[str, Any]:
    """What the node answers to a call."""
    answer = node.post("/api/v1/executions", json=body)
    return {"code": answer.status_code, **answer.json()}


def near(folder: Path, sms: Server) -> Server:
    """A SPEARlet that knows where the SMS's files are."""
    node = spearlet(folder, sms, "--auto-register")
    config = folder / "spearlet.toml"
    config.write_text(config.read_text() + f'sms_http_addr = "127.0.0.1:{sms.port}"\n')
    return node


def test_a_task_of_the_sms_runs_on_a_node_that_never_heard_of_it(tmp_path: Path, sms: Server) -> None:
    task = sms.register("echo", endpoint="mirror")
    with near(tmp_path, sms) as node:
        found = asked(node, task_id=task, input="hi")
        assert (found["code"], found["status"], found["output"]) == (200, "completed", "hi")
        assert node.post("/e/mirror", data=b"again").content == b"again"
        assert len(events_of(node, ["TaskCreated"])) == 1


def test_an_endpoint_of_the_sms_is_found_by_its_name(tmp_path: Path, sms: Server) -> None:
    sms.register("echo", endpoint="mirror")
    with near(tmp_path, sms) as node:
        assert node.post("/e/Mirror", data=b"hi").content == b"hi"
        assert node.post("/e/nobody", data=b"hi").status_code == 404


def test_a_node_that_its_sms_drained_runs_nothing_but_what_the_sms_sends(tmp_path: Path, sms: Server) -> None:
    sms.register("echo", endpoint="mirror")
    with near(tmp_path, sms) as node:
        path = f"/api/v1/nodes/{identity(node)}"
        assert (node.post("/e/mirror", data=b"hi").content, node.post(f"{path}/drain").status_code) == (b"hi", 200)
        eventually(lambda: node.post("/e/mirror").status_code == 503)
        assert node.post("/e/mirror").json()["error"] == "NODE_DRAINED"
        assert sms.post("/e/mirror").json()["error"] == "NO_NODE"
        assert node.post(f"{path}/undrain").status_code == 200
        assert sms.post("/e/mirror", data=b"at once").content == b"at once"
        eventually(lambda: node.post("/e/mirror", data=b"again").content == b"again")


def test_what_changes_or_goes_at_the_sms_changes_or_goes_at_the_node(tmp_path: Path, sms: Server) -> None:
    task = sms.register("loop", config={"limits.wall_ms": "20000"})
    with near(tmp_path, sms) as node:
        sms.session.put(f"{sms.url}/api/v1/tasks/{task}", json={"config": {"limits.wall_ms": "100"}}, timeout=10)
        assert asked(node, task_id=task)["status"] == "timeout"
        sms.session.put(f"{sms.url}/api/v1/tasks/{task}", json={"config": {"limits.wall_ms": "200"}}, timeout=10)
        eventually(lambda: node.get(f"/api/v1/tasks/{task}?here=true").json()["config"] == {"limits.wall_ms": "200"})
        assert "200 ms" in asked(node, task_id=task)["error"]["message"]
        assert sms.session.delete(f"{sms.url}/api/v1/tasks/{task}", timeout=10).status_code in (200, 204)
        eventually(lambda: node.get(f"/api/v1/tasks/{task}?here=true").status_code == 404)
        assert asked(node, task_id=task)["code"] == 404


def test_what_changed_while_the_node_was_away_is_learned_when_it_is_back(tmp_path: Path, sms: Server) -> None:
    task = sms.register("echo")
    node = near(tmp_path, sms)
    with node:
        asked(node, task_id=task, input="hi")
        node.kill()
        sms.session.delete(f"{sms.url}/api/v1/tasks/{task}", timeout=10)
        node.start()
        eventually(lambda: node.get(f"/api/v1/tasks/{task}?here=true").status_code == 404)


def test_a_pinned_task_is_there_before_anybody_calls_it(tmp_path: Path, sms: Server) -> None:
    with near(tmp_path, sms) as node:
        body = {"name": "n", "version": "1", "node_uuid": identity(node)}
        task = sms.post("/api/v1/tasks", json=body).json()["task_id"]
        eventually(lambda: node.get(f"/api/v1/tasks/{task}?here=true").status_code == 200)
        other = sms.register("hello")
        assert node.get(f"/api/v1/tasks/{other}?here=true").status_code == 404


def cursor(sms: Server, node: Server) -> int:
    """Up to where the node has heard what happened to tasks at the SMS."""
    path = node.data_dir / f"task_events_cursor_{identity(node)}.json"
    return int(path.read_text()) if path.exists() else 0


def test_how_far_it_has_heard_is_kept_and_nothing_old_is_told_again(tmp_path: Path, sms: Server) -> None:
    with near(tmp_path, sms) as node:
        body = {"name": "n", "version": "1", "node_uuid": identity(node)}
        first, second = (sms.post("/api/v1/tasks", json=body) for _ in range(2))
        last = int(second.headers["X-Position"])
        eventually(lambda: cursor(sms, node) == last)
        dropped = f"/api/v1/tasks/{first.json()['task_id']}?here=true"
        assert node.call("DELETE", dropped).status_code == 200
        node.stop()
        assert cursor(sms, node) == last
        node.start()
        third = sms.post("/api/v1/tasks", json=body)
        eventually(lambda: cursor(sms, node) == int(third.headers["X-Position"]))
        assert node.get(f"/api/v1/tasks/{third.json()['task_id']}?here=true").status_code == 200
        assert node.get(dropped).status_code == 404


def test_where_the_sms_has_another_log_by_now_it_hears_everything_again(tmp_path: Path, sms: Server) -> None:
    with near(tmp_path, sms) as node:
        body = {"name": "n", "version": "1", "node_uuid": identity(node)}
        first = sms.post("/api/v1/tasks", json=body).json()["task_id"]
        eventually(lambda: cursor(sms, node))
        assert node.call("DELETE", f"/api/v1/tasks/{first}?here=true").status_code == 200
        sms.stop()
        (node.data_dir / f"task_events_cursor_{identity(node)}.json").write_text("1000000")
        sms.start()
        eventually(lambda: node.get(f"/api/v1/tasks/{first}?here=true").status_code == 200)
        last = int(sms.post("/api/v1/tasks", json=body).headers["X-Position"])
        eventually(lambda: cursor(sms, node) == last)
        assert "the SMS has no event 1000000, so its log is another one" in node.output()


def test_at_debug_each_report_and_call_of_the_sms_is_a_line_and_pauses_grow_while_it_is_away(
    tmp_path: Path, sms: Server
) -> None:
    with spearlet(tmp_path, sms, "--auto-register", "--log-level", "debug") as node:
        eventually(lambda: beats(sms, identity(node)) >= 2)
        eventually(lambda: node.output().count(f"reported the resources of node {identity(node)} to the SMS") >= 2)
        told = node.output()
        assert all(f"called the SMS: NodeService/{name}" in told for name in ("RegisterNode", "Heartbeat"))
        sms.kill()
        eventually(lambda: "called the SMS: NodeService/Heartbeat: UNAVAILABLE" in node.output())
        eventually(lambda: len(pauses(node)) >= 4)
        assert pauses(node) == sorted(pauses(node)) and pauses(node)[-1] >= 2 * pauses(node)[0] > 0


def pauses(node: Server) -> list[float]:
    """How many seconds the node waited each time before it tried to beat again."""
    return [float(said) for said in re.findall(r"NodeService/Heartbeat.*trying again in ([\d.]+) s", node.output())]
