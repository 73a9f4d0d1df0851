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
    """Bytes that wait: what came is counted by the hub's thread alone, what went by the guest's."""

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
        """What the guest wrote, on this stream or another, and nobody took."""
        out = self.out
        return Queued(0, MOST_QUEUED_BYTES, 0) if out is None else Queued(out.queued_bytes, out.most_bytes, len(out))

    # --- on the hub's thread

    def put(self, frame: bytes) -> None:
        """Queue a frame of the client's."""
        self._count_in(len(frame))
        self._frames.append(frame)

    def forget(self) -> None:
        """Nobody will read what waits."""
        self._count_in(-self._drained())

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
        return self.out is not None and self.out.fits(ssf.MOST_BYTES)

    def write(self, frame: bytes) -> bool:
        """Whether the frame is on its way; there is no room for it otherwise, or nobody hears."""
        return self.out is not None and self.out.put(frame)

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
