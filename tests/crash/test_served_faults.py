"""The whole server on failing storage: what callers hear over HTTP, and what is in the log afterwards."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash._process import memory_directory
from tests.crash._support import LOG, check_after_crash

ROOT = Path(__file__).resolve().parents[2]
FULL = "the disk is full: nothing more can be recorded until there is room"
SEALED = "the log cannot be written (injected); restart the server when the storage is healthy"
GOOD = [201, 201, 200]


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_directory() as name:
        yield Path(name)


def outcomes(folder: Path, call: str, error: str) -> list[dict[str, Any]]:
    """What came of a fault in every place of a short run; each log is whole, and views say what it says."""
    argv = [sys.executable, "-m", "tests.crash.served_faults", call, error, str(folder)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    *found, last = json.loads(done.stdout)
    for number, outcome in enumerate([*found, last], 1):
        assert whole(folder / str(number)) >= max(answer["position"] for answer in outcome["answers"])
    assert (statuses(last), last["healed"], last["met"]) == (GOOD, 201, False)
    return found


def whole(data: Path) -> int:
    """The head of a server's log, checked from end to end."""
    for path in data.glob("sms.db*"):
        path.rename(data / path.name.replace("sms.db", LOG))
    return check_after_crash(data, {})


def statuses(outcome: dict[str, Any]) -> list[int]:
    return [answer["status"] for answer in outcome["answers"]]


def refusals(outcome: dict[str, Any]) -> set[tuple[str, str]]:
    bodies = [answer["body"] for answer in outcome["answers"] if answer["status"] == 503]
    return {(body["error"], body["message"]) for body in bodies}


def put(outcome: dict[str, Any]) -> list[str]:
    """The object that was acknowledged, if it was."""
    return ["default/run"] if statuses(outcome)[0] == 201 else []


def test_a_full_disk_at_any_write_is_one_clear_503_and_the_next_write_is_taken(folder):
    found = outcomes(folder, "write", "full")
    assert len(found) > 30
    for outcome in found:
        assert sorted(statuses(outcome)) in ([200, 201, 503], [201, 201, 503])
        assert refusals(outcome) == {("UNAVAILABLE", FULL)}
        assert outcome["shown"] == put(outcome)
        assert outcome["healed"] == 201


def refused_from_some_point_on(outcome: dict[str, Any]) -> bool:
    told = statuses(outcome)
    good = told.index(503)
    return told == GOOD[:good] + [503] * (len(GOOD) - good)


def test_an_io_error_at_any_write_is_a_clear_503_until_the_server_is_restarted_and_reads_go_on(folder):
    found = outcomes(folder, "write", "io")
    assert len(found) > 30
    for outcome in found:
        assert refused_from_some_point_on(outcome)
        assert refusals(outcome) == {("UNAVAILABLE", SEALED)}
        assert outcome["shown"] == put(outcome)
        assert outcome["healed"] == 503


def test_after_an_io_error_at_any_sync_the_next_start_has_what_was_acknowledged_and_takes_writes(folder):
    found = outcomes(folder, "sync", "io")
    assert len(found) >= len(GOOD)
    for outcome in found:
        assert refused_from_some_point_on(outcome)
        assert refusals(outcome) == {("UNAVAILABLE", SEALED)}
        assert set(outcome["shown_later"]) >= set(put(outcome))
        assert (outcome["healed"], outcome["restarted"], outcome["running_later"]) == (503, 201, [])
