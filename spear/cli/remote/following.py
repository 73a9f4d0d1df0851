"""Streams of server-sent events that go on where they broke, so that each message is heard once and in order."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from spear.cli.remote.endings import Ended, Exit, Lost
from spear.cli.remote.server import SLICE, Answer, Query, Server

_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_ENDINGS = ("error", "reset", "gap")
_LONGEST_LINE = 16 * 1024 * 1024


class Message(NamedTuple):
    """One event of a stream: its cursor, its name and its JSON."""

    ident: str
    event: str
    data: Any


def messages(pieces: Iterator[bytes]) -> Iterator[Message | None]:
    """The messages in what arrives, and None for each sign of life; raises `Ended` for what is no such stream."""
    fields: dict[str, str] = {}
    for line in _lines(pieces):
        if line.startswith(":"):
            yield None
        elif line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            yield _message(fields) if "data" in fields else None
            fields = {}


def _message(fields: dict[str, str]) -> Message:
    try:
        return Message(fields.get("id", ""), fields.get("event", ""), msgspec.json.decode(fields["data"]))
    except msgspec.DecodeError as error:
        raise Ended(f"the stream sent what is no JSON: {error}") from None


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise Ended(f"the stream sent a line of more than {_LONGEST_LINE} bytes")
        yield from (line.rstrip(b"\r").decode(errors="replace") for line in lines)


def follow(
    server: Server, path: str, *, query: Query, after: int, beyond: Callable[[Message], Query] | None = None
) -> Iterator[Message]:
    """Every message beyond `after` until the server says `end`; lost connections are taken up again.

    They are taken up by the last message's id, or with what `beyond` says to ask after it. Raises `Lost` when the first
    connection fails, or when the server stays away, and `Ended` for what the server ends the stream with.
    """
    query = {**query, "after": after}
    last, attempts, heard = "", 0, False
    while True:
        try:
            for message in _once(server, path, query=query, last=last):
                attempts, heard = 0, True
                if message is not None:
                    yield message
                    if message.event == "end":
                        return
                    query, last = (beyond(message), "") if beyond else (query, message.ident or last)
        except Lost:
            if not heard or attempts >= len(_DELAYS_S):
                raise
        except Ended as error:  # a server that stops says so before it goes
            if not heard or error.exit is not Exit.BUSY or attempts >= len(_DELAYS_S):
                raise
        time.sleep(_DELAYS_S[min(attempts, len(_DELAYS_S) - 1)])
        attempts += 1


def _once(server: Server, path: str, *, query: Query, last: str) -> Iterator[Message | None]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    with server.asked("GET", path, query=query, headers=headers) as answer:
        for message in messages(_pieces(answer)):
            if message is not None and message.event in _ENDINGS:
                raise _told(message.data)
            yield message


def _pieces(answer: Answer) -> Iterator[bytes]:
    while piece := answer.read_some(SLICE):
        yield piece


def _told(data: Any) -> Ended:
    exit = {"UNAVAILABLE": Exit.BUSY, "CURSOR_RESET": Exit.REFUSED, "CURSOR_GAP": Exit.REFUSED}.get(data["error"])
    return Ended(data["message"], exit or Exit.FAILED, code=data["error"], details=data["details"])
