"""How guests are given bytes whose number they do not know before."""

from spear.hostcalls.context import HostContext
from spear.hostcalls.failures import Errno

_LENGTH = 4


def text(context: HostContext, pointer: int, length: int) -> str:
    """Text that the guest names; broken UTF-8 is replaced. Raises `Fault`."""
    return context.read(pointer, length).decode(errors="replace")


def room(context: HostContext, pointer: int, length_pointer: int) -> int:
    """How many bytes the guest has room for; raises `Fault` when that lies outside its memory."""
    length = int.from_bytes(context.read(length_pointer, _LENGTH), "little")
    context.read(pointer, 0)
    context.read(pointer + length, 0)
    return length


def give(context: HostContext, data: bytes, pointer: int, length_pointer: int) -> int:
    """The number of bytes given, or -ENOSPC and what it would have taken; raises `Fault`."""
    fits = len(data) <= room(context, pointer, length_pointer)
    if fits:
        context.write(pointer, data)
    context.write(length_pointer, len(data).to_bytes(_LENGTH, "little"))
    return len(data) if fits else -Errno.ENOSPC
