"""The views: folds events into rows, and writes them behind into a file with its checkpoint; rebuilt whenever in doubt."""

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import apsw

from spear.errors import Unavailable
from spear.events.log import EventLog
from spear.events.mapper import payloads_of
from spear.events.record import Recorded
from spear.events.recorder import ApswRecorder
from spear.projections.reader import Reader
from spear.projections.registry import TABLES, fingerprint, folds
from spear.projections.tables import R, Sheets, Table

_PAGE = 1000  # few enough to be still in the processor's cache when they are folded
_TOGETHER = 50  # pages that are committed at once
Progress = Callable[[int, int], None]
_LIVE = ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=4000")
_REBUILDING = ("journal_mode=OFF", "synchronous=OFF", "cache_size=-200000")


def quiet(done: int, total: int) -> None:
    """Show no progress."""


class Views:
    """One views file as its single writer sees it."""

    def __init__(self, path: Path, *, pragmas: Sequence[str] = _LIVE, vfs: str = "unix", indexed: bool = True) -> None:
        self.path = path
        fresh = not path.exists()
        self._db = apsw.Connection(str(path), vfs=vfs)
        self._db.set_busy_timeout(5000)
        for pragma in pragmas:
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        if fresh:
            self._make_tables()
        if fresh and indexed:
            self.make_indexes()
        self._cursor = self._db.cursor()
        self._sheets = Sheets(self._cursor, TABLES)
        self._folds = {topic: (payloads_of(topic), found) for topic, found in folds().items()}
        self._watched: dict[Table[Any], Callable[[dict[Any, Any]], None]] = {}
        self._unwritten: list[Recorded] = []
        self._dropped = False  # the rows of what is unwritten

    def _make_tables(self) -> None:
        with self._db:
            for table in TABLES:
                self._db.execute(table.schema)
            self._db.execute("CREATE TABLE checkpoint (position INTEGER, hash BLOB, fingerprint TEXT)")
            self._db.execute("INSERT INTO checkpoint VALUES (0, zeroblob(32), ?)", (fingerprint(),))

    def make_indexes(self) -> None:
        """Make what `indexed=False` left out: rows are indexed faster together than one by one."""
        with self._db:
            for table in TABLES:
                for statement in table.index_schema:
                    self._db.execute(statement)

    @property
    def checkpoint(self) -> tuple[int, bytes, str]:
        """The last folded position, its hash, and the fingerprint of the code that folded."""
        row: tuple[int, bytes, str] = self._db.execute("SELECT position, hash, fingerprint FROM checkpoint").get
        return row

    def whole(self) -> bool:
        """Whether SQLite finds no damage; reads the whole file."""
        return bool(self._db.execute("PRAGMA quick_check(1)").get == "ok")

    def watch(self, table: Table[R], changed: Callable[[dict[Any, R | None]], None]) -> None:
        """Call `changed` after each fold with the rows of `table` that it touched, by key; they may not be kept."""
        self._watched[table] = changed

    def fold(self, facts: Sequence[Recorded]) -> None:
        """Fold the next events in; the file gets them with the next `write`. Raises `Unavailable` and changes nothing."""
        try:
            self._recover()
            self._apply(facts)
        except apsw.Error as error:
            raise self._failed(error) from error
        for table, tell in self._watched.items():
            if touched := self._sheets[table]:
                tell(touched)
        self._sheets.settle()
        self._unwritten += facts

    @property
    def behind(self) -> int:
        """How many folded events the file lacks."""
        return len(self._unwritten)

    def owes(self, table: Table[Any] | None) -> bool:
        """Whether the file lacks folded rows of this table, or of any. Any thread may ask."""
        return bool(self._unwritten) and (self._dropped or self._sheets.owes(table))

    def write(self) -> None:
        """Commit what was folded with its checkpoint; raises `Unavailable`, and then it is folded again at the next chance."""
        try:
            self._recover()
            if self._unwritten:
                self._cursor.execute("BEGIN IMMEDIATE")
                self._commit(self._unwritten[-1])
        except apsw.Error as error:
            raise self._failed(error) from error
        self._unwritten = []

    def _recover(self) -> None:
        if self._dropped:
            self._apply(self._unwritten)
            self._sheets.settle()
            self._dropped = False

    def _failed(self, error: apsw.Error) -> Unavailable:
        self._sheets.forget()
        self._dropped = True
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        return Unavailable(f"the views cannot follow: {error}")

    def _apply(self, facts: Sequence[Recorded]) -> None:
        sheets, handlers = self._sheets, self._folds
        for fact in facts:
            found = handlers.get(fact.topic)
            if found:
                read, folds = found
                event = read(fact)
                for fold in folds:
                    fold(sheets, fact, event)

    def _commit(self, last: Recorded) -> None:
        self._sheets.flush()
        self._cursor.execute("UPDATE checkpoint SET position = ?, hash = ?", (last.position, last.hash))
        self._cursor.execute("COMMIT")
        self._sheets.flushed()

    def catch_up(self, recorder: ApswRecorder, *, until: int, progress: Progress = quiet) -> None:
        """Fold what the log holds between the checkpoint and `until`."""
        start = self.checkpoint[0]
        found = pages(recorder, after=start, until=until)
        for page in found:
            last = self._fold_together(chain([page], islice(found, _TOGETHER - 1)))
            progress(last - start, until - start)

    def _fold_together(self, together: Iterable[Sequence[Recorded]]) -> int:
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
            for facts in together:
                self._apply(facts)
            self._sheets.settle()
            self._commit(facts[-1])
        except apsw.Error as error:
            raise self._failed(error) from error
        return facts[-1].position

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._db.close()


def pages(recorder: ApswRecorder, *, after: int, until: int) -> Iterator[list[Recorded]]:
    """The events of `(after, until]` in pieces of bounded size, oldest first."""
    while after < until:
        facts = recorder.query("WHERE position > ? AND position <= ? ORDER BY position LIMIT ?", (after, until, _PAGE))
        yield facts
        after = facts[-1].position


def open_views(path: Path, log: EventLog, *, progress: Progress = quiet) -> Views:
    """The views of `log`, caught up with it; rebuilt from nothing if the file is missing, foreign, stale or damaged."""
    if path.exists() and not _belongs(path, log):
        remove_views(path)
    if not path.exists():
        rebuild(path, log.recorder, until=log.head, progress=progress)
    views = Views(path)
    views.catch_up(log.recorder, until=log.head, progress=progress)
    return views


def reader_of(views: Views, log: EventLog) -> Reader:
    """A reader that sees whatever the log acknowledged, in the file or on its way there; it may block its caller."""

    def current(table: Table[Any] | None) -> None:
        if views.owes(table):
            log.show()

    return Reader(views.path, current=current)


def _belongs(path: Path, log: EventLog) -> bool:
    try:
        views = Views(path)
    except apsw.Error:
        return False
    try:
        position, digest, made_by = views.checkpoint
        if made_by != fingerprint() or position > log.head or not views.whole():
            return False
        return position == 0 or digest == log.recorder.value("SELECT hash FROM events WHERE position = ?", (position,))
    except (apsw.Error, TypeError):
        return False
    finally:
        views.close()


def rebuild(path: Path, recorder: ApswRecorder, *, until: int, progress: Progress = quiet) -> None:
    """Make the views file as of position `until` from the log alone; it appears complete or not at all."""
    unfinished = path.with_name(path.name + f".{os.getpid()}.rebuilding")
    remove_views(unfinished)
    views = Views(unfinished, pragmas=_REBUILDING, indexed=False)
    gc.disable()  # a fold makes no cycles, and looking for them takes a thirtieth of the time
    try:
        views.catch_up(recorder, until=until, progress=progress)
        views.make_indexes()
    finally:
        gc.enable()
        views.close()
    unfinished.rename(path)


def remove_views(path: Path) -> None:
    """Delete a views file and what SQLite keeps beside it; nothing is lost."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def compare(left: Path, right: Path) -> dict[str, list[str]]:
    """For each table that differs, the keys (at most 20) whose rows are not the same in both files."""
    db = apsw.Connection(str(left), flags=apsw.SQLITE_OPEN_READONLY, vfs="unix")
    db.execute("ATTACH ? AS other", (str(right),))
    try:
        found = {table.name: _differing(db, table.name, table.key) for table in TABLES}
    finally:
        db.close()
    return {name: keys for name, keys in found.items() if keys}


def _differing(db: apsw.Connection, table: str, key: str) -> list[str]:
    one, two = f"SELECT * FROM main.{table}", f"SELECT * FROM other.{table}"
    sql = (
        f"SELECT DISTINCT {key} FROM (SELECT * FROM ({one} EXCEPT {two}) UNION ALL SELECT * FROM ({two} EXCEPT {one}))"
    )
    return [str(value) for (value,) in db.execute(f"{sql} LIMIT 20")]
