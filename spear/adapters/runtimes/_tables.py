"""Functions that a guest names by their place in its table, called on its own native thread from within a hostcall."""

import ctypes
from collections.abc import Iterator
from ctypes import byref, c_char_p, c_size_t, c_void_p
from typing import Any

from wasmtime import FuncType, ValType

from spear.adapters.runtimes import _capi as capi

_NAMES = (b"__indirect_function_table", b"table")
_EXPORTED = capi.Extern.of.offset
_FUNCTION = capi.Val.of.offset
_SIGNATURE = [str(ValType.i32())] * 4, [str(ValType.i32())]


def find(context: int, instance: Any, index: int) -> Any:
    """The function at this place, if it takes four i32 and returns one; else None."""
    table = next(_tables(context, instance), None)
    place: Any = capi.Val()
    if table is None or not capi.table_get(context, byref(table, _EXPORTED), index, byref(place)):
        return None
    is_function = place.kind == capi.FUNCREF and place.of.funcref.store_id
    return place if is_function and _takes_four(context, place) else None


def call(context: int, function: Any, arguments: tuple[int, ...]) -> tuple[int, str]:
    """What it returns, and "" or why it came to no end; the caller knows whether the guest was stopped."""
    given, result, trap = (capi.Val * len(arguments))(), capi.Val(), c_void_p()
    for slot, value in zip(given, arguments, strict=True):
        slot.of.i32 = value
    error = capi.func_call(context, byref(function, _FUNCTION), given, len(arguments), byref(result), 1, byref(trap))
    text = capi.error_text(error) if error else capi.trap_kind(trap.value) if trap.value else ""
    return result.of.i32, text


def _tables(context: int, instance: Any) -> Iterator[Any]:
    """The exported tables, the usual one first."""
    for found in _exports(context, instance):
        if found.kind == capi.TABLE:
            yield found


def _exports(context: int, instance: Any) -> Iterator[Any]:
    for usual in _NAMES:
        found: Any = capi.Extern()
        if capi.export_get(context, instance, usual, len(usual), byref(found)):
            yield found
    name, length, number, found = c_char_p(), c_size_t(), 0, capi.Extern()
    while capi.export_nth(context, instance, number, byref(name), byref(length), byref(found)):
        yield found
        number, found = number + 1, capi.Extern()


def _takes_four(context: int, place: Any) -> bool:
    pointer = capi.func_type(context, byref(place, _FUNCTION))
    kind = FuncType._from_ptr(ctypes.cast(pointer, ctypes.POINTER(capi.FuncTypePointer)), None)
    return ([str(one) for one in kind.params], [str(one) for one in kind.results]) == _SIGNATURE
