"""Two sockets: one that says how far the log is, and one that answers reads from a cursor."""

import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from os import SEEK_END
from pathlib import Path
from typing import Any

import gevent
import msgspec
import zmq.green as zmq
from zmq.error import ZMQError

from spear.adapters.bus.crowd import Crowd
from spear.adapters.bus.keys import own_keys
from spear.adapters.turns import Turns
from spear.config import Address
from spear.errors import Malformed, SpearError, StartupError
from spear.events.feed import Page, feed, start
from spear.events.filters import filter_of
from spear.events.log import EventLog
from spear.ports import BlobStore
from spear.protocols import bus

log = logging.getLogger(__name__)
Spawn = Callable[[Callable[[], None]], None]
Admit = Callable[[str], object]
_QUEUED = 4  # answers that wait for one slow reader; more are dropped, and it asks again
_BREATH_S = 0.005
_REPEAT_S = 1.0
_FACT_BYTES = 512
_HANDSHAKE_MS, _HEARTBEAT_MS, _BACKLOG = 10_000, 30_000, 1024
_READ, _FETCH = msgspec.msgpack.Decoder(bus.Read), msgspec.msgpack.Decoder(bus.Fetch)
_encode = msgspec.msgpack.Encoder().encode


class BusServer:
    """Listens from the start on `address`, and on any other port (or `notices_port`) of its host for subscribers.

    Beyond loopback both are encrypted, with keys from the file `keys`. `key` names the setting when it cannot listen.
    """

    def __init__(self, address: Address, *, key: str, notices_port: int, keys: Path, max_connections: int) -> None:
        self._key, self._pair = key, None if address.loopback else own_keys(keys)
        self._most = max_connections
        self._context = zmq.Context()
        with ExitStack() as opened:
            opened.callback(self.close)
            self._reads = self._listening(zmq.ROUTER, address)
            self._notices = self._listening(zmq.PUB, Address(address.host, notices_port))
            opened.pop_all()
        self.port, self.notices_port = _port_of(self._reads), _port_of(self._notices)

    def _listening(self, kind: int, address: Address) -> Any:
        made = self._context.socket(kind)
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.SNDHWM, _QUEUED)
        made.setsockopt(zmq.MAXMSGSIZE, bus.MOST_REQUEST_BYTES)
        made.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        made.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)  # who went without a word leaves his place
        made.setsockopt(zmq.BACKLOG, _BACKLOG)
        made.setsockopt(zmq.IPV6, int(":" in address.host))
        if self._pair:
            made.curve_server, (made.curve_publickey, made.curve_secretkey) = True, self._pair
        try:
            made.bind(f"tcp://{_numeric(address)}")
        except (ZMQError, OSError) as error:
            raise StartupError(f"{self._key}: cannot listen on {address}: {error.strerror or error}") from None
        return made

    def serve(self, events: EventLog, blobs: BlobStore, admit: Admit, spawn: Spawn) -> None:
        """Begin to answer whom `admit` lets in; requests that came before wait until now."""
        spawn(lambda: self._answer_reads(events, blobs, admit))
        spawn(lambda: self._tell(events))
        for listener in (self._reads, self._notices):
            spawn(Crowd(listener, most=self._most).watch)
        told = f", public key {self._pair[0].decode()}" if self._pair else ""
        log.info("the bus listens on port %d, notices on port %d%s", self.port, self.notices_port, told)

    def _answer_reads(self, events: EventLog, blobs: BlobStore, admit: Admit) -> None:
        with closing(Turns()) as turns:
            while True:
                reader, *frames = self._reads.recv_multipart()
                answer = self._answer(events, blobs, admit, frames)
                with suppress(ZMQError):  # a reader that went away
                    self._reads.send_multipart([reader, bus.VERSION, _encode(answer)])
                turns.wait()

    def _answer(self, events: EventLog, blobs: BlobStore, admit: Admit, frames: Sequence[bytes]) -> bus.Answer[Any]:
        request = 0
        try:
            asked = _understood(frames)
            request = asked.request
            admit(asked.token)
            if isinstance(asked, bus.Fetch):
                return _piece(blobs, asked)
            page = _page(events, asked)
        except SpearError as error:
            return bus.Refusal(request, error.code, error.message, error.details)
        head = max(events.head, page.cursor.position)
        return bus.Page(request, page.facts, page.previous, str(page.cursor), head, self.notices_port)

    def _tell(self, events: EventLog) -> None:
        while True:
            head = events.head
            self._notices.send(_encode(bus.Notice(events.id, head)))
            gevent.sleep(_BREATH_S)
            events.wait(head, timeout_s=_REPEAT_S)

    def close(self) -> None:
        """Let go of both ports; may be called twice."""
        self._context.destroy(linger=0)


def _understood(frames: Sequence[bytes]) -> bus.Read | bus.Fetch:
    if len(frames) != 2 or frames[0] not in (bus.VERSION, bus.CONTENT):
        raise Malformed(f"frames: got {len(frames)}, expected {bus.VERSION.decode()} and one request")
    try:
        return (_FETCH if frames[0] == bus.CONTENT else _READ).decode(frames[1])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"request: {error}, expected a msgpack map with `request` and what to read") from None


def _page(events: EventLog, read: bus.Read) -> Page:
    chosen = filter_of(read.types, read.noun, read.id)
    begin = start(events, cursor=read.cursor, after=read.after, chosen=chosen)
    page = next(feed(events, begin, limit=read.limit))
    return page.first(_fitting(page))


def _piece(blobs: BlobStore, asked: bus.Fetch) -> bus.Piece:
    with blobs.open(asked.sha256) as content:
        size = content.seek(0, SEEK_END)
        content.seek(min(asked.offset, size))
        return bus.Piece(asked.request, size, content.read(bus.PIECE_BYTES))


def _fitting(page: Page) -> int:
    total = 0
    for count, fact in enumerate(page.facts):
        total += len(fact.state) + _FACT_BYTES
        if count and total > bus.MOST_PAGE_BYTES:
            return count
    return len(page.facts)


def _numeric(address: Address) -> Address:
    """The address as libzmq binds it, which looks up no names."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    usual = sorted(found, key=lambda one: one[0] != socket.AF_INET)
    return Address(str(usual[0][4][0]), address.port)


def _port_of(listener: Any) -> int:
    return int(listener.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").rpartition(b":")[2])
