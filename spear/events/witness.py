"""A note beside the log of how far it reached, so that a log that lost its end is noticed."""

import os
import struct
from hashlib import sha256
from pathlib import Path

_SLOT = struct.Struct(">Q32s8s")


class Witness:
    """Remembers the last durable position and its hash; written after each commit, two slots in turn, never synced.

    What it says was durable before it was said: a log that ends earlier has lost acknowledged events.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._fd = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT) | os.O_CLOEXEC, 0o640)
        if not read_only:
            os.posix_fallocate(self._fd, 0, 2 * _SLOT.size)  # so that a full disk cannot refuse a note
        self._slot = 0

    def note(self, position: int, digest: bytes) -> None:
        """Remember that the log reaches `position`."""
        body = _SLOT.pack(position, digest, b"")[:40]
        os.pwrite(self._fd, body + sha256(body).digest()[:8], self._slot * _SLOT.size)
        self._slot ^= 1

    def latest(self) -> tuple[int, bytes]:
        """The furthest intact note; (0, zeros) when there is none."""
        return max(self.notes(), default=(0, bytes(32)))

    def notes(self) -> list[tuple[int, bytes]]:
        """Every intact note: a position and its hash."""
        return [note for slot in (0, 1) if (note := _intact(self._read(slot))) is not None]

    def damage(self) -> list[int]:
        """The byte offsets of slots that hold something, but no intact note."""
        return [slot * _SLOT.size for slot in (0, 1) if any(self._read(slot)) and _intact(self._read(slot)) is None]

    def close(self) -> None:
        """Release the file; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self, slot: int) -> bytes:
        return os.pread(self._fd, _SLOT.size, slot * _SLOT.size)


def _intact(raw: bytes) -> tuple[int, bytes] | None:
    if len(raw) < _SLOT.size or raw[40:] != sha256(raw[:40]).digest()[:8]:
        return None
    position, digest, _ = _SLOT.unpack(raw)
    return position, digest
