"""The functions of WASI preview 1 that SPEAR serves itself, so that output is live and every wait can be cut short."""

import struct
from enum import IntEnum
from time import monotonic_ns

from spear.adapters.runtimes._guest import Guest
from spear.hostcalls.table import Hostcall, Kind

MODULE = "wasi_snapshot_preview1"
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_MOST_VECTORS = 1024
_MOST_BYTES = 1 << 20
_MOST_SUBSCRIPTIONS = 1024
_RANDOM_PIECE = 1 << 16
_SUBSCRIPTION = struct.Struct("<QB7xI4xQ8xH6x")  # userdata, type, clock id or fd, timeout in ns, flags
_EVENT = struct.Struct("<QHB5xQH6x")  # userdata, errno, type, bytes ready, flags
_ABSOLUTE = 1


class _Errno(IntEnum):
    SUCCESS = 0
    BADF = 8
    FAULT = 21
    INVAL = 28


class _Clock(IntEnum):
    REALTIME = 0
    MONOTONIC = 1


class _Event(IntEnum):
    CLOCK = 0
    FD_READ = 1
    FD_WRITE = 2


def _fd_write(guest: Guest, fd: int, vectors: int, count: int, written: int) -> int:
    """Write to stdout or stderr, at most 1 MiB at a time as WASI allows."""
    if fd not in (_STDOUT, _STDERR):
        return _Errno.BADF
    if count > _MOST_VECTORS:
        return _Errno.INVAL
    data = _gather(guest, guest.read(vectors, count * 8))
    guest.write(written, len(data).to_bytes(4, "little"))
    (guest.print if fd == _STDOUT else guest.complain)(data)
    return _Errno.SUCCESS


def _gather(guest: Guest, vectors: bytes) -> bytes:
    parts, room = [], _MOST_BYTES
    for pointer, length in struct.iter_unpack("<II", vectors):
        parts.append(guest.read(pointer, min(length, room)))
        room -= len(parts[-1])
    return b"".join(parts)


def _now_ns(guest: Guest, clock: int) -> int | None:
    if clock == _Clock.REALTIME:
        return guest.clock.now_us() * 1000
    return monotonic_ns() if clock == _Clock.MONOTONIC else None


def _clock_time_get(guest: Guest, clock: int, precision: int, pointer: int) -> int:
    """Tell the time on the same clocks that `poll_oneoff` waits by; any precision is served alike."""
    now = _now_ns(guest, clock)
    if now is None:
        return _Errno.INVAL
    guest.write(pointer, now.to_bytes(8, "little"))
    return _Errno.SUCCESS


def _random_get(guest: Guest, pointer: int, length: int) -> int:
    """Fill the buffer piece by piece, so that a huge one cannot outlast the guest's time."""
    for offset in range(0, length, _RANDOM_PIECE):
        guest.write(pointer + offset, guest.random(min(_RANDOM_PIECE, length - offset)))
        if guest.must_stop():
            break
    return _Errno.SUCCESS


def _proc_exit(guest: Guest, code: int) -> None:
    """End the guest with any exit code."""
    guest.exit_code = code


def _poll_oneoff(guest: Guest, subscriptions: int, events: int, count: int, ready: int) -> int:
    """Wait until a clock or a stream is ready; streams always are, so they never wait."""
    if not 1 <= count <= _MOST_SUBSCRIPTIONS:
        return _Errno.INVAL
    asked = list(_SUBSCRIPTION.iter_unpack(guest.read(subscriptions, count * _SUBSCRIPTION.size)))
    dues = [_due_ns(guest, *subscription[1:]) for subscription in asked]
    soonest = max(0, min(dues))
    guest.pause(soonest / 1e9)
    happened = [_event(*one[:3]) for one, due in zip(asked, dues, strict=True) if due <= soonest]
    guest.write(events, b"".join(happened))
    guest.write(ready, len(happened).to_bytes(4, "little"))
    return _Errno.SUCCESS


def _due_ns(guest: Guest, kind: int, clock: int, timeout: int, flags: int) -> int:
    if kind != _Event.CLOCK:
        return 0
    now = _now_ns(guest, clock)
    if now is None:
        return 0
    return timeout - now if flags & _ABSOLUTE else timeout


def _event(userdata: int, kind: int, subject: int) -> bytes:
    if kind == _Event.CLOCK:
        error = _Errno.SUCCESS if subject in set(_Clock) else _Errno.INVAL
        return _EVENT.pack(userdata, error, kind, 0, 0)
    served = (_STDIN,) if kind == _Event.FD_READ else (_STDOUT, _STDERR)
    known = kind in (_Event.FD_READ, _Event.FD_WRITE) and subject in served
    return _EVENT.pack(userdata, _Errno.SUCCESS if known else _Errno.BADF, kind, int(known), 0)


WASI_CALLS = (
    Hostcall("fd_write", (Kind.U32,) * 4, (Kind.I32,), _fd_write, _Errno.FAULT),
    Hostcall("clock_time_get", (Kind.U32, Kind.I64, Kind.U32), (Kind.I32,), _clock_time_get, _Errno.FAULT),
    Hostcall("random_get", (Kind.U32,) * 2, (Kind.I32,), _random_get, _Errno.FAULT),
    Hostcall("poll_oneoff", (Kind.U32,) * 4, (Kind.I32,), _poll_oneoff, _Errno.FAULT),
    Hostcall("proc_exit", (Kind.I32,), (), _proc_exit),
)
