"""Server-sent events: bounded in number, alive by a comment every 15 s, resumed by Last-Event-ID."""

from collections.abc import Iterator

import gevent
import msgspec
from flask import Response, request

from spear.errors import CursorGap, CursorReset, Invalid, Overloaded, SpearError

IDLE_S = 15.0
ALIVE = b": alive\n\n"
MOST = 256
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_TYPE = "text/event-stream"
_ENDINGS: dict[type[SpearError], str] = {CursorReset: "reset", CursorGap: "gap"}


def wanted() -> bool:
    """Whether the caller asks for a stream instead of a page."""
    return _TYPE in request.headers.get("Accept", "")


def resume_after(after: int) -> int:
    """The cursor to continue from: the caller's Last-Event-ID, else `after`."""
    last = request.headers.get("Last-Event-ID", "")
    if not last:
        return after
    if not (last.isascii() and last.isdigit() and len(last) < 19):
        raise Invalid.field("Last-Event-ID", last, "the id of an event of this stream")
    return int(last)


def message(data: object, *, ident: int = 0, event: str = "") -> bytes:
    """One event; `data` becomes one line of JSON."""
    head = (f"id: {ident}\n" if ident else "") + (f"event: {event}\n" if event else "")
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


class Streams:
    """The streams of one resource that are open now."""

    def __init__(self, most: int = MOST) -> None:
        self._most, self._open = most, 0

    def answer(self, messages: Iterator[bytes]) -> Response:
        """A stream that lasts until `messages` or the client ends; raises `Overloaded` when too many are open."""
        if self._open >= self._most:
            raise Overloaded(f"{self._open} streams are open, which is the limit; try again later", retry_after_s=5)
        self._open += 1
        response = Response(_guarded(messages), content_type=_TYPE, headers=_HEADERS)
        response.call_on_close(self._closed)
        return response

    def _closed(self) -> None:
        self._open -= 1


def _guarded(messages: Iterator[bytes]) -> Iterator[bytes]:
    yield b"retry: 1000\n\n"  # also sends the headers at once
    try:
        for found in messages:
            yield found
            gevent.sleep(0)  # who catches up with a long past leaves the others their turn
    except SpearError as error:
        name = _ENDINGS.get(type(error), "error")
        yield message({"error": error.code, "message": error.message, "details": error.details}, event=name)
