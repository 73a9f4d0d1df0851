"""Content-addressed bytes: the name of a blob is the SHA-256 of its content, and reading checks that it still is."""

import hashlib
import os
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO, TypeVar
from uuid import uuid4

from spear.errors import Corrupt, NotFound, Refused, StartupError, TooLarge, Unavailable
from spear.ports import Blob, Threads

T = TypeVar("T")

SLICE = 64 * 1024
REMEMBERED = 4096
HASH = re.compile(r"[0-9a-f]{64}")
SHARD = re.compile(r"[0-9a-f]{2}")


def _is_hash(name: str) -> bool:
    return HASH.fullmatch(name) is not None


def _slices(source: BinaryIO, limit: int) -> Iterator[bytes]:
    size = 0
    while piece := source.read(SLICE):
        size += len(piece)
        if size > limit:
            raise TooLarge(f"content: got more than {limit} bytes, expected at most {limit}", details={"limit": limit})
        yield piece


def _names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Scratch:
    """Content on its way in: a file without its final name, hashed while it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Unbuffered, so that closing after a failed write has nothing left to fail with.
        self._file = FileIO(path, "x")
        self._digest = hashlib.sha256()
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._size += len(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]

    def blob(self) -> Blob:
        return Blob(self._digest.hexdigest(), self._size)

    def move(self, place: Path) -> None:
        os.fsync(self._file.fileno())
        os.replace(self.path, place)

    def discard(self) -> None:
        self._file.close()
        _remove(self.path)


class _Claims:
    """Which content may not be deleted now, because an event that will name it is on its way."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    def hold(self, sha256: str) -> None:
        self._held[sha256] += 1

    def release(self, sha256: str) -> None:
        self._held[sha256] -= 1
        if self._held[sha256] <= 0:
            del self._held[sha256]

    def refuse_held(self, sha256: str) -> None:
        if self._held[sha256]:
            raise Refused(f"blob {sha256} is held by {self._held[sha256]} who are about to name it")


class FileBlobStore:
    """Blobs as files `root/ab/abcdef...`; disk work runs on `threads`, one process owns `root`."""

    def __init__(self, root: Path, threads: Threads) -> None:
        self._root = root
        self._tmp = root / "tmp"
        self._threads = threads
        self._intact: OrderedDict[tuple[str, int, int, int], bool] = OrderedDict()
        self._claims = _Claims()
        self.release = self._claims.release
        self._prepare()

    def put(self, source: BinaryIO, *, limit: int, hold: bool = False) -> Blob:
        """Stream `source` in; the content and its name are on disk when this returns, or nothing is kept.

        Raises `TooLarge` over `limit` bytes and `Unavailable` when the disk refuses; errors of `source` pass through.
        """
        with self._scratch() as scratch:
            for piece in _slices(source, limit):
                self._on_disk("store content", partial(scratch.add, piece))
            sha256 = scratch.blob().sha256
            self._claims.hold(sha256)  # before looking whether it is there already
            try:
                blob = self._on_disk("store content", partial(self._keep, scratch))
            except BaseException:  # whatever ends it, nothing stays behind; it goes on up
                self.release(sha256)
                raise
            if not hold:
                self.release(sha256)
            return blob

    @contextmanager
    def open(self, sha256: str) -> Iterator[BinaryIO]:
        """A seekable reader over content whose hash was checked, once per process for an unchanged file.

        Raises `NotFound`, `Corrupt` when the bytes do not match, and `Unavailable` when the disk refuses.
        """
        with self._on_disk("read content", partial(self._checked, sha256)) as file:
            yield file

    def delete(self, sha256: str) -> bool:
        """Forget the content; False when it was not there. Raises `Refused` while it is held."""
        self._claims.refuse_held(sha256)
        doomed = self._tmp / uuid4().hex
        try:
            self._place(sha256).rename(doomed)  # right here: nobody can begin to hold it between the look and this
        except (FileNotFoundError, NotFound):
            return False
        except OSError as error:
            raise Unavailable(f"the disk refused to delete content: {error.strerror or error}") from error
        return self._on_disk("delete content", partial(_remove, doomed))

    def list(self) -> Iterator[str]:
        """Every stored hash, in order."""
        for shard in filter(SHARD.fullmatch, self._on_disk("list content", partial(_names, self._root))):
            names = self._on_disk("list content", partial(_names, self._root / shard))
            yield from filter(_is_hash, names)

    def _prepare(self) -> None:
        try:
            self._tmp.mkdir(parents=True, exist_ok=True)
            for leftover in self._tmp.iterdir():
                leftover.unlink()
            _sync_directory(self._root.parent)
        except OSError as error:
            raise StartupError(f"blob directory {self._root}: {error.strerror or error}") from error

    def _place(self, sha256: str) -> Path:
        if not _is_hash(sha256):
            raise NotFound.noun("blob", sha256)
        return self._root / sha256[:2] / sha256

    def _on_disk(self, what: str, work: Callable[[], T]) -> T:
        try:
            return self._threads.call(work)
        except OSError as error:
            raise Unavailable(f"the disk refused to {what}: {error.strerror or error}") from error

    @contextmanager
    def _scratch(self) -> Iterator[_Scratch]:
        scratch = self._on_disk("store content", partial(_Scratch, self._tmp / uuid4().hex))
        try:
            yield scratch
        finally:
            scratch.discard()

    def _keep(self, scratch: _Scratch) -> Blob:
        blob = scratch.blob()
        place = self._place(blob.sha256)
        place.parent.mkdir(exist_ok=True)
        if not self._holds(blob.sha256):
            scratch.move(place)
        # Also for content that is there already: whoever wrote it may not have come this far.
        _sync_directory(place.parent)
        _sync_directory(self._root)
        return blob

    def _holds(self, sha256: str) -> bool:
        try:
            self._checked(sha256).close()
        except (NotFound, Corrupt):
            return False
        return True

    def _checked(self, sha256: str) -> BufferedReader:
        with ExitStack() as unless_intact:
            file = unless_intact.enter_context(self._reader(sha256))
            self._check(file, sha256)
            unless_intact.pop_all()
            return file

    def _reader(self, sha256: str) -> BufferedReader:
        try:
            return open(self._place(sha256), "rb")
        except FileNotFoundError:
            raise NotFound.noun("blob", sha256) from None

    def _check(self, file: BufferedReader, sha256: str) -> None:
        state = os.fstat(file.fileno())
        key = (sha256, state.st_mtime_ns, state.st_size, state.st_ino)
        if not self._intact.pop(key, False):
            self._compare(file, sha256)
        self._intact[key] = True
        if len(self._intact) > REMEMBERED:
            self._intact.popitem(last=False)

    def _compare(self, file: BufferedReader, sha256: str) -> None:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            where = f"{sha256[:2]}/{sha256}"
            raise Corrupt(f"blob {sha256}: {where} has SHA-256 {found}", details={"sha256": sha256, "file": where})
        file.seek(0)


class MemoryBlobStore:
    """Blobs in a dictionary, for tests and throw-away platforms; nothing outlives the process."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}
        self._claims = _Claims()
        self.release = self._claims.release

    def put(self, source: BinaryIO, *, limit: int, hold: bool = False) -> Blob:
        """Keep all of `source`; raise `TooLarge` over `limit` bytes."""
        content = b"".join(_slices(source, limit))
        blob = Blob(hashlib.sha256(content).hexdigest(), len(content))
        self._content[blob.sha256] = content
        if hold:
            self._claims.hold(blob.sha256)
        return blob

    @contextmanager
    def open(self, sha256: str) -> Iterator[BinaryIO]:
        """A seekable reader over the content; raise `NotFound`."""
        if sha256 not in self._content:
            raise NotFound.noun("blob", sha256)
        with BytesIO(self._content[sha256]) as file:
            yield file

    def delete(self, sha256: str) -> bool:
        """Forget the content; False when it was not there. Raises `Refused` while it is held."""
        self._claims.refuse_held(sha256)
        return self._content.pop(sha256, None) is not None

    def list(self) -> Iterator[str]:
        """Every stored hash, in order."""
        yield from sorted(self._content)
