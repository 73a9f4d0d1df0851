"""Frames on their way from one side to another: bounded, in order, between greenlets and native threads."""

from collections import deque
from collections.abc import Callable

from spear.ports import Bell, Ticket

MOST_QUEUED_BYTES = 2 * 1024 * 1024


def _nobody() -> None:
    pass


class Pipe:
    """One direction of a user stream: whoever puts never waits, one other side takes and may wait.

    `eased` is called by the side that takes, once there is more room than somebody found.
    """

    def __init__(self, bell: Bell, *, most_bytes: int = MOST_QUEUED_BYTES, eased: Callable[[], None] = _nobody) -> None:
        self._bell, self.most_bytes, self._eased = bell, most_bytes, eased
        self._frames: deque[bytes] = deque()
        self._put = self._taken = 0  # each changed by one side only
        self._ticket: Ticket | None = None
        self._rung: Ticket | None = None
        self._missed = False
        self.closed = False

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def queued_bytes(self) -> int:
        """How much waits."""
        return self._put - self._taken

    def fits(self, size: int) -> bool:
        """Whether there is room for so many bytes; if not, `eased` is called when there may be."""
        if self.queued_bytes + size <= self.most_bytes:
            return True
        self._missed = True  # before the second look: who takes after that sees it, and who took before is seen
        return self.queued_bytes + size <= self.most_bytes

    def put(self, frame: bytes) -> bool:
        """Whether there was room; there is none once it is closed."""
        if self.closed or not self.fits(len(frame)):
            return False
        self._put += len(frame)
        self._frames.append(frame)
        self._wake()
        return True

    def take(self, timeout_s: float | None = None) -> list[bytes] | None:
        """All that waits, at least one unless `timeout_s` ran out; None when it is closed and nothing is left."""
        self._ticket = ticket = self._bell.ticket()  # before the look: who puts after it rings
        if not self._frames and not self.closed:
            ticket.wait(timeout_s)
        self._ticket = None
        over = self.closed
        found = [self._frames.popleft() for _ in range(len(self._frames))]
        self._taken += sum(map(len, found))
        if found and self._missed:
            self._missed = False
            self._eased()
        return None if over and not found else found

    def close(self) -> None:
        """Take nothing more; what waits can still be taken. May be called twice."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        ticket = self._ticket
        if ticket is not None and ticket is not self._rung:  # once is enough, however much comes before it is heard
            self._rung = ticket
            self._bell.ring([ticket])
