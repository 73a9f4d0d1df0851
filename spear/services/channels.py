"""One user stream as its guest has it, between the hub's thread and the guest's own.

Each side changes only what is its own, and looks again after it has said that it waits; so nothing is locked and no
wake-up is lost.
"""

from collections import deque
from contextlib import suppress

from spear.abilities import Queued
from spear.protocols import ssf
from spear.services.pipes import MOST_QUEUED_BYTES, Pipe

MOST_NOTICES = 1024


class Tally:
    """What waits: what came is counted by the side that brings it alone, what went by the other."""

    def __init__(self) -> None:
        self.came = self.went = 0

    @property
    def waiting(self) -> int:
        """How many."""
        return self.came - self.went


class Channel:
    """A user stream: the hub's thread puts and ends, the guest's reads and writes. `everything` counts for all streams."""

    def __init__(self, stream_id: int, everything: Tally) -> None:
        self.stream_id, self.readers = stream_id, 0
        self.out: Pipe | None = None
        self.closed = self.broken = False
        self._frames: deque[bytes] = deque()
        self._tallies = Tally(), everything
        self._unheard, self._unheard_frames = Tally(), Tally()
        self._missed = False

    @property
    def connected(self) -> bool:
        """Whether a client has said something on it."""
        return self.out is not None

    @property
    def inbound(self) -> Queued:
        """What the client said and the guest did not read."""
        return Queued(self._tallies[0].waiting, MOST_QUEUED_BYTES, len(self._frames))

    @property
    def outbound(self) -> Queued:
        """What the guest wrote and the client did not take."""
        return Queued(self._unheard.waiting, MOST_QUEUED_BYTES, self._unheard_frames.waiting)

    # --- on the hub's thread

    def put(self, frame: bytes) -> None:
        """Queue a frame of the client's."""
        self._count_in(len(frame))
        self._frames.append(frame)

    def forget(self) -> None:
        """Nobody will read what waits."""
        self._count_in(-self._drained())

    def heard(self, size: int) -> bool:
        """The client took a frame of this size: whether the guest waits for that."""
        self._unheard.went += min(size, self._unheard.waiting)
        self._unheard_frames.went += min(1, self._unheard_frames.waiting)
        if missed := self._missed:
            self._missed = False  # only after it was seen, and then the guest is woken: it may have been set meanwhile
        return missed

    def _count_in(self, size: int) -> None:
        for tally in self._tallies:
            tally.came += size

    # --- on the guest's thread

    def first(self) -> bytes | None:
        """The oldest frame that was not read, without taking it; None when there is none."""
        return self._frames[0] if self._frames else None

    def drop_first(self) -> None:
        """The oldest frame was read."""
        self._count_out(len(self._frames.popleft()))

    def fits(self) -> bool:
        """Whether any frame could be written now; if not, the guest is woken when there is room."""
        return self._may_write(ssf.MOST_BYTES) and self.out is not None and self.out.fits(ssf.MOST_BYTES)

    def write(self, frame: bytes) -> bool:
        """Whether the frame is on its way; there is no room for it otherwise, or nobody hears."""
        if self.out is None or not self._may_write(len(frame)):
            return False
        self._count_written(len(frame), 1)  # before it can be heard
        if self.out.put(frame):
            return True
        self._count_written(-len(frame), -1)
        return False

    def _may_write(self, size: int) -> bool:
        if self._unheard.waiting + size <= MOST_QUEUED_BYTES:
            return True
        self._missed = True  # before the second look: who hears something after that sees it
        return self._unheard.waiting + size <= MOST_QUEUED_BYTES

    def _count_written(self, size: int, frames: int) -> None:
        self._unheard.came += size
        self._unheard_frames.came += frames

    def close(self) -> None:
        """The guest is done with it; what waits may be read when it is opened again, unless its client has left."""
        self.readers -= 1
        if self.closed and not self.readers:
            self._count_out(self._drained())

    def _count_out(self, size: int) -> None:
        for tally in self._tallies:
            tally.went += size

    def _drained(self) -> int:
        """Take everything and tell its size; both sides may do it at once, and each counts what it took."""
        size = 0
        with suppress(IndexError):
            while True:
                size += len(self._frames.popleft())
        return size


class Notices:
    """What happened to the streams: as many as the guest may leave unread, and then without the oldest."""

    most = MOST_NOTICES

    def __init__(self) -> None:
        self._pending: deque[tuple[int, int]] = deque(maxlen=self.most)
        self.closed = False

    def __len__(self) -> int:
        return len(self._pending)

    def post(self, stream_id: int, kind: int) -> None:
        """Tell it; on the hub's thread."""
        self._pending.append((stream_id, kind))

    def take(self) -> tuple[int, int] | None:
        """The next: a stream and what happened to it."""
        return self._pending.popleft() if self._pending else None

    def close(self) -> None:
        """The guest listens no more."""
        self.closed = True
