"""A real server process for tests: started on free loopback ports, spoken to over HTTP, ended by its pid."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Self

import requests

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples" / "build"


_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_RANGE = range(10_000 + _PROCESS * 5_000, 15_000 + _PROCESS * 5_000)  # below those that the kernel gives to connections
_PORTS = cycle(Random().sample(_RANGE, len(_RANGE)))  # none is drawn again before all others were


def free_port() -> int:
    """A port that nobody listens on now, and that nobody else takes while a server is down."""
    return next(port for port in _PORTS if is_free(port, "127.0.0.1") and is_free(port, ""))


def is_free(port: int, host: str) -> bool:
    """Whether a server could listen there; an empty host is every address of this machine."""
    with socket.socket() as probe, suppress(OSError):
        probe.bind((host, port))
        return True
    return False


class Server:
    """`spear_server.py` on a data directory; may be started again after it stopped or was killed."""

    def __init__(self, data_dir: Path, *flags: str, role: str = "all", inside: Sequence[str] = ()) -> None:
        self.data_dir, self.flags, self.role, self.inside = data_dir, flags, role, inside
        self.port, self.admin_port, self.grpc_port, self.bus_port = (free_port() for _ in range(4))
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.session = requests.Session()
        self.verify: str | bool = True

    @property
    def command(self) -> list[str]:
        """The command line that starts it."""
        admin = ["--web-admin-addr", f"127.0.0.1:{self.admin_port}"] if self.role != "spearlet" else []
        ports = {"http": self.port, "grpc": self.grpc_port, "bus": self.bus_port}
        doors = [word for name, port in ports.items() for word in (f"--{name}-addr", f"127.0.0.1:{port}")]
        where = [*doors, *admin, "--data-dir", str(self.data_dir)]
        return [*self.inside, sys.executable, str(ROOT / "spear_server.py"), "--role", self.role, *where, *self.flags]

    def start(self, *, ready_within_s: float = 30) -> "Server":
        """Start and wait until it is ready."""
        self.process = self.spawn()
        deadline = time.monotonic() + ready_within_s
        while not (self.listens() and self.is_ready()):
            assert self.process.poll() is None, f"the server died:\n{self.output()[-3000:]}"
            assert time.monotonic() < deadline, f"the server is not ready:\n{self.output()[-3000:]}"
            time.sleep(0.02)
        return self

    def spawn(self) -> "subprocess.Popen[bytes]":
        """Start, and wait for nothing."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._out.open("ab") as out:
            return subprocess.Popen(self.command, stdout=out, stderr=out, cwd=self.data_dir.parent)

    def listens(self) -> bool:
        """Whether somebody takes connections on its port; costs a hundredth of asking whether it is ready."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def is_ready(self) -> bool:
        """Whether /ready answers 200."""
        try:
            return requests.get(f"{self.url}/ready", timeout=2, verify=self.verify).status_code == 200
        except requests.RequestException:
            return False

    def output(self) -> str:
        """What it printed so far, over all its lives."""
        return self._out.read_text(errors="replace")

    @property
    def _out(self) -> Path:
        return self.data_dir.with_name(self.data_dir.name + ".out")

    def stop(self, number: signal.Signals = signal.SIGTERM, *, within_s: float = 20) -> int:
        """Send a signal and wait for the end; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(within_s)
        self.session.close()
        self.session = requests.Session()
        return status

    def kill(self) -> None:
        """End it at once, if it still lives."""
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request."""
        return self.session.request(method, self.url + path, timeout=options.pop("timeout", 60), **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET."""
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST."""
        return self.call("POST", path, **options)

    def upload(self, content: bytes, *, name: str = "agent.wasm") -> dict[str, Any]:
        """Upload a file; what the API says of it."""
        answer = self.post("/api/v1/files", data=content, headers={"x-file-name": name})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def register(
        self, sample: str, *, config: dict[str, str] | None = None, endpoint: str = "", **executable: Any
    ) -> str:
        """Upload a sample agent and register it as a task; the task's id."""
        uri = self.upload((SAMPLES / f"{sample}.wasm").read_bytes(), name=f"{sample}.wasm")["uri"]
        body = {
            "name": sample,
            "endpoint": endpoint,
            "version": "1",
            "config": config or {},
            "executable": {"type": "wasm", "uri": uri, **executable},
        }
        answer = self.post("/api/v1/tasks", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["task_id"])

    def run(self, task_id: str, **body: Any) -> requests.Response:
        """POST /api/v1/executions."""
        return self.post("/api/v1/executions", json={"task_id": task_id, **body})


def eventually(check: Any, *, within_s: float = 10) -> Any:
    """The first true value of `check`; fails when there is none in time."""
    deadline = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
    return found


def events_of(server: Server, names: Sequence[str], *, noun: str = "", ident: str = "") -> list[dict[str, Any]]:
    """The recorded events of these types, oldest first."""
    query = {"type": ",".join(names), "limit": "1000"} | ({"noun": noun, "id": ident} if noun else {})
    found: list[dict[str, Any]] = server.get("/api/v1/events", params=query).json()["events"]
    return found
