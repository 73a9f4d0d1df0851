"""What comes in over one connection, waited for no longer than each part of a request may take."""

from collections.abc import Callable
from io import BufferedReader, RawIOBase
from socket import socket
from time import monotonic
from typing import Any

_SLOW = "timed out: it comes too slowly"
_PIECE = 64 * 1024


class Wire(RawIOBase):
    """The bytes of a connection; each phase is given seconds to spend on waiting, and each byte that comes earns some."""

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._left = self._earned = 0.0
        self.failed = False

    def allow(self, seconds: float, *, a_byte: float = 0.0) -> None:
        """Begin a phase."""
        self._left, self._earned = seconds, a_byte

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """What came; raises `TimeoutError` when the phase has used up its seconds."""
        if self._left <= 0:
            self.failed = True
            raise TimeoutError(_SLOW)
        self._connection.settimeout(self._left)
        asked = monotonic()
        try:
            count = self._connection.recv_into(buffer)
        except TimeoutError:
            self.failed = True
            raise TimeoutError(_SLOW) from None
        except OSError:
            self.failed = True
            raise
        self._left += count * self._earned - (monotonic() - asked)
        return count


class Line:
    """A connection that left HTTP: its bytes both ways; `leaving` holds whom to call when the server stops."""

    def __init__(
        self,
        connection: socket,
        wire: Wire,
        buffered: BufferedReader,
        *,
        patience_s: float,
        leaving: set[Callable[[], None]],
    ) -> None:
        self._connection, self._wire, self._buffered = connection, wire, buffered
        self._patience_s, self.leaving = patience_s, leaving

    def read(self, seconds: float) -> bytes:
        """What came, nothing at the end; raises `TimeoutError` when nothing came in time, `OSError` when it broke."""
        self._wire.allow(seconds)
        return self._buffered.read1(_PIECE)

    def write(self, data: bytes) -> None:
        """Send it all; raises `OSError`, also when nobody takes a piece of it for too long."""
        left = memoryview(data)
        while left:
            self._connection.settimeout(self._patience_s)
            self._connection.sendall(left[:_PIECE])
            left = left[_PIECE:]
