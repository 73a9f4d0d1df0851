"""What every descriptor tells of itself, and the one flag that it has."""

import json
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

from spear.hostcalls.buffers import give, room
from spear.hostcalls.context import HostContext
from spear.hostcalls.failures import Errno, Failed
from spear.hostcalls.fds import Descriptor, Ready

NONBLOCKING = "O_NONBLOCK"
_LONGEST_ARGUMENT = 16 * 1024
_BITS = (Ready.IN, Ready.OUT, Ready.ERR, Ready.HUP)


class Command(IntEnum):
    """What is asked of a descriptor."""

    SET_FLAGS = 1
    GET_FLAGS = 2
    GET_KIND = 3
    GET_STATUS = 4
    GET_METRICS = 5


class _Flags(msgspec.Struct):
    set: list[str] = []
    clear: list[str] = []


def spear_fd_ctl(context: HostContext, fd: int, command: int, argument: int, length: int) -> int:
    """Change the flags as JSON says (1), or give flags, kind, status or metrics as JSON (2 to 5) and return its length."""
    descriptor = context.descriptors.get(fd, Descriptor)
    if command == Command.SET_FLAGS:
        return _set_flags(context, descriptor, argument, length)
    if (tell := _TELLING.get(command)) is None:
        return -Errno.EINVAL
    return give(context, json.dumps(tell(descriptor)).encode(), argument, length)


def _set_flags(context: HostContext, descriptor: Descriptor, argument: int, length: int) -> int:
    size = room(context, argument, length)
    if size > _LONGEST_ARGUMENT:
        return -Errno.EINVAL
    try:
        wanted = msgspec.json.decode(context.read(argument, size), type=_Flags)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Failed(Errno.EINVAL) from None
    if NONBLOCKING in wanted.set + wanted.clear:
        descriptor.nonblocking = NONBLOCKING not in wanted.clear
    return 0


def _flags(descriptor: Descriptor) -> list[str]:
    return [NONBLOCKING] if descriptor.nonblocking else []


def _status(descriptor: Descriptor) -> dict[str, Any]:
    mask = [f"EPOLL{bit.name}" for bit in _BITS if bit in descriptor.ready]
    return {"kind": descriptor.kind, "flags": _flags(descriptor), "poll_mask": mask, "closed": False}


_TELLING: dict[int, Callable[[Descriptor], dict[str, Any]]] = {
    Command.GET_FLAGS: lambda descriptor: {"flags": _flags(descriptor)},
    Command.GET_KIND: lambda descriptor: {"kind": descriptor.kind},
    Command.GET_STATUS: _status,
    Command.GET_METRICS: lambda descriptor: descriptor.metrics,
}
