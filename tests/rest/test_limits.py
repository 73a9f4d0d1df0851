"""Whoever sends too much, too slowly or too often is refused or left, and everybody else is served meanwhile."""

import json
import select
import socket
from collections.abc import Iterator

import pytest

from tests.rest._server import Api
from tests.rest.conftest import done
from tests.server import eventually

CONFIG = """
[http]
max_connections = 8
max_headers = 16
max_header_bytes = 2048
idle_timeout_s = 1
request_timeout_s = 1
min_bytes_per_s = 100000
"""
HELLO = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
STREAM = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
UPLOAD = b"POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server with low limits."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "config.toml").write_text(CONFIG)
    with Api(folder / "data", "--config", str(folder / "config.toml")) as running:
        yield running


def served(server: Api) -> None:
    """Somebody else, with a connection of his own, is answered."""
    with server.connection() as other:
        other.sendall(HELLO + b"Connection: close\r\n\r\n")
        assert rest(other).startswith(b"HTTP/1.1 200")


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def trickled(server: Api, head: bytes, drop: bytes) -> bytes:
    """Send `head`, then a `drop` now and then until the server answers; what it says until it closes."""
    with server.connection() as slow:
        slow.sendall(head)
        for _ in range(100):
            if select.select([slow], [], [], 0.1)[0]:
                return rest(slow)
            served(server)
            slow.sendall(drop)
    raise AssertionError("the server waits for ever")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (b"".join(b"X-%d: b\r\n" % n for n in range(17)), b"more than 16 header fields"),
        (b"X-A: " + b"b" * 3000 + b"\r\n", b"more than 2048 bytes"),
    ],
)
def test_too_much_of_a_head_is_refused_by_its_limit(strict: Api, fields: bytes, told: bytes) -> None:
    with strict.connection() as greedy:
        greedy.sendall(HELLO + fields + b"\r\n")
        answer = rest(greedy)
    assert answer.startswith(b"HTTP/1.1 431 ") and told in answer and b'"error":"TOO_LARGE"' in answer
    served(strict)


def test_a_head_without_end_is_refused(strict: Api) -> None:
    with strict.connection() as greedy:
        greedy.sendall(HELLO + b"X: " + b"y" * 4096)
        assert rest(greedy).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("head", "status", "told"),
    [
        (b"GARBAGE\r\n\r\n", 400, "GARBAGE"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "HTTP/9.9"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "'x'"),
        (b"GET /%b HTTP/1.1\r\n\r\n" % (b"x" * 16_384), 414, "16384 bytes"),
    ],
)
def test_a_head_that_cannot_be_read_is_refused_in_the_one_error_shape(
    strict: Api, head: bytes, status: int, told: str
) -> None:
    fields, _, body = strict.raw(head).partition(b"\r\n\r\n")
    found = json.loads(body)
    assert fields.startswith(b"HTTP/1.1 %d " % status) and b"\r\nContent-Type: application/json\r\n" in fields
    assert (set(found), told in found["message"]) == ({"error", "message", "details"}, True), found
    assert found["error"] == {400: "MALFORMED_REQUEST", 414: "TOO_LARGE"}[status]


def test_a_connection_that_waits_too_long_is_closed(strict: Api) -> None:
    with strict.connection() as idle:
        idle.sendall(HELLO + b"\r\n")
        answer = rest(idle)
    assert answer.startswith(b"HTTP/1.1 200") and answer.count(b"HTTP/1.1") == 1
    with strict.connection() as silent:
        assert rest(silent) == b""


def test_a_head_that_trickles_in_is_not_waited_for(strict: Api) -> None:
    answer = trickled(strict, HELLO, b"X")
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"error":"TIMEOUT"' in answer


def test_a_body_that_trickles_in_is_not_waited_for_and_nothing_is_kept(strict: Api) -> None:
    before = strict.get("/files").json()["total_count"]
    answer = trickled(strict, UPLOAD, b"x")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"too slowly" in answer
    assert strict.get("/files").json()["total_count"] == before


def test_a_large_body_that_comes_fast_enough_is_taken(strict: Api) -> None:
    content = b"x" * 1_000_000
    done(strict.post("/files", data=content))


def test_who_takes_nothing_of_an_answer_is_left(strict: Api) -> None:
    assert strict.put("/objects/large", data=b"x" * 30_000_000).status_code in (200, 201)
    eventually(lambda: strict.connections() == 0)
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", strict.port))
        lazy.sendall(b"GET /api/v1/objects/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert lazy.recv(12) == b"HTTP/1.1 200"
        served(strict)
        eventually(lambda: strict.connections() == 0)
    assert "Traceback" not in strict.output()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that keeps eight connections."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "config.toml").write_text("[http]\nmax_connections = 8\n")
    with Api(folder / "data", "--config", str(folder / "config.toml")) as running:
        yield running


def test_a_flood_of_silent_connections_stops_nobody_and_costs_a_bounded_amount(small: Api) -> None:
    served(small)
    memory = small.rss_mb
    for _ in range(20):
        flood = [small.connection() for _ in range(100)]
        served(small)
        eventually(lambda: small.connections() <= 8)
        for connection in flood:
            connection.close()
    assert small.rss_mb < memory + 20
    assert "Traceback" not in small.output()


def test_of_the_waiting_the_longest_is_given_up_first(small: Api) -> None:
    eventually(lambda: small.connections() == 0)
    waiting = [small.connection() for _ in range(8)]
    for connection in reversed(waiting):
        connection.sendall(HELLO + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    served(small)
    assert waiting[-1].recv(1) == b""
    for connection in waiting:
        connection.close()


def test_when_all_connections_are_busy_one_more_hears_so(small: Api) -> None:
    eventually(lambda: small.connections() == 0)
    busy = [small.connection() for _ in range(8)]
    for connection in busy:
        connection.sendall(STREAM)
        assert connection.recv(12) == b"HTTP/1.1 200"
    with small.connection() as late:
        answer = rest(late)
    assert answer.startswith(b"HTTP/1.1 503 ") and b"all connections are in use" in answer
    for connection in busy:
        connection.close()
    eventually(lambda: small.connections() == 0)
