"""What instances of the process runtime start: commands of this node, and programs and scripts that tasks bring with them."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from gevent.util import wrap_errors

from spear.adapters.keeping import make_room, used
from spear.adapters.runtimes._commands import check_binary, check_script, found
from spear.adapters.runtimes._native import Promise, start_thread
from spear.domain.task import ExecutableType
from spear.errors import InvalidConfiguration, SpearError, Unavailable
from spear.ports import Artifact, Bell

T = TypeVar("T")
_HEAD = 4096
_NETWORK = "process.network"
_CHECKS = {ExecutableType.BINARY.value: check_binary, ExecutableType.SCRIPT.value: check_script}


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Program:
    """A program that was found and checked; `own` is one that came with its task, `network` whether it may use that."""

    path: str
    own: bool
    network: bool
    sha256: str = ""

    @contextmanager
    def content(self) -> Iterator[int | None]:
        """A descriptor of what came with the task, None for a command."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC) if self.own else None
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)


class Programs:
    """Finds commands in `roots`, everywhere if there are none, and keeps what comes with tasks, once for each content.

    Of what nobody uses any more, up to `most_bytes` are kept.
    """

    def __init__(self, folder: Path, bell: Bell, *, roots: Sequence[Path], most_bytes: int) -> None:
        self._folder, self._most_bytes = folder.absolute(), most_bytes  # a keeper starts programs elsewhere
        self._bell, self._roots = bell, roots
        self._in_use: WeakValueDictionary[str, Program] = WeakValueDictionary()

    def get(self, artifact: Artifact) -> Program:
        """What the artifact names; raise `InvalidConfiguration` when it can never run. Blocks only the caller."""
        network = _network(artifact.config.get(_NETWORK, "false"))
        if artifact.kind not in _CHECKS:
            path = self._aside(lambda: found(artifact.uri, roots=self._roots))
            return Program(path, own=False, network=network)
        content, sha256 = artifact.fetch()
        _CHECKS[artifact.kind](content[:_HEAD], self._roots, what=f"the {artifact.kind}")
        program = Program(str(self._folder / sha256), own=True, network=network, sha256=sha256)
        self._in_use[sha256] = program
        self._aside(lambda: self._keep(content, sha256))
        return program

    def _aside(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, done on a native thread of its own."""
        done: Promise[T | Exception] = Promise(self._bell)
        start_thread(lambda: done.settle(wrap_errors((OSError, SpearError), work)()), ())
        made = done.wait()
        if isinstance(made, OSError):
            raise Unavailable(f"the program cannot be kept: {made}") from made
        if isinstance(made, Exception):
            raise made
        return made

    def _keep(self, content: bytes, sha256: str) -> None:
        path = self._folder / sha256
        if _holds(path, sha256):
            used(path)
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.{id(content)}.tmp")  # never in place: somebody may be running it
        draft.write_bytes(content)
        draft.chmod(0o500)
        used(draft)
        os.replace(draft, path)
        idle = (one for one in self._folder.iterdir() if not one.suffix and one.name not in self._in_use)
        make_room(idle, most_bytes=self._most_bytes)


def _holds(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def _network(said: str) -> bool:
    if said not in ("true", "false"):
        raise InvalidConfiguration(f"config.{_NETWORK}: got {said!r}, expected true or false")
    return said == "true"
