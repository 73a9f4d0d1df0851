"""A server in between that breaks, stalls or falsifies what passes through it, and remembers what was asked."""

import socket
import threading
from contextlib import suppress
from typing import Self


class Between:
    """Listens on a loopback port and passes each connection on to `port`; `limits` are its next answers' bytes.

    An answer that reaches its limit is cut off, or held back when `stall` is set; None lets all of it through.
    """

    def __init__(self, port: int, *limits: int | None, stall: bool = False, flip: bool = False) -> None:
        self._port, self._limits, self._stall, self._flip = port, list(limits), stall, flip
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[str] = []
        self.stalled, self._over = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._serve)]

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._pass_on, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server, suppress(OSError):
            client.settimeout(30)
            server.settimeout(30)
            head = b""
            while b"\r\n\r\n" not in head and (piece := client.recv(65536)):
                head += piece
            self.requests.append(head.decode("latin-1"))
            server.sendall(head)
            wants_content = head.startswith(b"GET") and b"/meta" not in head
            self._answer(server, client, self._limits.pop(0) if wants_content and self._limits else None)

    def _answer(self, server: socket.socket, client: socket.socket, limit: int | None) -> None:
        passed = 0
        while piece := server.recv(65536):
            if limit is not None and passed + len(piece) > limit:
                client.sendall(piece[: limit - passed])
                if self._stall:
                    self.stalled.set()
                    self._over.wait(30)
                return
            passed += len(piece)
            client.sendall(piece[:-1] + bytes([piece[-1] ^ 1]) if self._flip and passed > 100_000 else piece)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(35)
