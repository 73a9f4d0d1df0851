"""Those who speak WebSocket: a client library for what is right, and bytes for what is wrong."""

import base64
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import msgspec
import websocket

from tests.server import Server

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HANDSHAKE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}


@contextmanager
def connected(server: Server, path: str, **options: Any) -> Iterator[websocket.WebSocket]:
    """A connection of the client library; left without a goodbye."""
    found = dial(server, path, **options)
    try:
        yield found
    finally:
        found.shutdown()


def dial(server: Server, path: str, **options: Any) -> websocket.WebSocket:
    """The same, to be left by whoever asks."""
    url = f"{server.url.replace('http', 'ws', 1)}{path}"
    return websocket.create_connection(url, timeout=20, suppress_origin=True, **options)


def heard(client: websocket.WebSocket) -> dict[str, Any]:
    """The next message, which must be JSON."""
    return msgspec.json.decode(client.recv())


def closed(client: websocket.WebSocket) -> tuple[int, str]:
    """Read until the server says goodbye: its code and reason."""
    while True:
        opcode, data = client.recv_data()
        if opcode == CLOSE:
            return struct.unpack("!H", data[:2])[0], data[2:].decode()


def handshake(path: str, **fields: str) -> bytes:
    """The head of a request for a WebSocket, with these fields on top."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**HANDSHAKE, **fields}.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, length: int = -1) -> bytes:
    """One frame as bytes; `length` may lie."""
    told = len(payload) if length < 0 else length
    short = told if told < 126 else 126 if told < 65536 else 127
    head = struct.pack("!BB", opcode | (0x80 if fin else 0), short | (0x80 if masked else 0))
    head += struct.pack("!H", told) if short == 126 else struct.pack("!Q", told) if short == 127 else b""
    if not masked:
        return head + payload
    mask = b"\x9a\x03\xf1\x5c"
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


class Raw:
    """A WebSocket by hand: sends any bytes, reads frames."""

    def __init__(self, server: Server, path: str, *, window: int = 0, **fields: str) -> None:
        self.connection = socket.socket()
        self.connection.settimeout(20)
        if window:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.connection.connect(("127.0.0.1", server.port))
        self.connection.sendall(handshake(path, **fields))
        self._read = self.connection.makefile("rb")
        self.head = b"".join(iter(self._read.readline, b"\r\n"))
        assert self.head.startswith(b"HTTP/1.1 101 "), self.head

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._read.close()
        self.connection.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.connection.sendall(data)

    def frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and payload."""
        first, second = self._read.read(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(self._read.read(2 if length == 126 else 8))
        assert not second & 0x80, "a server masks nothing"
        return first & 0x0F, self._read.read(length)

    def texts(self) -> Iterator[dict[str, Any]]:
        """Whole texts of JSON, until no more comes."""
        with suppress(OSError, ValueError):
            while True:
                opcode, data = self.frame()
                if opcode == TEXT:
                    yield msgspec.json.decode(data)

    def closed(self) -> tuple[int, str]:
        """Read until the server says goodbye, answer it and see it go: its code and reason."""
        _, data = next(found for found in iter(self.frame, None) if found[0] == CLOSE)
        self.send(frame(CLOSE, data[:2]))
        assert self._read.read() == b""
        return struct.unpack("!H", data[:2])[0], data[2:].decode()
