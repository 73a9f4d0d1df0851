"""A proxy that does to each connection one of the things that networks do: delays, duplicates, truncates, passes on."""

import socket
import threading
import time
from contextlib import suppress
from itertools import count
from typing import Self

UP, DOWN = "up", "down"
DEEDS = (("pass", UP), ("truncate", UP), ("duplicate", UP), ("delay", UP), ("truncate", DOWN), ("duplicate", DOWN))


class Unruly:
    """Listens on a loopback port and passes each connection on to `port`, the first well and the next ones by turns."""

    def __init__(self, port: int) -> None:
        self._port, self._turns = port, count()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._start(self._join, client, next(self._turns))

    def _start(self, work, *given) -> threading.Thread:
        thread = threading.Thread(target=work, args=given)
        self._threads.append(thread)
        thread.start()
        return thread

    def _join(self, client: socket.socket, turn: int) -> None:
        deed, way = DEEDS[turn % len(DEEDS)]
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            client.settimeout(20)
            server.settimeout(20)
            up = self._start(self._pump, client, server, deed if way == UP else "pass", turn)
            self._pump(server, client, deed if way == DOWN else "pass", turn)
            up.join()

    def _pump(self, source: socket.socket, sink: socket.socket, deed: str, turn: int) -> None:
        left = 40 + 67 * turn % 900
        with suppress(OSError):
            while piece := source.recv(65536):
                if deed == "delay":
                    time.sleep(0.02)
                if deed == "truncate" and len(piece) >= left:
                    sink.sendall(piece[:left])
                    break
                left -= len(piece)
                sink.sendall(piece * 2 if deed == "duplicate" and left <= 0 else piece)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(25)
