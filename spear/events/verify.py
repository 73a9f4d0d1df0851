"""Check a log from end to end and say where it is not as it was recorded; nothing is ever changed."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import apsw

from spear.domain.base import TOPICS
from spear.errors import Corrupt
from spear.events import chain
from spear.events.log import witness_path
from spear.events.observed import NOT_INDEXED, NOT_OBSERVED
from spear.events.record import Recorded
from spear.events.recorder import ApswRecorder
from spear.events.witness import Witness

Progress = Callable[[int, int], None]
_AT_MOST = 100
_CHUNK = 1000
_PAGE = 4096
_BEFORE_ALL = Recorded(0, "", 0, "", 0, "", 0, "", b"", chain.GENESIS)
_GAPS = """
    SELECT position, originator_id, version, expected FROM (
        SELECT position, originator_id, abs(version) AS version,
               coalesce(lag(abs(version)) OVER (PARTITION BY originator_id ORDER BY abs(version)), 0) + 1 AS expected
        FROM events)
    WHERE version != expected"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was recorded; at a position of the log, at a byte of the file that `what` names."""

    position: int | None
    offset: int | None
    what: str


def _quiet(done: int, total: int) -> None:
    pass


def verify(path: Path, *, progress: Progress = _quiet) -> list[Finding]:
    """The first 100 things wrong with the log at `path`, none when it is whole; also while a server writes it.

    `progress` is told how many events are checked, and of how many.
    """
    return list(islice(_findings(path, progress), _AT_MOST))


def _findings(path: Path, progress: Progress) -> Iterator[Finding]:
    if not path.is_file():
        yield Finding(None, None, f"there is no log at {path}")
        return
    whole = True
    for finding in _logical_findings(path, progress):
        whole = False
        yield finding
    if not whole:
        yield from _damaged_pages(path, header=0, frame_header=0)
        yield from _damaged_pages(path.with_name(path.name + "-wal"), header=32, frame_header=24)


def _logical_findings(path: Path, progress: Progress) -> Iterator[Finding]:
    yield from _header(path)
    notes: list[tuple[int, bytes]] = []
    if witness_path(path).exists():  # read before the log, because it is written after the log
        with closing(Witness(witness_path(path), read_only=True)) as witness:
            notes = witness.notes()
            damage = sorted({*witness.damage()} & {*witness.damage()})  # the first look may meet a half-written note
        yield from (Finding(None, at, f"{witness_path(path).name}: a note is damaged") for at in damage)
    try:
        recorder = ApswRecorder(path, read_only=True)
    except apsw.Error as error:
        yield Finding(None, None, f"{path.name} cannot be opened: {error}")
        return
    with closing(recorder):
        yield from _as_far_as_readable(_end(recorder, notes))
        yield from _as_far_as_readable(_structure(recorder))
        yield from _as_far_as_readable(_streams_and_topics(recorder))
        yield from _as_far_as_readable(_observations(recorder))
        yield from _events(recorder, progress)


def _as_far_as_readable(check: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from check
    except (apsw.Error, Corrupt) as error:
        yield Finding(None, None, str(error))


def _header(path: Path) -> Iterator[Finding]:
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return
    if header[:16] != b"SQLite format 3\0" or int.from_bytes(header[16:18], "big") != _PAGE:
        yield Finding(None, 0, f"{path.name}: the header is not that of a log")
    elif header[20] != 8:
        yield Finding(None, 20, f"{path.name}: pages have no checksums (byte 20 is {header[20]}, expected 8)")


def _end(recorder: ApswRecorder, notes: Sequence[tuple[int, bytes]]) -> Iterator[Finding]:
    for position, digest in notes:
        if position > recorder.position:
            what = f"the log ends at position {recorder.position}, but position {position} was acknowledged"
            yield Finding(position, None, what)
        elif position and recorder.value("SELECT hash FROM events WHERE position = ?", (position,)) != digest:
            yield Finding(position, None, "the event is not the one that was acknowledged")


def _structure(recorder: ApswRecorder) -> Iterator[Finding]:
    for (text,) in _select(recorder, "PRAGMA integrity_check"):
        if text != "ok":
            page = re.search(r"page (\d+)", text)
            yield Finding(None, (int(page[1]) - 1) * _PAGE if page else None, f"structure: {text}")


def _streams_and_topics(recorder: ApswRecorder) -> Iterator[Finding]:
    if recorder.position:
        for position, stream, version, expected in _select(recorder, _GAPS):
            yield Finding(position, None, f"stream {stream} has version {version}, expected {expected}")
        for topic, first in _select(recorder, "SELECT topic, min(position) FROM events GROUP BY topic"):
            if topic not in TOPICS:
                yield Finding(first, None, f"the event type {topic!r} is unknown")


def _observations(recorder: ApswRecorder) -> Iterator[Finding]:
    if recorder.observes:
        for (position,) in _select(recorder, NOT_INDEXED):
            yield Finding(position, None, "it is missing in the index of observations")
        for (position,) in _select(recorder, NOT_OBSERVED):
            yield Finding(position, None, "the index of observations names it, but it is none of that stream")


def _events(recorder: ApswRecorder, progress: Progress) -> Iterator[Finding]:
    last, end = _BEFORE_ALL, recorder.position
    for start in range(0, end, _CHUNK):
        until = min(start + _CHUNK, end)
        facts = _readable(recorder, start, until)
        yield from _breaks(last, facts)
        for before, fact in pairwise([last, *facts]):
            if fact.time_us < before.time_us:
                yield Finding(fact.position, None, f"its time {fact.time_us} is before {before.time_us}")
        last = facts[-1] if facts else last
        progress(until, end)
    if last.position < end:
        yield Finding(last.position + 1, None, f"positions {last.position + 1} to {end} cannot be read")


def _readable(recorder: ApswRecorder, after: int, until: int) -> list[Recorded]:
    try:
        return recorder.query("WHERE position > ? AND position <= ? ORDER BY position", (after, until))
    except Corrupt:
        if until == after + 1:
            return []
    middle = (after + until) // 2
    return _readable(recorder, after, middle) + _readable(recorder, middle, until)


def _breaks(last: Recorded, facts: Sequence[Recorded]) -> Iterator[Finding]:
    """Every break of the chain; beyond one, the event that was found is trusted to be itself."""
    while facts and (broken := chain.first_break(last.hash, facts, after=last.position)):
        yield Finding(broken[0], None, broken[1])
        facts = [fact for fact in facts if fact.position >= broken[0]]
        last, facts = (facts[0], facts[1:]) if facts else (last, facts)


def _select(recorder: ApswRecorder, sql: str) -> list[tuple[Any, ...]]:
    with recorder.reader() as db:
        return db.execute(sql).fetchall()


def _damaged_pages(path: Path, *, header: int, frame_header: int) -> Iterator[Finding]:
    if not path.exists():
        return
    with closing(apsw.Connection(":memory:")) as db, path.open("rb") as file:
        file.seek(header)
        while len(frame := file.read(frame_header + _PAGE)) == frame_header + _PAGE:
            if not db.execute("SELECT verify_checksum(?)", (frame[frame_header:],)).get:
                at = file.tell() - _PAGE
                yield Finding(None, at, f"{path.name}: the page of {_PAGE} bytes here does not match its checksum")
