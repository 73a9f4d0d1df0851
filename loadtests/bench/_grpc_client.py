"""Prints how many calls of a gRPC method a second are answered as expected: `PORT METHOD REQUESTS EXPECTED CLIENTS SECONDS`.

Each client has one connection and waits for the answer before it calls again. Requests (dealt out to clients, comma-separated) and
bytes that each answer has to hold are in hex. It speaks the few frames of HTTP/2 that this takes itself, because a gRPC library
would be slower than what is measured.
"""

import socket
import sys
from collections.abc import Iterator, Sequence
from selectors import EVENT_READ, DefaultSelector
from struct import Struct
from time import perf_counter

DATA, HEADERS, RESET, SETTINGS, PING, AWAY = 0, 1, 3, 4, 6, 7
ACK = END = 0x1
END_HEADERS = 0x4
HEAD = Struct(">HBBBL")  # the length in two parts
MESSAGE = Struct(">BL")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WIDE = (2**31 - 1).to_bytes(4, "big")


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """One frame as it is sent."""
    return HEAD.pack(len(body) >> 8, len(body) & 255, kind, flags, stream) + body


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


def _headers(method: str) -> bytes:
    path, host = b"\x04" + _text(f"/{method}"), b"\x01" + _text("localhost")
    return (
        b"\x83\x86" + path + host + b"\x0f\x10" + _text("application/grpc") + b"\x00" + _text("te") + _text("trailers")
    )


class Client:
    """One connection that lives as long as the measurement."""

    def __init__(self, port: int, method: str, request: bytes, expected: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        window = frame(SETTINGS, 0, 0, b"\x00\x04" + WIDE) + frame(8, 0, 0, (2**31 - 65536).to_bytes(4, "big"))
        self.socket.sendall(PREFACE + window)
        self._headers, self._request = _headers(method), MESSAGE.pack(0, len(request)) + request
        self._expected, self._stream, self._told, self._heard = expected, -1, b"", b""

    def ask(self) -> None:
        """Send the request."""
        self._stream, self._told = self._stream + 2, b""
        asked = frame(HEADERS, END_HEADERS, self._stream, self._headers)
        self.socket.sendall(asked + frame(DATA, END, self._stream, self._request))

    def hear(self) -> bool:
        """Take what has arrived; whether the answer is complete. Any other answer than the expected ends the program."""
        if not (data := self.socket.recv(65536)):
            raise SystemExit("the server hung up")
        self._heard += data
        return True in [self._take(*told) for told in self._frames()]

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        while len(self._heard) >= HEAD.size:
            high, low, kind, flags, stream = HEAD.unpack_from(self._heard)
            end = HEAD.size + (high << 8) + low
            if len(self._heard) < end:
                return
            body, self._heard = self._heard[HEAD.size : end], self._heard[end:]
            yield kind, flags, stream, body

    def _take(self, kind: int, flags: int, stream: int, body: bytes) -> bool:
        if kind in (SETTINGS, PING) and not flags & ACK:
            self.socket.sendall(frame(kind, ACK, 0, body if kind == PING else b""))
        if kind in (RESET, AWAY):
            raise SystemExit(f"the server ended it by a frame of type {kind}: {body!r}")
        if kind == DATA and stream == self._stream:
            self._told += body
        if kind != HEADERS or not flags & END or stream != self._stream:
            return False
        if self._expected not in self._told:
            raise SystemExit(f"expected an answer with {self._expected!r}, got {self._told!r}, {body!r}")
        return True


def main(port: int, method: str, requests: Sequence[bytes], expected: bytes, clients: int, seconds: float) -> None:
    """Measure once."""
    with DefaultSelector() as selector:
        for number in range(clients):
            client = Client(port, method, requests[number % len(requests)], expected)
            selector.register(client.socket, EVENT_READ, client)
            client.ask()
        began, count = perf_counter(), 0
        while perf_counter() < began + seconds:
            count += _answered(selector)
        print(count / (perf_counter() - began))


def _answered(selector: DefaultSelector) -> int:
    ready = selector.select(30)
    if not ready:
        raise SystemExit("no answer within 30 s")
    whole = [key.data for key, _ in ready if key.data.hear()]
    for client in whole:
        client.ask()
    return len(whole)


if __name__ == "__main__":
    port, method, requests, expected, clients, seconds = sys.argv[1:]
    asked = [bytes.fromhex(one) for one in requests.split(",")]
    main(int(port), method, asked, bytes.fromhex(expected), int(clients), float(seconds))
