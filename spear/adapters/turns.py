"""Long work of many greenlets, slice by slice, so that it never gets in the way of short work."""

from collections import deque

import gevent
from gevent.hub import Waiter


class Turns:
    """One slice of one of those who wait, and then one round of the hub for everybody else who is ready; first come, first served.

    `gevent.sleep(0)` is no such turn: fifty greenlets get on by it before the hub looks at a socket again.
    """

    def __init__(self) -> None:
        self._waiting: deque[Waiter] = deque()
        self._timer = gevent.get_hub().loop.timer(0)  # due when the hub has looked at its sockets

    def wait(self) -> None:
        """Block the calling greenlet until it is its turn."""
        waiter = Waiter()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            self._timer.start(self._next)
        waiter.get()

    def _next(self) -> None:
        waiter = self._waiting.popleft()
        if self._waiting:
            self._timer.start(self._next)
        waiter.switch(None)

    def close(self) -> None:
        """Release the hub's watcher; whoever still waits is not woken any more."""
        self._timer.stop()
        self._timer.close()
