"""What can be said of a module without running it."""

from wasmtime import FuncType, MemoryType, Module, WasmtimeError

from spear.errors import InvalidConfiguration

_MAGIC = b"\0asm"
_MODULE, _COMPONENT = b"\1\0\0\0", b"\x0d\0\1\0"
_START_SECTION = 8
_SHARED = "memory is shared"  # as wasmtime words it
_NOT_ITS_OWN = "the module's memory is a shared memory; expected one of its own"


def check_header(content: bytes) -> None:
    """Refuse what is no core module, by its first eight bytes."""
    if not content.startswith(_MAGIC):
        raise InvalidConfiguration(f"not a WebAssembly module: starts with {content[:8]!r}, expected {_MAGIC!r}")
    kind = content[4:8]
    if kind == _COMPONENT:
        raise InvalidConfiguration("a WebAssembly component; expected a core module for wasm32-wasi preview 1")
    if kind != _MODULE:
        raise InvalidConfiguration(f"not a WebAssembly module of version 1: its version is {kind!r}")


def not_compiled(error: WasmtimeError) -> InvalidConfiguration:
    """Why wasmtime refuses to compile a module."""
    if _SHARED in str(error):
        return InvalidConfiguration(_NOT_ITS_OWN)
    return InvalidConfiguration(f"not a valid WebAssembly module: {first_line(error)}")


def first_line(error: WasmtimeError) -> str:
    """What it says without its layout."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join(line for line in lines if line != "Caused by:")


def check_exports(module: Module) -> None:
    """Refuse a module that offers no way in: a memory `memory` and a function `_start` without parameters."""
    exports = {one.name: one.type for one in module.exports}
    memory = exports.get("memory")
    if not isinstance(memory, MemoryType):
        raise InvalidConfiguration("the module exports no memory named memory")
    if memory.is_shared:
        raise InvalidConfiguration(_NOT_ITS_OWN)
    start = exports.get("_start")
    if not isinstance(start, FuncType) or start.params or start.results:
        raise InvalidConfiguration("the module exports no function named _start without parameters and results")


def has_start_section(content: bytes) -> bool:
    """Whether instantiating a valid module runs code of it."""
    at = 8
    while at < len(content):
        section, (size, at) = content[at], _leb128(content, at + 1)
        if section == _START_SECTION:
            return True
        at += size
    return False


def _leb128(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at
