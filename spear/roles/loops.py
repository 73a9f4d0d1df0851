"""Loops that belong to the process: started in a `with`, and when one dies by surprise the process stops."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent

from spear.errors import SpearError, Unavailable

log = logging.getLogger(__name__)
LAST_STEPS_S = 5.0


class Loops:
    """Starts greenlets and ends them together; `failed` is told of a death that nobody planned."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed
        self._greenlets: set[gevent.Greenlet] = set()

    def every(self, seconds: float, step: Callable[[], None], *, at_once: bool = False) -> None:
        """Run `step` every so many seconds; a log that takes nothing now is tried again at the next beat."""

        def main() -> None:
            if not at_once:
                gevent.sleep(seconds)
            while True:
                _attempt(step)
                gevent.sleep(seconds)

        self.spawn(main)

    def spawn(self, main: Callable[[], None]) -> None:
        """Run `main` in a greenlet of its own."""
        greenlet = gevent.Greenlet(main)
        self._greenlets.add(greenlet)
        greenlet.link(self._ended)
        greenlet.start()

    def _ended(self, greenlet: gevent.Greenlet) -> None:
        self._greenlets.discard(greenlet)
        if greenlet.exception is not None:
            self._failed(f"a loop of the process died: {greenlet.exception!r}")

    def close(self) -> None:
        """End every greenlet, waiting `LAST_STEPS_S` seconds at most; may be called twice."""
        gevent.killall(list(self._greenlets), block=False)
        gevent.joinall(list(self._greenlets), timeout=LAST_STEPS_S)


def _attempt(step: Callable[[], None]) -> None:
    try:
        step()
    except Unavailable as error:
        log.warning("%s: %s; trying again", getattr(step, "__qualname__", step), error.message)
    except SpearError as error:
        log.error("%s: %s", getattr(step, "__qualname__", step), error.message)


@contextmanager
def loops(failed: Callable[[str], None]) -> Iterator[Loops]:
    """Loops for the time of a `with`."""
    running = Loops(failed)
    try:
        yield running
    finally:
        running.close()
