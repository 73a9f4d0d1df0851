"""Every runtime by the executable type that it runs; types with the same runtime share one of it."""

from collections.abc import Callable

from spear.adapters.runtimes.container import ContainerRuntime
from spear.adapters.runtimes.process import ProcessRuntime
from spear.adapters.runtimes.wasm import WasmRuntime
from spear.ports import Runtime

RUNTIMES: dict[str, Callable[..., Runtime]] = {
    "wasm": WasmRuntime.configured,
    "process": ProcessRuntime.configured,
    "binary": ProcessRuntime.configured,
    "script": ProcessRuntime.configured,
    "container": ContainerRuntime.configured,
}
