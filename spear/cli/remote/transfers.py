"""Content on its way up or down: streamed, counted, checked by hash, taken up again where it broke."""

import os
import stat
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from spear.cli._progress import Progress
from spear.cli.remote.endings import Ended, Lost
from spear.cli.remote.naming import PIPE, is_plain_file, no_such, opened
from spear.cli.remote.server import SLICE, Server

_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Content:
    """Stored content as the server lists it."""

    path: str
    etag: str
    size: int
    sha256: str


class Upload:
    """A file, or what is piped in, as the body of a request; afterwards `sha256` says what was sent."""

    def __init__(self, source: BinaryIO, file: str) -> None:
        self._source, self.file = source, file
        self.name = "" if file == PIPE else Path(file).name
        info = os.fstat(source.fileno())
        self.size = info.st_size if file != PIPE and stat.S_ISREG(info.st_mode) else None
        self._digest, self._sent = sha256(), 0

    @property
    def headers(self) -> dict[str, str]:
        """The body's length; one that nobody knows is sent in chunks."""
        return {} if self.size is None else {"Content-Length": str(self.size)}

    @property
    def sha256(self) -> str:
        """The hash of what was sent."""
        return self._digest.hexdigest()

    def pieces(self, progress: Told) -> Iterator[bytes]:
        """The content in slices."""
        while piece := self._read():
            self._digest.update(piece)
            self._sent += len(piece)
            yield piece
            progress(self._sent, self.size or 0)
        if self.size not in (None, self._sent):
            raise Ended(f"{self.file}: it had {self.size} bytes, now {self._sent}; it changed while it was sent")

    def _read(self) -> bytes:
        most = SLICE if self.size is None else min(SLICE, self.size - self._sent)
        try:
            return self._source.read(most)
        except OSError as error:
            raise no_such("FILE", self.file, error) from None

    def check(self, told: str) -> None:
        """Raise `Ended` when the server kept something else than what was sent."""
        if told != self.sha256:
            raise Ended(f"{self.file}: sent content with the hash {self.sha256}, the server kept {told}")


@contextmanager
def uploading(file: str) -> Iterator[Upload]:
    """An upload of a file, or of standard input for `-`; raises `Ended` when there is no such file."""
    with opened(file) as source:
        yield Upload(source, file)


def takes_target(parser: ArgumentParser) -> None:
    """Where a download goes."""
    parser.add_argument("file", nargs="?", default=PIPE, metavar="FILE", help="where to (default: standard output)")


def download(server: Server, content: Content, file: str) -> None:
    """Bring content into a file, which appears whole and checked or not at all; or to standard output."""
    if file == PIPE:
        _Download(server, content).into(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    try:
        if is_plain_file(Path(file)):
            _by_part(server, content, Path(file))
        else:
            with open(file, "wb") as target:
                _Download(server, content).into(target)
    except OSError as error:
        raise no_such("FILE", file, error) from None


def _by_part(server: Server, content: Content, target: Path) -> None:
    part = target.with_name(f".{target.name}.{content.sha256[:16]}.part")
    with open(part, "a+b") as kept:
        load = _Download(server, content)
        load.resume(kept)
        try:
            load.into(kept)
        except Lost as error:
            message = f"{error.message}; {load.done} of {content.size} bytes are kept, the same command goes on"
            raise Lost(message, error.exit) from None
        except Ended:
            part.unlink()
            raise
    os.replace(part, target)


class _Download:
    """Content as far as it has come: `done` bytes, hashed."""

    def __init__(self, server: Server, content: Content) -> None:
        self._server, self._content = server, content
        self._digest, self.done = sha256(), 0

    def resume(self, kept: BinaryIO) -> None:
        """Count what an earlier download left, and stand at its end."""
        kept.seek(0)
        while piece := kept.read(SLICE):
            self._count(piece)
        if self.done > self._content.size:
            kept.truncate(0)
            self._digest, self.done = sha256(), 0

    def _count(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.done += len(piece)

    def into(self, target: BinaryIO) -> None:
        """Bring what is missing, in as many requests as it takes; raises `Lost` when the server stays away."""
        attempts = 0
        with Progress("download") as progress:
            while self.done < self._content.size:
                before = self.done
                try:
                    self._some(target, progress)
                except Lost:
                    attempts = 0 if self.done > before else attempts
                    if attempts == len(_DELAYS_S):
                        raise
                    time.sleep(_DELAYS_S[attempts])
                    attempts += 1
        if self._digest.hexdigest() != self._content.sha256:
            raise Ended(f"what arrived has the hash {self._digest.hexdigest()}, expected {self._content.sha256}")

    def _some(self, target: BinaryIO, progress: Told) -> None:
        headers = {"Range": f"bytes={self.done}-", "If-Range": self._content.etag} if self.done else {}
        with self._server.asked("GET", self._content.path, headers=headers) as answer:
            if answer.headers["ETag"] != self._content.etag or (self.done and answer.status != 206):
                raise Ended("the content changed while it was downloaded; the same command brings the new one")
            while self.done < self._content.size:
                piece = answer.read(min(SLICE, self._content.size - self.done))
                if not piece:
                    raise Lost(f"the connection to {self._server.where} was lost")
                target.write(piece)
                self._count(piece)
                progress(self.done, self._content.size)
