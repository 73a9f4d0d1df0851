"""A wire between two processes on which the first answer gets lost."""

import socket
import threading
from contextlib import suppress
from typing import Self


class Lossy:
    """Passes connections on to `port` both ways; the first one breaks once `most` bytes came back."""

    def __init__(self, port: int, most: int) -> None:
        self._to, self._most = port, most
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._sockets += [client, server]
                self.connections += 1
                most = self._most if self.connections == 1 else None
                for args in ((client, server, None), (server, client, most)):
                    self._threads.append(threading.Thread(target=self._pass, args=args))
                    self._threads[-1].start()

    def _pass(self, source: socket.socket, target: socket.socket, most: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while piece := source.recv(65536):
                passed += len(piece)
                if most is not None and passed > most:
                    break
                target.sendall(piece)
        _end(source)
        _end(target)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            _end(each)
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
