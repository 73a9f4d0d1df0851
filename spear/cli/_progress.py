"""A progress bar that shows itself only to somebody who waits."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self, TextIO

_PATIENCE_S = 1.0
_REDRAW_S = 0.1
_WIDTH = 30
_BLOCK = "###"
_ERASE = "\r\x1b[K"


class Progress:
    """A bar on a terminal's standard error, once the work takes longer than a second; elsewhere nothing.

    A thread of its own draws it, however long the work is silent. Lines for standard output go past it with `say`.
    """

    def __init__(self, what: str, *, stream: TextIO | None = None) -> None:
        self._what, self._stream = what, stream or sys.stderr
        self._done = self._total = 0
        self._shown, self._over, self._lock = False, Event(), Lock()
        self._watch = Thread(target=self._draw_until_over, name="progress", daemon=True)
        self._began = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Tell how much is done; a `total` of 0 means that nobody knows how much there is."""
        self._done, self._total = done, total

    def step(self, what: str) -> Self:
        """What is done from now on; nobody knows yet how much of it there is."""
        self._what, self._done, self._total = what, 0, 0
        return self

    def say(self, text: str, *, flush: bool = False) -> None:
        """Print a line to standard output."""
        with self.aside():
            print(text, flush=flush)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Keep the bar out of the way of what is written to standard output."""
        with self._lock:
            self._erase()
            yield
            if self._watch.is_alive() and sys.stdout.isatty():
                sys.stdout.flush()  # whole lines, or the bar would stand in the middle of one

    def end(self) -> None:
        """Show nothing from now on; may be called twice."""
        self._over.set()
        if self._watch.is_alive():
            self._watch.join()
            if self._shown:
                self._draw()
        self._erase()

    def _draw_until_over(self) -> None:
        pause = _PATIENCE_S
        while not self._over.wait(pause):
            with self._lock:
                self._draw()
            pause = _REDRAW_S

    def _draw(self) -> None:
        self._shown = True
        self._write(f"\r{self._what} {self._text()}\x1b[K")

    def _text(self) -> str:
        done, total, seconds = self._done, self._total, time.monotonic() - self._began
        if total:
            return f"{_bar(done, total)} {done:,} of {total:,}"
        return f"{_moving(seconds)} {f'{done:,}' if done else f'{seconds:.0f} s'}"

    def _erase(self) -> None:
        if self._shown:
            self._shown = False
            self._write(_ERASE)

    def _write(self, text: str) -> None:
        with suppress(OSError):  # a terminal that is gone is no reason to stop
            self._stream.write(text)
            self._stream.flush()

    def __enter__(self) -> Self:
        if self._stream.isatty():
            self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def _bar(done: int, total: int) -> str:
    share = min(done / total, 1.0)
    return f"[{'#' * int(share * _WIDTH):<{_WIDTH}}] {share:4.0%}"


def _moving(seconds: float) -> str:
    return f"[{' ' * (int(seconds / _REDRAW_S) % (_WIDTH - len(_BLOCK))) + _BLOCK:<{_WIDTH}}]"
