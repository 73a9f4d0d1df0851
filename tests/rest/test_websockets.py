"""WebSockets keep their rules whatever comes in: handshakes, frames, sizes, silence, and goodbyes with the right code."""

import socket
import struct
from collections.abc import Iterator

import pytest
import websocket

from tests.rest._server import Api
from tests.rest._sockets import (
    BINARY,
    CLOSE,
    HANDSHAKE,
    PING,
    PONG,
    TEXT,
    Raw,
    connected,
    frame,
    heard,
)  # fmt: skip
from tests.rest.conftest import NODE, done, refused
from tests.server import Server, eventually

WS = "/api/v1/events/ws?after=-1"
LIMITS = "[http]\nidle_timeout_s = 1\n"


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that waits for nobody."""
    folder = tmp_path_factory.mktemp("hasty")
    (folder / "config.toml").write_text(LIMITS)
    with Api(folder / "data", "--config", str(folder / "config.toml")) as running:
        yield running


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        ("Upgrade", None, "a GET of HTTP/1.1 with Upgrade: websocket"),
        ("Upgrade", "h2c", "websocket"),
        ("Connection", "close", "upgrade"),
        ("Sec-WebSocket-Version", None, "13"),
        ("Sec-WebSocket-Version", "8", "13"),
        ("Sec-WebSocket-Key", None, "16 bytes in base64"),
        ("Sec-WebSocket-Key", "c2hvcnQ=", "16 bytes in base64"),
    ],
)
def test_a_wrong_handshake_is_refused_by_its_field(
    server: Server, field: str, given: str | None, expected: str
) -> None:
    fields = {**HANDSHAKE, "Connection": "keep-alive, Upgrade", field: given}
    if fields["Upgrade"] is None:
        fields["Connection"] = "keep-alive"
    answer = server.get(WS, headers=fields)
    refused(answer, 400, "UPGRADE_REQUIRED", f"{field}: got ", expected)
    assert answer.headers.get("Sec-WebSocket-Version") == ("13" if "Version" in field else None)


def test_an_error_before_the_upgrade_is_an_answer_as_any_other(server: Server) -> None:
    refused(server.get("/api/v1/events/ws?noun=nothing", headers=HANDSHAKE), 422, "INVALID_ARGUMENT", "noun: got")
    refused(server.get("/api/v1/events/ws?after=x", headers=HANDSHAKE), 422, "INVALID_ARGUMENT", "after: got")
    refused(server.get("/api/v1/tasks/nobody/ws", headers=HANDSHAKE), 404, "TASK_NOT_FOUND")
    assert server.call("HEAD", WS, headers=HANDSHAKE).status_code == 400


def test_a_page_of_a_foreign_origin_or_name_does_not_get_in(server: Server) -> None:
    foreign = {**HANDSHAKE, "Origin": "http://evil.example"}
    refused(server.get(WS, headers=foreign), 403, "FOREIGN_ORIGIN", "http.origins")
    refused(server.get(WS, headers={**HANDSHAKE, "Host": "evil.example"}), 403, "FOREIGN_HOST")
    own = {**HANDSHAKE, "Host": f"127.0.0.1:{server.port}", "Origin": server.url}
    with Raw(server, WS, **own):
        pass


def test_the_answer_proves_the_key_and_names_no_protocol_that_nobody_offered(server: Server) -> None:
    with Raw(server, WS) as raw:
        assert b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n" in raw.head
        assert (
            b"Sec-WebSocket-Protocol" not in raw.head
            and b"Extensions" not in raw.head
            and b"X-Request-Id: " in raw.head
        )


def test_pings_are_answered_and_what_is_said_is_not_listened_to(server: Server) -> None:
    with Raw(server, WS) as raw:
        raw.send(frame(TEXT, b"hello") + frame(BINARY, b"x" * 4096) + frame(PING, b"are you there"))
        assert raw.frame() == (PONG, b"are you there")


def test_a_message_in_fragments_with_a_ping_between_them_is_one_message(server: Server) -> None:
    with Raw(server, WS) as raw:
        raw.send(frame(TEXT, b"\xc3", fin=False) + frame(PING, b"1") + frame(0, b"\xa4"))
        assert raw.frame() == (PONG, b"1")
        raw.send(frame(TEXT, b"x" * 4000, fin=False) + frame(0, b"x" * 97))
        assert raw.closed()[0] == 1009


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"a", masked=False), 1002),
        (b"\xf1" + frame(TEXT, b"a")[1:], 1002),  # reserved bits
        (frame(3, b"a"), 1002),
        (frame(0, b"a"), 1002),  # goes on with nothing
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"x" * 4097), 1009),
        (frame(BINARY, b"x" * 5000, length=2**40), 1009),
    ],
)
def test_what_breaks_the_rules_ends_the_conversation_with_the_right_code(
    server: Server, sent: bytes, code: int
) -> None:
    with Raw(server, WS) as raw:
        raw.send(sent)
        assert raw.closed()[0] == code
    done(server.get("/health"))


@pytest.mark.parametrize("sent", [struct.pack("!H", 1000) + b"bye", struct.pack("!H", 4321), b""])
def test_a_goodbye_is_answered_with_its_own_code_and_the_connection_ends(server: Server, sent: bytes) -> None:
    with Raw(server, WS) as raw:
        raw.send(frame(CLOSE, sent))
        opcode, answer = raw.frame()
        assert (opcode, answer[:2]) == (CLOSE, sent[:2])
        assert raw.connection.recv(1) == b""


def test_who_goes_without_a_word_leaves_nothing_behind(server: Server) -> None:
    with Raw(server, WS) as raw:
        raw.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with Raw(server, WS) as raw:
        raw.send(b"\x81\xff")
    done(server.get("/health"))
    assert "Traceback" not in server.output()


def test_who_is_silent_is_pinged_and_left_when_no_answer_comes(hasty: Api) -> None:
    with Raw(hasty, WS) as raw:
        for _ in range(4):
            assert raw.frame() == (PING, b"")
            raw.send(frame(PONG))
        code, reason = raw.closed()
        assert (code, "not even an answer to a ping" in reason) == (1011, True)


def test_who_does_not_read_is_left_and_goes_on_from_its_cursor_with_nothing_missed(hasty: Api) -> None:
    large = {**NODE, "metadata": {f"m{number}": "x" * 8000 for number in range(60)}}
    for _ in range(20):
        done(hasty.post("/nodes", json=large), 201)
    head = done(hasty.get("/events", params={"limit": "1"}))["head"]
    with Raw(hasty, "/api/v1/events/ws", window=2048) as lazy:
        lazy.connection.settimeout(0.2)  # all that was on its way when the server left
        eventually(lambda: hasty.connections() == 0)
        found = list(lazy.texts())
    assert 0 < len(found) < head
    with connected(hasty, f"/api/v1/events/ws?cursor={found[-1]['cursor']}") as client:
        found += [heard(client) for _ in range(head - len(found))]
    assert [event["position"] for event in found] == [event["previous"] + 1 for event in found] == [*range(1, head + 1)]


def test_only_so_many_are_open_and_one_that_ends_makes_room(server: Server) -> None:
    opened = [Raw(server, WS) for _ in range(256)]
    refused(server.get(WS, headers=HANDSHAKE), 429, "OVERLOADED", "256 WebSockets are open")
    with Raw(server, f"/api/v1/tasks/{server.register('hello')}/ws"):
        pass  # other conversations have room of their own
    for raw in opened:
        with raw:
            raw.send(frame(CLOSE))
            raw.frame()
    eventually(lambda: _gets_in(server))


def _gets_in(server: Server) -> bool:
    try:
        with connected(server, WS):
            return True
    except websocket.WebSocketBadStatusException:
        return False
