"""The embedded log on SQLite through APSW: the library's recorder interface, one writer, many readers."""

import ctypes
import os
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from shutil import disk_usage
from threading import Lock
from typing import Any
from uuid import UUID

import apsw
import apsw.sqlite_extra
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    Notification,
    NotSupportedError,
    StoredEvent,
    Subscription,
)
from msgspec.structs import astuple, replace

from spear.domain.base import OBSERVED
from spear.errors import Conflict, Corrupt
from spear.events import chain, observed
from spear.events.record import UNNUMBERED, Origin, Pending, Recorded
from spear.events.statements import insert, insertion

Commits = Sequence[tuple[Sequence[Pending], Origin]]
_COLUMNS = "position, originator_id, version, topic, time_us, actor, cause, correlation, state, hash"
_FIELDS = (
    "e.position, e.originator_id, abs(e.version), e.topic, e.time_us, e.actor, e.cause, e.correlation, e.state, e.hash"
)
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY, originator_id TEXT NOT NULL, version INTEGER NOT NULL, topic TEXT NOT NULL,
        time_us INTEGER NOT NULL, actor TEXT NOT NULL, cause INTEGER NOT NULL, correlation TEXT NOT NULL,
        state BLOB NOT NULL, hash BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS events_stream ON events (originator_id, version) WHERE version > 0",
    "CREATE INDEX IF NOT EXISTS events_topic ON events (topic, position)",
    """CREATE TRIGGER IF NOT EXISTS events_keep_update BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'events are never changed'); END""",
    """CREATE TRIGGER IF NOT EXISTS events_keep_delete BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'events are never removed'); END""",
    "CREATE TABLE IF NOT EXISTS identity (id BLOB NOT NULL)",
    *observed.SCHEMA,
)
_IDENTIFY = "INSERT INTO identity SELECT coalesce(?, randomblob(16)) WHERE NOT EXISTS (SELECT 1 FROM identity)"
_INTO = f"events ({_COLUMNS})"
_WIDTH = _COLUMNS.count(",") + 1
_AT_ONCE = 64
_WAL_PAGES = 4000
_WAL_BYTES = _WAL_PAGES * (4096 + 24)
_ROOM_FACTOR = 32
_REMEMBERED_STREAMS = 100_000
_LIBRARY = Origin("library")


@cache
def checksummed_vfs() -> str:
    """The name of the VFS that checks every page it reads; wraps whatever VFS was the default at the first call."""
    apsw.sqlite_extra.load(apsw.Connection(":memory:"), "cksumvfs")
    return "cksmvfs"


def _connect(path: Path, *, vfs: str, read_only: bool) -> apsw.Connection:
    write = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY if read_only else write, vfs=vfs)
    db.set_busy_timeout(5000)
    if not read_only:
        reserved = ctypes.c_int(8)  # room for the page checksum, only settable while the file is new
        db.file_control("main", apsw.SQLITE_FCNTL_RESERVE_BYTES, ctypes.addressof(reserved))
        for pragma in ("page_size=4096", "journal_mode=WAL", "synchronous=FULL", f"wal_autocheckpoint={_WAL_PAGES}"):
            db.execute(f"PRAGMA {pragma}").fetchall()
    return db


def _reserve(wal: Path) -> None:
    """Write the write-ahead log's room in advance, where there is plenty: a sync that also lengthens a file takes twice as long.

    SQLite takes what lies behind its last frame for nothing, and overwrites it.
    """
    with suppress(OSError), wal.open("r+b") as file:  # what is wrong with the disk, the first commit will tell
        end = file.seek(0, os.SEEK_END)
        if end < _WAL_BYTES and disk_usage(wal.parent).free > _ROOM_FACTOR * _WAL_BYTES:
            file.write(bytes(_WAL_BYTES - end))
            os.fsync(file.fileno())


class ApswRecorder(ApplicationRecorder):
    """Events in one SQLite file: appended by one thread, read by any; rows and pages are checked when read.

    A new file becomes the log `identity`, any other one without it.
    """

    def __init__(
        self,
        path: Path,
        *,
        vfs: str | None = None,
        read_only: bool = False,
        reserve: bool = False,
        identity: bytes | None = None,
    ) -> None:
        self._path = path
        self._vfs = vfs or checksummed_vfs()
        self._readers: deque[apsw.Connection] = deque()
        self._versions: OrderedDict[str, int] = OrderedDict()
        self._library_writes = Lock()
        self._db = _connect(path, vfs=self._vfs, read_only=read_only)
        if not read_only:
            for statement in _SCHEMA:
                self._db.execute(statement)
            self._db.execute(_IDENTIFY, (identity,))  # once: whoever copies the file copies the log's identity
        self._cursor = self._db.cursor()
        if reserve:
            _reserve(path.with_name(path.name + "-wal"))
        self.position, self.digest, self.time_us = self._tip()
        self.observes = bool(self._db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'observed_until'").get)
        self._indexed = self._db.execute(observed.UNTIL).get if self.observes else self.position

    # writing: one thread

    def append(self, commits: Commits, *, time_us: int) -> list[list[Recorded] | Conflict]:
        """Record all commits in one durable transaction; one that clashes fails alone. Blocks for one fsync."""
        time_us = max(time_us, self.time_us)
        tip = self.position, self.digest
        try:
            recorded = self._all_or_each(commits, time_us)
        except BaseException:  # a killed caller too leaves no trace; it goes on up
            self._go_back(tip, commits)
            raise
        self.time_us = time_us
        return recorded

    def _all_or_each(self, commits: Commits, time_us: int) -> list[list[Recorded] | Conflict]:
        tip = self.position, self.digest
        try:
            return self._insert_all(commits, time_us)
        except apsw.ConstraintError:
            self._go_back(tip, commits)
        with self._transaction():
            return [self._insert_one(events, origin, time_us) for events, origin in commits]

    def _go_back(self, tip: tuple[int, bytes], commits: Commits) -> None:
        self.position, self.digest = tip
        for events, _ in commits:
            for event in events:
                self._versions.pop(event.originator_id, None)

    def _insert_all(self, commits: Commits, time_us: int) -> list[list[Recorded] | Conflict]:
        tip, values = self.position, list[Any]()
        chained: list[list[Recorded] | Conflict] = [
            self._chain(events, origin, time_us, values) for events, origin in commits
        ]
        if len(values) > _AT_ONCE * _WIDTH or self._is_to_index(tip):
            self._insert(values, tip)
        else:  # one statement is a transaction by itself, and gives the interpreter away once
            self._cursor.execute(insertion(_INTO, "", len(values) // _WIDTH, _WIDTH), values)
        return chained

    def _insert(self, values: list[Any], tip: int) -> None:
        """Add rows behind the position `tip`, and with them the index up to there when that is due: one transaction."""
        is_to_index = self._is_to_index(tip)
        with self._transaction():
            if is_to_index:
                observed.index(self._db, self._indexed, tip)
            insert(self._db, _INTO, values, _WIDTH)
        if is_to_index:
            self._indexed = tip

    def _is_to_index(self, tip: int) -> bool:
        return tip - self._indexed >= observed.AT_ONCE

    def restore(self, facts: Sequence[Recorded]) -> None:
        """Record events exactly as another log did, in one durable transaction; raises `Corrupt` where the chain breaks."""
        broken = chain.first_break(self.digest, facts, after=self.position)
        if broken:
            raise Corrupt(f"event {broken[0]}: {broken[1]}", details={"position": broken[0]})
        values = [value for fact in facts for value in _stored(fact, observed=fact.topic in OBSERVED)]
        self._insert(values, self.position)
        self.position, self.digest, self.time_us = facts[-1].position, facts[-1].hash, facts[-1].time_us

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _insert_one(self, events: Sequence[Pending], origin: Origin, time_us: int) -> list[Recorded] | Conflict:
        tip, values = (self.position, self.digest), list[Any]()
        self._db.execute("SAVEPOINT one")
        try:
            facts = self._chain(events, origin, time_us, values)
            insert(self._db, _INTO, values, _WIDTH)
            return facts
        except apsw.ConstraintError:
            self._go_back(tip, [(events, origin)])
            self._db.execute("ROLLBACK TO one")
            first = events[0]
            return Conflict(f"{first.topic.partition('.')[0]} {first.originator_id} was changed by somebody else first")
        finally:
            self._db.execute("RELEASE one")

    def _chain(self, events: Sequence[Pending], origin: Origin, time_us: int, values: list[Any]) -> list[Recorded]:
        """The facts that the events become; what is stored of them is added to `values`."""
        facts = []
        for event in events:
            unnumbered = event.version == UNNUMBERED
            if unnumbered:
                event = replace(event, version=self._next_version(event.originator_id))
            self.position += 1
            self.digest = chain.link(self.digest, self.position, event, time_us=time_us, origin=origin)
            fact = Recorded(
                self.position, event.originator_id, event.version, event.topic, time_us,
                origin.actor, origin.cause, origin.correlation, event.state, self.digest,
            )  # fmt: skip
            facts.append(fact)
            values += _stored(fact, observed=unnumbered)
        return facts

    def _next_version(self, originator_id: str) -> int:
        version = self._versions.pop(originator_id, 0) or self._last_version(originator_id)
        self._versions[originator_id] = version + 1
        if len(self._versions) > _REMEMBERED_STREAMS:
            self._versions.popitem(last=False)
        return version + 1

    def _last_version(self, originator_id: str) -> int:
        numbered = "SELECT max(version) FROM events WHERE originator_id = ? AND version > 0"  # by an older server
        return (
            observed.last_version(self._db, originator_id, indexed=self._indexed)
            or self._db.execute(numbered, (originator_id,)).get
            or 0
        )

    # reading: any thread

    @contextmanager
    def reader(self) -> Iterator[apsw.Connection]:
        """A read-only connection, borrowed: it must be given back before the caller yields to others."""
        try:
            db = self._readers.pop()
        except IndexError:
            db = _connect(self._path, vfs=self._vfs, read_only=True)
        try:
            yield db
        except (apsw.CorruptError, apsw.IOError, apsw.NotADBError, UnicodeDecodeError) as error:
            raise Corrupt(f"the log cannot be read: {error}", details={"file": self._path.name}) from error
        finally:
            self._readers.append(db)

    def query(self, sql: str, parameters: Sequence[Any] = (), *, source: str = "events AS e") -> list[Recorded]:
        """The events that `SELECT <columns> FROM <source> <sql>` finds."""
        with self.reader() as db:
            return [Recorded(*row) for row in db.execute(f"SELECT {_FIELDS} FROM {source} {sql}", parameters)]

    def stream(
        self, originator_id: str, *, after: int = 0, until: int = 2**62, newest_first: bool = False, limit: int = -1
    ) -> list[Recorded]:
        """One stream's events of the versions `(after, until]`, by version, the first `limit` of them if it is given."""
        order = f"ORDER BY version {'DESC' if newest_first else 'ASC'} LIMIT ?"
        where = f"WHERE originator_id = ? AND version > 0 AND version > ? AND version <= ? {order}"
        numbered = self.query(where, (originator_id, after, until, limit))
        if numbered and numbered[0].topic not in OBSERVED:
            return numbered
        where, values = "AND -e.version > ? AND -e.version <= ?", (after, until)
        seen = self.observations(originator_id, where=where, values=values, newest_first=newest_first, limit=limit)
        found = [*seen, *numbered] if newest_first else [*numbered, *seen]
        return found if limit < 0 else found[:limit]

    def observations(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int = 2**62,
        where: str = "",
        values: Sequence[Any] = (),
        newest_first: bool = False,
        limit: int = -1,
    ) -> list[Recorded]:
        """What was observed in this stream at the positions `(after, until]`, by position, up to `limit` if it is given."""
        if not self.observes:
            return []
        order = "DESC" if newest_first else "ASC"
        indexed = min(self.value(observed.UNTIL), until)  # read first: what is indexed meanwhile, the others find
        parts = [
            (observed.INDEXED, "o.position", (stream, after, indexed, *values, limit)),
            (observed.LATEST, "e.position", (stream, max(after, indexed), until, *values, limit)),
        ]
        found: list[Recorded] = []
        for source, at, parameters in reversed(parts) if newest_first else parts:
            if len(found) != limit:
                sql = f"AND {at} > ? AND {at} <= ? {where} ORDER BY {at} {order} LIMIT ?"
                found += self.query(sql, parameters, source=source)
        return found if limit < 0 else found[:limit]

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The one value that `sql` finds, or None."""
        with self.reader() as db:
            return db.execute(sql, parameters).get

    def _tip(self) -> tuple[int, bytes, int]:
        if not self._db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'events'").get:
            return 0, chain.GENESIS, 0
        row = self._db.execute("SELECT position, hash, time_us FROM events ORDER BY position DESC LIMIT 1").fetchone()
        return row if row else (0, chain.GENESIS, 0)

    def checkpoint_on_close(self, wanted: bool) -> None:
        """Whether closing folds the write-ahead log back into the file and deletes it, as it does unless told not to."""
        self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(not wanted))

    def close(self) -> None:
        """Close readers, then the writer (which folds the write-ahead log back); may be called twice."""
        while self._readers:
            self._readers.pop().close()
        self._db.close()

    # the library's interface

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Record the library's stored events in one transaction; raises its IntegrityError on a version clash."""
        pending = [Pending(str(e.originator_id), e.originator_version, e.topic, e.state) for e in stored_events]
        if not pending:
            return []
        with self._library_writes:
            outcome = self.append([(pending, _LIBRARY)], time_us=self.time_us)[0]
        if isinstance(outcome, Conflict):
            raise IntegrityError(outcome.message)
        return [fact.position for fact in outcome]

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """One stream's events by version."""
        facts = self.stream(
            str(originator_id),
            after=0 if gt is None else gt,
            until=2**62 if lte is None else lte,
            newest_first=desc,
            limit=-1 if limit is None else limit,
        )
        return [StoredEvent(UUID(f.originator_id), f.version, f.topic, f.state) for f in facts]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events by position."""
        first = 1 if start is None else start + (not inclusive_of_start)
        where, values = "WHERE position >= ? AND position <= ?", [first, 2**62 if stop is None else stop]
        if topics:
            where += f" AND topic IN ({','.join('?' * len(topics))})"
        facts = self.query(f"{where} ORDER BY position LIMIT ?", (*values, *topics, limit))
        return [
            Notification(
                originator_id=UUID(f.originator_id),
                originator_version=f.version,
                topic=f.topic,
                state=f.state,
                id=f.position,
            )
            for f in facts
        ]

    def max_notification_id(self) -> int | None:
        """The last position, None for an empty log."""
        found: int | None = self.value("SELECT max(position) FROM events")
        return found

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Raise the library's `NotSupportedError`: the log is followed with a cursor (`EventLog.follow`)."""
        raise NotSupportedError("subscribe: the log is followed with a cursor, by EventLog.follow")


def _stored(fact: Recorded, *, observed: bool) -> Sequence[Any]:
    row = astuple(fact)
    return (*row[:2], -fact.version, *row[3:]) if observed else row
