"""Follow a server's log from another process: every event once, in order, or a clear error; needs pyzmq and no gevent.

for event in follow("127.0.0.1:50053", cursor):
    ...
    cursor = event.cursor  # keep it; after a restart, go on with it
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, TypeVar

import msgspec
import zmq

from spear.errors import (
    Corrupt,
    CursorGap,
    CursorReset,
    Detail,
    Forbidden,
    Invalid,
    NotFound,
    SpearError,
    Unauthenticated,
    Unavailable,
)
from spear.events import chain
from spear.events.record import Recorded
from spear.protocols import bus
from spear.protocols.cursor import EVERYTHING, Cursor, Filter

_ANSWER_S, _MOST_ANSWER_S, _IDLE_S = 2.0, 30.0, 1.0
_MOST_ANSWER_BYTES = 64 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ERRORS: Mapping[str, type[SpearError]] = {
    kind.code: kind for kind in (CursorReset, CursorGap, Corrupt, Forbidden, Unauthenticated, Unavailable)
}
_ANSWER: msgspec.msgpack.Decoder[bus.Answer[Recorded]] = msgspec.msgpack.Decoder(
    bus.Page[Recorded] | bus.Piece | bus.Refusal
)
A = TypeVar("A", bus.Page[Recorded], bus.Piece)
_NOTICE = msgspec.msgpack.Decoder(bus.Notice)
_encode = msgspec.msgpack.Encoder().encode


class Event(msgspec.Struct, frozen=True):
    """One event, with the names that REST gives its parts; `data` is as it was recorded, `cursor` goes on after it."""

    position: int
    topic: str
    id: str
    version: int
    time: datetime
    actor: str
    cause: int
    correlation: str
    data: dict[str, Any]
    hash: str
    previous: int
    cursor: str

    @property
    def type(self) -> str:
        """The topic without its noun: NodeLost, TaskCreated, ..."""
        return self.topic.partition(".")[2]


class Bus:
    """One server's bus; asks again on a fresh connection until it is answered, or `patience_s` seconds are over.

    After each question without an answer it waits longer for the next one: a slow server is not made quicker by questions.

    `key` is the server's public key, where the bus is encrypted; `token` says who asks. Belongs to the thread that made it,
    as does `context`, which is closed with it.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str = "",
        token: str = "",
        patience_s: float | None = None,
        context: "zmq.Context[zmq.Socket[bytes]] | None" = None,
    ) -> None:
        self._host, colon, port = address.removeprefix("tcp://").rpartition(":")
        if not (self._host and colon and port.isascii() and port.isdigit()):
            raise Invalid.field("address", address, "host:port such as 127.0.0.1:50053")
        self._port, self._key, self._token, self._patience_s = int(port), key.encode(), token, patience_s
        self._context = zmq.Context() if context is None else context
        self._reads: zmq.Socket[bytes] | None = None
        self._notices: zmq.Socket[bytes] | None = None
        self._notices_port = self._request = 0
        self._answer_s = _ANSWER_S

    def read(self, **wanted: Any) -> bus.Page[Recorded]:
        """The next page for the fields of `bus.Read`; raises what the server refused with, `Unavailable` when patience ends."""
        answer = self._asked(bus.Page, bus.VERSION, bus.Read, wanted)
        self._subscribe(answer.notices)
        return answer

    def fetch(self, sha256: str, offset: int) -> bus.Piece:
        """Some bytes of stored content from `offset`; raises what the server refused with: `NotFound`, ..."""
        return self._asked(bus.Piece, bus.CONTENT, bus.Fetch, {"sha256": sha256, "offset": offset})

    def _asked(self, kind: type[A], version: bytes, request: type[msgspec.Struct], wanted: Mapping[str, Any]) -> A:
        began = monotonic()
        while (answer := self._ask(version, request, wanted)) is None:
            self._hang_up()
            self._answer_s = min(2 * self._answer_s, _MOST_ANSWER_S)
            if self._patience_s is not None and monotonic() - began >= self._patience_s:
                raise Unavailable(f"tcp://{self._host}:{self._port} gave no answer for {self._patience_s:g} s")
        self._answer_s = _ANSWER_S
        if isinstance(answer, bus.Refusal):
            raise _refused(answer)
        if not isinstance(answer, kind):
            raise _stranger()
        return answer

    def wait(self, position: int, *, timeout_s: float = _IDLE_S) -> None:
        """Return when the log is said to be longer than `position`, at the latest after `timeout_s`."""
        until = monotonic() + timeout_s
        while self._notices is not None and (left_s := until - monotonic()) > 0:
            if self._notices.poll(int(left_s * 1000) + 1) and _NOTICE.decode(self._notices.recv()).head > position:
                return

    def _ask(
        self, version: bytes, request: type[msgspec.Struct], wanted: Mapping[str, Any]
    ) -> bus.Answer[Recorded] | None:
        self._request += 1
        if self._reads is None:
            self._reads = self._connected(zmq.DEALER, self._port)
        encoded = _encode(request(request=self._request, token=self._token, **wanted))
        self._reads.send_multipart([version, encoded])
        until = monotonic() + self._answer_s
        while (left_s := until - monotonic()) > 0:
            if self._reads.poll(int(left_s * 1000) + 1):
                answer = _understood(self._reads.recv_multipart())
                if answer.request in (0, self._request):
                    return answer
        return None

    def _subscribe(self, port: int) -> None:
        if port != self._notices_port:
            if self._notices is not None:
                self._notices.close(0)
            self._notices, self._notices_port = self._connected(zmq.SUB, port), port

    def _connected(self, kind: int, port: int) -> "zmq.Socket[bytes]":
        made = self._context.socket(kind)
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.MAXMSGSIZE, _MOST_ANSWER_BYTES)
        made.setsockopt(zmq.IPV6, int(":" in self._host))
        if kind == zmq.SUB:
            made.setsockopt(zmq.CONFLATE, 1)  # only how far the log is now counts
            made.setsockopt(zmq.SUBSCRIBE, b"")
        if self._key:
            made.curve_publickey, made.curve_secretkey = zmq.curve_keypair()
            made.curve_serverkey = self._key
        made.connect(f"tcp://{self._host}:{port}")
        return made

    def _hang_up(self) -> None:
        if self._reads is not None:
            self._reads.close(0)
            self._reads = None

    def close(self) -> None:
        """Let go of every connection; may be called twice."""
        self._context.destroy(linger=0)


def follow(
    address: str,
    cursor: str = "",
    *,
    after: int = 0,
    types: str = "",
    noun: str = "",
    id: str = "",
    key: str = "",
    token: str = "",
    patience_s: float | None = None,
) -> Iterator[Event]:
    """Every event after `cursor`, for ever, over restarts of the server; without a cursor, what the filter chooses after `after`.

    Holds one page in memory. Raises `CursorReset`, `CursorGap`, `Unauthenticated` and `Forbidden` as every door does, and
    `Corrupt` when it can be shown that an event is missing or was changed.
    """
    wanted: dict[str, Any] = {"cursor": cursor, "after": after, "types": types, "noun": noun, "id": id}
    with closing(Bus(address, key=key, token=token, patience_s=patience_s)) as line:
        last: Recorded | None = None
        seen: int | None = None
        while True:
            page = line.read(**wanted)
            place = Cursor.parse(page.cursor)
            _prove(page, seen, last, place.filter)
            yield from _events(page, place)
            last = page.facts[-1] if page.facts else last
            seen, wanted = last.position if last else page.previous, {"cursor": page.cursor}
            if place.position >= page.head:
                line.wait(place.position)


def _prove(page: bus.Page[Recorded], seen: int | None, last: Recorded | None, chosen: Filter) -> None:
    if seen is not None and page.previous > seen:
        raise Corrupt(f"the event at position {page.previous} was not given", details={"position": page.previous})
    if chosen != EVERYTHING or not page.facts:
        return
    first, *others = page.facts
    before, rest = (last, page.facts) if last is not None else (first, others)
    broken = chain.first_break(before.hash, rest, after=before.position)
    if broken:
        raise Corrupt(f"event {broken[0]}: {broken[1]}", details={"position": broken[0]})


def _events(page: bus.Page[Recorded], place: Cursor) -> Iterator[Event]:
    previous = page.previous
    for fact in page.facts:
        yield _event(fact, previous, place)
        previous = fact.position


def _event(fact: Recorded, previous: int, place: Cursor) -> Event:
    return Event(
        position=fact.position,
        topic=fact.topic,
        id=fact.originator_id,
        version=fact.version,
        time=_EPOCH + timedelta(microseconds=fact.time_us),
        actor=fact.actor,
        cause=fact.cause,
        correlation=fact.correlation,
        data=msgspec.json.decode(fact.state),
        hash=fact.hash.hex(),
        previous=previous,
        cursor=str(place.at(fact.position, fact.hash)),
    )


def _understood(frames: list[bytes]) -> bus.Answer[Recorded]:
    try:
        version, body = frames
        if version == bus.VERSION:
            return _ANSWER.decode(body)
    except (ValueError, msgspec.DecodeError):
        pass
    raise _stranger()


def _stranger() -> Unavailable:
    return Unavailable(f"whoever answers speaks no {bus.VERSION.decode()}; is the address that of a bus?")


def _refused(refusal: bus.Refusal) -> SpearError:
    details: Mapping[str, Detail] = refusal.details
    usual = NotFound if refusal.code.endswith("_NOT_FOUND") else Invalid
    return _ERRORS.get(refusal.code, usual)(refusal.message, code=refusal.code, details=details)
