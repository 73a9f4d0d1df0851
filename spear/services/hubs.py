"""The user streams of one execution on its node: where what its clients say and what its guest says meet."""

from collections.abc import Callable
from enum import IntEnum

from spear.errors import Overloaded
from spear.ports import Bell
from spear.protocols import ssf
from spear.services.channels import Channel, Notices, Tally
from spear.services.pipes import MOST_QUEUED_BYTES, Pipe

MOST_CHANNELS = 4096
MOST_UNREAD_BYTES = 8 * 1024 * 1024


class Notice(IntEnum):
    """What a guest is told of its streams."""

    STREAM_CONNECTED = 1
    SESSION_CLOSED = 2


def _nobody() -> None:
    pass


class Hub:
    """Streams by their number, one session of clients after the other; every call is made on the hub's thread.

    A session lasts from the first client to the last. What it said on streams that the guest did not open yet stays
    until their numbers are used again or the room is needed.
    """

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self.wake: Callable[[], None] = _nobody
        self._channels: dict[int, Channel] = {}
        self._unread = Tally()
        self._listeners: list[Notices] = []
        self._out: Pipe | None = None

    # --- the clients' side

    def begin(self) -> Pipe:
        """The first client comes; what the guest writes from now on."""
        self._out = Pipe(self._bell, eased=lambda: self.wake())
        return self._out

    def put(self, frame: bytes) -> bool:
        """Whether the guest gets the frame; if not, nothing more is taken on its stream. A cancel always ends the stream."""
        head = ssf.read(frame)
        if (channel := self._connected(head.stream_id)) is None:
            return False
        if taken := not channel.broken and self._has_room(channel, len(frame)):
            channel.put(frame)
        is_over = head.kind == ssf.Kind.CANCEL
        channel.broken = channel.broken or not (taken or is_over)
        if is_over:
            self._close(channel)
        self.wake()
        return taken or is_over

    def leave(self, stream_id: int) -> None:
        """The stream's client is gone."""
        if channel := self._channels.get(stream_id):
            self._close(channel)
            self.wake()

    def heard(self, stream_id: int, size: int) -> None:
        """The stream's client took a frame of this size."""
        channel = self._channels.get(stream_id)
        if channel is not None and channel.heard(size):
            self.wake()

    def end(self) -> None:
        """The last client is gone, or the guest is."""
        for channel in tuple(self._channels.values()):
            self._close(channel)
        if self._out is not None:
            self._out.close()
            self._out = None
            self._tell(0, Notice.SESSION_CLOSED)
        self.wake()

    def _connected(self, stream_id: int) -> Channel | None:
        channel = self._channels.get(stream_id)
        if channel is not None and channel.closed:
            self._forget(channel)  # of an earlier session
            channel = None
        channel = channel or self._new(stream_id)
        if channel is not None and channel.out is None:
            channel.out = self._out
            self._tell(stream_id, Notice.STREAM_CONNECTED)
        return channel

    def _close(self, channel: Channel) -> None:
        channel.closed = True
        if channel.readers:
            del self._channels[channel.stream_id]  # whoever has it open may read to its end

    def _tell(self, stream_id: int, notice: Notice) -> None:
        for notices in self._listeners:
            notices.post(stream_id, notice)

    # --- the guest's side

    def open(self, stream_id: int) -> Channel:
        """The stream, as it is or to be; raises `Overloaded` when no more fit."""
        channel = self._channels.get(stream_id) or self._new(stream_id)
        if channel is None:
            raise Overloaded(f"{MOST_CHANNELS} streams are open, which is the limit")
        channel.readers += 1
        if channel.closed:
            del self._channels[stream_id]
        return channel

    def listen(self) -> Notices:
        """What happens from now on, beginning with the streams that a client has opened."""
        notices = Notices()
        for channel in self._channels.values():
            if channel.out is not None:
                notices.post(channel.stream_id, Notice.STREAM_CONNECTED)
        self._listeners = [known for known in self._listeners if not known.closed] + [notices]
        return notices

    # --- room

    def _new(self, stream_id: int) -> Channel | None:
        while len(self._channels) >= MOST_CHANNELS:
            if not self._forget_oldest():
                return None
        channel = self._channels[stream_id] = Channel(stream_id, self._unread)
        return channel

    def _has_room(self, channel: Channel, size: int) -> bool:
        while self._unread.waiting + size > MOST_UNREAD_BYTES:
            if not self._forget_oldest():
                return False
        return channel.inbound.bytes + size <= MOST_QUEUED_BYTES

    def _forget_oldest(self) -> bool:
        """Whether there was a stream that nobody would miss: the guest does not have it open, and no client does."""
        for channel in self._channels.values():
            if not channel.readers and (channel.closed or channel.out is None):
                self._forget(channel)
                return True
        return False

    def _forget(self, channel: Channel) -> None:
        del self._channels[channel.stream_id]
        channel.forget()
