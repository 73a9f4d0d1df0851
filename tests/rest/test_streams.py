"""User streams: sessions, tokens and frames from a client through real doors to a guest, and back."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec
import pytest
import websocket

from spear.adapters.system import SystemClock
from spear.adapters.threads import InlineThreads
from spear.domain.execution import Execution, Start
from spear.events._bell import ThreadBell
from spear.events.log import EventLog
from spear.events.record import Origin
from spear.projections.views import open_views
from spear.protocols import ssf
from spear.services.unit import Unit
from tests.rest._server import Api
from tests.rest._sockets import BINARY, HANDSHAKE, Raw, closed, connected, frame
from tests.rest.conftest import done, refused
from tests.server import ROOT, Server, eventually

DATA, CANCEL = ssf.Kind.DATA, ssf.Kind.CANCEL
FLOOD = 150  # as `_echo_node.py` has it, which patches whoever imports it


class EchoNode(Api):
    """A server whose executions answer user streams as `_echo_node.py` says."""

    @property
    def command(self) -> list[str]:
        """The same with the stand-in's program."""
        program, stand_in = str(ROOT / "spear_server.py"), str(Path(__file__).with_name("_echo_node.py"))
        return [stand_in if word == program else word for word in super().command]

    def begin(self, task_id: str) -> str:
        """Start an execution that goes on; its id, once it runs."""
        ident = done(self.run(task_id, mode="async"), 202)["execution_id"]
        eventually(lambda: done(self.get(f"/executions/{ident}"))["status"] == "running")
        return ident

    def finish(self, execution_id: str) -> None:
        """End an execution."""
        done(self.post(f"/executions/{execution_id}/terminate"))

    def register(self, sample: str = "sleep", **options) -> str:
        """An agent that sleeps for an hour."""
        return Server.register(self, sample, **options)

    def call(self, method: str, path: str, **options):
        """Paths below /api/v1, or whole ones."""
        return Server.call(
            self, method, path if path.startswith(("/api", "/e/", "/ready")) else f"/api/v1{path}", **options
        )


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoNode]:
    with EchoNode(tmp_path_factory.mktemp("echo") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def execution(node: EchoNode) -> str:
    """An execution that goes on for the whole module."""
    return node.begin(node.register())


def ticket(server: Api, execution_id: str) -> str:
    """The path that opens the execution's streams, once."""
    told = done(server.post(f"/executions/{execution_id}/streams/session"))
    assert told["execution_id"] == execution_id and told["expires_in_ms"] == 60_000 and len(told["token"]) == 43
    path = f"/api/v1/executions/{execution_id}/streams/ws?token={told['token']}"
    assert told["ws_url"] == f"ws://127.0.0.1:{server.port}{path}"
    return path


def said(client: websocket.WebSocket, stream_id: int, data: bytes) -> None:
    client.send_binary(ssf.make(DATA, stream_id, data=data))


def answer(client: websocket.WebSocket) -> tuple[int, int, bytes]:
    """The next frame: its kind, stream and data (of an error: its code)."""
    found = client.recv()
    head = ssf.read(found)
    if head.kind == ssf.Kind.ERROR:
        return head.kind, head.stream_id, msgspec.json.decode(found[32:])["error"]["code"]
    return head.kind, head.stream_id, ssf.data_of(found)


def test_frames_go_to_the_guest_and_come_back_on_the_clients_own_streams(node: EchoNode, execution: str) -> None:
    with connected(node, ticket(node, execution)) as one, connected(node, ticket(node, execution)) as two:
        for client, stream_id, data in ((one, 7, b"a"), (two, 7, b"b"), (one, 2**32 - 1, b"c"), (two, 0, b"d")):
            said(client, stream_id, data)
            assert answer(client) == (DATA, stream_id, execution[:8].encode() + data)


def test_a_session_token_opens_one_execution_once(node: EchoNode, execution: str) -> None:
    path, other = ticket(node, execution), node.begin(node.register())
    elsewhere = path.replace(execution, other)
    refused(node.get(elsewhere, headers=HANDSHAKE), 403, "TOKEN_FORBIDDEN", "another execution")
    with connected(node, path):
        refused(node.get(path, headers=HANDSHAKE), 401, "TOKEN_INVALID", "was used or has expired")
    bare = path.partition("?")[0]
    refused(node.get(bare, headers=HANDSHAKE), 401, "TOKEN_REQUIRED")
    refused(node.get(f"{bare}?token=wrong", headers=HANDSHAKE), 401, "TOKEN_INVALID")
    refused(node.get(bare), 400, "UPGRADE_REQUIRED")
    refused(node.post(f"/executions/{uuid4()}/streams/session"), 404, "EXECUTION_NOT_FOUND")
    assert path.partition("=")[2] not in node.output()
    node.finish(other)


def test_behind_a_door_that_ends_tls_a_session_is_told_with_its_own_name_and_wss(
    node: EchoNode, execution: str
) -> None:
    asked = {"X-Forwarded-Proto": "https", "Host": "localhost:8443"}
    told = done(node.post(f"/executions/{execution}/streams/session", headers=asked))
    path = f"/api/v1/executions/{execution}/streams/ws?token={told['token']}"
    assert told["ws_url"] == f"wss://localhost:8443{path}"


def test_an_execution_that_ends_ends_its_conversations_and_takes_no_more(node: EchoNode) -> None:
    execution = node.begin(node.register())
    late = ticket(node, execution)
    with connected(node, ticket(node, execution)) as client:
        said(client, 1, b"x")
        answer(client)
        node.finish(execution)
        assert closed(client) == (1000, "the execution has ended")
    refused(node.get(late, headers=HANDSHAKE), 409, "EXECUTION_ENDED")


@pytest.mark.parametrize(
    "sent", [b"", b"SPST", bytes(range(64)), ssf.make(2, 1)[:-1], ssf.make(2, 1) + b"x", b"X" + ssf.make(2, 1)[1:]]
)
def test_what_is_no_frame_ends_the_conversation_with_1008(node: EchoNode, execution: str, sent: bytes) -> None:
    if "parted" not in node.get("/tasks?limit=1000").text:
        node.register(endpoint="parted")
    for path in (ticket(node, execution), "/e/parted/ws"):
        with Raw(node, path) as raw:
            raw.send(frame(1, b"text is not listened to") + frame(BINARY, sent))
            assert raw.closed() == (1008, "invalid protocol")


def test_a_frame_that_no_guest_takes_is_refused_and_the_others_go_on(node: EchoNode, execution: str) -> None:
    large = ssf.make(DATA, 1, data=bytes(256 * 1024))
    node.register(endpoint="large")
    with connected(node, ticket(node, execution)) as other:
        with connected(node, ticket(node, execution)) as client:
            client.send_binary(large)
            assert closed(client)[0] == 1009
        with connected(node, "/e/large/ws") as gateway:
            gateway.send_binary(large)
            assert answer(gateway) == (ssf.Kind.ERROR, 1, "FRAME_TOO_LARGE")
            said(gateway, 1, b"small")
            assert answer(gateway)[2].endswith(b"small")
            gateway.send_binary(ssf.make(DATA, 1, data=bytes(4 * 1024 * 1024)))
            assert closed(gateway)[0] == 1009
        said(other, 1, b"still here")
        assert answer(other)[2].endswith(b"still here")


@pytest.mark.parametrize("at_its_endpoint", [False, True])
def test_a_guest_that_says_much_waits_for_its_client_and_the_others_do_not(
    node: EchoNode, execution: str, at_its_endpoint: bool
) -> None:
    if at_its_endpoint:
        node.register(endpoint="much")
    paths = ["/e/much/ws" if at_its_endpoint else ticket(node, execution) for _ in range(2)]
    with connected(node, paths[0]) as behind, connected(node, paths[1]) as other:
        said(behind, 1, b"flood")
        for _ in range(200):
            said(other, 1, b"meanwhile")
            assert answer(other)[2].endswith(b"meanwhile")
        assert [answer(behind)[:2] for _ in range(FLOOD)] == [(DATA, 1)] * FLOOD


def test_who_does_not_read_is_left_with_1013_and_nobody_waits_for_it(node: EchoNode) -> None:
    execution = node.begin(node.register())
    with Raw(node, ticket(node, execution), window=4096) as slow, connected(node, ticket(node, execution)) as other:
        for stream_id in range(1, 9):
            slow.send(frame(BINARY, ssf.make(DATA, stream_id, data=b"flood")))
        said(other, 1, b"after it")
        assert answer(other)[2].endswith(b"after it")
        assert slow.closed() == (1013, "the client does not read what the agent says")
    assert node.rss_mb < 400
    node.finish(execution)


def test_a_guest_that_says_nonsense_ends_its_own_streams_only(node: EchoNode, execution: str) -> None:
    broken = node.begin(node.register())
    with connected(node, ticket(node, execution)) as other, connected(node, ticket(node, broken)) as client:
        said(client, 1, b"bad")
        assert closed(client)[0] == 1000
        said(other, 1, b"still here")
        assert answer(other)[2].endswith(b"still here")
    node.finish(broken)


def test_an_endpoint_starts_an_execution_when_none_runs_and_uses_what_runs(node: EchoNode) -> None:
    task_id = node.register(endpoint="talk")
    running = f"/executions?task_id={task_id}&status=running"
    with connected(node, "/e/Talk/ws", subprotocols=["other", "ssf.v1"]) as client:
        assert client.getsubprotocol() == "ssf.v1"
        (first,) = done(node.get(running))["executions"]
        second = node.begin(task_id)
        found = set()
        for stream_id in (1, 2):
            said(client, stream_id, b"hi")
            found.add(answer(client)[2])
        assert found == {first["execution_id"][:8].encode() + b"hi", second[:8].encode() + b"hi"}
    with connected(node, "/e/talk/ws"):
        assert len(done(node.get(running))["executions"]) == 2


def test_an_execution_that_ends_is_told_to_its_streams_and_the_next_goes_elsewhere(node: EchoNode) -> None:
    task_id = node.register(endpoint="survive")
    one, two = node.begin(task_id), node.begin(task_id)
    with connected(node, "/e/survive/ws") as client:
        said(client, 1, b"")
        ended, left = (one, two) if answer(client)[2] == one[:8].encode() else (two, one)
        node.finish(ended)
        assert answer(client) == (ssf.Kind.ERROR, 1, "UPSTREAM_WS_FAILED")
        said(client, 1, b"again")
        assert answer(client) == (DATA, 1, left[:8].encode() + b"again")
        node.finish(left)
        assert answer(client)[2] == "UPSTREAM_WS_FAILED"
        said(client, 1, b"nobody")
        assert answer(client) == (ssf.Kind.ERROR, 1, "NO_EXECUTION_AVAILABLE")


def test_a_cancelled_stream_gives_its_place_back_and_an_unknown_one_is_told(node: EchoNode) -> None:
    node.register(endpoint="many")
    with connected(node, "/e/many/ws") as client:
        client.send_binary(ssf.make(CANCEL, 5))
        assert answer(client) == (ssf.Kind.ERROR, 5, "STREAM_NOT_FOUND")
        for stream_id in range(1024):
            said(client, stream_id, b"")
            answer(client)
        said(client, 9999, b"")
        assert answer(client) == (ssf.Kind.ERROR, 9999, "RATE_LIMITED")
        client.send_binary(ssf.make(CANCEL, 3))
        said(client, 9999, b"room")
        assert answer(client)[:2] == (DATA, 9999)


def test_an_endpoint_that_cannot_talk_is_refused_before_the_upgrade(node: EchoNode) -> None:
    for name in ("a.b", "x" * 65, "%20"):
        refused(node.get(f"/e/{name}/ws", headers=HANDSHAKE), 400, "INVALID_ENDPOINT", "endpoint: got")
    refused(node.get("/e/nobody/ws", headers=HANDSHAKE), 404, "ENDPOINT_NOT_FOUND")
    refused(node.get("/e/nobody/ws"), 400, "UPGRADE_REQUIRED")
    done(node.call("POST", "/tasks", json={"name": "t", "version": "1", "endpoint": "nothing"}))
    refused(node.get("/e/nothing/ws", headers=HANDSHAKE), 503, "NO_EXECUTION_AVAILABLE", "there is nothing to run")


class Afar(NamedTuple):
    """An SMS, and a SPEARlet that runs an execution which the SMS knows of."""

    sms: Api
    node: EchoNode
    execution: str


@pytest.fixture(scope="module")
def afar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Afar]:
    folder = tmp_path_factory.mktemp("afar")
    with EchoNode(folder / "node", role="spearlet") as node, Api(folder / "sms", role="sms") as sms:
        execution = node.begin(node.register())
        place = {"ip_address": "127.0.0.1", "port": node.grpc_port, "http_port": node.port}
        uuid = done(sms.post("/nodes", json=place), 201)["node_uuid"]
        task_id = done(sms.post("/tasks", json={"name": "t", "version": "1", "endpoint": "afar"}))["task_id"]
        sms.stop()
        note(sms.data_dir, execution, task_id=task_id, node_uuid=uuid)
        sms.start()
        yield Afar(sms, node, execution)


def note(data: Path, execution_id: str, *, task_id: str, node_uuid: str) -> None:
    """Record that the execution runs on the node, as its report does."""
    with (
        EventLog(data / "sms.db", clock=SystemClock(), bell=ThreadBell(), threads=InlineThreads()) as log,
        closing(open_views(data / "views.db", log)) as views,
    ):
        log.start(views)
        known = Execution(
            id=UUID(execution_id), task_id=task_id, node_uuid=node_uuid, mode="async", args=[], environment={},
            timeout_ms=0, input_sha256="", input_size=0, input_inline="", input_content_type="", fingerprint="",
        )  # fmt: skip
        known.begin_on(str(uuid4()), node_uuid=node_uuid, start=Start.COLD)
        Unit(log).save(Origin("test"), known)
        log.close()


def test_clients_of_an_sms_share_one_way_to_the_execution_on_its_node(afar: Afar) -> None:
    sms, node, execution = afar
    with (
        connected(sms, ticket(sms, execution)) as one,
        connected(sms, ticket(sms, execution)) as two,
        connected(sms, "/e/afar/ws") as three,
    ):
        for client, stream_id in ((one, 1), (two, 1), (three, 1), (one, 2)):
            said(client, stream_id, b"%d" % stream_id)
            assert answer(client) == (DATA, stream_id, execution[:8].encode() + b"%d" % stream_id)
        eventually(lambda: node.connections() == 1)


def test_clients_of_an_sms_that_left_keep_no_place_at_the_node(afar: Afar) -> None:
    sms, _, execution = afar
    with connected(sms, ticket(sms, execution)) as stays:
        for _ in range(2):
            with connected(sms, ticket(sms, execution)) as client:
                for stream_id in range(600):
                    said(client, stream_id, b"")
                    answer(client)
        said(stays, 1, b"still here")
        assert answer(stays)[2].endswith(b"still here")


def test_a_node_that_is_away_is_told_and_the_client_may_try_again(afar: Afar) -> None:
    sms, node, execution = afar
    with connected(sms, ticket(sms, execution)) as client, connected(sms, "/e/afar/ws") as gateway:
        for one in (client, gateway):
            said(one, 1, b"")
            answer(one)
        node.stop(signal.SIGKILL)
        assert closed(client) == (1000, "the execution has ended")
        assert answer(gateway) == (ssf.Kind.ERROR, 1, "UPSTREAM_WS_FAILED")
        refused(sms.get(ticket(sms, execution), headers=HANDSHAKE), 503, "UPSTREAM_WS_FAILED", f"127.0.0.1:{node.port}")
    assert "Traceback" not in sms.output()
