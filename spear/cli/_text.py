"""How the tools write: times, tables, JSON; nothing that a log holds can steer the terminal."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from spear.events.record import Recorded

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


def rfc3339(time_us: int) -> str:
    """The time in UTC with microseconds."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def microseconds(text: str) -> int | None:
    """Microseconds since the Unix epoch of an RFC 3339 time; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else (moment - _EPOCH) // timedelta(microseconds=1)


def plain(text: str, *, width: int = 0) -> str:
    """The text without control characters, cut to `width` characters if that is given."""
    shown = text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown if not width or len(shown) <= width else shown[: width - 1] + "…"


def as_json(value: Any) -> str:
    """The value as JSON on one line."""
    return _encode(value).decode()


def state_of(fact: Recorded) -> Any:
    """What the event carries, decoded; as text when it is not JSON."""
    try:
        return msgspec.json.decode(fact.state)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return state_text(fact)


def state_text(fact: Recorded) -> str:
    """What the event carries, as it is stored."""
    return fact.state.decode(errors="backslashreplace")


def everything(fact: Recorded) -> dict[str, Any]:
    """One event with every stored field, its time once more for people, and its state decoded."""
    fields = {name: getattr(fact, name) for name in Recorded.__struct_fields__}
    return {**fields, "time": rfc3339(fact.time_us), "state": state_of(fact), "hash": fact.hash.hex()}


def brief(fact: Recorded) -> str:
    """One event on one line."""
    where = f"{fact.position:>8}  {rfc3339(fact.time_us)}  {plain(fact.topic):<28}  {plain(fact.originator_id)}"
    return f"{where}  {plain(fact.actor, width=24):<12}  {plain(state_text(fact), width=100)}"


def _is_time(column: str) -> bool:
    return column.endswith("_us") and not column.startswith("duration")


def title(column: str) -> str:
    """A column's name for a person."""
    return (column.removesuffix("_us") if _is_time(column) else column).replace("_", " ")


def cell(column: str, value: Any) -> str:
    """One value of a row for a person; microseconds since the epoch become times."""
    if _is_time(column):
        return rfc3339(value) if value else "-"
    return plain(value if isinstance(value, str) else as_json(value), width=60) or "-"


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The rows as lines with columns below each other."""
    found = list(rows)
    widths = [max(map(len, column)) for column in zip(*found, strict=True)]
    for row in found:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
