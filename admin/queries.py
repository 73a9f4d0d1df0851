"""What a request may ask for: numbers within bounds, a filter, an order, a page; `Invalid` names what is wrong."""

from collections.abc import Iterable, Sequence

from flask import request

from admin.client import Row
from spear.errors import Invalid

SORTABLE = ("last_heartbeat", "registered_at", "name", "status")


def number(name: str, default: int, *, least: int = 0, most: int = 2**62) -> int:
    """The whole number that the query gives for `name`."""
    return _number(name, request.args.get(name, ""), default, least, most)


def _number(name: str, text: str, default: int, least: int, most: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise Invalid.field(name, text, f"a whole number from {least} to {most}")
    return int(text)


def as_of() -> int | None:
    """The position to look back at, if the query names one."""
    return number("as_of", 0) if request.args.get("as_of") else None


def resumed_after(head: int) -> int:
    """Where a stream goes on: after the event that the browser saw last, else after `after`, else after the head."""
    return _number("Last-Event-ID", request.headers.get("Last-Event-ID", ""), number("after", head), 0, 2**62)


def passed_on(*names: str) -> dict[str, str]:
    """These parameters of the query, for REST to judge."""
    return {name: request.args[name] for name in names if name in request.args}


def selected(rows: Iterable[Row], *, equal: Sequence[str], search: Sequence[str]) -> tuple[list[Row], int]:
    """The page of rows that the query asks for, and how many match: `equal` filters, then `q` in `search`, then order."""
    wanted = passed_on(*equal)
    rows = (row for row in rows if all(row[name] == value for name, value in wanted.items() if value))
    word = request.args.get("q", "").lower()
    found = [row for row in rows if word in _text(row, search)]
    by, descending = _order()
    if by:
        found.sort(key=lambda row: row[by], reverse=descending)
    offset = number("offset", 0)
    return found[offset : offset + number("limit", 200, least=1, most=1000)], len(found)


def _text(row: Row, search: Sequence[str]) -> str:
    metadata: dict[str, str] = row["metadata"]
    return "\n".join([*(row[name] for name in search), *metadata, *metadata.values()]).lower()


def _order() -> tuple[str, bool]:
    short, _, way = request.args.get("sort", "").partition(":")
    by, way = request.args.get("sort_by", short), request.args.get("order", way) or "asc"
    if by and by not in SORTABLE:
        raise Invalid.field("sort", by, f"one of {', '.join(SORTABLE)}")
    if way not in ("asc", "desc"):
        raise Invalid.field("order", way, "asc or desc")
    return by, way == "desc"
