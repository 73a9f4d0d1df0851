"""The heartbeat by which computing guests notice that they have to stop."""

from _queue import Empty, SimpleQueue  # the C queue blocks natively, patched or not
from collections.abc import Callable, Sized

from spear.adapters.runtimes._native import Promise, start_thread
from spear.ports import Bell

TICK_S = 0.01
_LINGER = 20  # ticks without a guest before it rests: a stream of short guests must not wake it for each


class Ticker:
    """Calls `tick` every 10 ms from a native thread of its own while there are `guests`; rests soon after the last."""

    def __init__(self, tick: Callable[[], None], guests: Sized, bell: Bell) -> None:
        self._tick, self._guests = tick, guests
        self._resting = self._closed = False
        self._signal: SimpleQueue[None] = SimpleQueue()
        self._ended: Promise[None] = Promise(bell)
        start_thread(self._run, ())

    def guest_came(self) -> None:
        """Say that `guests` may have ceased to be empty; cheap, from any native thread."""
        if self._resting:
            self._resting = False
            self._signal.put(None)

    def close(self) -> None:
        """End the thread; blocks only the caller; may be called twice."""
        self._closed = True
        self._signal.put(None)
        self._ended.wait()

    def _run(self) -> None:
        while not self._closed:
            self._rest()
            left = _LINGER
            while left and not self._closed:
                self._pause()
                self._tick()
                left = _LINGER if self._guests else left - 1
        self._ended.settle(None)

    def _rest(self) -> None:
        self._resting = True
        if not self._guests and not self._closed:  # who came before the flag was up did not signal
            self._signal.get()
        self._resting = False

    def _pause(self) -> None:
        try:
            self._signal.get(timeout=TICK_S)
        except Empty:
            return
