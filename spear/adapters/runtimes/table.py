"""Every runtime by the executable type that it runs."""

from spear.adapters.runtimes.wasm import WasmRuntime

RUNTIMES = {"wasm": WasmRuntime.configured}
