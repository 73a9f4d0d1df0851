"""Native threads and what they share, whether or not gevent has patched this process."""

from _queue import SimpleQueue  # the C queue blocks natively, patched or not
from collections.abc import Callable
from typing import Generic, TypeVar

from gevent import monkey

from spear.ports import Bell, Ticket

T = TypeVar("T")

allocate_lock, get_ident, start_thread = monkey.get_original(
    "_thread", ["allocate_lock", "get_ident", "start_new_thread"]
)


class Promise(Generic[T]):
    """A result that one native thread leaves for any number of waiting callers."""

    __slots__ = ("_bell", "_result", "_tickets")

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._result: list[T] = []
        self._tickets: list[Ticket] = []

    def settle(self, result: T) -> None:
        """Leave the result and wake whoever waits."""
        self._result.append(result)
        if self._tickets:
            self._bell.ring(self._tickets)

    def wait(self) -> T:
        """Block the calling greenlet or thread until there is a result."""
        self.settled_within(None)
        return self._result[0]

    def settled_within(self, timeout_s: float | None) -> bool:
        """Block the calling greenlet or thread until there is a result; False when `timeout_s` ran out first."""
        if not self._result:
            ticket = self._bell.ticket()
            self._tickets.append(ticket)
            if not self._result:  # settled just now, perhaps before it could see the ticket
                ticket.wait(timeout_s)
        return bool(self._result)


class Workers:
    """Up to `most` native threads that take jobs in order; each starts when it is first needed and stays until close."""

    def __init__(self, most: int, bell: Bell) -> None:
        self._most = most
        self._lock = allocate_lock()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = 0
        self._unfinished = 0
        self._closed = False
        self._gone: Promise[None] = Promise(bell)

    def put(self, job: Callable[[], None]) -> None:
        """Run `job` as soon as a thread is free; not after close."""
        with self._lock:
            self._unfinished += 1
            if self._threads < min(self._unfinished, self._most):
                self._threads += 1
                start_thread(self._work, ())
        self._jobs.put(job)

    def close(self) -> None:
        """Let the threads finish what was put and end; blocks only the caller."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first:
            for _ in range(self._threads):
                self._jobs.put(None)
            if not self._threads:
                self._gone.settle(None)
        self._gone.wait()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            with self._lock:
                self._unfinished -= 1
            job = None  # an idle thread must not keep the last run alive
        with self._lock:
            self._threads -= 1
            last = not self._threads
        if last:
            self._gone.settle(None)
