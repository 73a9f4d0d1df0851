"""Prints how many seconds one cold run of the hello agent takes in SPEAR's runtime, from start to outcome."""

from gevent import monkey

monkey.patch_all()

import sys
from hashlib import sha256
from time import perf_counter

from loadtests.bench._common import ROOT, disk
from spear.adapters.hub import HubBell
from spear.adapters.runtimes.wasm import WasmInstance, WasmRuntime
from spear.adapters.system import SystemClock
from spear.adapters.threads import SWITCH_INTERVAL_S
from spear.ports import Artifact, Level, RunSpec, Stream

WARM_UP, RUNS = 200, 2000


class Nowhere:
    """Forgets every line."""

    written_bytes = 0

    def write(self, stream: Stream, level: Level, message: str) -> None:
        """Drop the line."""


def main() -> None:
    """Measure once."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    content = (ROOT / "samples/build/hello.wasm").read_bytes()
    with disk("runs") as folder, HubBell() as bell:
        runtime = WasmRuntime(folder, clock=SystemClock(), bell=bell, max_threads=1)
        instance = runtime.prepare(Artifact(lambda: (content, sha256(content).hexdigest())))
        _run(instance, WARM_UP)
        began = perf_counter()
        _run(instance, RUNS)
        print((perf_counter() - began) / RUNS)
        runtime.close()


def _run(instance: WasmInstance, times: int) -> None:
    for number in range(times):
        outcome = instance.start(RunSpec(str(number)), Nowhere()).result()
        if outcome.output != b"Hello from SPEAR!\n":
            raise SystemExit(f"unexpected outcome {outcome}")


if __name__ == "__main__":
    main()
