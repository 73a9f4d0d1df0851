"""Server-sent events: bounded in number, alive by a comment every 15 s, resumed by Last-Event-ID."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeAlias

import gevent
import msgspec
from flask import Response, request

from spear.adapters.rest.requests import caller
from spear.errors import CursorGap, CursorReset, Invalid, Overloaded, SpearError
from spear.services.tokens import Tokens

WhileGood: TypeAlias = Callable[[Callable[[SpearError], None]], AbstractContextManager[None]]
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

    def __init__(self, tokens: Tokens, most: int = MOST) -> None:
        self._tokens, self._most, self._open = tokens, most, 0

    def answer(self, messages: Iterator[bytes]) -> Response:
        """A stream that lasts until `messages`, the client or its token ends; raises `Overloaded` when too many are open."""
        if self._open >= self._most:
            raise Overloaded(f"{self._open} streams are open, which is the limit; try again later", retry_after_s=5)
        self._open += 1
        response = Response(
            _guarded(messages, partial(self._tokens.while_good, caller())), content_type=_TYPE, headers=_HEADERS
        )
        response.call_on_close(self._closed)
        return response

    def _closed(self) -> None:
        self._open -= 1


class _Cut(gevent.GreenletExit):  # type: ignore[misc]
    """Thrown into the greenlet of a stream, wherever it waits; no failure of the server's."""


def _guarded(messages: Iterator[bytes], while_good: WhileGood) -> Iterator[bytes]:
    yield b"retry: 1000\n\n"  # also sends the headers at once
    answering = gevent.getcurrent()
    try:
        with while_good(lambda error: answering.kill(_Cut(error), block=False)):
            for found in messages:
                yield found
                gevent.sleep(0)  # who catches up with a long past leaves the others their turn
    except _Cut as cut:
        yield _ending(cut.args[0])
    except SpearError as error:
        yield _ending(error)


def _ending(error: SpearError) -> bytes:
    name = _ENDINGS.get(type(error), "error")
    return message({"error": error.code, "message": error.message, "details": error.details}, event=name)
