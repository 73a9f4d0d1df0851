"""WebAssembly agents: compiled once, run on native threads, each run in a sandbox of its own."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from spear.abilities import Abilities
from spear.adapters.runtimes._engine import Engine, Program
from spear.adapters.runtimes._guest import Guest
from spear.adapters.runtimes._modules import Modules
from spear.adapters.runtimes._native import Promise, Workers, allocate_lock
from spear.adapters.runtimes.config import RuntimeConfig
from spear.errors import Unavailable
from spear.ports import Artifact, Bell, Clock, End, LogSink, Outcome, RunSpec

log = logging.getLogger(__name__)
_MIB = 1 << 20


class WasmRun:
    """One run: waiting for a thread, then running, then ended."""

    def __init__(self, program: Program, spec: RunSpec, guest: Guest, bell: Bell) -> None:
        self._program, self._spec, self._guest = program, spec, guest
        self._outcome: Promise[Outcome] = Promise(bell)
        self._claim = allocate_lock()  # whoever gets it first, the worker or `stop`, decides how the run goes on

    def result(self) -> Outcome:
        """Block this caller until the run ended."""
        return self._outcome.wait()

    def wait(self, timeout_s: float) -> bool:
        """Block this caller until the run ended; False when `timeout_s` ran out first."""
        return self._outcome.settled_within(timeout_s)

    def stop(self, reason: str) -> None:
        """End it within 200 ms as cancelled; harmless after the end; callable from any greenlet or thread."""
        self._guest.halt(End.CANCELLED, "terminated", f"terminated: {reason}")
        if self._claim.acquire(False):
            error = f"terminated: {reason}; the guest was still waiting for a thread"
            self._outcome.settle(Outcome(End.CANCELLED, error=error, reason="terminated", last_action="waiting"))

    def work(self, engine: Engine) -> None:
        """Run the guest on this native thread, unless it was stopped before."""
        if self._claim.acquire(False):
            self._outcome.settle(self._run(engine))

    def _run(self, engine: Engine) -> Outcome:
        try:
            return engine.run(self._program, self._guest, self._spec)
        except Exception as error:  # whatever goes wrong around foreign code ends this run, never the thread
            log.exception("execution %s: the runtime failed", self._spec.execution_id)
            return Outcome(End.FAILED, error=f"the runtime failed: {error!r}", reason="start")


class WasmInstance:
    """A prepared module; its runs share nothing but the code."""

    def __init__(self, runtime: "WasmRuntime", program: Program, sha256: str) -> None:
        self._runtime, self.sha256 = runtime, sha256
        self._program: Program | None = program
        self._runs: set[WasmRun] = set()

    def start(self, spec: RunSpec, logs: LogSink) -> WasmRun:
        """Start one run as soon as a thread is free; raise `Unavailable` after close."""
        if self._program is None:
            raise Unavailable("the instance is closed")
        return self._runtime.start(self._program, self._runs, spec=spec, logs=logs)

    def close(self) -> None:
        """Stop its runs and wait for their end; may be called twice."""
        self._program = None
        stop_all(self._runs, "its instance closes")


class WasmRuntime:
    """Runs WebAssembly modules on up to `max_threads` native threads; `bell` wakes who waits for them.

    Each run gets `environment` under its own, and may ask for `abilities`.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        clock: Clock,
        bell: Bell,
        max_threads: int,
        environment: Mapping[str, str] = {},
        abilities: Abilities | None = None,
        cache_bytes: int = 512 * _MIB,
    ) -> None:
        self._clock, self._bell, self._abilities = clock, bell, abilities
        self._engine = Engine(bell, most_guests=max_threads)
        self._modules = Modules(cache_dir, self._engine, bell, most_bytes=cache_bytes)
        self._workers = Workers(max_threads, bell)
        self._runs: set[WasmRun] = set()
        self._environment = environment
        self._closed = False

    @classmethod
    def configured(
        cls, config: RuntimeConfig, *, clock: Clock, bell: Bell, abilities: Abilities | None = None
    ) -> "WasmRuntime":
        """The runtime that `config` describes."""
        most, environment = config.resource_pool.max_workers, config.global_environment
        folder = Path(config.settings["cache_dir"])
        return cls(
            folder, clock=clock, bell=bell, max_threads=most, environment=environment, abilities=abilities,
            cache_bytes=config.spearlet_config.spearlet.max_cache_size_mb * _MIB,
        )  # fmt: skip

    def prepare(self, artifact: Artifact) -> WasmInstance:
        """Check and compile, blocking only the caller; raise `InvalidConfiguration` when it can never run."""
        self._check_open()
        content, sha256 = artifact.fetch()
        return WasmInstance(self, self._modules.get(content, sha256), sha256)

    def start(self, program: Program, siblings: set[WasmRun], *, spec: RunSpec, logs: LogSink) -> WasmRun:
        """Start one run and keep it among its `siblings` until it ends; raise `Unavailable` after close."""
        self._check_open()
        if self._environment:
            spec = replace(spec, environment={**self._environment, **spec.environment})
        guest = Guest(spec, logs, self._clock, bell=self._bell, abilities=self._abilities)
        run = WasmRun(program, spec, guest, self._bell)
        self._runs.add(run)
        siblings.add(run)

        def work() -> None:
            run.work(self._engine)
            self._runs.discard(run)
            siblings.discard(run)

        self._workers.put(work)
        return run

    def close(self) -> None:
        """Stop every run and release the threads; may be called twice."""
        self._closed = True
        self._modules.close()
        stop_all(self._runs, "the runtime closes")
        self._workers.close()
        self._engine.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the WebAssembly runtime is closed")


def stop_all(runs: set[WasmRun], reason: str) -> None:
    """Stop `runs` and wait for their end."""
    stopping = runs.copy()  # in one step, because worker threads change the set meanwhile
    for run in stopping:
        run.stop(reason)
    for run in stopping:
        run.result()
