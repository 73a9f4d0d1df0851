"""The few C functions of wasmtime that every run and every hostcall needs, bound without wrappers."""

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_bool, c_char_p, c_int32, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from typing import Any

from wasmtime import Trap, WasmtimeError, _ffi

_short = ctypes.PyDLL(_ffi.dll._name)  # keeps the GIL: for calls of a few microseconds that call nobody back
_long = ctypes.CDLL(_ffi.dll._name)  # releases the GIL: for calls that may run guest code or return much memory


def _bind(library: ctypes.CDLL, name: str, result: Any, *parameters: Any) -> Callable[..., Any]:
    function = library[name]
    function.restype, function.argtypes = result, parameters
    return function


Extern = _ffi.wasmtime_extern_t
Instance = _ffi.wasmtime_instance_t
Val = _ffi.wasmtime_val_t
FuncTypePointer = _ffi.wasm_functype_t
TABLE, FUNCREF = _ffi.WASMTIME_EXTERN_TABLE.value, _ffi.WASMTIME_FUNCREF.value
Bytes = _ffi.wasm_byte_vec_t

EpochCallback = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, POINTER(c_uint64), POINTER(c_uint8))
# Arguments and results share one array of 16-byte slots.
HostCallback = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, POINTER(c_int32), c_size_t)

store_new = _bind(_short, "wasmtime_store_new", c_void_p, c_void_p, c_void_p, c_void_p)
store_context = _bind(_short, "wasmtime_store_context", c_void_p, c_void_p)
store_delete = _bind(_short, "wasmtime_store_delete", None, c_void_p)
store_delete_large = _bind(_long, "wasmtime_store_delete", None, c_void_p)
store_limiter = _bind(_short, "wasmtime_store_limiter", None, c_void_p, c_int64, c_int64, c_int64, c_int64, c_int64)
set_epoch_deadline = _bind(_short, "wasmtime_context_set_epoch_deadline", None, c_void_p, c_uint64)
set_epoch_callback = _bind(
    _short, "wasmtime_store_epoch_deadline_callback", None, c_void_p, EpochCallback, c_void_p, c_void_p
)

wasi_new = _bind(_short, "wasi_config_new", c_void_p)
wasi_argv = _bind(_short, "wasi_config_set_argv", c_bool, c_void_p, c_size_t, POINTER(c_char_p))
wasi_env = _bind(_short, "wasi_config_set_env", c_bool, c_void_p, c_size_t, POINTER(c_char_p), POINTER(c_char_p))
wasi_stdin = _bind(_short, "wasi_config_set_stdin_bytes", None, c_void_p, POINTER(Bytes))
bytes_new = _bind(_short, "wasm_byte_vec_new", None, POINTER(Bytes), c_size_t, c_char_p)
set_wasi = _bind(_short, "wasmtime_context_set_wasi", c_void_p, c_void_p, c_void_p)

_INSTANTIATE = "wasmtime_instance_pre_instantiate", c_void_p, c_void_p, c_void_p, POINTER(Instance), POINTER(c_void_p)
instantiate = _bind(_short, *_INSTANTIATE)
instantiate_and_start = _bind(_long, *_INSTANTIATE)
export_get = _bind(
    _short, "wasmtime_instance_export_get", c_bool, c_void_p, POINTER(Instance), c_char_p, c_size_t, POINTER(Extern)
)
func_call = _bind(
    _long,
    "wasmtime_func_call",
    *(c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, POINTER(c_void_p)),
)
export_nth = _bind(
    _short,
    "wasmtime_instance_export_nth",
    *(c_bool, c_void_p, POINTER(Instance), c_size_t, POINTER(c_char_p), POINTER(c_size_t), POINTER(Extern)),
)
table_get = _bind(_short, "wasmtime_table_get", c_bool, c_void_p, c_void_p, c_uint64, POINTER(Val))
func_type = _bind(_short, "wasmtime_func_type", c_void_p, c_void_p, c_void_p)
memory_data = _bind(_short, "wasmtime_memory_data", c_void_p, c_void_p, c_void_p)
memory_size = _bind(_short, "wasmtime_memory_data_size", c_size_t, c_void_p, c_void_p)
copy_in = _bind(ctypes.PyDLL(None), "memcpy", c_void_p, c_void_p, c_char_p, c_size_t)

define_func = _bind(
    _short,
    "wasmtime_linker_define_func_unchecked",
    *(c_void_p, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p, HostCallback, c_void_p, c_void_p),
)
trap_new = _bind(_short, "wasmtime_trap_new", c_void_p, c_char_p, c_size_t)
error_new = _bind(_short, "wasmtime_error_new", c_void_p, c_char_p)


def error_text(pointer: int) -> str:
    """Take an error over and say it in words."""
    error = WasmtimeError._from_ptr(ctypes.cast(pointer, POINTER(_ffi.wasmtime_error_t)))
    return str(error)


def trap_kind(pointer: int) -> str:
    """Take a trap over and say its kind in words, such as "integer division by zero"."""
    trap = Trap._from_ptr(ctypes.cast(pointer, POINTER(_ffi.wasm_trap_t)))
    code = trap.trap_code
    return code.name.lower().replace("_", " ") if code else trap.message
