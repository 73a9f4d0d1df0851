"""The shared server seen by those who speak bytes and streams: raw connections, server-sent events, its memory and files."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import requests

from tests.server import SAMPLES, Server

LISTENING, NOT_ACCEPTED = "0A", "0"  # in /proc/net/tcp
__all__ = ["SAMPLES", "Api", "listening", "serving"]


class Api(Server):
    """A server whose paths are below /api/v1, but for /e/... and /ready."""

    def call(self, method: str, path: str, **options) -> requests.Response:
        """One request."""
        return super().call(method, path if path.startswith(("/e/", "/ready", "/api")) else f"/api/v1{path}", **options)

    def put(self, path: str, data=b"", **options) -> requests.Response:
        """PUT with a body."""
        return self.call("PUT", path, data=data, **options)

    def post(self, path: str, data=b"", **options) -> requests.Response:
        """POST with a body."""
        return self.call("POST", path, data=data, **options)

    def delete(self, path: str, **options) -> requests.Response:
        """DELETE."""
        return self.call("DELETE", path, **options)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def rss_mb(self) -> float:
        """Its resident memory in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def open_files(self) -> Iterator[str]:
        """What its file descriptors point to."""
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                yield os.readlink(descriptor)

    def connections(self) -> int:
        """How many it has accepted and still has."""
        self.session.close()
        table = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]]
        own = [line for line in table if line[1].endswith(f":{self.port:04X}")]
        return sum(line[3] != LISTENING and line[9] != NOT_ACCEPTED for line in own)

    def restart(self) -> None:
        """Stop in order and serve the same directory again."""
        self.timed_stop()
        self.start()

    def timed_stop(self) -> float:
        """Ask it to stop, see it exit with 0; the seconds that took."""
        started = time.monotonic()
        assert self.stop() == 0, self.output()
        return time.monotonic() - started

    def connection(self) -> socket.socket:
        """A connection of its own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are and read until the server closes or has said nothing for a second."""
        with self.connection() as connection:
            connection.sendall(request)
            connection.settimeout(1)
            return b"".join(_until_silence(connection))

    def agent(self, wasm: bytes | Path, endpoint: str, **config: str) -> str:
        """Register a module as a task; gives the task's id."""
        content = wasm if isinstance(wasm, bytes) else wasm.read_bytes()
        executable = {"type": "wasm", "uri": self.upload(content)["uri"]}
        task = {"name": endpoint, "endpoint": endpoint, "version": "1", "executable": executable, "config": config}
        answer = self.call("POST", "/tasks", json=task)
        assert answer.ok, answer.text
        return answer.json()["task_id"]


def _until_silence(connection: socket.socket) -> Iterator[bytes]:
    with suppress(TimeoutError):
        while data := connection.recv(65536):
            yield data


@contextmanager
def serving(data: Path, *flags: str) -> Iterator[Api]:
    """A server of its own for the time of a `with`."""
    with Api(data, *flags) as server:
        yield server


class Heard(msgspec.Struct):
    """One server-sent event."""

    id: str = ""
    event: str = ""
    data: object = None


@contextmanager
def listening(server: Api, path: str, *, after: str = "") -> Iterator[Iterator[Heard]]:
    """The events of a stream, as they come, from a connection of its own."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    with requests.get(f"{server.url}/api/v1{path}", headers=headers, stream=True, timeout=30) as answer:
        assert answer.ok, answer.text
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield _heard(answer)


def _heard(answer: requests.Response) -> Iterator[Heard]:
    heard = Heard()
    for line in answer.iter_lines(chunk_size=1):
        name, _, value = line.decode().partition(": ")
        if name in ("id", "event"):
            setattr(heard, name, value)
        elif name == "data":
            heard.data = msgspec.json.decode(value)
        elif not line and heard.data is not None:
            yield heard
            heard = Heard()
