"""Between a follower and a bus: passes requests on, and changes what the answers say."""

import threading
from collections.abc import Callable
from typing import Any, Self

import msgspec
import zmq

from spear.protocols import bus

Page = dict[str, Any]


class Liar:
    """Listens on a loopback port of its own for as long as a `with`; `lie` is given each answer to change."""

    def __init__(self, port: int, lie: Callable[[Page], None]) -> None:
        self._lie, self._over, self.passed = lie, threading.Event(), 0
        self._context = zmq.Context()
        self._asked, self._true = self._context.socket(zmq.ROUTER), self._context.socket(zmq.DEALER)
        self.port = self._asked.bind_to_random_port("tcp://127.0.0.1")
        self._true.connect(f"tcp://127.0.0.1:{port}")
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while not self._over.is_set():
            if self._asked.poll(50):
                reader, *frames = self._asked.recv_multipart()
                self._true.send_multipart(frames)
                version, answer = self._true.recv_multipart()
                page = msgspec.msgpack.decode(answer)
                self._lie(page)
                assert version == bus.VERSION
                self._asked.send_multipart([reader, version, msgspec.msgpack.encode(page)])
                self.passed += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._context.destroy(linger=0)
