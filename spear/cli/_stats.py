"""The tool that counts: stats."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from spear.cli._place import Place, find, head_of, opened
from spear.cli._progress import Progress
from spear.cli._text import aligned, as_json, plain, rfc3339
from spear.events.recorder import ApswRecorder

_CHUNK = 100_000
_COLUMNS = ("topic", "events", "state_bytes", "per_second", "first", "last")


class _Tally(msgspec.Struct):
    topic: str
    events: int = 0
    state_bytes: int = 0
    first_us: int = 2**62
    last_us: int = 0

    def add(self, count: int, size: int, first_us: int, last_us: int) -> None:
        self.events, self.state_bytes = self.events + count, self.state_bytes + size
        self.first_us, self.last_us = min(self.first_us, first_us), max(self.last_us, last_us)


def stats(args: Namespace, progress: Progress) -> int:
    """Print how many events of which type there are, how large their states are, and how often they come."""
    place = find(args.data_dir)
    with opened(place) as recorder:
        tallies = _tallies(recorder, progress)
    found = _summary(place, tallies)
    progress.say(as_json(found) if args.json else "\n".join(_stats_table(found)))
    return 0


def _tallies(recorder: ApswRecorder, progress: Progress) -> list[_Tally]:
    found: dict[str, _Tally] = {"": _Tally("")}
    sql = (  # the plus keeps SQLite from walking the topic index instead of the positions
        "SELECT topic, count(*), sum(length(state)), min(time_us), max(time_us)"
        " FROM events WHERE position > ? AND position <= ? GROUP BY +topic"
    )
    head = head_of(recorder)
    for start in range(0, head, _CHUNK):
        with recorder.reader() as db:
            for topic, *numbers in db.execute(sql, (start, min(start + _CHUNK, head))):
                found[""].add(*numbers)
                found.setdefault(topic, _Tally(topic)).add(*numbers)
        progress(min(start + _CHUNK, head), head)
    return sorted(found.values(), key=lambda tally: (bool(tally.topic), -tally.events, tally.topic))


def _summary(place: Place, tallies: Sequence[_Tally]) -> dict[str, Any]:
    span_s = (tallies[0].last_us - tallies[0].first_us) / 1e6 if tallies[0].events else 0.0
    total, *types = (
        {
            "topic": tally.topic,
            "events": tally.events,
            "state_bytes": tally.state_bytes,
            "per_second": round(tally.events / span_s, 3) if span_s else None,
            "first": rfc3339(tally.first_us) if tally.events else None,
            "last": rfc3339(tally.last_us) if tally.events else None,
        }
        for tally in tallies
    )
    wal = place.log.with_name(place.log.name + "-wal")
    size = place.log.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    return {**total, "topic": "all", "file": str(place.log), "file_bytes": size, "types": types}


def _stats_table(found: dict[str, Any]) -> Iterator[str]:
    rows = [[_number(row[name]) for name in _COLUMNS] for row in (*found["types"], found)]
    yield from aligned([[name.replace("_", " ") for name in _COLUMNS], *rows])
    yield f"file {plain(found['file'])}: {found['file_bytes']} bytes"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else plain(str(value))
