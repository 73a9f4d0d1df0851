"""Where the tools find a log and how they read it: read-only and in chunks, whether a server writes it or not."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from heapq import merge
from pathlib import Path

import apsw

from spear.cli._text import microseconds
from spear.errors import Corrupt, Invalid, StartupError
from spear.events.log import position_at
from spear.events.record import Recorded
from spear.events.recorder import ApswRecorder

LOG_NAMES = {"sms": "sms.db", "spearlet": "spearlet.db"}
_CHUNK = 1000
_DIGITS = 18  # more would not fit into a position


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one data directory."""

    log: Path

    @property
    def views(self) -> Path:
        """The live views; they may be absent."""
        return self.log.with_name("views.db")

    @property
    def snapshots(self) -> Path:
        """The folder of earlier views; it may be absent."""
        return self.log.with_name("snapshots")


def find(data_dir: Path) -> Place:
    """The log in `data_dir`; raises `StartupError` when there is none."""
    for name in LOG_NAMES.values():
        if (data_dir / name).is_file():
            return Place(data_dir / name)
    raise StartupError(f"--data-dir: no log in {data_dir}; looked for {' and '.join(LOG_NAMES.values())}")


@contextmanager
def opened(place: Place) -> Iterator[ApswRecorder]:
    """The log, for reading only; raises `Corrupt` when it cannot be read or holds no events, `StartupError` when it is no log."""
    try:
        recorder = ApswRecorder(place.log, read_only=True)
    except (apsw.CorruptError, apsw.IOError, apsw.NotADBError) as error:
        raise Corrupt(f"{place.log} cannot be read: {error}") from error
    except apsw.Error as error:
        raise StartupError(f"{place.log} cannot be opened as a log: {error}") from error
    try:
        yield recorder
    except apsw.SQLError as error:  # a file that lost its end may have lost the table with it
        raise Corrupt(f"{place.log} cannot be read: {error}; run verify") from error
    finally:
        recorder.close()


def head_of(recorder: ApswRecorder) -> int:
    """The last position that is in the log now."""
    return recorder.max_notification_id() or 0


def position_of(recorder: ApswRecorder, name: str, text: str) -> int:
    """The position that a person named by number or by time; raises `Invalid` for what is neither, or beyond the end."""
    head = head_of(recorder)
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) <= head:
        return int(text)
    time_us = None if text.isdigit() else microseconds(text)
    if time_us is None:
        raise Invalid.field(name, text, f"a position from 0 to {head} or an RFC 3339 time such as 2026-01-31T12:00:00Z")
    return position_at(recorder, time_us, head=head)


def pages(recorder: ApswRecorder, *, after: int, until: int, topic: str = "") -> Iterator[list[Recorded]]:
    """The events after `after` up to `until`, of one topic if it is given, oldest first, some at a time."""
    where, values = ("topic = ? AND ", [topic]) if topic else ("", [])
    sql = f"WHERE {where}position > ? AND position <= ? ORDER BY position LIMIT ?"
    while facts := _read(recorder, sql, (*values, after, until)):
        yield facts
        after = facts[-1].position


def _read(recorder: ApswRecorder, sql: str, bounds: Sequence[str | int]) -> list[Recorded]:
    with suppress(Corrupt):
        return recorder.query(sql, (*bounds, _CHUNK))
    try:  # what stands before the damage is shown, one by one
        return recorder.query(sql, (*bounds, 1))
    except Corrupt as error:
        raise Corrupt(
            f"the next event after position {bounds[-2]} cannot be read ({error.message}); run verify"
        ) from error


def events(recorder: ApswRecorder, *, after: int, until: int, topics: Sequence[str] = ()) -> Iterator[Recorded]:
    """The same, one at a time; of these topics if any are given."""
    wanted = [pages(recorder, after=after, until=until, topic=topic) for topic in topics or ("",)]
    return merge(*((fact for page in found for fact in page) for found in wanted), key=lambda fact: fact.position)
