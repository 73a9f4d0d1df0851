"""An SMS and three SPEARlets, killed, frozen and cut off from each other at random while clients have them run agents.

CHAOS_SECONDS says for how long (`make chaos`: some minutes), CHAOS_SEED repeats a schedule of faults.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from spear.reactors.reports import _TOPICS
from tests.chaos._books import Books, book, lines
from tests.chaos._callers import Callers, register
from tests.chaos._faults import bring, schedule
from tests.chaos._fleet import NODES, Fleet, fleet, processes_of
from tests.server import ROOT, Server, eventually

SECONDS = float(os.environ.get("CHAOS_SECONDS", "12"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or Random().randrange(1, 2**32)
CALLERS = 12
PATIENCE_S = 90


def test_every_invocation_ends_once_over_kills_cuts_and_frozen_processes(tmp_path: Path) -> None:
    faults = schedule(SEED, SECONDS)
    print(f"\nCHAOS_SEED={SEED} CHAOS_SECONDS={SECONDS:g}", *faults, sep="\n")
    with fleet(tmp_path) as them:
        with them.vouched_for():
            callers = Callers(them, register(them.kept["sms"].server), seed=SEED, many=CALLERS)
            done = bring(faults, them)
            assert callers.stop(within_s=PATIENCE_S) == []
            assert left_of(them) == []
        uuids = {name: them.uuid(name) for name in NODES}
        assert {name: kept.stop() for name, kept in them.kept.items()} == dict.fromkeys(them.kept, 0)
        ended = {name: kept.ended for name, kept in them.kept.items()}
    assert processes_of(tmp_path) == []
    for name in them.kept:
        assert "Traceback" not in them.kept[name].server.output()
        assert set(ended[name]) <= {0, -9, 2}, f"{name} ended by itself: {ended[name]}"
    check_logs(tmp_path)
    folders = {name: tmp_path / name for name in them.kept}
    books = Books(
        book(folders["sms"]),
        {name: book(folders[name]) for name in NODES},
        uuids,
        {name: lines(folder) for name, folder in folders.items()},
    )
    tell(callers, done, them, books)
    assert list(books.complaints(callers.asked)) == []


def left_of(them: Fleet) -> list[str]:
    """What is still untold or unfinished when there was time for it."""
    for server in them.servers.values():
        eventually(server.is_ready, within_s=PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while (left := untold(them) or unfinished(them)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def unfinished(them: Fleet) -> list[str]:
    """What still waits or runs somewhere."""
    return [f"{name}: {one}" for name, server in them.servers.items() for one in _unfinished(server)]


def _unfinished(server: Server) -> list[str]:
    found = [server.get("/api/v1/executions", params={"status": word}).json() for word in ("pending", "running")]
    return [str(one) for page in found for one in page["executions"]]


def untold(them: Fleet) -> list[str]:
    """The nodes that have not told the SMS everything."""
    return [name for name in NODES if _told(them.kept[name].server) < _to_tell(them.kept[name].server)]


def _told(node: Server) -> int:
    path = node.data_dir / "reports_cursor.json"
    return int(json.loads(path.read_text())["position"]) if path.exists() else 0


def _to_tell(node: Server) -> int:
    query = {"type": ",".join(topic.partition(".")[2] for topic in _TOPICS), "limit": 1, "after": _told(node)}
    events = node.get("/api/v1/events", params=query).json()["events"]
    return int(events[0]["position"]) if events else 0


def check_logs(folder: Path) -> None:
    """Each log is whole, and its views are what it says."""
    command = [sys.executable, "-m", "spear.events", "verify", "--data-dir"]
    checks = {name: subprocess.Popen([*command, str(folder / name)], cwd=ROOT) for name in ("sms", *NODES)}
    assert {name: check.wait(300) for name, check in checks.items()} == dict.fromkeys(checks, 0)


def tell(callers: Callers, done: Counter[str], them: Fleet, books: Books) -> None:
    """Figures."""
    asked = callers.asked
    kills = {name: kept.kills for name, kept in them.kept.items()}
    ends = Counter(end for life in books.sms.values() for end in life.ends)
    lost = sum("nobody knows" in life.text for life in books.sms.values())
    again = sum(one.tries - 1 for one in asked)
    print(
        f"{len(asked)} invocations ({again} asked again), {sum(one.accepted for one in asked)} accepted;"
        f" faults {dict(done)}, kills {kills}; at the SMS {dict(ends)}, of these {lost} nobody knows of"
    )
