"""What a hostcall may use of the guest that called it."""

from enum import IntEnum
from typing import Protocol

from spear.ports import Clock, Level


class Errno(IntEnum):
    """Linux error numbers, the same on every host; a failed hostcall returns one of them negated."""

    EFAULT = 14
    EINVAL = 22


class Fault(Exception):
    """The guest named bytes outside its own memory."""


class HostContext(Protocol):
    """One running guest: its memory, its log, its time."""

    @property
    def clock(self) -> Clock:
        """Where this guest's time comes from."""
        ...

    def read(self, pointer: int, length: int) -> bytes:
        """Copy bytes out of the guest's memory; raise `Fault` when any of them lies outside."""
        ...

    def write(self, pointer: int, data: bytes) -> None:
        """Copy bytes into the guest's memory; raise `Fault` and change nothing when any of them lies outside."""
        ...

    def log(self, level: Level, message: str) -> None:
        """Append one line to the execution's log."""
        ...

    def random(self, length: int) -> bytes:
        """Bytes that nobody can predict."""
        ...

    def pause(self, seconds: float) -> None:
        """Block this guest; comes back early when the guest has to stop."""
        ...
