"""A progress bar that shows itself only to somebody who waits."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

_PATIENCE_S = 1.0
_REDRAW_S = 0.1
_WIDTH = 30


class Progress:
    """A bar on a terminal's standard error, once the work takes longer than a second; elsewhere nothing."""

    def __init__(self, what: str, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._stream, self._clock = what, stream or sys.stderr, clock
        self._next = clock() + _PATIENCE_S if self._stream.isatty() else float("inf")
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Tell how much is done; a `total` of 0 means that nobody knows how much there is."""
        now = self._clock()
        if now >= self._next:
            self._next, self._shown = now + _REDRAW_S, True
            self._draw(f"{_bar(done, total)} {done:,} of {total:,}" if total else f"{done:,}")

    def _draw(self, text: str) -> None:
        self._stream.write(f"\r{self._what} {text}\x1b[K")
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _bar(done: int, total: int) -> str:
    share = min(done / total, 1.0)
    return f"[{'#' * int(share * _WIDTH):<{_WIDTH}}] {share:4.0%}"
