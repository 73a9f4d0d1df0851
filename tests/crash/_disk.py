"""A disk that can be imagined at any moment of the past, as it might be after a power cut."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

import apsw

SECTOR = 512


class Write(NamedTuple):
    """Bytes handed to the operating system, not yet on the disk."""

    file: str
    offset: int
    data: bytes


class Truncate(NamedTuple):
    """A file cut to `size`, not yet on the disk."""

    file: str
    size: int


class Sync(NamedTuple):
    """Everything written to one file so far is on the disk."""

    file: str


class Delete(NamedTuple):
    """A name removed, not yet on the disk."""

    file: str


class Acknowledged(NamedTuple):
    """A caller was told that everything up to `position` is durable."""

    position: int


Step = Write | Truncate | Sync | Delete | Acknowledged


class RecordingFile(apsw.VFSFile):
    """Does what the operating system does, and writes down what that was."""

    def __init__(self, name, flags: list[int], steps: list[Step]) -> None:
        super().__init__("unix", name, flags)
        path = name if isinstance(name, str | None) else name.filename()
        self._name, self._steps = Path(path or "").name, steps

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._steps.append(Write(self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._steps.append(Truncate(self._name, size))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._steps.append(Sync(self._name))


class RecordingVFS(apsw.VFS):
    """The default file system of its process from when it is made; records into `steps`."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__("recording", "unix", makedefault=True)
        self._steps = steps

    def xOpen(self, name, flags: list[int]) -> RecordingFile:
        return RecordingFile(name, flags, self._steps)

    def xDelete(self, name: str, sync_directory: bool) -> None:
        super().xDelete(name, sync_directory)
        self._steps.append(Delete(Path(name).name))


Keep = Callable[[int, int], bool]
Mode = Callable[[Random, int], Keep]


def nothing(random: Random, count: int) -> Keep:
    """Only what was synced."""
    return lambda write, sector: False


def everything(random: Random, count: int) -> Keep:
    """All that was written, synced or not."""
    return lambda write, sector: True


def torn(random: Random, count: int) -> Keep:
    """The first writes in order, the last of them only up to some sector."""
    last, sectors = random.randrange(count + 1), random.randrange(10)
    first: list[int] = []

    def keep(write: int, sector: int) -> bool:
        if write == last:
            first.append(sector)
            return sector < first[0] + sectors
        return write < last

    return keep


def reordered(random: Random, count: int) -> Keep:
    """Each sector as it was at a moment of its own."""
    moments: dict[int, int] = {}
    return lambda write, sector: write < moments.setdefault(sector, random.randrange(count + 1))


MODES: tuple[Mode, ...] = (nothing, everything, torn, reordered, reordered)


@dataclass
class File:
    """One file: what is on the disk, and what is on its way."""

    durable: bytes = b""
    pending: list[Write | Truncate] = field(default_factory=list)
    named: bool = False

    def content(self, keep: Keep) -> bytes:
        """What is there when only the sectors of the writes that `keep` chooses arrived."""
        found = bytearray(self.durable)
        for number, step in enumerate(self.pending):
            if isinstance(step, Write):
                write_sectors(found, step, lambda sector, number=number: keep(number, sector))
            elif keep(number, step.size // SECTOR):
                del found[step.size :]
        return bytes(found)


def write_sectors(found: bytearray, step: Write, keep: Callable[[int], bool]) -> None:
    """Apply the parts of a write that lie in sectors that `keep` chooses."""
    end = step.offset + len(step.data)
    for sector in range(step.offset // SECTOR, -(-end // SECTOR)):
        if keep(sector):
            start, stop = max(step.offset, sector * SECTOR), min(end, (sector + 1) * SECTOR)
            found.extend(bytes(max(0, start - len(found))))
            found[start:stop] = step.data[start - step.offset : stop - step.offset]


class Disk:
    """One directory. `images` are what a power cut could leave of it now."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.removed: dict[str, File] = {}

    def apply(self, step: Step) -> None:
        """Go on by one step."""
        match step:
            case Write() | Truncate():
                self.files.setdefault(step.file, File()).pending.append(step)
            case Sync():
                self.sync(step.file)
            case Delete() if step.file in self.files:
                self.removed[step.file] = self.files.pop(step.file)

    def sync(self, name: str) -> None:
        """As SQLite syncs: a new file's first sync also syncs the directory, with all names in it."""
        file = self.files.setdefault(name, File())
        file.durable, file.pending = file.content(lambda write, sector: True), []
        if not file.named and not name.endswith(".db"):
            self.removed.clear()
            for other in self.files.values():
                other.named = True

    def image(self, random: Random, mode: Mode) -> dict[str, bytes]:
        """The files after a power cut now."""
        return {
            name: file.content(mode(random, len(file.pending)))
            for name, file in self.possible_names(random, surely=mode is everything)
        }

    def possible_names(self, random: Random, *, surely: bool) -> Iterator[tuple[str, File]]:
        """Which file each name leads to; creations and removals that were not synced may or may not have happened."""
        for name in self.files.keys() | self.removed.keys():
            new, old = self.files.get(name), self.removed.get(name)
            happened = surely or (new is not None and new.named) or random.random() < 0.5
            file = new if happened else old
            if file is not None:
                yield name, file
