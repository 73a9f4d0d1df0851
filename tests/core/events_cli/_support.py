"""Data directories with a log in them, and the tools run on them as a person runs them."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import apsw

from spear.adapters.threads import InlineThreads
from spear.domain.node import Node
from spear.events._bell import ThreadBell
from spear.events.log import EventLog
from spear.events.record import Origin
from spear.projections.views import open_views
from tests.crash._support import SteadyClock

ROOT = Path(__file__).resolve().parents[3]
TEST = Origin("test")
STEPS = 120
WRITER = """
import sys
from pathlib import Path
from spear.events.lock import DirectoryLock
from tests.core.events_cli._support import log_in, register

with DirectoryLock(Path(sys.argv[1]) / "lock", holder="a server"), log_in(Path(sys.argv[1])) as log:
    for number, line in enumerate(sys.stdin, 1):
        print(register(log, number), flush=True)
"""


@contextmanager
def log_in(folder: Path, name: str = "sms.db") -> Iterator[EventLog]:
    """The log of a data directory with its live views, as a server holds them."""
    with (
        EventLog(folder / name, clock=SteadyClock(), bell=ThreadBell(), threads=InlineThreads()) as log,
        closing(open_views(folder / "views.db", log)) as views,
    ):
        log.start(views)
        yield log
        log.close()


def new_node(number: int) -> Node:
    return Node(id=UUID(int=number, version=4), ip_address="10.0.0.1", port=number, http_port=80, metadata={})


def register(log: EventLog, number: int, origin: Origin = TEST) -> int:
    return log.commit(new_node(number).collect_events(), origin).last


def run(data_dir: Path, command: str, *more: str, **options) -> subprocess.CompletedProcess[str]:
    """One command, run to its end."""
    argv = [sys.executable, "-m", "spear.events", *command.split(), *more, "--data-dir", str(data_dir)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, **options)


def ok(data_dir: Path, command: str, *more: str, **options) -> str:
    done = run(data_dir, command, *more, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def lines_of(data_dir: Path, command: str, *more: str) -> list:
    return [json.loads(line) for line in ok(data_dir, command, "--json", *more).splitlines()]


def failed(done: subprocess.CompletedProcess[str], status: int) -> str:
    assert done.returncode == status, done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@contextmanager
def started(*argv: str, **options) -> Iterator[subprocess.Popen]:
    """A process that is killed at the end, and in any case before a test could wait for it for ever."""
    with subprocess.Popen(
        argv, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    ) as process:
        watch = threading.Timer(60, process.kill)
        watch.start()
        try:
            yield process
        finally:
            watch.cancel()
            process.kill()


def recorded(server: subprocess.Popen) -> int:
    server.stdin.write("\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def flip_a_byte(log: Path, fact: dict) -> None:
    """Change one byte in the stored state of an event."""
    content = bytearray(log.read_bytes())
    content[content.index(json.dumps(fact["state"], separators=(",", ":")).encode())] ^= 1
    log.write_bytes(content)


def change(views: Path, sql: str) -> None:
    with closing(apsw.Connection(str(views), vfs="unix")) as db:
        db.execute(sql)
