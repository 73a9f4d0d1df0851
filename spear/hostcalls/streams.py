"""User streams: frames between a guest and the clients of its execution, and word of who comes and goes."""

from collections.abc import Callable
from enum import IntFlag
from struct import Struct
from typing import Any, TypeVar

from spear.abilities import GuestStream, GuestStreams, Notices
from spear.errors import Malformed, Overloaded
from spear.hostcalls.buffers import give, room
from spear.hostcalls.context import HostContext
from spear.hostcalls.failures import Errno, Failed
from spear.hostcalls.fds import Descriptor, Ready
from spear.ports import RunSpec
from spear.protocols import ssf

T = TypeVar("T")
_NOTICE = Struct("<II")


class Direction(IntFlag):
    """Which way frames go."""

    IN = 1
    OUT = 2
    BOTH = 3


class UserStream(Descriptor):
    """One user stream, for reading, writing or both."""

    kind = "UserStream"

    def __init__(self, stream: GuestStream, direction: Direction, execution_id: str) -> None:
        self.stream, self.direction, self._execution_id = stream, direction, execution_id

    @property
    def ready(self) -> Ready:
        """Whether there is something to read, room for any frame, a frame that was refused, or nobody any more."""
        stream, ready = self.stream, Ready.NOTHING
        if stream.closed:  # first: who sees it closed sees all that was said before
            ready |= Ready.HUP
        if stream.broken:
            ready |= Ready.ERR
        if Direction.IN in self.direction and stream.first() is not None:
            ready |= Ready.IN
        if Direction.OUT in self.direction and stream.connected and not ready & (Ready.HUP | Ready.ERR):
            ready |= Ready.OUT if stream.fits() else Ready.NOTHING
        return ready

    @property
    def metrics(self) -> dict[str, Any]:
        """What waits in both directions: for the guest to read it, and for the client to take it."""
        came, goes = self.stream.inbound, self.stream.outbound
        return {
            "execution_id": self._execution_id,
            "stream_id": self.stream.stream_id,
            "direction": {Direction.IN: "In", Direction.OUT: "Out"}.get(self.direction, "Bidi"),
            "conn_state": self._state,
            "inbound_len": came.frames,
            "inbound_bytes": came.bytes,
            "max_inbound_bytes": came.most_bytes,
            "outbound_len": goes.frames,
            "outbound_bytes": goes.bytes,
            "max_outbound_bytes": goes.most_bytes,
            "max_frame_bytes": ssf.MOST_BYTES,
        }

    @property
    def _state(self) -> str:
        if self.stream.broken:
            return "Error"
        if self.stream.closed:
            return "Closed"
        return "Connected" if self.stream.connected else "Init"

    def close(self) -> None:
        """Leave the stream."""
        self.stream.close()


class UserStreamCtl(Descriptor):
    """Word of the streams that clients open, and of the end of their session."""

    kind = "UserStreamCtl"

    def __init__(self, notices: Notices, execution_id: str) -> None:
        self.notices, self._execution_id = notices, execution_id

    @property
    def ready(self) -> Ready:
        """Whether there is something to read."""
        return Ready.IN if len(self.notices) else Ready.NOTHING

    @property
    def metrics(self) -> dict[str, Any]:
        """How much waits."""
        return {
            "execution_id": self._execution_id,
            "pending_len": len(self.notices),
            "max_pending": self.notices.most,
        }

    def close(self) -> None:
        """Listen no more."""
        self.notices.close()


def user_stream_open(context: HostContext, stream_id: int, direction: int) -> int:
    """A descriptor of the stream: 1 to read what its client says, 2 to write, 3 for both."""
    if stream_id < 0 or not Direction.IN <= direction <= Direction.BOTH:
        return -Errno.EINVAL
    stream = _ask(context, lambda streams, by: streams.open(by, stream_id, wake=context.wake))
    return context.descriptors.add(UserStream(stream, Direction(direction), context.spec.execution_id))


def user_stream_read(context: HostContext, fd: int, out: int, out_length: int) -> int:
    """Give the oldest frame and return its length; -EAGAIN when there is none, and one that does not fit stays."""
    opened = context.descriptors.get(fd, UserStream)
    if Direction.IN not in opened.direction:
        return -Errno.EINVAL
    if (frame := opened.stream.first()) is None:
        return -Errno.EAGAIN
    given = give(context, frame, out, out_length)
    if given >= 0:
        opened.stream.drop_first()
    return given


def user_stream_write(context: HostContext, fd: int, data: int, length: int) -> int:
    """Send one whole frame of this stream: 0; -ENOTCONN before its client came, -EPIPE after, -EAGAIN without room."""
    opened = context.descriptors.get(fd, UserStream)
    stream = opened.stream
    if Direction.OUT not in opened.direction or length > ssf.MOST_BYTES:
        return -Errno.EINVAL
    frame = context.read(data, length)
    if _stream_of(frame) != stream.stream_id:
        return -Errno.EINVAL
    if not stream.connected and not stream.closed:
        return -Errno.ENOTCONN
    if not (stream.closed or stream.broken) and stream.write(frame):
        return 0
    return -Errno.EPIPE if stream.closed or stream.broken else -Errno.EAGAIN


def user_stream_close(context: HostContext, fd: int) -> int:
    """Leave a stream, or listen no more."""
    context.descriptors.close(fd, UserStream, UserStreamCtl)
    return 0


def user_stream_ctl_open(context: HostContext) -> int:
    """A descriptor of what happens to the streams."""
    notices = _ask(context, lambda streams, by: streams.listen(by, wake=context.wake))
    return context.descriptors.add(UserStreamCtl(notices, context.spec.execution_id))


def user_stream_ctl_read(context: HostContext, fd: int, out: int, out_length: int) -> int:
    """Give the next notice, 8 bytes: a stream's number and 1 (a client opened it), or 0 and 2 (the last client left)."""
    notices = context.descriptors.get(fd, UserStreamCtl).notices
    if room(context, out, out_length) < _NOTICE.size and len(notices):
        return give(context, bytes(_NOTICE.size), out, out_length)
    if (notice := notices.take()) is None:
        return -Errno.EAGAIN
    return give(context, _NOTICE.pack(*notice), out, out_length)


def _stream_of(frame: bytes) -> int | None:
    try:
        return ssf.read(frame).stream_id
    except Malformed:
        return None


def _ask(context: HostContext, work: Callable[[GuestStreams, RunSpec], T]) -> T:
    streams, by = context.abilities.streams, context.spec
    try:
        return context.ask(lambda: work(streams, by))
    except Overloaded:
        raise Failed(Errno.ENOMEM) from None
