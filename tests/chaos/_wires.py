"""A wire between two processes that can be cut, stalled, slowed down and torn in the middle of an answer."""

import socket
import threading
import time
from contextlib import suppress
from typing import Self

SLOW_S = 0.1
_PIECE = 65536


class Wire:
    """Passes connections to `host:port` on to `to` both ways, as well as its state lets it.

    `cut`: whoever is connected is cut off, and whoever comes as well. `stall`: nothing passes, and nobody is told; what was
    said meanwhile arrives when it is mended. `slow`: each piece takes `SLOW_S` longer. `tear`: as soon as `bytes` came back,
    whoever is connected is cut off, once.
    """

    def __init__(self, to: int, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._to, self._left = to, 0
        self._state, self._passes = "", threading.Event()
        self._passes.set()
        self._listener = socket.create_server((host, port), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._acceptor = threading.Thread(target=self._accept)
        self._threads: list[threading.Thread] = []

    def become(self, state: str, *, left: int = 0) -> None:
        """`cut`, `stall`, `slow`, `tear` after `left` bytes, or "" for well."""
        self._state, self._left = state, left
        (self._passes.clear if state == "stall" else self._passes.set)()
        if state == "cut":
            self._break_all()

    @property
    def well(self) -> bool:
        """Whether it passes everything on, after it tore as well."""
        return not self._state

    def _break_all(self) -> None:
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            _end(*pair)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._state == "cut":
                    client.close()
                    continue
                self._threads = [thread for thread in self._threads if thread.is_alive()]
                self._threads.append(threading.Thread(target=self._join, args=(client,)))
                self._threads[-1].start()

    def _join(self, client: socket.socket) -> None:
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self._to), timeout=5)
            except OSError:
                return
            with server:
                server.settimeout(None)
                self._serve(client, server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self._pairs.add((client, server))
        up = threading.Thread(target=self._pass, args=(client, server, False))
        up.start()
        self._pass(server, client, True)
        up.join()
        with self._lock:
            self._pairs.discard((client, server))

    def _pass(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                self._passes.wait()
                if self._state == "slow":
                    time.sleep(SLOW_S)
                if self._state == "tear" and back and self._tears(len(piece)):
                    self._break_all()
                target.sendall(piece)
        _end(source, target)

    def _tears(self, size: int) -> bool:
        self._left -= size
        if self._left < 0:
            self._state = ""
            return True
        return False

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._listener)
        self._acceptor.join(10)
        self._listener.close()
        self.become("cut")
        for thread in self._threads:
            thread.join(10)


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
