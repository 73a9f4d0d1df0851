"""Two ways to run blocking work: on gevent's native threads, or right here."""

from collections.abc import Callable
from threading import get_native_id
from typing import TypeVar

from gevent import monkey
from gevent.threadpool import ThreadPool
from gevent.util import wrap_errors

T = TypeVar("T")
start_new_thread = monkey.get_original("_thread", "start_new_thread")

# How long a native thread waits for the interpreter before it insists. Whenever the hub gives the interpreter away and is
# quick to take it back, that wait begins anew: with 0.5 ms a busy hub kept threads waiting for 100 ms, a second at most.
SWITCH_INTERVAL_S = 0.0001


class InlineThreads:
    """No threads at all: the caller does the work itself, for tools and for processes without a hub."""

    def call(self, work: Callable[[], T]) -> T:
        """Run `work` now and hand back its result or its error."""
        return work()

    def start(self, main: Callable[[], None]) -> None:
        """Run `main` on a thread of its own all the same; the log's writer needs one."""
        start_new_thread(main, ())


class GeventThreads:
    """A gevent pool's native threads; make it on the thread that runs the pool's hub."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._home = get_native_id()

    def call(self, work: Callable[[], T]) -> T:
        """Block only the calling greenlet; a caller that is on a native thread already does the work itself."""
        if get_native_id() != self._home:
            return work()
        # An error travels as a value, because the pool would also print one that is raised.
        result = self._pool.apply(wrap_errors(Exception, work))
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[no-any-return]

    def start(self, main: Callable[[], None]) -> None:
        """Run `main` on a native thread outside the pool."""
        start_new_thread(main, ())


def native_threads(most: int) -> GeventThreads:
    """Up to `most` native threads of this hub, made when they are needed."""
    return GeventThreads(ThreadPool(most))
