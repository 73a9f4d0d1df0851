"""What a hostcall may use of the guest that called it."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from spear.abilities import Abilities
from spear.hostcalls.fds import Descriptors
from spear.ports import Clock, Level, RunSpec

T = TypeVar("T")


class Fault(Exception):
    """The guest named bytes outside its own memory."""


class Stopped(Exception):
    """The guest has to stop, so that nobody wants the result of its hostcall any more."""


class HostContext(Protocol):
    """One running guest: its memory, its log, its time, and what it may ask the platform for."""

    @property
    def spec(self) -> RunSpec:
        """Which run this is."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What the platform does for guests; raise `Failed` where there is no platform."""
        ...

    @property
    def descriptors(self) -> Descriptors:
        """What the guest has open."""
        ...

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

    def wait(self, ready: Callable[[], bool], *, timeout_s: float | None = None) -> bool:
        """Block this guest until `ready` says so, which is asked now and after every `wake`.

        False when `timeout_s` ran out or the guest has to stop.
        """
        ...

    def wake(self) -> None:
        """Have a waiting guest look again; callable from anywhere, never blocks."""
        ...

    def ask(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, which the hub does while this guest waits; raise `Stopped` when that has to stop."""
        ...

    def call(self, function: int, *arguments: int) -> int:
        """What the guest's own function at this place of its table returns; raise `Failed` when there is none to call.

        Raise `Stopped` when the guest ended in it.
        """
        ...
