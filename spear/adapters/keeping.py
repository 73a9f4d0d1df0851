"""Files that can be had again: a folder of them is bounded, and the least recently used make room."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import time_ns


def used(path: Path) -> None:
    """Say that this one was used just now, to the nanosecond: the kernel's own stamps cannot tell two in a row apart."""
    now = time_ns()
    os.utime(path, ns=(now, now))


def make_room(files: Iterable[Path], *, most_bytes: int) -> None:
    """Delete the least recently `used` until the rest has at most `most_bytes`; the newest stays in any case.

    Others may delete some of them meanwhile. Raises `OSError` when the disk refuses.
    """
    found = []
    for path in files:
        with suppress(FileNotFoundError):
            state = path.stat()
            found.append((state.st_mtime_ns, state.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found)[:-1]:
        if total <= most_bytes:
            return
        path.unlink(missing_ok=True)
        total -= size
