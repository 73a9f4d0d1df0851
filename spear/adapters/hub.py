"""The one bridge between gevent's hub and native threads."""

from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import gevent
from gevent import monkey
from gevent.hub import Waiter

from spear.adapters.turns import Turns
from spear.events._bell import ThreadTicket
from spear.ports import Ticket

_get_ident = monkey.get_original("_thread", "get_ident")


class HubTicket:
    """A greenlet's place to wait; once rung it stays rung."""

    __slots__ = ("_hub", "_waiter", "rung")

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._waiter: Any = None
        self.rung = False

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block the calling greenlet only; False when `timeout_s` ran out first."""
        if self.rung:
            return True
        self._waiter = waiter = Waiter(self._hub)
        timer = None if timeout_s is None else self._hub.loop.timer(max(0.0, timeout_s))
        try:
            if timer is not None:
                timer.start(waiter.switch, None, update=True)  # the loop's clock stands still while nobody yields
            waiter.get()
        finally:
            self._waiter = None
            if timer is not None:
                timer.stop()
                timer.close()
        return self.rung

    def deliver(self) -> None:
        """Resume the greenlet if it still waits; only on the hub's own thread."""
        if self._waiter is not None:
            self._waiter.switch(None)


class HubBell:
    """Wakes greenlets from any native thread; make it on the thread that runs the hub, and close it there."""

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._home = _get_ident()
        self._closed = False
        self._rung: deque[HubTicket] = deque()
        self._posted: deque[Callable[[], None]] = deque()
        self._signal = self._hub.loop.async_()
        self._signal.start(self._deliver)
        self._turns = Turns()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ticket(self) -> Ticket:
        """A ticket that blocks the calling greenlet, or the calling native thread when that runs no hub."""
        return HubTicket(self._hub) if _get_ident() == self._home else ThreadTicket()

    def ring(self, tickets: Sequence[Ticket]) -> None:
        """Wake all `tickets` of this bell with one signal to the hub; never blocks."""
        signal = False
        for ticket in tickets:
            if isinstance(ticket, HubTicket):
                ticket.rung = signal = True
                self._rung.append(ticket)
            elif isinstance(ticket, ThreadTicket):
                ticket.ring()
        if signal and not self._closed:
            self._signal.send()

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` in the hub's next turn; at once on a native thread."""
        if _get_ident() == self._home:
            self._hub.loop.run_callback(call)
        else:
            call()

    def turn(self) -> None:
        """Block the calling greenlet until the others had their turn; at once on a native thread."""
        if _get_ident() == self._home and not self._closed:
            self._turns.wait()

    def spawn(self, work: Callable[[], None]) -> Callable[[], None]:
        """Run `work` in a greenlet of the hub; returns what kills that. Both callable from any native thread."""
        started: list[gevent.Greenlet] = []
        self._post(lambda: started.append(gevent.spawn(work)))
        return lambda: self._post(lambda: started[0].kill(block=False))

    def _post(self, call: Callable[[], None]) -> None:
        self._posted.append(call)
        if not self._closed:
            self._signal.send()

    def close(self) -> None:
        """Release the hub's watchers; whoever still waits is not woken any more."""
        if not self._closed:
            self._closed = True
            self._turns.close()
            self._signal.stop()
            self._signal.close()

    def _deliver(self) -> None:
        while self._posted:
            self._posted.popleft()()
        while self._rung:
            self._rung.popleft().deliver()
