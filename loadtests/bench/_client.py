"""Prints how many requests a second a server answers with 200: `PORT PATHS BODY CLIENTS SECONDS`.

Each client has one connection, posts JSON and waits for the answer before it posts again; comma-separated paths are dealt out.
"""

import socket
import sys
from collections.abc import Sequence
from selectors import EVENT_READ, DefaultSelector
from time import perf_counter


class Client:
    """One connection that lives as long as the measurement."""

    def __init__(self, port: int, path: str, body: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        self._request = f"{head}\r\n\r\n{body}".encode()
        self._answer = b""

    def ask(self) -> None:
        """Send the request."""
        self.socket.sendall(self._request)

    def hear(self) -> bool:
        """Take what has arrived; whether the answer is complete. Anything but a 200 ends the program."""
        data = self.socket.recv(65536)
        self._answer += data
        head, gap, body = self._answer.partition(b"\r\n\r\n")
        if not data or (gap and b" 200 " not in head[:14]):
            raise SystemExit(f"expected a 200, got {self._answer[:500]!r}")
        if not gap or len(body) < _length(head):
            return False
        self._answer = b""
        return True


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])


def main(port: int, paths: Sequence[str], body: str, clients: int, seconds: float) -> None:
    """Measure once."""
    with DefaultSelector() as selector:
        for number in range(clients):
            client = Client(port, paths[number % len(paths)], body)
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
    main(int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
