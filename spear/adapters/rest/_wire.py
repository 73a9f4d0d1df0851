"""What comes in over one connection, waited for no longer than each part of a request may take."""

import math
from io import RawIOBase
from socket import socket
from time import monotonic
from typing import Any

_SLOW = "timed out: it comes too slowly"


class Wire(RawIOBase):
    """The bytes of a connection; each phase is given seconds to spend on waiting, and each byte that comes earns some."""

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._left = self._earned = 0.0
        self.failed = False

    def allow(self, seconds: float, *, a_byte: float = 0.0) -> None:
        """Begin a phase; `math.inf` waits for ever."""
        self._left, self._earned = seconds, a_byte

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """What came; raises `TimeoutError` when the phase has used up its seconds."""
        if self._left <= 0:
            self.failed = True
            raise TimeoutError(_SLOW)
        self._connection.settimeout(None if self._left == math.inf else self._left)
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
