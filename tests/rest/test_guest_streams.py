"""User streams from real clients to a real agent, which waits for them by hostcalls, and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import websocket

from spear.protocols import ssf
from tests.rest._sockets import BINARY, Raw, closed, connected, frame
from tests.rest.conftest import done
from tests.server import Server, eventually

DATA, CANCEL = ssf.Kind.DATA, ssf.Kind.CANCEL


def begin(server: Server, **options: Any) -> str:
    """An execution of the echo that has begun; its id."""
    task_id = server.register("stream_echo", **options)
    ident = done(server.run(task_id, mode="async"), 202)["execution_id"]
    eventually(lambda: shown(server, ident)["status"] == "running")
    return str(ident)


def shown(server: Server, execution_id: str) -> dict[str, Any]:
    """What is known of an execution."""
    return done(server.get(f"/api/v1/executions/{execution_id}"))


def ended(server: Server, execution_id: str) -> str:
    """How it ended, once it has."""
    eventually(lambda: shown(server, execution_id)["status"] not in ("pending", "running"))
    return str(shown(server, execution_id)["status"])


def door(server: Server, execution_id: str) -> str:
    """The path that opens its streams, once."""
    token = done(server.post(f"/api/v1/executions/{execution_id}/streams/session"))["token"]
    return f"/api/v1/executions/{execution_id}/streams/ws?token={token}"


@contextmanager
def talking(server: Server, execution_id: str) -> Iterator[websocket.WebSocket]:
    """A client of the execution."""
    with connected(server, door(server, execution_id)) as client:
        yield client


def say(client: websocket.WebSocket, stream_id: int, data: bytes, *, kind: int = DATA) -> None:
    client.send_binary(ssf.make(kind, stream_id, data=data))


def answer(client: websocket.WebSocket) -> tuple[int, bytes]:
    """The next frame: its stream and data."""
    found = client.recv()
    return ssf.read(found).stream_id, ssf.data_of(found)


def test_an_agent_answers_on_the_clients_own_streams_until_the_last_client_leaves(server: Server) -> None:
    execution = begin(server)
    with talking(server, execution) as one, talking(server, execution) as two:
        for client, stream_id, data in ((one, 7, b"a"), (two, 7, b"b"), (one, 0, b""), (two, 2**32 - 1, b"d")):
            say(client, stream_id, data)
            assert answer(client) == (stream_id, data)
    assert ended(server, execution) == "completed"


def test_every_frame_comes_back_whole_and_in_order_up_to_the_largest(server: Server) -> None:
    execution = begin(server)
    largest = bytes(ssf.MOST_BYTES - 32)
    with talking(server, execution) as client:
        sent = [b"%d" % number * (number % 97) for number in range(3000)] + [largest] * 5
        for data in sent:
            say(client, 1, data)
        assert [answer(client)[1] for _ in sent] == sent


def test_an_endpoint_starts_the_agent_and_what_is_said_before_it_listens_is_not_lost(server: Server) -> None:
    server.register("stream_echo", endpoint="stream-echo")
    with connected(server, "/e/stream-echo/ws", subprotocols=["ssf.v1"]) as client:
        for stream_id in range(50):
            say(client, stream_id, b"%d" % stream_id)
        assert sorted(answer(client) for _ in range(50)) == [(number, b"%d" % number) for number in range(50)]


def test_a_client_that_vanishes_or_does_not_read_takes_nothing_from_the_others(server: Server) -> None:
    execution = begin(server)
    flood = frame(BINARY, ssf.make(DATA, 1, data=bytes(200_000)))
    with talking(server, execution) as other:
        say(other, 1, b"before")
        with Raw(server, door(server, execution), window=4096) as slow:
            for _ in range(20):
                slow.send(flood)
            say(other, 1, b"meanwhile")
            assert [answer(other)[1] for _ in range(2)] == [b"before", b"meanwhile"]
        with talking(server, execution) as vanishing:
            say(vanishing, 1, b"here")
            assert answer(vanishing) == (1, b"here")
        say(other, 1, b"after")
        assert answer(other) == (1, b"after")
    assert ended(server, execution) == "completed"


def test_an_agent_that_waits_for_its_streams_can_be_terminated_and_its_clients_hear_of_it(server: Server) -> None:
    execution = begin(server)
    with talking(server, execution) as client:
        say(client, 1, b"x")
        answer(client)
        done(server.post(f"/api/v1/executions/{execution}/terminate"))
        assert closed(client) == (1000, "the execution has ended")
    assert ended(server, execution) == "cancelled"
    assert shown(server, execution)["error"]["last_action"] == "spear_epoll_wait"


def test_an_agent_that_nobody_talks_to_ends_with_its_time(server: Server) -> None:
    assert ended(server, begin(server, config={"limits.wall_ms": "200"})) == "timeout"


def test_a_cancelled_stream_ends_and_the_next_of_its_number_is_another(server: Server) -> None:
    execution = begin(server)
    with talking(server, execution) as client:
        say(client, 5, b"one")
        assert answer(client) == (5, b"one")
        say(client, 5, b"never mind", kind=CANCEL)
        say(client, 5, b"two")
        assert answer(client) == (5, b"two")


def test_an_agent_that_does_not_read_is_left_with_1013_and_keeps_no_more_than_it_may(server: Server) -> None:
    execution = done(server.run(server.register("sleep"), mode="async"), 202)["execution_id"]
    eventually(lambda: shown(server, execution)["status"] == "running")
    whole = frame(BINARY, ssf.make(DATA, 1, data=bytes(200_000)))
    with talking(server, execution) as other, Raw(server, door(server, execution)) as flooding:
        for _ in range(11):
            flooding.send(whole)
        assert flooding.closed() == (1013, "the agent does not read its streams; try again later")
        say(other, 1, b"there is room")
    done(server.post(f"/api/v1/executions/{execution}/terminate"))


def test_an_endpoints_stream_that_the_agent_does_not_read_is_told_and_can_be_begun_again(server: Server) -> None:
    server.register("sleep", endpoint="deaf")
    with connected(server, "/e/deaf/ws") as client:
        for _ in range(11):
            say(client, 1, bytes(200_000))
        head = ssf.read(client.recv())
        assert (head.kind, head.stream_id) == (ssf.Kind.ERROR, 1)
        say(client, 1, b"", kind=CANCEL)
        say(client, 1, b"again")
        say(client, 9, b"", kind=CANCEL)
        assert b"STREAM_NOT_FOUND" in client.recv()
