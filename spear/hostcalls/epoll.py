"""Waiting for any of several descriptors: level-triggered, and nothing is reported that was not asked for."""

from enum import IntEnum
from struct import Struct

from spear.hostcalls.buffers import give, room
from spear.hostcalls.context import HostContext
from spear.hostcalls.failures import Errno
from spear.hostcalls.fds import MOST_OPEN, Descriptor, Descriptors, Ready

_RECORD = Struct("<ii")
_EVERYTHING = Ready.IN | Ready.OUT | Ready.ERR | Ready.HUP


class Op(IntEnum):
    """What to do about one descriptor."""

    ADD = 1
    MOD = 2
    DEL = 3


class Epoll(Descriptor):
    """Descriptors that are watched, each for what the guest wants to hear of it."""

    kind = "Epoll"

    def __init__(self) -> None:
        self._interest: dict[int, Ready] = {}

    def watch(self, number: int, events: Ready, among: Descriptors) -> None:
        """Want these events from now on; of more than can be open, those that were closed are forgotten."""
        if len(self._interest) >= MOST_OPEN:
            self._interest = {known: wanted for known, wanted in self._interest.items() if among.find(known)}
        self._interest[number] = events

    def leave(self, number: int) -> None:
        """Want nothing of it any more."""
        self._interest.pop(number, None)

    def scan(self, among: Descriptors, most: int) -> list[tuple[int, int]]:
        """Up to `most` of those of which something wanted is true now, in the order of their numbers."""
        found = []
        for number in sorted(self._interest):
            if events := _ready(among.find(number)) & self._interest[number]:
                found.append((number, int(events)))
                if len(found) == most:
                    break
        return found


def _ready(watched: Descriptor | None) -> Ready:
    return Ready.HUP if watched is None else watched.ready


def spear_epoll_create(context: HostContext) -> int:
    """A descriptor that watches others."""
    return context.descriptors.add(Epoll())


def spear_epoll_ctl(context: HostContext, watcher: int, op: int, watched: int, events: int) -> int:
    """Add or change (1, 2) what is wanted of a descriptor, or want nothing more (3); one that was closed has hung up."""
    table = context.descriptors
    epoll = table.get(watcher, Epoll)
    if isinstance(table.find(watched), Epoll):
        return -Errno.EINVAL
    match op:
        case Op.ADD | Op.MOD:
            epoll.watch(watched, Ready(events & _EVERYTHING), table)
        case Op.DEL:
            epoll.leave(watched)
        case _:
            return -Errno.EINVAL
    return 0


def spear_epoll_wait(context: HostContext, watcher: int, out: int, out_length: int, timeout_ms: int) -> int:
    """Block until something wanted is true: how many (fd, events) were given, 8 bytes each; 0 when time ran out.

    A negative time is as long as the guest may run.
    """
    table = context.descriptors
    epoll = table.get(watcher, Epoll)
    most = room(context, out, out_length) // _RECORD.size
    if most == 0:
        return give(context, bytes(_RECORD.size), out, out_length)
    found: list[tuple[int, int]] = []

    def look() -> bool:
        found.extend(epoll.scan(table, most))
        return bool(found)

    context.wait(look, timeout_s=None if timeout_ms < 0 else timeout_ms / 1000)
    give(context, b"".join(_RECORD.pack(*record) for record in found), out, out_length)
    return len(found)


def spear_epoll_close(context: HostContext, watcher: int) -> int:
    """Watch nothing more; what was watched stays open."""
    context.descriptors.close(watcher, Epoll)
    return 0
