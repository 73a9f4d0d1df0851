"""Prints how many seconds one cold run of the hello agent takes with nothing but wasmtime-py's own calls."""

import os
from time import perf_counter

from wasmtime import Engine, Func, FuncType, InstancePre, Linker, Module, Store, ValType, WasiConfig

from loadtests.bench._common import ROOT

WARM_UP, RUNS = 200, 2000


def main() -> None:
    """Measure once."""
    engine = Engine()
    linker = Linker(engine)
    linker.define_wasi()
    linker.define_func("spear", "log", FuncType([ValType.i32()] * 3, [ValType.i32()]), lambda level, text, size: 0)
    program = linker.instantiate_pre(Module.from_file(engine, str(ROOT / "samples/build/hello.wasm")))
    _run(engine, program, WARM_UP)
    began = perf_counter()
    _run(engine, program, RUNS)
    print((perf_counter() - began) / RUNS)


def _run(engine: Engine, program: InstancePre, times: int) -> None:
    for _ in range(times):
        if (output := _hello(engine, program)) != b"Hello from SPEAR!\n":
            raise SystemExit(f"unexpected output {output!r}")


def _hello(engine: Engine, program: InstancePre) -> bytes:
    stdout = os.memfd_create("stdout")
    store, wasi = Store(engine), WasiConfig()
    wasi.stdout_file = f"/proc/self/fd/{stdout}"
    store.set_wasi(wasi)
    start = program.instantiate(store).exports(store)["_start"]
    assert isinstance(start, Func)
    start(store)
    output = os.pread(stdout, os.fstat(stdout).st_size, 0)
    os.close(stdout)
    return output


if __name__ == "__main__":
    main()
