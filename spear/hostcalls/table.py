"""Every hostcall of the import module `spear`: one row each, linked and made cancellable by the runtime."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from spear.hostcalls.chat import (
    cchat_close,
    cchat_create,
    cchat_ctl,
    cchat_recv,
    cchat_send,
    cchat_write_fn,
    cchat_write_msg,
)
from spear.hostcalls.clock import time_now_ms, wall_time_s
from spear.hostcalls.epoll import spear_epoll_close, spear_epoll_create, spear_epoll_ctl, spear_epoll_wait
from spear.hostcalls.failures import Errno
from spear.hostcalls.fd_ctl import spear_fd_ctl
from spear.hostcalls.log import log
from spear.hostcalls.objects import object_delete, object_get, object_put, object_stat
from spear.hostcalls.random import random_i64
from spear.hostcalls.sleep import sleep_ms
from spear.hostcalls.streams import (
    user_stream_close,
    user_stream_ctl_open,
    user_stream_ctl_read,
    user_stream_open,
    user_stream_read,
    user_stream_write,
)


class Kind(StrEnum):
    """How a parameter or result travels; `U32` is an i32 that is read as unsigned."""

    I32 = "i32"
    U32 = "u32"
    I64 = "i64"


@dataclass(frozen=True, slots=True)
class Hostcall:
    """One function that guests may import; `fault` is its result when the guest names bytes outside its memory."""

    name: str
    parameters: tuple[Kind, ...]
    results: tuple[Kind, ...]
    function: Callable[..., int | None]
    fault: int = -Errno.EFAULT


HOSTCALLS = (
    Hostcall("time_now_ms", (), (Kind.I64,), time_now_ms),
    Hostcall("wall_time_s", (), (Kind.I64,), wall_time_s),
    Hostcall("random_i64", (), (Kind.I64,), random_i64),
    Hostcall("sleep_ms", (Kind.I32,), (), sleep_ms),
    Hostcall("log", (Kind.I32, Kind.I32, Kind.I32), (Kind.I32,), log),
    Hostcall("cchat_create", (), (Kind.I32,), cchat_create),
    Hostcall("cchat_write_msg", (Kind.I32,) * 5, (Kind.I32,), cchat_write_msg),
    Hostcall("cchat_write_fn", (Kind.I32,) * 4, (Kind.I32,), cchat_write_fn),
    Hostcall("cchat_ctl", (Kind.I32,) * 4, (Kind.I32,), cchat_ctl),
    Hostcall("cchat_send", (Kind.I32,) * 2, (Kind.I32,), cchat_send),
    Hostcall("cchat_recv", (Kind.I32,) * 3, (Kind.I32,), cchat_recv),
    Hostcall("cchat_close", (Kind.I32,), (Kind.I32,), cchat_close),
    Hostcall("object_stat", (Kind.I32,) * 4, (Kind.I32,), object_stat),
    Hostcall("object_get", (Kind.I32, Kind.I32, Kind.I64, Kind.I32, Kind.I32), (Kind.I32,), object_get),
    Hostcall("object_put", (Kind.I32,) * 4 + (Kind.I64,), (Kind.I64,), object_put),
    Hostcall("object_delete", (Kind.I32, Kind.I32, Kind.I64), (Kind.I32,), object_delete),
    Hostcall("user_stream_open", (Kind.I32,) * 2, (Kind.I32,), user_stream_open),
    Hostcall("user_stream_read", (Kind.I32,) * 3, (Kind.I32,), user_stream_read),
    Hostcall("user_stream_write", (Kind.I32,) * 3, (Kind.I32,), user_stream_write),
    Hostcall("user_stream_close", (Kind.I32,), (Kind.I32,), user_stream_close),
    Hostcall("user_stream_ctl_open", (), (Kind.I32,), user_stream_ctl_open),
    Hostcall("user_stream_ctl_read", (Kind.I32,) * 3, (Kind.I32,), user_stream_ctl_read),
    Hostcall("spear_epoll_create", (), (Kind.I32,), spear_epoll_create),
    Hostcall("spear_epoll_ctl", (Kind.I32,) * 4, (Kind.I32,), spear_epoll_ctl),
    Hostcall("spear_epoll_wait", (Kind.I32,) * 4, (Kind.I32,), spear_epoll_wait),
    Hostcall("spear_epoll_close", (Kind.I32,), (Kind.I32,), spear_epoll_close),
    Hostcall("spear_fd_ctl", (Kind.I32,) * 4, (Kind.I32,), spear_fd_ctl),
)
