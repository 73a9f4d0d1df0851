"""What one run has open: numbers that are given once, and what they stand for."""

from enum import IntFlag
from typing import Any, TypeVar

from spear.hostcalls.failures import Errno, Failed

FIRST = 1000
MOST_OPEN = 1024


class Ready(IntFlag):
    """What a guest can do with a descriptor at once."""

    NOTHING = 0x000
    IN = 0x001
    OUT = 0x004
    ERR = 0x008
    HUP = 0x010


class Descriptor:
    """Something open; each kind is a class of its own."""

    kind = ""
    nonblocking = False

    @property
    def ready(self) -> Ready:
        """What can be done with it now."""
        return Ready.NOTHING

    @property
    def metrics(self) -> dict[str, Any]:
        """Figures of what went through it, as JSON knows them."""
        return {}

    def close(self) -> None:
        """Let go of what it holds; called once."""


D = TypeVar("D", bound=Descriptor)


class Unknown(Failed):
    """No descriptor of that number and kind is open."""

    def __init__(self) -> None:
        super().__init__(Errno.EBADF)


class Full(Failed):
    """As many are open as may be."""

    def __init__(self) -> None:
        super().__init__(Errno.ENOMEM)


class Descriptors:
    """The descriptors of one run; only its own native thread uses them."""

    def __init__(self) -> None:
        self._open: dict[int, Descriptor] = {}
        self._next = FIRST

    def add(self, opened: Descriptor) -> int:
        """A number that nothing had before; raises `Full`, and then it is closed."""
        if len(self._open) >= MOST_OPEN:
            opened.close()
            raise Full
        number, self._next = self._next, self._next + 1
        self._open[number] = opened
        return number

    def get(self, number: int, kind: type[D]) -> D:
        """What is open under this number; raises `Unknown` unless it is of that kind."""
        found = self._open.get(number)
        if not isinstance(found, kind):
            raise Unknown
        return found

    def every(self, kind: type[D]) -> list[D]:
        """What is open of that kind."""
        return [one for one in self._open.values() if isinstance(one, kind)]

    def find(self, number: int) -> Descriptor | None:
        """What is open under this number; None when that was closed. Raises `Unknown` when there never was anything."""
        if not FIRST <= number < self._next:
            raise Unknown
        return self._open.get(number)

    def close(self, number: int, *kinds: type[Descriptor]) -> None:
        """Close one of these kinds; once more is harmless. Raises `Unknown`."""
        found = self.find(number)
        if found is None:
            return
        if not isinstance(found, kinds):
            raise Unknown
        del self._open[number]
        found.close()

    def close_all(self) -> None:
        """Close whatever is open."""
        while self._open:
            self._open.popitem()[1].close()
