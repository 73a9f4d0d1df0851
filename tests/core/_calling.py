"""Guests that are nothing but memory and what they have open; their hostcalls are plain functions of the test's own thread."""

from collections.abc import Callable
from typing import Any

from spear.abilities import Abilities
from spear.events._bell import ThreadBell
from spear.hostcalls.context import Fault
from spear.hostcalls.fds import Descriptors
from spear.ports import RunSpec
from spear.services.channels import Channel, Notices
from spear.services.hubs import Hub

OUT, LENGTH = 0, 600_000


class OneHub:
    """The streams of one run."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def open(self, by: RunSpec, stream_id: int, *, wake: Callable[[], None]) -> Channel:
        self.hub.wake = wake
        return self.hub.open(stream_id)

    def listen(self, by: RunSpec, *, wake: Callable[[], None]) -> Notices:
        self.hub.wake = wake
        return self.hub.listen()


class Memory:
    """What a guest reads and writes; who is asked answers at once."""

    def __init__(self, size: int = 65536) -> None:
        self.bytes = bytearray(size)

    def read(self, pointer: int, length: int) -> bytes:
        if not 0 <= pointer <= pointer + length <= len(self.bytes):
            raise Fault
        return bytes(self.bytes[pointer : pointer + length])

    def write(self, pointer: int, data: bytes) -> None:
        self.read(pointer, len(data))
        self.bytes[pointer : pointer + len(data)] = data

    def ask(self, work: Callable[[], Any]) -> Any:
        return work()


class Guest(Memory):
    """While it waits, what the test put into `meanwhile` happens, one thing after the other; it looks only when woken."""

    def __init__(self) -> None:
        super().__init__(600_064)
        self.spec, self.descriptors = RunSpec("run"), Descriptors()
        self.streams = OneHub(Hub(ThreadBell()))
        self.abilities: Any = Abilities(None, None, self.streams, recorded=lambda execution_id: None)
        self.meanwhile: list[Callable[[], Any]] = []
        self.waits: list[float | None] = []
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    def wait(self, ready: Callable[[], bool], *, timeout_s: float | None = None) -> bool:
        self.waits.append(timeout_s)
        if ready():
            return True
        while self.meanwhile:
            before = self.woken
            self.meanwhile.pop(0)()
            if self.woken != before and ready():
                return True
        return False

    # --- what the tests ask

    def room(self, size: int) -> tuple[int, int]:
        """The pointers of an out-buffer of this size."""
        self.write(LENGTH, size.to_bytes(4, "little"))
        return OUT, LENGTH

    def told(self) -> int:
        """The length that the host left."""
        return int.from_bytes(self.read(LENGTH, 4), "little")

    def given(self) -> bytes:
        """What the host wrote."""
        return self.read(OUT, self.told())
