"""Runs one guest after the other on the calling native thread, each in a store of its own."""

import ctypes
from ctypes import byref, c_char_p, c_void_p
from dataclasses import dataclass
from typing import Any

from wasmtime import Config, InstancePre, Linker
from wasmtime import Engine as WasmtimeEngine

from spear.adapters.runtimes import _capi as capi
from spear.adapters.runtimes._endings import broken, exited, halted, refused
from spear.adapters.runtimes._epochs import Ticker
from spear.adapters.runtimes._guest import COMPUTING, Guest
from spear.adapters.runtimes._linking import link
from spear.adapters.runtimes._native import get_ident
from spear.adapters.runtimes._pool import keep_places
from spear.adapters.runtimes._wasi import MODULE, WASI_CALLS
from spear.hostcalls.table import HOSTCALLS
from spear.ports import Bell, Outcome, RunSpec

_PROGRAM_NAME = "agent"
_MOST_TABLE_ELEMENTS = 1_000_000
_MOST_TABLES = 10
_SMALL_MEMORY = 4 * 1024 * 1024
_EXPORTED = capi.Extern.of.offset  # where an extern holds the function or memory itself


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled module with its imports resolved; `starts_itself` when instantiating it already runs guest code."""

    code: InstancePre
    starts_itself: bool


def _config(most_guests: int) -> Config:
    config = Config()
    keep_places(config, most_guests)
    config.epoch_interruption = True
    config.wasm_memory64 = False  # hostcall pointers have 32 bits
    config.wasm_multi_memory = False  # the memory limit is per memory
    return config


class Engine:
    """Wasmtime, its linker with every hostcall, and up to `most_guests` that run now."""

    def __init__(self, bell: Bell, *, most_guests: int) -> None:
        self.wasmtime = WasmtimeEngine(_config(most_guests))
        self._pointer = ctypes.cast(self.wasmtime.ptr(), c_void_p)
        self._guests: dict[int, Guest] = {}
        self._epoch_callback = capi.EpochCallback(self._on_epoch)
        self.linker = Linker(self.wasmtime)
        self.linker.allow_shadowing = True
        self.linker.define_wasi()
        self._callbacks = link(self.linker, MODULE, WASI_CALLS, self._guests)
        self._callbacks += link(self.linker, "spear", HOSTCALLS, self._guests)
        self._ticker = Ticker(self.wasmtime.increment_epoch, self._guests, bell)

    def run(self, program: Program, guest: Guest, spec: RunSpec) -> Outcome:
        """Run one guest to its end on the calling thread and give back all that it held."""
        store = capi.store_new(self._pointer, None, None)
        self._guests[get_ident()] = guest
        self._ticker.guest_came()
        guest.begin()
        try:
            return self._run(program, guest, store, spec)
        finally:
            del self._guests[get_ident()]
            release = capi.store_delete if guest.memory_size() <= _SMALL_MEMORY else capi.store_delete_large
            release(store)
            guest.close()

    def close(self) -> None:
        """Stop ticking; no guest may run any more."""
        self._ticker.close()

    def _run(self, program: Program, guest: Guest, store: int, spec: RunSpec) -> Outcome:
        context = capi.store_context(store)
        self._confine(store, context, spec)
        place, trap = byref(capi.Instance()), c_void_p()
        instantiate = capi.instantiate_and_start if program.starts_itself else capi.instantiate
        error = instantiate(program.code.ptr(), context, place, byref(trap))
        if error and not guest.ended:
            return refused(guest, capi.error_text(error))
        if not error and not trap:
            guest.attach(context, _export(context, place, b"memory"), place)
            error = capi.func_call(context, _export(context, place, b"_start"), None, 0, None, 0, byref(trap))
        return _ended(guest, error, trap.value)

    def _confine(self, store: int, context: int, spec: RunSpec) -> None:
        capi.store_limiter(store, spec.limits.memory_bytes, _MOST_TABLE_ELEMENTS, 1, _MOST_TABLES, 1)
        capi.set_epoch_callback(store, self._epoch_callback, None, None)
        capi.set_epoch_deadline(context, 1)
        capi.set_wasi(context, _wasi(spec))

    def _on_epoch(self, _context: int, _data: int, delta: Any, kind: Any) -> int:
        guest = self._guests[get_ident()]
        if guest.must_stop():
            guest.action = COMPUTING
            return int(capi.error_new(b"stopped"))
        delta[0], kind[0] = 1, 0
        return 0


def _ended(guest: Guest, error: int | None, trap: int | None) -> Outcome:
    """Say how it ended; what it achieved itself counts before a stop that came too late."""
    text = capi.error_text(error) if error else capi.trap_kind(trap) if trap else ""
    if guest.exit_code is not None or not text:
        return exited(guest, guest.exit_code or 0)
    return halted(guest, guest.halted) if guest.halted else broken(guest, text)


def _export(context: int, instance: Any, name: bytes) -> Any:
    found = capi.Extern()
    capi.export_get(context, instance, name, len(name), byref(found))
    return byref(found, _EXPORTED)


def _wasi(spec: RunSpec) -> int:
    config = int(capi.wasi_new())
    arguments = _strings((_PROGRAM_NAME, *spec.args)) if spec.args else _NO_ARGUMENTS
    capi.wasi_argv(config, len(arguments), arguments)
    if spec.environment:
        capi.wasi_env(config, len(spec.environment), _strings(spec.environment), _strings(spec.environment.values()))
    if spec.input:
        stdin = capi.Bytes()
        capi.bytes_new(byref(stdin), len(spec.input), spec.input)
        capi.wasi_stdin(config, byref(stdin))
    return config


def _strings(texts: Any) -> Any:
    return (c_char_p * len(texts))(*[text.encode(errors="replace") for text in texts])


_NO_ARGUMENTS = _strings((_PROGRAM_NAME,))
