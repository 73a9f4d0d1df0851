"""A run of concurrent commits on a disk that remembers every write."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from spear.events import log as event_log
from spear.events.log import EventLog
from spear.events.witness import Witness
from tests.crash._disk import Acknowledged, RecordingVFS, Step, Write
from tests.crash._history import Events, World
from tests.crash._support import ORIGIN, VIEWS, store


class Recording(NamedTuple):
    """What happened to the disk, the chain at the end, and the views at the end."""

    steps: list[Step]
    hashes: list[bytes]
    views: bytes


class RecordedWitness(Witness):
    """The real witness, whose unsynced notes are steps like any other write."""

    steps: list[Step]

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path
        self.steps.append(Write(path.name, 0, path.read_bytes()))

    def note(self, position: int, digest: bytes) -> None:
        super().note(position, digest)
        self.steps.append(Write(self._path.name, 0, self._path.read_bytes()))


def record(folder: Path, *, sessions: int, committers: int, commits: int) -> Recording:
    """In each session between opening and closing, commit `commits` times from each of `committers` threads."""
    steps: list[Step] = []
    vfs = RecordingVFS(steps)
    RecordedWitness.steps = steps
    event_log.Witness = RecordedWitness
    worlds = [World(seed).steps(sessions * commits) for seed in range(committers)]
    for _ in range(sessions):
        with store(folder) as (log, _), ThreadPoolExecutor(committers) as pool:
            log.recorder._db.wal_autocheckpoint(20)
            for done in [pool.submit(commit_some, log, world, steps=steps, count=commits) for world in worlds]:
                done.result()
    with store(folder) as (log, _):
        hashes = [fact.hash for fact in log.recorder.query("ORDER BY position")]
    vfs.unregister()
    return Recording(steps, hashes, (folder / VIEWS).read_bytes())


def commit_some(log: EventLog, world: Iterator[Events], *, steps: list[Step], count: int) -> None:
    """Commit the next `count` things that happen in `world`."""
    for _ in range(count):
        steps.append(Acknowledged(log.commit(next(world), ORIGIN).last))
