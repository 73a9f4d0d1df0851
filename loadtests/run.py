"""Load a server of its own with a fleet at work and check all that it says; exit status 0 means that nothing was wrong.

Environment: LOAD_SECONDS (60) is how long, LOAD_ECHO (echo) the endpoint that must answer what it is sent.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import LocalRunner
from locust.stats import RequestStats, StatsEntry

from loadtests.locustfile import TIMEOUT_S, Client, NodeAgent, Operator
from tests.server import ROOT, Server

USERS = (NodeAgent, Client, Operator)
DISK = "/var/tmp"  # /tmp may be memory, where fsync costs nothing
INTERRUPTED = 130
SHOWN = 20  # faults; one kind of failure may come in many wordings


def main() -> int:
    """Start, load, stop and verify; Ctrl-C ends it all at once."""
    interrupted = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, interrupted.set)
    with TemporaryDirectory(prefix="spear-load-", dir=DISK) as folder, Server(Path(folder) / "data") as server:
        for sample in ("hello", "echo"):
            server.register(sample, endpoint=sample)
        runner = load(server.url, float(os.environ.get("LOAD_SECONDS", "60")), interrupted)
        if interrupted.is_set():
            return INTERRUPTED
        show(runner.stats)
        wrong = [*ended_wrong(server), *found_wrong(runner)]
    for fault in wrong[:SHOWN]:
        print(f"WRONG: {fault}", file=sys.stderr)
    return 1 if wrong else 0


def load(url: str, seconds: float, interrupted: Event) -> LocalRunner:
    """Let every user work for so long; they finish what they began."""
    environment = Environment(user_classes=list(USERS), host=url, stop_timeout=TIMEOUT_S + 5)
    runner = environment.create_local_runner()
    users = sum(user.fixed_count for user in USERS)
    print(f"{users} users load {url} for {seconds:g} s", flush=True)
    runner.start(users, spawn_rate=users)
    interrupted.wait(seconds)
    runner.quit()
    return runner


def show(stats: RequestStats) -> None:
    """Print one table: times are in milliseconds."""
    print(f"{'name':44}{'requests':>9}{'failures':>9}{'p50':>7}{'p95':>7}{'p99':>7}{'req/s':>8}")
    for _, entry in sorted(stats.entries.items()):
        print(line(f"{entry.method} {entry.name}", entry))
    print(line("all", stats.total), flush=True)


def line(name: str, entry: StatsEntry) -> str:
    """One row."""
    times = "".join(f"{entry.get_response_time_percentile(part):7.0f}" for part in (0.5, 0.95, 0.99))
    return f"{name:44}{entry.num_requests:9}{entry.num_failures:9}{times}{entry.total_rps:8.1f}"


def found_wrong(runner: LocalRunner) -> list[str]:
    """What the users found wrong, each with how often, the most frequent first."""
    errors = sorted(runner.errors.values(), key=lambda error: -error.occurrences)
    requests = [f"{e.occurrences} x {e.method} {e.name}: {e.error}" for e in errors]
    users = [f"{e['count']} x {e['msg']}" for e in runner.exceptions.values()]
    return users + requests + ([] if runner.stats.num_requests else ["nothing was asked"])


def ended_wrong(server: Server) -> list[str]:
    """Stop the server; what is wrong with its end and with the log that it left."""
    status = server.stop()
    ended = [f"the server ended with status {status}: {server.output()[-1000:]}"] if status else []
    verify = [sys.executable, "-m", "spear.events", "verify", "--data-dir", str(server.data_dir)]
    checked = subprocess.run(verify, check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(checked.stdout, end="")
    whole = checked.returncode == 0 and "views match" in checked.stdout
    return ended + ([] if whole else [f"verify, status {checked.returncode}: {checked.stdout}"])


if __name__ == "__main__":
    sys.exit(main())
