"""What a command prints: tables with local times for people, JSON with RFC 3339 times for programs."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from spear.cli._text import aligned, as_json, plain

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = Mapping[str, Any]
_SECONDS = {"registered_at", "last_heartbeat", "last_completed_at", "modified_at", "created_at", "updated_at"}
_MILLISECONDS = {"last_seen_ms", "ts_ms"}
_WIDTH = 60


def moment(name: str, value: Any) -> datetime | None:
    """The time that a field of the API stands for; None for any other field, and for never."""
    if not isinstance(value, int) or value <= 0 or not _is_time(name):
        return None
    return _EPOCH + (timedelta(milliseconds=value) if _is_milliseconds(name) else timedelta(seconds=value))


def _is_milliseconds(name: str) -> bool:
    return name in _MILLISECONDS or name.endswith("_at_ms")


def _is_time(name: str) -> bool:
    return name in _SECONDS or _is_milliseconds(name)


def _is_never(name: str, value: Any) -> bool:
    return value == 0 and _is_time(name)


def field_name(name: str) -> str:
    """A field's name as it is printed: a time has no unit."""
    return name.removesuffix("_ms") if _is_milliseconds(name) else name


def timed(value: Any, name: str = "") -> Any:
    """The API's document with its times as RFC 3339, and null for never."""
    if isinstance(value, dict):
        return {field_name(key): timed(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [timed(inner) for inner in value]
    found = moment(name, value)
    if found is not None:
        return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return None if _is_never(name, value) else value


def local(when: datetime, *, precise: bool = False) -> str:
    """A time in the zone of this machine."""
    shown = when.astimezone().replace(tzinfo=None)
    return shown.isoformat(" ", timespec="milliseconds" if precise else "seconds")


def cell(name: str, value: Any, *, width: int = 0) -> str:
    """One value for a person, "-" for nothing."""
    found = moment(name, value)
    if found is not None:
        return local(found)
    if value in (None, "", [], {}) or _is_never(name, value):
        return "-"
    return plain(value if isinstance(value, str) else as_json(value), width=width)


def _cells(row: Row, columns: Sequence[str]) -> list[str]:
    name, *others = columns  # a name is there to be copied, so it is never cut
    return [cell(name, row.get(name)), *(cell(column, row.get(column), width=_WIDTH) for column in others)]


class Output:
    """Where a command's results go, in the format that was asked for."""

    def __init__(self, format: str = "table") -> None:
        self.json = format == "json"

    def rows(self, document: Row, key: str, columns: Sequence[str]) -> None:
        """One page of a list: as a table, or the document as it is; says on standard error when there is more."""
        if self.json:
            print(as_json(timed(document)))
            return
        titles = [field_name(column).replace("_", " ").upper() for column in columns]
        shown = (_cells(row, columns) for row in document[key])
        print("\n".join(aligned([titles, *shown])))
        if document.get("next_after"):
            print(f"more: --after {plain(str(document['next_after']))}, or --all", file=sys.stderr)

    def record(self, document: Row, *, without: Iterable[str] = ()) -> None:
        """One thing: a line for each field, or the document."""
        if self.json:
            print(as_json(timed(document)))
            return
        fields = [(name, value) for name, value in document.items() if name not in without]
        lines = [(field_name(name).replace("_", " "), cell(name, value)) for name, value in fields]
        print("\n".join(aligned(lines)))

    def one(self, document: Row, key: str) -> None:
        """What was made: its name alone, for scripts, or the document."""
        print(as_json(timed(document)) if self.json else plain(str(document[key])))

    def item(self, item: Row, text: str) -> None:
        """One item of a stream, on a line of its own and at once."""
        print(as_json(item) if self.json else text, flush=True)
