"""Turns rows of hostcalls into functions that wasmtime calls on the guest's native thread."""

import ctypes
import logging
from collections.abc import Callable, Iterable, Mapping
from ctypes import c_void_p
from typing import Any

from wasmtime import FuncType, Linker, ValType

from spear.adapters.runtimes import _capi as capi
from spear.adapters.runtimes._guest import Guest
from spear.adapters.runtimes._native import get_ident
from spear.hostcalls.context import Fault, Stopped
from spear.hostcalls.failures import Failed
from spear.hostcalls.table import Hostcall, Kind
from spear.ports import End

log = logging.getLogger(__name__)
_SLOT = 4  # one 16-byte slot holds four 32-bit words
_U32 = 0xFFFFFFFF
_TYPES = {Kind.I32: ValType.i32, Kind.U32: ValType.i32, Kind.I64: ValType.i64}
_READERS: dict[Kind, Callable[[Any, int], int]] = {
    Kind.I32: lambda words, at: words[at],
    Kind.U32: lambda words, at: words[at] & _U32,
    Kind.I64: lambda words, at: words[at + 1] << 32 | words[at] & _U32,
}


def link(linker: Linker, module: str, rows: Iterable[Hostcall], guests: Mapping[int, Guest]) -> list[Any]:
    """Define every row in `module`; what is returned must live as long as the linker."""
    return [_define(linker, module, row, _callback(row, guests)) for row in rows]


def _define(linker: Linker, module: str, row: Hostcall, callback: Any) -> Any:
    kind = FuncType([_TYPES[k]() for k in row.parameters], [_TYPES[k]() for k in row.results])
    names = module.encode(), len(module), row.name.encode(), len(row.name)
    pointers = ctypes.cast(linker.ptr(), c_void_p), ctypes.cast(kind.ptr(), c_void_p)
    error = capi.define_func(pointers[0], *names, pointers[1], callback, None, None)
    if error:
        raise RuntimeError(f"{module}.{row.name} cannot be linked: {capi.error_text(error)}")
    return callback


def _callback(row: Hostcall, guests: Mapping[int, Guest]) -> Any:
    name, function, fault = row.name, row.function, row.fault
    plan = [(_READERS[kind], index * _SLOT) for index, kind in enumerate(row.parameters)]

    def call(_data: int, _caller: int, words: Any, _count: int) -> int:
        guest = guests[get_ident()]
        guest.action = name
        try:
            result = function(guest, *[read(words, at) for read, at in plan])
        except Fault:
            result = fault
        except Failed as error:
            result = -error.errno
        except Stopped:
            result = None
        except Exception as error:  # it must never reach wasmtime, which would hand it to any guest
            log.exception("hostcall %s failed", name)
            guest.halt(End.FAILED, "trap", f"hostcall {name} failed: {error!r}")
            return int(capi.trap_new(b"failed", 6))
        if guest.ended:
            return int(capi.trap_new(b"stopped", 7))
        if result is not None:
            words[0], words[1] = result, result >> 32
        return 0

    return capi.HostCallback(call)
