"""Runs of commits on a file system that refuses one write or one sync after some number of them.

Only calls for a write-ahead log are refused: SQLite ignores a failed checkpoint, but an error raised in Python is not.
"""

from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import apsw

from spear.errors import Unavailable
from spear.events.log import EventLog
from spear.projections.reader import Reader
from spear.projections.views import Views, open_views, reader_of
from tests.crash._history import World
from tests.crash._support import ORIGIN, VIEWS, differences_from_rebuilt, make_log

COMMITS, VIEWS_COMMITS = 12, 5


class Call(StrEnum):
    """What the file system is asked to do."""

    WRITE = "write"
    SYNC = "sync"


class Fault(NamedTuple):
    """Refuse the `nth` call of a kind with `error`; a lasting one refuses every later call too."""

    call: Call
    nth: int
    error: type[apsw.Error]
    lasting: bool


@dataclass
class Storage:
    """Where faults are set, and whether one was met."""

    fault: Fault | None = None
    calls: int = 0
    met: bool = False

    def set(self, fault: Fault | None) -> None:
        """Count from now on; without a fault the storage is healthy."""
        self.fault, self.calls, self.met = fault, 0, False

    def use(self, call: Call) -> None:
        """Count one call, and refuse it when it is its turn."""
        if self.fault is None or call is not self.fault.call:
            return
        self.calls += 1
        if self.calls == self.fault.nth or (self.fault.lasting and self.met):
            self.met = True
            raise self.fault.error("injected")


class FaultyFile(apsw.VFSFile):
    """A file on storage that may refuse."""

    def __init__(self, name, flags: list[int], storage: Storage) -> None:
        super().__init__("unix", name, flags)
        self._storage = storage if flags[0] & apsw.SQLITE_OPEN_WAL else Storage()

    def xWrite(self, data: bytes, offset: int) -> None:
        self._storage.use(Call.WRITE)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._storage.use(Call.SYNC)
        super().xSync(flags)


class FaultyVFS(apsw.VFS):
    """A file system on storage that may refuse."""

    def __init__(self, name: str, storage: Storage, *, default: bool) -> None:
        super().__init__(name, "unix", makedefault=default)
        self._storage = storage

    def xOpen(self, name, flags: list[int]) -> FaultyFile:
        return FaultyFile(name, flags, self._storage)


@dataclass
class Outcome:
    """What callers were told while one fault was set, and whether the log took a commit after it was healed."""

    met: bool = False
    acknowledged: dict[int, str] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    recovered: bool = False

    def commit(self, log: EventLog, number: int) -> bool:
        """Commit something new; anything but a position or `Unavailable` is a failure of the test."""
        events = list(chain.from_iterable(World(number).steps(3)))
        try:
            first = log.commit(events, ORIGIN).first
        except Unavailable as error:
            self.refusals.append(error.message)
            return False
        self.acknowledged |= {first + index: str(event.originator_id) for index, event in enumerate(events)}
        return True

    def read(self, reader: Reader, head: int) -> None:
        """See all that was acknowledged, or be refused."""
        try:
            assert reader.position == head
        except Unavailable as error:
            self.refusals.append(error.message)


def try_every_fault(folder: Path, fault: Fault, *, in_views: bool) -> list[Outcome]:
    """One run of commits for each place that the fault can have; each leaves a directory, named by its number."""
    storage, outcomes = Storage(), []
    vfs = FaultyVFS("faulty", storage, default=not in_views)
    while not outcomes or outcomes[-1].met:
        fault = fault._replace(nth=len(outcomes) + 1)
        run = folder / str(fault.nth)
        run.mkdir()
        outcomes.append(commit_with_fault(run, storage, fault, views_vfs="faulty" if in_views else "unix"))
    vfs.unregister()
    return outcomes


def commit_with_fault(folder: Path, storage: Storage, fault: Fault, *, views_vfs: str) -> Outcome:
    """Commit with the fault, heal the storage, commit once more; log and views agree at every moment."""
    outcome = Outcome()
    with make_log(folder) as log:
        open_views(folder / VIEWS, log).close()
        with closing(Views(folder / VIEWS, vfs=views_vfs)) as views, closing(reader_of(views, log)) as reader:
            log.recorder._db.wal_autocheckpoint(8)
            log.start(views)
            storage.set(fault)
            for number in range(COMMITS if views_vfs == "unix" else VIEWS_COMMITS):
                outcome.commit(log, number)
                outcome.read(reader, log.head)
            outcome.met = storage.met
            storage.set(None)
            outcome.recovered = outcome.commit(log, COMMITS)
            assert reader.position == log.head
            assert differences_from_rebuilt(folder, log) == {}
            log.close()
    return outcome
