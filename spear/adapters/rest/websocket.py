"""One WebSocket conversation over a connection that left HTTP: both sides speak at once, and it ends with a code."""

import logging
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from time import monotonic

import gevent
from gevent.event import AsyncResult
from gevent.lock import Semaphore
from wsproto import WSConnection
from wsproto.connection import SERVER, Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from spear.adapters.rest._wire import Line

log = logging.getLogger(__name__)
Message = str | bytes
Say = Generator[list[Message], None, None]
Hear = Callable[[Message], None]
NORMAL, GOING_AWAY, ABNORMAL, POLICY, TOO_BIG, INTERNAL, TRY_AGAIN = 1000, 1001, 1006, 1008, 1009, 1011, 1013
_MOST_UNHEARD = 1024 * 1024
PARTING_S = 0.8  # less than a server that stops waits for its last answers


class Closed(Exception):
    """Ends a conversation with a code and a reason; raised by whoever says or hears something."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def deaf(message: Message) -> None:
    """Whatever it says, nobody listens."""


class Socket:
    """A conversation that takes messages of at most `most_bytes`; who is silent for `idle_s` despite a ping is left."""

    def __init__(self, line: Line, *, most_bytes: int, idle_s: float, frames: WSConnection | None = None) -> None:
        self._line, self._most_bytes, self._idle_s = line, most_bytes, idle_s
        self._frames = frames or Connection(SERVER)
        self._sending = Semaphore()
        self._end: AsyncResult = AsyncResult()
        self._heard = bytearray()

    def converse(self, say: Say, hear: Hear = deaf) -> Closed:
        """Say everything and hear everything until one side ends it or the server stops; why it ended."""
        sides = [gevent.spawn(self._say, say), gevent.spawn(self._listen, hear)]
        for side in sides:
            side.link_exception(self._died)
        self._line.leaving.add(self._leave)
        try:
            ended: Closed = self._end.get()
            self._part(ended, sides)
            return ended
        finally:
            self._line.leaving.discard(self._leave)
            gevent.killall(sides)

    def send(self, *messages: Message) -> None:
        """Send messages, each as one frame, together; raises `OSError`, also when nobody takes them."""
        events = [TextMessage(data) if isinstance(data, str) else BytesMessage(data) for data in messages]
        self._send(*events)

    def end(self, ended: Closed) -> None:
        """End it; of several ends the first counts. Never blocks."""
        if not self._end.ready():
            self._end.set(ended)

    def _leave(self) -> None:
        self.end(Closed(GOING_AWAY, "the server is stopping"))

    def _died(self, side: gevent.Greenlet) -> None:
        log.error("one side of a WebSocket died: %r", side.exception)
        self.end(Closed(INTERNAL, "an unexpected error"))

    def _send(self, *events: Event) -> None:
        with self._sending, suppress(LocalProtocolError):  # what is closed already needs no answer
            self._line.write(b"".join(map(self._frames.send, events)))

    def _say(self, say: Say) -> None:
        try:
            with closing(say):
                for messages in say:
                    self.send(*messages)
                    gevent.sleep(0)  # who catches up with a long past leaves the others their turn
            self.end(Closed(NORMAL))
        except Closed as ended:
            self.end(ended)
        except OSError as error:
            self.end(Closed(ABNORMAL, f"it does not take what is sent: {error}"))

    def _listen(self, hear: Hear) -> None:
        try:
            while True:
                for event in self._frames.events():
                    self._take(event, hear)
                if not (data := self._read()):
                    break
                self._frames.receive_data(data)
            self.end(Closed(ABNORMAL, "the connection ended"))
        except Closed as ended:
            self.end(ended)
        except TimeoutError:
            self.end(Closed(INTERNAL, f"nothing came for {self._idle_s:g} s, not even an answer to a ping"))
        except OSError as error:
            self.end(Closed(ABNORMAL, f"the connection broke: {error}"))

    def _read(self) -> bytes:
        with suppress(TimeoutError):
            return self._line.read(self._idle_s / 2)
        self._send(Ping())
        return self._line.read(self._idle_s / 2)

    def _take(self, event: Event, hear: Hear) -> None:
        if isinstance(event, CloseConnection):
            raise Closed(event.code, event.reason or "")
        if isinstance(event, Ping):
            self._send(event.response())
        if not isinstance(event, TextMessage | BytesMessage):
            return
        self._heard += event.data.encode() if isinstance(event, TextMessage) else event.data
        if len(self._heard) > self._most_bytes:
            raise Closed(TOO_BIG, f"a message has more than {self._most_bytes} bytes")
        if event.message_finished:
            whole, self._heard = bytes(self._heard), bytearray()
            hear(whole.decode() if isinstance(event, TextMessage) else whole)

    def _part(self, ended: Closed, sides: list[gevent.Greenlet]) -> None:
        """Say goodbye, unless half a message is on its way or nobody is there; then wait for the answer."""
        if ended.code == ABNORMAL or not self._sending.acquire(timeout=PARTING_S):
            return
        gevent.killall(sides)
        with suppress(OSError, LocalProtocolError):
            self._line.write(self._frames.send(CloseConnection(ended.code, ended.reason)))
            self._await_goodbye(monotonic() + PARTING_S)

    def _await_goodbye(self, deadline: float) -> None:
        """Read on for a while: a connection that is closed on unread bytes would take our goodbye back."""
        left = _MOST_UNHEARD
        while self._frames.state is not ConnectionState.CLOSED and left > 0:
            if not (data := self._line.read(deadline - monotonic())):
                return
            left -= len(data)
            self._frames.receive_data(data)
            for _ in self._frames.events():
                pass
