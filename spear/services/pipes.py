"""Frames on their way from one side to another: bounded, in order, between greenlets and native threads."""

from collections import deque

from spear.ports import Bell, Ticket

MOST_QUEUED_BYTES = 2 * 1024 * 1024


class Pipe:
    """One direction of a user stream: whoever puts never waits, one other side takes and may wait."""

    def __init__(self, bell: Bell, *, most_bytes: int = MOST_QUEUED_BYTES) -> None:
        self._bell, self._most_bytes = bell, most_bytes
        self._frames: deque[bytes] = deque()
        self._put = self._taken = 0  # each changed by one side only
        self._ticket: Ticket | None = None
        self.closed = False

    def put(self, frame: bytes) -> bool:
        """Whether there was room; there is none once it is closed."""
        if self.closed or self._put - self._taken + len(frame) > self._most_bytes:
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
        return None if over and not found else found

    def close(self) -> None:
        """Take nothing more; what waits can still be taken. May be called twice."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        if (ticket := self._ticket) is not None:
            self._bell.ring([ticket])
