"""Prints how many events a second one reader hears over a transport, from the first: `TRANSPORT EVENTS HTTP GRPC BUS`.

Server-sent events and WebSockets are read by a few lines of their own, because their Python clients take longer than the server; of
each event these look at its position alone. Over gRPC, the bus and the command line it is the client that people use.
"""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from time import perf_counter

from tests.chaos._transports import TRANSPORTS, Where

_HANDSHAKE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c3BlYXItYmVuY2htYXJrLg==\r\n"
_AT_ONCE = 1 << 18


def _asked(where: Where, path: str, headers: str, position: re.Pattern[bytes]) -> Iterator[int]:
    """Positions as they come, found in whole lines or messages of the bytes."""
    with socket.create_connection(("127.0.0.1", where.http), timeout=30) as connection:
        connection.sendall(f"GET {path}?after=0 HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
        rest = b""
        while data := connection.recv(_AT_ONCE):
            rest += data
            end = 0
            for found in position.finditer(rest):
                end = found.end()
                yield int(found[1])
            rest = rest[end:]


def _of_client(name: str, where: Where) -> Iterator[int]:
    with closing(TRANSPORTS[name].follow(where, "")) as follow:
        yield from (heard.position for heard in follow)


READERS = {
    "sse": partial(
        _asked, path="/api/v1/events", headers="Accept: text/event-stream\r\n", position=re.compile(rb"\nid: (\d+)\n")
    ),
    "websocket": partial(
        _asked, path="/api/v1/events/ws", headers=_HANDSHAKE, position=re.compile(rb'\{"position":(\d+),')
    ),
}


def main(name: str, events: int, where: Where) -> None:
    """Measure once, from the first event on: a program's start is not what is measured."""
    with closing(READERS.get(name, partial(_of_client, name))(where=where)) as positions:
        last = next(positions)
        began = perf_counter()
        for position in positions:
            if position != last + 1:
                raise SystemExit(f"expected event {last + 1}, got {position}")
            last = position
            if last == events:
                break
        if last != events:
            raise SystemExit(f"expected {events} events, the last one was {last}")
        print((events - 1) / (perf_counter() - began))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Where(*map(int, sys.argv[3:])))
