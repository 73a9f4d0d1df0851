"""One process per log: an advisory lock whose holder can be named."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from spear.errors import StartupError


class DirectoryLock:
    """Held from `with` to the end of the process; a second holder is refused by the first one's name."""

    def __init__(self, path: Path, *, holder: str) -> None:
        self._path = path
        self._holder = holder
        self._fd = -1

    def __enter__(self) -> Self:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._fd, 200).decode(errors="replace").strip() or "another process"
            self.close()
            raise StartupError(f"data directory {self._path.parent} is in use by {owner}") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{self._holder} (pid {os.getpid()})\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
