"""A standby and its SMS as two real processes: the same log at two places, until one of them takes over."""

import json
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import grpc
import pytest
import requests

from spear.adapters.rest.access import ROUTES
from spear.adapters.rpc.app import SMS
from spear.adapters.rpc.generated.sms import events_pb2, execution_log_ingest_pb2, execution_pb2, node_pb2
from spear.adapters.rpc.standby import READS
from spear.client import follow
from spear.events.recorder import ApswRecorder
from tests.e2e._liar import Liar, Page
from tests.e2e.test_start import refused
from tests.rest._sockets import HANDSHAKE, heard
from tests.rest._sockets import connected as by_websocket
from tests.rpc._wire import Stub, connected
from tests.server import Server, events_of, eventually

WHOLE = 20


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("leader") / "sms", role="sms") as found:
        write(found, WHOLE)
        yield found


def standby_of(folder: Path, port: int, *flags: str) -> Server:
    return Server(folder / "standby", "--follow", f"tcp://127.0.0.1:{port}", *flags, role="sms")


@pytest.fixture(scope="module")
def standby(tmp_path_factory: pytest.TempPathFactory, sms: Server) -> Iterator[Server]:
    with standby_of(tmp_path_factory.mktemp("follower"), sms.bus_port, "--enable-web-admin") as found:
        yield found


def write(server: Server, count: int, *, name: str = "n") -> None:
    for number in range(count):
        body = {"ip_address": "127.0.0.1", "port": 1 + number, "metadata": {"name": f"{name}{number}"}}
        assert server.post("/api/v1/nodes", json=body).ok


def ready(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/ready").json()
    return found


def level(sms: Server, standby: Server) -> int:
    """The head of both, once it is the same."""
    eventually(lambda: ready(standby)["head"] == ready(sms)["head"], within_s=30)
    return int(ready(sms)["head"])


def log_of(server: Server, *, until: int = 2**62) -> tuple[bytes, list[Any]]:
    """What the file holds: the log's id, and every row as it is stored."""
    with closing(ApswRecorder(server.data_dir / "sms.db", read_only=True)) as recorder:
        return recorder.value("SELECT id FROM identity"), recorder.query(
            "WHERE position <= ? ORDER BY position", (until,)
        )


def nodes(server: Server, **query: Any) -> Any:
    return server.get("/api/v1/nodes", params=query).json()


def test_a_standby_holds_the_same_log_and_answers_the_same(sms: Server, standby: Server) -> None:
    write(sms, 5, name="m")
    head = level(sms, standby)
    assert log_of(standby) == log_of(sms)
    assert nodes(standby) == nodes(sms)
    assert nodes(standby, as_of=WHOLE // 2) == nodes(sms, as_of=WHOLE // 2) != nodes(sms)
    assert standby.get("/api/v1/events").json() == sms.get("/api/v1/events").json()
    assert head == len(log_of(standby)[1])


def test_a_standby_says_how_far_behind_it_is(sms: Server, standby: Server) -> None:
    head = level(sms, standby)
    told = eventually(lambda: (found := ready(standby)["following"])["leader_head"] == head and found)
    assert (told["leader"], told["behind"]) == (f"tcp://127.0.0.1:{sms.bus_port}", 0)
    assert told["silent_s"] < 10
    assert "following" not in ready(sms)


def test_cursors_of_the_sms_are_good_at_its_standby_and_on_the_standbys_bus(sms: Server, standby: Server) -> None:
    level(sms, standby)
    cursor = sms.get("/api/v1/events", params={"limit": 7}).json()["next_cursor"]
    assert standby.get("/api/v1/events", params={"cursor": cursor}).json()["events"][0]["position"] == 8
    with closing(follow(f"127.0.0.1:{standby.bus_port}", cursor)) as followed:
        assert next(followed).position == 8


def test_grpc_reads_and_streams_are_answered_by_a_standby(sms: Server, standby: Server) -> None:
    level(sms, standby)
    with connected(sms) as one, connected(standby) as other:
        asked = [Stub(channel, node_pb2, "NodeService") for channel in (one, other)]
        assert asked[0].ListNodes() == asked[1].ListNodes()
        stream = Stub(other, events_pb2, "EventsService").SubscribeEvents(selector={"all": {}})
        assert next(stream).seq == 1
        stream.cancel()


def test_a_standby_says_where_log_lines_are_instead_of_showing_none(sms: Server, standby: Server) -> None:
    task = sms.post("/api/v1/tasks", json={"name": "t", "version": "1"}).json()["task_id"]
    told = {"execution_id": str(uuid4()), "task_id": task, "node_uuid": str(uuid4()), "instance_id": str(uuid4())}
    with connected(sms) as channel:
        report = Stub(channel, execution_pb2, "ExecutionRegistryService").ReportExecution
        assert report(**told, status=execution_pb2.EXECUTION_STATUS_RUNNING).accepted
        append = Stub(channel, execution_log_ingest_pb2, "ExecutionLogIngestService").AppendExecutionLogs
        assert append(execution_id=told["execution_id"], lines=[{"seq": 1, "message": "hello"}]).accepted == 1
    level(sms, standby)
    path = f"/api/v1/executions/{told['execution_id']}/logs"
    assert len(sms.get(path).json()["lines"]) == 1
    for query in ({}, {"follow": "true"}):
        answer = standby.get(path, params=query)
        assert (answer.status_code, answer.json()["error"]) == (503, "LOGS_AT_LEADER")
        assert f"ask the SMS at tcp://127.0.0.1:{sms.bus_port}" in answer.json()["message"]
    assert standby.get(f"/api/v1/executions/{uuid4()}/logs").status_code == 404
    page = requests.get(f"http://127.0.0.1:{standby.admin_port}/executions/{told['execution_id']}", timeout=10)
    assert page.status_code == 200 and "log lines are not copied" in page.text


WRITES = [(method, rule) for method, rule, _ in ROUTES if method != "GET"]


@pytest.mark.parametrize(("method", "rule"), WRITES)
def test_every_rest_route_that_changes_something_is_refused_with_the_leaders_address(
    sms: Server, standby: Server, method: str, rule: str
) -> None:
    path = rule.replace("<", "").replace(">", "").replace("path:", "")
    before = ready(standby)["head"]
    answer = standby.call(method, path, data=b"{}", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (503, "READ_ONLY_STANDBY")
    assert answer.json()["details"] == {"leader": f"tcp://127.0.0.1:{sms.bus_port}"}
    assert "promote this one by a restart without --follow" in answer.json()["message"]
    assert ready(standby)["head"] == before


def test_so_is_an_endpoints_websocket_while_the_one_of_events_is_as_good_as_the_leaders(
    sms: Server, standby: Server
) -> None:
    level(sms, standby)
    answer = standby.get("/e/any/ws", headers=HANDSHAKE)
    assert (answer.status_code, answer.json()["error"]) == (503, "READ_ONLY_STANDBY")
    with by_websocket(sms, "/api/v1/events/ws") as one, by_websocket(standby, "/api/v1/events/ws") as other:
        assert heard(one) == heard(other)


def snake(name: str) -> str:
    return re.sub(r"(?<=.)(?=[A-Z])", "_", name).lower()


CALLS = [(service, m.name) for service in SMS for m in service.DESCRIPTOR.methods if hasattr(service, snake(m.name))]


def test_what_a_standby_serves_by_grpc_are_methods_that_there_are() -> None:
    assert READS <= {snake(name) for _, name in CALLS}


@pytest.mark.parametrize(("service", "name"), [one for one in CALLS if snake(one[1]) not in READS])
def test_every_grpc_method_that_does_not_only_read_is_refused(
    sms: Server, standby: Server, service: Any, name: str
) -> None:
    file = SimpleNamespace(DESCRIPTOR=service.DESCRIPTOR.file)
    with connected(standby) as channel, pytest.raises(grpc.RpcError) as caught:
        getattr(Stub(channel, file, service.DESCRIPTOR.name), name)()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(caught.value.trailing_metadata())["x-error-code"] == "READ_ONLY_STANDBY"
    assert f"tcp://127.0.0.1:{sms.bus_port}" in caught.value.details()


def test_only_the_sms_says_that_a_node_is_lost(tmp_path: Path) -> None:
    quick = tmp_path / "quick.toml"
    quick.write_text("heartbeat_timeout = 1\ncleanup_interval = 1\n")
    with Server(tmp_path / "sms", "--config", str(quick), role="sms") as sms:
        with standby_of(tmp_path, sms.bus_port, "--config", str(quick)) as standby:
            write(sms, 2)
            eventually(lambda: events_of(standby, ["NodeDeleted"]))
            standby.stop()
            assert "only reads" not in standby.output()  # as whoever commits here is told
        sms.stop()
        copied = log_of(standby)[1]
        assert copied == log_of(sms)[1][: len(copied)]


def test_a_standby_goes_on_from_its_own_head_over_kills_of_either_end(tmp_path: Path) -> None:
    with Server(tmp_path / "sms", role="sms") as sms, standby_of(tmp_path, sms.bus_port) as standby:
        for killed in (standby, sms):
            write(sms, 10, name=killed.data_dir.name)
            killed.stop(signal.SIGKILL)
            if killed is sms:
                sms.start()
            write(sms, 5, name=f"after-{killed.data_dir.name}")
            if killed is standby:
                standby.start()
            level(sms, standby)
        sms.stop(signal.SIGKILL)
        standby.stop(signal.SIGKILL)
        assert log_of(standby) == log_of(sms)
        standby.start()  # alone, with what it has
        assert len(nodes(standby)["nodes"]) == 30
        assert ready(standby)["following"]["behind"] is None


def test_a_promoted_standby_goes_on_where_the_sms_ended_and_an_sms_that_went_on_can_only_begin_anew(
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "sms", role="sms") as sms, standby_of(tmp_path, sms.bus_port) as standby:
        write(sms, 3)
        head = level(sms, standby)
        sms.stop()
        shutil.copytree(sms.data_dir, tmp_path / "old" / "standby")
        sms.start()
        standby.stop()
        write(sms, 1, name="lost")
        sms.stop(signal.SIGKILL)
        assert "ask that SMS for tokens" in refused(standby, "--new-token", "x", "--role", "admin")
        standby.flags = ()
        standby.start()
        assert f"promoted at position {head}" in standby.output()
        write(standby, 2, name="after")
        assert ready(standby)["head"] > head and "following" not in ready(standby)
        sms.flags, before = ("--follow", f"tcp://127.0.0.1:{standby.bus_port}"), log_of(sms)
        line = refused(sms)
        assert "this log is no copy of that of the SMS at tcp://127.0.0.1:" in line
        assert "start with an empty data directory" in line and log_of(sms) == before
        with standby_of(tmp_path / "old", standby.bus_port) as again:  # the SMS as it was when the standby left it
            level(standby, again)


def test_the_log_of_another_sms_is_refused(tmp_path: Path, sms: Server) -> None:
    other = Server(tmp_path / "standby", role="sms").start()
    write(other, 1)
    assert other.stop() == 0
    assert "the cursor belongs to another log" in refused(standby_of(tmp_path, sms.bus_port))


def test_an_sms_that_lost_its_end_stops_its_standby_with_a_clear_word(tmp_path: Path) -> None:
    with Server(tmp_path / "sms", role="sms") as sms, standby_of(tmp_path, sms.bus_port) as standby:
        write(sms, 3)
        level(sms, standby)
        sms.stop()
        shutil.copytree(sms.data_dir, tmp_path / "backup")
        sms.start()
        write(sms, 3, name="later")
        level(sms, standby)
        sms.stop()
        shutil.rmtree(sms.data_dir)
        (tmp_path / "backup").rename(sms.data_dir)
        before = len(log_of(standby)[1])
        sms.start()
        assert standby.process is not None and standby.process.wait(20) == 1
        assert "it was restored" in standby.output() and "this log is no copy" in standby.output()
        assert len(log_of(standby)[1]) == before


def test_what_does_not_fit_is_not_stored_and_ends_the_start(tmp_path: Path, sms: Server) -> None:
    def change(page: Page) -> None:
        for fact in page.get("facts", []):
            if fact[0] == 5:
                fact[8] = fact[8].replace(b"127", b"128")

    with Liar(sms.bus_port, change) as between:
        standby = standby_of(tmp_path, between.port)
        assert "does not continue this log: event 5: the content does not match its hash" in refused(standby)
    assert log_of(standby)[1] == []


def test_a_dropped_event_is_noticed_while_it_is_followed(tmp_path: Path) -> None:
    def drop(page: Page) -> None:
        page["facts"] = [fact for fact in page.get("facts", []) if fact[0] != 3]

    with Server(tmp_path / "sms", role="sms") as sms, Liar(sms.bus_port, drop) as between:
        write(sms, 2)
        with standby_of(tmp_path, between.port) as standby:
            write(sms, 2)
            assert standby.process is not None and standby.process.wait(20) == 1
            assert "expected position 3, found 4" in standby.output().splitlines()[-2]


def content(number: int) -> bytes:
    return bytes([number]) * 5000 + bytes(700_000 * number)


def fetched(sms: Server, standby: Server) -> bool:
    return int(ready(standby)["following"]["content"]) == ready(sms)["head"]


def test_large_content_follows_the_log_and_is_the_same(sms: Server, standby: Server) -> None:
    files = [sms.upload(content(number), name=f"f{number}")["id"] for number in range(3)]
    empty = sms.upload(b"", name="empty")["id"]
    for number in range(3):
        assert sms.call("PUT", f"/api/v1/objects/b/k{number}", data=content(10 + number)).ok
    assert sms.call("DELETE", f"/api/v1/files/{files[0]}").ok
    eventually(lambda: fetched(sms, standby))
    for number in (1, 2):
        assert standby.get(f"/api/v1/files/{files[number]}").content == content(number)
        assert standby.get(f"/api/v1/objects/b/k{number}").content == content(10 + number)
    assert standby.get(f"/api/v1/files/{empty}").content == b""


def test_content_that_is_not_what_its_name_says_is_not_kept_and_what_was_not_brought_is_brought_later(
    tmp_path: Path, sms: Server
) -> None:
    def change(page: Page) -> None:
        if page["kind"] == "piece":
            page["data"] = b"x" + page["data"][1:]

    good = content(4)
    ident = sms.upload(good, name="good")["id"]
    with Liar(sms.bus_port, change) as between, standby_of(tmp_path, between.port) as standby:
        eventually(lambda: "it was not kept" in standby.output())
        eventually(lambda: fetched(sms, standby))
        assert standby.get(f"/api/v1/files/{ident}").status_code >= 400
        standby.stop()
        assert not [path for path in (standby.data_dir / "files").rglob("*") if path.is_file()]
        (standby.data_dir / "fetched").unlink()  # as somebody does who repaired the SMS
        standby.flags = ("--follow", f"tcp://127.0.0.1:{sms.bus_port}")
        standby.start()
        eventually(lambda: fetched(sms, standby))
        assert standby.get(f"/api/v1/files/{ident}").content == good


def test_an_encrypted_bus_is_followed_with_its_key_and_without_it_not_at_all(tmp_path: Path) -> None:
    with Server(tmp_path / "sms", "--bus-addr", "127.1:0", "--insecure", role="sms") as sms:
        write(sms, 3)
        told = re.findall(r"the bus listens on port (\d+),.*public key ([^\s\"]+)", sms.output())
        port, key = told[-1]
        standby = standby_of(tmp_path, int(port))
        assert "a new standby needs its SMS" in refused(standby)
        (tmp_path / "key.toml").write_text(f"follow_key = {json.dumps(key)}\n")
        standby.flags = (*standby.flags, "--config", str(tmp_path / "key.toml"))
        with standby:
            level(sms, standby)


def test_a_new_standby_needs_its_sms_and_only_an_sms_can_be_one(tmp_path: Path) -> None:
    standby = standby_of(tmp_path, Server(tmp_path).bus_port)
    assert "a new standby needs its SMS: tcp://127.0.0.1:" in refused(standby)
    standby.role = "all"
    assert "follow: got 'tcp://127.0.0.1:" in (line := refused(standby)) and "--role sms" in line
