"""The object store: reading, writing and deleting by name, without a copy in any file of the guest's."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

from spear.abilities import GuestObjects
from spear.errors import Forbidden, Invalid, NotFound, PreconditionFailed, Refused, SpearError, TooLarge
from spear.hostcalls.buffers import give, room, text
from spear.hostcalls.context import HostContext
from spear.hostcalls.failures import Errno, Failed
from spear.ports import RunSpec

T = TypeVar("T")
ANY_VERSION = -1
_LONGEST_NAME = 4096
_ERRNOS: tuple[tuple[type[SpearError], Errno], ...] = (
    (NotFound, Errno.ENOENT),
    (Forbidden, Errno.EACCES),
    (PreconditionFailed, Errno.EAGAIN),
    (Refused, Errno.EPERM),
    (Invalid, Errno.EINVAL),
    (TooLarge, Errno.ENOMEM),
)


def object_stat(context: HostContext, name: int, name_length: int, out: int, out_length: int) -> int:
    """Give the object's size, version, sha256 and content_type as JSON."""
    key = _name(context, name, name_length)
    found = _ask(context, lambda objects, by: objects.stat(by, key))
    return give(context, json.dumps(asdict(found)).encode(), out, out_length)


def object_get(context: HostContext, name: int, name_length: int, first: int, out: int, out_length: int) -> int:
    """Give the object's bytes from byte `first` on, as many as there is room for; 0 at its end."""
    key, size = _name(context, name, name_length), room(context, out, out_length)
    if first < 0:
        return -Errno.EINVAL
    return give(
        context, _ask(context, lambda objects, by: objects.read(by, key, first=first, size=size)), out, out_length
    )


def object_put(context: HostContext, name: int, name_length: int, data: int, data_length: int, version: int) -> int:
    """Write a new version and return its number; -EAGAIN unless the one there is `version` (0: none, -1: whatever is)."""
    key, content, expected = _name(context, name, name_length), context.read(data, data_length), _version(version)
    return _ask(context, lambda objects, by: objects.write(by, key, content, version=expected))


def object_delete(context: HostContext, name: int, name_length: int, version: int) -> int:
    """Delete the object; -EAGAIN unless the one there is `version` (-1: whatever is), -EPERM for one that is pinned."""
    key, expected = _name(context, name, name_length), _version(version)
    _ask(context, lambda objects, by: objects.delete(by, key, version=expected))
    return 0


def _name(context: HostContext, pointer: int, length: int) -> str:
    if not 0 < length <= _LONGEST_NAME:
        raise Failed(Errno.EINVAL)
    return text(context, pointer, length)


def _version(version: int) -> int | None:
    if version < ANY_VERSION:
        raise Failed(Errno.EINVAL)
    return None if version == ANY_VERSION else version


def _ask(context: HostContext, work: Callable[[GuestObjects, RunSpec], T]) -> T:
    objects, by = context.abilities.objects, context.spec
    try:
        return context.ask(lambda: work(objects, by))
    except SpearError as error:
        raise Failed(next((errno for kind, errno in _ERRNOS if isinstance(error, kind)), Errno.EIO)) from None
