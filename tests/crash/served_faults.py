"""The whole server on a file system that refuses one write or one sync of its log: `CALL ERROR FOLDER`, outcomes as JSON.

A process of its own: it makes that file system the default one, and speaks with the server over real sockets.
"""

from gevent import monkey

monkey.patch_all()

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import apsw

from spear import config as configuration
from spear.bootstrap import serving
from tests.crash._faults import Call, Fault, FaultyVFS, Storage

ECHO = Path(__file__).resolve().parents[2] / "samples" / "build" / "echo.wasm"
DOORS = ("--http-addr", "--grpc-addr", "--bus-addr", "--web-admin-addr")
ERRORS = {"full": apsw.FullError, "io": apsw.IOError}
OBJECTS = "/api/v1/objects"
NODE = {"ip_address": "127.0.0.9", "port": 9}


@dataclass
class Answer:
    """What a caller was told."""

    status: int
    position: int
    body: Any

    @property
    def done(self) -> bool:
        """Whether it was acknowledged."""
        return self.status < 300


@dataclass
class Outcome:
    """What callers were told while one fault was set and after it, and in the process that came next."""

    met: bool = False
    answers: list[Answer] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    healed: int = 0
    running_later: list[str] = field(default_factory=list)
    shown_later: list[str] = field(default_factory=list)
    restarted: int = 0


class Client:
    """Speaks HTTP with one server."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """One request on a connection of its own."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            connection.request(method, path, content, {"Content-Type": kind})
            answer = connection.getresponse()
            text, headers = answer.read().decode(), answer.headers
        told = json.loads(text) if headers["Content-Type"] == "application/json" else text
        return Answer(answer.status, int(headers.get("X-Position", 0)), told)

    def objects(self) -> list[str]:
        """The keys of the run's objects that are there."""
        return [found["key"] for found in self.ask("GET", f"{OBJECTS}?prefix=default/run").body["objects"]]

    def running(self) -> list[str]:
        """The executions that are said to run."""
        found = self.ask("GET", "/api/v1/executions?status=running").body["executions"]
        return [execution["execution_id"] for execution in found]

    def register(self) -> int:
        """The status of one more node."""
        return self.ask("POST", "/api/v1/nodes", NODE).status


@contextmanager
def server(folder: Path) -> Iterator[Client]:
    """The server in role all, ready."""
    doors = [word for door in DOORS for word in (door, "127.0.0.1:0")]
    config = configuration.load(["--role", "all", "--data-dir", str(folder), *doors], environ={}, home=folder)
    with serving(config, failed=_failed) as platform:
        yield Client(platform.config.http_addr.port)


def _failed(reason: str) -> None:
    raise AssertionError(reason)


def prepare(folder: Path) -> None:
    """A data directory in which the endpoint echo has run."""
    with server(folder) as client:
        uri = client.ask("POST", "/api/v1/files", ECHO.read_bytes()).body["uri"]
        task = {"name": "echo", "version": "1", "endpoint": "echo", "executable": {"type": "wasm", "uri": uri}}
        assert client.ask("POST", "/api/v1/tasks", task).done
        assert client.ask("POST", "/e/echo", b"hello").body == "hello"


def short_run(client: Client) -> Iterator[Answer]:
    """A few writes of every size; the execution starts cold."""
    yield client.ask("PUT", f"{OBJECTS}/run", b"content")
    yield client.ask("POST", "/api/v1/nodes", NODE)
    yield client.ask("POST", "/e/echo", b"hello")


def run_with_fault(folder: Path, storage: Storage, fault: Fault) -> Outcome:
    """The short run with the fault, then with healthy storage."""
    outcome = Outcome()
    with server(folder) as client:
        storage.set(fault)
        outcome.answers = list(short_run(client))
        outcome.met = storage.met
        storage.set(None)
        outcome.shown, outcome.healed = client.objects(), client.register()
    return outcome


def start_again(folder: Path, outcome: Outcome) -> None:
    """What the next process shows, and that it takes writes."""
    with server(folder) as client:
        outcome.shown_later, outcome.running_later = client.objects(), client.running()
        outcome.restarted = client.register()


def try_every_fault(folder: Path, fault: Fault) -> list[Outcome]:
    """One run for each place that the fault can have, the last one beyond the end; each leaves a directory, named by its number."""
    storage, outcomes = Storage(), list[Outcome]()
    vfs = FaultyVFS("faulty", storage, default=True)
    prepare(folder / "prepared")
    while not outcomes or outcomes[-1].met:
        nth = len(outcomes) + 1
        run = shutil.copytree(folder / "prepared", folder / str(nth))
        outcomes.append(run_with_fault(run, storage, fault._replace(nth=nth)))
        if fault.call is Call.SYNC:  # one for each commit: enough of what takes long
            start_again(run, outcomes[-1])
    vfs.unregister()
    return outcomes


if __name__ == "__main__":
    call, error, where = sys.argv[1:]
    found = try_every_fault(Path(where), Fault(Call(call), 0, ERRORS[error], lasting=False))
    print(json.dumps([asdict(outcome) for outcome in found]))
