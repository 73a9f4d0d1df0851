"""How native threads wake each other without a hub."""

from _queue import Empty, SimpleQueue  # the C queue blocks natively, patched or not
from _thread import start_new_thread
from collections.abc import Callable, Sequence

from spear.ports import Ticket


class ThreadTicket:
    """A place to wait on a native thread; once rung it stays rung."""

    __slots__ = ("_rung", "_signal")

    def __init__(self) -> None:
        self._rung = False
        self._signal: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Wake the waiter, now or when it comes; callable from any native thread."""
        self._rung = True
        self._signal.put(None)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block this native thread; False when `timeout_s` ran out first."""
        if self._rung:
            return True
        try:
            self._signal.get(timeout=None if timeout_s is None else max(0.0, timeout_s))
        except Empty:
            return self._rung
        return True


class ThreadBell:
    """The bell of processes without a hub: every waiter blocks its native thread."""

    def ticket(self) -> ThreadTicket:
        """A ticket for the calling thread."""
        return ThreadTicket()

    def ring(self, tickets: Sequence[Ticket]) -> None:
        """Wake all `tickets` of this bell; never blocks."""
        for ticket in tickets:
            if isinstance(ticket, ThreadTicket):
                ticket.ring()

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` now."""
        call()

    def turn(self) -> None:
        """Nobody else has to wait for this thread."""

    def spawn(self, work: Callable[[], None]) -> Callable[[], None]:
        """Run `work` on a native thread of its own, which nothing ends early."""
        start_new_thread(work, ())
        return lambda: None
