"""Compiled modules by content: in memory while somebody uses them, on disk for the next process."""

import hashlib
import logging
import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from weakref import WeakValueDictionary

import wasmtime
from wasmtime import Module, Store, WasmtimeError

from spear.adapters.keeping import make_room, used
from spear.adapters.runtimes._checks import check_exports, check_header, first_line, has_start_section, not_compiled
from spear.adapters.runtimes._engine import Engine, Program
from spear.adapters.runtimes._native import Promise, allocate_lock, start_thread
from spear.errors import InvalidConfiguration, SpearError, Unavailable
from spear.ports import Bell

log = logging.getLogger(__name__)
_CONFIG = f"wasmtime-{version('wasmtime')}-epochs"


class Modules:
    """Compiles each content once, on a native thread of its own, however many ask for it; keeps up to `most_bytes` on disk."""

    def __init__(self, cache_dir: Path, engine: Engine, bell: Bell, *, most_bytes: int) -> None:
        self._cache_dir, self._engine, self._bell, self._most_bytes = cache_dir, engine, bell, most_bytes
        self._lock = allocate_lock()
        self._ready: WeakValueDictionary[str, Program] = WeakValueDictionary()
        self._jobs: dict[str, Promise[Program | SpearError]] = {}

    def get(self, content: bytes, sha256: str) -> Program:
        """The module ready to instantiate; raise `InvalidConfiguration` when it can never run."""
        with self._lock:
            if ready := self._ready.get(sha256):
                return ready
            job = self._jobs.get(sha256) or self._begin(content, sha256)
        made = job.wait()
        if isinstance(made, SpearError):
            raise made
        return made

    def close(self) -> None:
        """Wait until nothing compiles any more."""
        for job in list(self._jobs.values()):
            job.wait()

    def _begin(self, content: bytes, sha256: str) -> Promise[Program | SpearError]:
        job = self._jobs[sha256] = Promise[Program | SpearError](self._bell)
        start_thread(self._work, (content, sha256, job))
        return job

    def _work(self, content: bytes, sha256: str, job: Promise[Program | SpearError]) -> None:
        made: Program | SpearError = Unavailable("preparing the module broke off; the server's log says why")
        try:
            made = self._prepare(content, sha256)
        except InvalidConfiguration as error:
            made = error
        finally:
            with self._lock:
                if isinstance(made, Program):
                    self._ready[sha256] = made
                del self._jobs[sha256]
            job.settle(made)

    def _prepare(self, content: bytes, sha256: str) -> Program:
        check_header(content)
        module = self._cached(sha256) or self._compiled(content, sha256)
        check_exports(module)
        self._check_imports(module)
        try:
            return Program(self._engine.linker.instantiate_pre(module), has_start_section(content))
        except WasmtimeError as error:
            raise InvalidConfiguration(f"the module's imports do not fit: {first_line(error)}") from None

    def _check_imports(self, module: Module) -> None:
        store = Store(self._engine.wasmtime)
        missing = [f"{one.module}.{one.name}" for one in module.imports if not self._offers(store, one)]
        if missing:
            raise InvalidConfiguration(f"the module imports what SPEAR does not offer: {', '.join(missing)}")

    def _offers(self, store: Store, one: wasmtime.ImportType) -> bool:
        try:
            self._engine.linker.get(store, one.module, one.name or "")
        except WasmtimeError:
            return False
        return True

    # --- the cache on disk: NAME.<hash of the file>.cwasm, because compiled code is trusted blindly once it is loaded

    def _cached(self, sha256: str) -> Module | None:
        for path in self._cache_dir.glob(f"{sha256}.{_CONFIG}.*.cwasm"):
            try:
                if path.name.split(".")[-2] == hashlib.sha256(path.read_bytes()).hexdigest():
                    with suppress(OSError):
                        used(path)
                    return Module.deserialize_file(self._engine.wasmtime, str(path))
                log.warning("compiled module %s is damaged; compiling again", path)
            except (OSError, WasmtimeError) as error:
                log.warning("compiled module %s cannot be loaded (%s); compiling again", path, error)
        return None

    def _compiled(self, content: bytes, sha256: str) -> Module:
        try:
            module = Module(self._engine.wasmtime, content)
        except WasmtimeError as error:
            raise not_compiled(error) from None
        try:
            self._keep(module.serialize(), sha256)
        except OSError as error:
            log.warning("compiled module %s is not kept: %s", sha256, error)
        return module

    def _keep(self, code: bytearray, sha256: str) -> None:
        """Write beside and rename: running guests map the old file, so it must never change in place."""
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        target = self._cache_dir / f"{sha256}.{_CONFIG}.{hashlib.sha256(code).hexdigest()}.cwasm"
        draft = target.with_suffix(f".{os.getpid()}.tmp")
        draft.write_bytes(code)
        used(draft)
        os.replace(draft, target)
        make_room(self._cache_dir.glob("*.cwasm"), most_bytes=self._most_bytes)
