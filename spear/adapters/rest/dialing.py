"""Links to the user streams of executions on other nodes: a WebSocket to the node's own door."""

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BufferedReader
from ipaddress import ip_address as parsed

from wsproto import WSConnection
from wsproto.connection import CLIENT
from wsproto.events import AcceptConnection, RejectConnection, Request
from wsproto.utilities import ProtocolError

from spear.adapters.rest._wire import Line, Wire
from spear.adapters.rest.websocket import ABNORMAL, TRY_AGAIN, Closed, Message, Say, Socket
from spear.config import Address
from spear.errands import NodeAddress
from spear.errors import Overloaded, Unavailable
from spear.ports import Bell
from spear.protocols import ssf
from spear.services.pipes import Pipe

PATIENCE_S = 10.0
IDLE_S = 30.0
USUAL_PORT = 8081


class NodeStreams:
    """Opens links, encrypted where there is a `tls`; `spawn` runs each one's conversation."""

    def __init__(
        self, bell: Bell, *, spawn: Callable[[Callable[[], None]], None], tls: ssl.SSLContext | None = None
    ) -> None:
        self._bell, self._spawn, self._tls = bell, spawn, tls

    def open(self, node: NodeAddress, execution_id: str) -> "_Link":
        """Connect to the node's HTTP; raises `Unavailable`."""
        connection, frames = _dialed(replace(node, port=node.port or USUAL_PORT), execution_id, self._tls)
        wire = Wire(connection)
        line = Line(connection, wire, BufferedReader(wire), patience_s=PATIENCE_S, leaving=set())
        link = _Link(Socket(line, most_bytes=ssf.MOST_BYTES, idle_s=IDLE_S, frames=frames), connection, self._bell)
        self._spawn(link.talk)
        return link


class _Link:
    """A conversation with a node about one execution."""

    def __init__(self, talking: Socket, connection: socket.socket, bell: Bell) -> None:
        self._socket, self._connection = talking, connection
        self._there, self._back = Pipe(bell), Pipe(bell)

    def talk(self) -> None:
        """Carry frames both ways until one side ends it."""
        try:
            with self._connection:
                self._socket.converse(self._say(), self._hear)
        finally:
            self._there.close()
            self._back.close()

    def _say(self) -> Say:
        while (frames := self._there.take()) is not None:
            yield list(frames)

    def _hear(self, message: Message) -> None:
        if isinstance(message, bytes) and not self._back.put(message):
            raise Closed(TRY_AGAIN, "the clients do not read what the agent says")

    def send(self, frame: bytes) -> None:
        """Bring a frame to the node; raises `Overloaded` or `Unavailable`."""
        if self._there.closed:
            raise Unavailable("the way to the node is cut", code="UPSTREAM_WS_FAILED")
        if not self._there.put(frame):
            raise Overloaded("the node does not take what is sent; try again later")

    def leave(self, stream_id: int) -> None:
        """Say that a stream is over, if the node takes anything."""
        self._there.put(ssf.make(ssf.Kind.CANCEL, stream_id))

    def heard(self, stream_id: int, size: int) -> None:
        """Say nothing: for the node, it was heard when it came here."""

    def frames(self) -> Iterator[list[bytes]]:
        """What comes from the node, until it ends."""
        while (found := self._back.take()) is not None:
            yield found

    def close(self) -> None:
        """Say goodbye; may be called twice."""
        self._there.close()


def _dialed(node: NodeAddress, execution_id: str, tls: ssl.SSLContext | None) -> tuple[socket.socket, WSConnection]:
    where = str(Address(node.host, node.port))
    try:
        if parsed(node.host).is_unspecified:
            raise OSError("the node gave no address")
        connection = _connected(node, tls)
    except (OSError, ValueError) as error:
        raise _cut(where, error) from None
    shown = [(b"Authorization", f"Bearer {node.token}".encode())] if node.token else []
    asked = Request(
        host=where,
        target=f"/api/v1/executions/{execution_id}/streams/ws",
        subprotocols=[ssf.PROTOCOL],
        extra_headers=shown,
    )
    try:
        return connection, _shaken(connection, asked)
    except (OSError, ProtocolError, Closed) as error:
        connection.close()
        raise _cut(where, error) from None
    except BaseException:  # a killed caller leaves no connection behind; it goes on up
        connection.close()
        raise


def _connected(node: NodeAddress, tls: ssl.SSLContext | None) -> socket.socket:
    plain = socket.create_connection((node.host, node.port), timeout=PATIENCE_S)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return tls.wrap_socket(plain, server_hostname=node.host) if tls else plain
    except BaseException:  # a killed caller leaves no socket behind; it goes on up
        plain.close()
        raise


def _cut(where: str, error: Exception) -> Unavailable:
    return Unavailable(f"the streams at {where} cannot be reached: {error}", code="UPSTREAM_WS_FAILED")


def _shaken(connection: socket.socket, asked: Request) -> WSConnection:
    frames = WSConnection(CLIENT)
    connection.sendall(frames.send(asked))
    while True:
        data = connection.recv(4096)
        frames.receive_data(data or None)
        for event in frames.events():
            if isinstance(event, AcceptConnection):
                return frames
            if isinstance(event, RejectConnection):
                raise Closed(ABNORMAL, f"the node answers {event.status_code}")
        if not data:
            raise OSError("the node said nothing")
