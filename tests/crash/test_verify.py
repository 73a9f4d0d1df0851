import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from uuid import UUID

import apsw
import pytest

from spear.domain.node import Heartbeat, Node
from spear.errors import StartupError
from spear.events.log import witness_path
from spear.events.recorder import ApswRecorder, checksummed_vfs
from spear.events.verify import Finding, verify
from tests.crash._committers import kill_after
from tests.crash._history import World
from tests.crash._process import memory_directory
from tests.crash._support import LOG, ORIGIN, make_log, store

PAGE = 4096
ROOT_OF = "SELECT rootpage FROM sqlite_schema WHERE name = ?"


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_directory() as name:
        yield Path(name)


def live_a_while(folder: Path, *, steps: int, seed: int = 1) -> int:
    """Fill a log and close it; returns its head."""
    with store(folder) as (log, _):
        for events in World(seed).steps(steps):
            log.commit(events, ORIGIN)
        return log.head


@contextmanager
def flipped(path: Path, offset: int, random: Random) -> Iterator[None]:
    """One byte of the file is another one for a while."""
    with path.open("r+b", buffering=0) as file:
        [old] = os.pread(file.fileno(), 1, offset)
        os.pwrite(file.fileno(), bytes([old ^ random.randrange(1, 256)]), offset)
        yield
        os.pwrite(file.fileno(), bytes([old]), offset)


@contextmanager
def tampering(folder: Path) -> Iterator[apsw.Connection]:
    """Somebody opens the file with SQLite and takes the guards away."""
    with closing(apsw.Connection(str(folder / LOG), vfs=checksummed_vfs())) as db:
        db.execute("DROP TRIGGER events_keep_update; DROP TRIGGER events_keep_delete")
        yield db


def snapshot(folder: Path) -> dict[str, bytes]:
    """The bytes that count; an empty write-ahead log and SQLite's shared memory do not."""
    files = [path for path in folder.iterdir() if not path.name.endswith("-shm")]
    return {path.name: path.read_bytes() for path in files if path.stat().st_size}


def test_a_whole_log_has_no_findings_and_is_not_changed(folder):
    head = live_a_while(folder, steps=300)
    before, told = snapshot(folder), []
    assert verify(folder / LOG, progress=lambda done, total: told.append((done, total))) == []
    assert snapshot(folder) == before
    assert told[-1] == (head, head)


def test_an_empty_log_is_whole(folder):
    with make_log(folder):
        assert verify(folder / LOG) == []


def test_a_log_is_checked_while_it_is_written(folder):
    with store(folder) as (log, _), ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [log.commit(events, ORIGIN) for events in World(1).steps(1000)])
        while not writing.done():
            assert verify(folder / LOG) == []
        assert len(writing.result()) == 1001


def test_a_missing_log_is_a_finding(folder):
    assert verify(folder / LOG) == [Finding(None, None, f"there is no log at {folder / LOG}")]


def test_every_flipped_byte_of_a_log_is_found_and_located(folder, capsys):
    live_a_while(folder, steps=14)
    random, path = Random(3), folder / LOG
    size = path.stat().st_size
    assert 5 * PAGE <= size <= 10 * PAGE
    for offset in range(size):
        with flipped(path, offset, random):
            located = {finding.offset for finding in verify(path)}
            assert offset // PAGE * PAGE in located, f"byte {offset} was not found"
    assert verify(path) == []
    with capsys.disabled():
        print(f" {size} bytes flipped", end=" ")


def test_every_flipped_byte_of_the_witness_is_found_and_located(folder):
    live_a_while(folder, steps=5)
    path = witness_path(folder / LOG)
    assert path.stat().st_size == 96
    for offset in range(96):
        with flipped(path, offset, Random(offset)):
            assert offset // 48 * 48 in {finding.offset for finding in verify(folder / LOG)}


def test_no_flipped_byte_of_a_write_ahead_log_loses_an_event_silently(folder, capsys):
    live_a_while(folder, steps=3)
    acknowledged = kill_after(folder, seed=2, steps=1, acknowledged=4)
    random, path, found = Random(4), folder / f"{LOG}-wal", 0
    size = path.stat().st_size
    for offset in range(size):
        with flipped(path, offset, random):
            findings = verify(folder / LOG)
            found += bool(findings)
            assert all(finding.position or finding.offset is not None for finding in findings)
            if not findings:
                assert acknowledged.keys() <= set(positions(folder)), f"byte {offset} lost events silently"
    assert verify(folder / LOG) == []
    with capsys.disabled():
        print(f" {size} bytes flipped, {found} found", end=" ")


def positions(folder: Path) -> list[int]:
    with closing(ApswRecorder(folder / LOG, read_only=True)) as recorder:
        return [fact.position for fact in recorder.query("")]


def test_a_log_with_a_damaged_write_ahead_log_is_refused_and_left_alone(folder, tmp_path):
    live_a_while(folder, steps=3)
    kill_after(folder, seed=2, steps=1, acknowledged=4)
    copy = tmp_path / "copy"
    for offset in range(32 + 24, 32 + 24 + PAGE, 256):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        with flipped(copy / f"{LOG}-wal", offset, Random(offset)):
            before = snapshot(copy)
            with pytest.raises(StartupError, match="it lost events|not the one that was acknowledged"):
                make_log(copy)
            assert snapshot(copy) == before


def test_a_lost_page_of_events_is_named_by_position_and_offset(folder):
    head = live_a_while(folder, steps=300)
    with closing(apsw.Connection(str(folder / LOG), vfs="unix")) as db:
        root = db.execute(ROOT_OF, ("events",)).get
    content = (folder / LOG).read_bytes()
    inner = content[(root - 1) * PAGE : root * PAGE]
    assert inner[0] == 5, "the table's root is an inner page"
    cell = int.from_bytes(inner[14:16], "big")  # the second cell's place; it begins with its left child's number
    leaf = int.from_bytes(inner[cell : cell + 4], "big")
    with (folder / LOG).open("r+b") as file:
        file.seek((leaf - 1) * PAGE + 100)
        file.write(b"damage")
    findings = verify(folder / LOG)
    assert (leaf - 1) * PAGE in {finding.offset for finding in findings}
    [lost] = [finding for finding in findings if finding.position]
    assert 1 <= lost.position < head
    assert lost.what.startswith(f"expected position {lost.position}, found ")


def changes() -> dict[str, tuple[str, int, str]]:
    """SQL that somebody runs on a log of 20 events, the position to be named, and what is said."""
    return {
        "content": ("UPDATE events SET state = x'7b7d' WHERE position = 5", 5, "the content does not match its hash"),
        "kind": ("UPDATE events SET state = '{}' WHERE position = 5", 5, "the content does not match its hash"),
        "text": ("UPDATE events SET actor = CAST(x'ff' AS TEXT) WHERE position = 5", 5, "expected position 5, found 6"),
        "actor": ("UPDATE events SET actor = 'you' WHERE position = 5", 5, "the content does not match its hash"),
        "hash": ("UPDATE events SET hash = zeroblob(32) WHERE position = 5", 5, "the content does not match its hash"),
        "removed": ("DELETE FROM events WHERE position = 5", 5, "expected position 5, found 6"),
        "end": ("DELETE FROM events WHERE position = (SELECT max(position) FROM events)", 20, "was acknowledged"),
        "time": ("UPDATE events SET time_us = 5 WHERE position = 5", 5, "its time 5 is before"),
        "type": ("UPDATE events SET topic = 'node.Exploded' WHERE position = 5", 5, "type 'node.Exploded' is unknown"),
        "version": ("UPDATE events SET version = version + 7 WHERE position = 5", 5, r"has version \d+, expected \d+"),
    }


@pytest.mark.parametrize("change", changes())
def test_a_change_behind_the_guards_is_named_by_its_position(folder, change):
    sql, position, what = changes()[change]
    with store(folder) as (log, _):
        for events in World(1).steps(100):
            if log.head + len(events) <= 20:
                log.commit(events, ORIGIN)
        assert log.head == 20
    with tampering(folder) as db:
        db.execute(sql)
    assert any(re.search(what, finding.what) for finding in verify(folder / LOG) if finding.position == position)


def test_an_index_that_lacks_an_event_is_found(folder):
    live_a_while(folder, steps=20)
    with tampering(folder) as db:
        db.execute("PRAGMA writable_schema = ON")
        row = db.execute("SELECT * FROM sqlite_schema WHERE name = 'events_topic'").fetchone()
        db.execute("DELETE FROM sqlite_schema WHERE name = 'events_topic'; PRAGMA writable_schema = RESET")
        db.execute("DELETE FROM events WHERE position = 3")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("INSERT INTO sqlite_schema VALUES (?,?,?,?,?)", row)
    assert any("events_topic" in finding.what for finding in verify(folder / LOG))


def test_pages_without_checksums_are_a_finding(folder):
    live_a_while(folder, steps=5)
    plain = folder / "plain.db"
    with closing(apsw.Connection(str(plain), vfs="unix")) as db, make_log(folder) as log:
        db.execute("CREATE TABLE events AS SELECT 1")
        assert log.head
    assert any(finding.offset == 20 for finding in verify(plain))


def test_findings_are_bounded(folder):
    live_a_while(folder, steps=200)
    with tampering(folder) as db:
        db.execute("UPDATE events SET actor = 'you'")
    assert len(verify(folder / LOG)) == 100


def test_an_event_other_than_the_acknowledged_one_is_found(folder):
    live_a_while(folder, steps=5, seed=1)
    with memory_directory() as other:
        live_a_while(Path(other), steps=50, seed=2)
        shutil.copy(Path(other) / LOG, folder / LOG)
    assert {finding.what for finding in verify(folder / LOG)} == {"the event is not the one that was acknowledged"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("DELETE FROM observed WHERE position = 2", "missing in the index of observations"),
        ("UPDATE observed SET originator_id = 'x' WHERE position = 2", "none of that stream"),
    ],
)
def test_an_index_of_observations_that_is_not_that_of_the_events_is_found(tmp_path, change, what):
    of = Node(id=UUID(int=1, version=4), ip_address="127.0.0.1", port=1, http_port=1, metadata={})
    with store(tmp_path) as (log, _):
        for _ in range(12):
            log.commit([of.observe(Heartbeat, health_info={})], ORIGIN)
    assert verify(tmp_path / LOG) == []
    with closing(ApswRecorder(tmp_path / LOG)) as recorder:
        recorder._db.execute(change)
    assert [(finding.position, what in finding.what) for finding in verify(tmp_path / LOG)] == [(2, True)]
