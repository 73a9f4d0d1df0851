"""A real server process that a test may restart, and a client for it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import requests

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples" / "build"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def eventually(true, *, within_s: float = 20.0):
    """What `true` gives once that is true; fails the test when it is not in time."""
    deadline = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)
    return found


class Server:
    """One data directory, served on one port for as long as the test wants."""

    def __init__(self, data: Path, *flags: str) -> None:
        self.data, self.port = data, free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "spear_server.py", "--data-dir", str(data), "--disable-web-admin", *flags]
        self._command += ["--http-addr", f"127.0.0.1:{self.port}", "--grpc-addr", f"127.0.0.1:{free_port()}"]
        self._log = data.with_suffix(".log")
        self._client = requests.Session()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log)
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.said
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0 and self.get("/ready").ok

    @property
    def said(self) -> str:
        """Everything it logged so far."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

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

    def stop(self) -> float:
        """Ask it to stop, see it exit with 0; the seconds that took."""
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(30) == 0, self.said
        self._process = None
        self._client.close()
        return time.monotonic() - started

    def restart(self) -> None:
        """Stop in order and serve the same directory again."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End it whatever it does; harmless when it does not run."""
        if self._process is not None:
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait()

    def call(self, method: str, path: str, **options) -> requests.Response:
        """Ask over a kept connection; a path without a leading /e or /ready is one below /api/v1."""
        url = self.base + (path if path.startswith(("/e/", "/ready")) else f"/api/v1{path}")
        return self._client.request(method, url, **{"timeout": 30} | options)

    def get(self, path: str, **options) -> requests.Response:
        return self.call("GET", path, **options)

    def put(self, path: str, data=b"", **options) -> requests.Response:
        return self.call("PUT", path, data=data, **options)

    def post(self, path: str, data=b"", **options) -> requests.Response:
        return self.call("POST", path, data=data, **options)

    def delete(self, path: str, **options) -> requests.Response:
        return self.call("DELETE", path, **options)

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are and read until the server closes or has said nothing for a second."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(request)
            connection.settimeout(1)
            return b"".join(_until_silence(connection))

    def agent(self, wasm: bytes | Path, endpoint: str, **config: str) -> str:
        """Register a module as a task; gives the task's id."""
        content = wasm if isinstance(wasm, bytes) else wasm.read_bytes()
        executable = {"type": "wasm", "uri": self.post("/files", content).json()["uri"]}
        task = {"name": endpoint, "endpoint": endpoint, "version": "1", "executable": executable, "config": config}
        answer = self.post("/tasks", json=task)
        assert answer.ok, answer.text
        return answer.json()["task_id"]


def _until_silence(connection: socket.socket) -> Iterator[bytes]:
    try:
        while data := connection.recv(65536):
            yield data
    except TimeoutError:
        return


@contextmanager
def serving(data: Path, *flags: str) -> Iterator[Server]:
    """A server for the time of a `with`."""
    server = Server(data, *flags)
    try:
        server.start()
        yield server
    finally:
        server.kill()


class Heard(msgspec.Struct):
    """One server-sent event."""

    id: str = ""
    event: str = ""
    data: object = None


@contextmanager
def listening(server: Server, path: str, *, after: str = "") -> Iterator[Iterator[Heard]]:
    """The events of a stream, as they come, from a connection of its own."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    with requests.get(f"{server.base}/api/v1{path}", headers=headers, stream=True, timeout=30) as answer:
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
