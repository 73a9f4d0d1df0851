"""Brings content that the log names, but does not hold, from the SMS to its standby."""

import io
import logging
from pathlib import Path
from typing import Protocol

from spear.domain.execution import Execution
from spear.domain.file import File
from spear.domain.object import Object
from spear.errors import Corrupt, NotFound, TooLarge, Unavailable
from spear.events.log import EventLog
from spear.events.mapper import payload
from spear.events.record import Recorded
from spear.ports import BlobStore
from spear.projections.objects import blob_uses
from spear.projections.reader import Reader
from spear.protocols import bus
from spear.services.content import Content
from spear.services.following import Following

log = logging.getLogger(__name__)
_TOPICS = ("file.FileUploaded", "object.ObjectPut", "execution.ExecutionRequested")
_PAGE = 100


class Source(Protocol):
    """Who has the content."""

    def fetch(self, sha256: str, offset: int) -> bus.Piece:
        """Some bytes of content from `offset`; raises `NotFound`, and `Unavailable` when it is away."""
        ...


class Fetcher:
    """Follows the copied log behind its standby, with a bookmark; content that is here already is not asked for."""

    def __init__(
        self,
        events: EventLog,
        reader: Reader,
        blobs: BlobStore,
        source: Source,
        following: Following,
        *,
        bookmark: Path,
    ) -> None:
        self._events, self._reader, self._blobs, self._source = events, reader, blobs, source
        self._following, self._bookmark = following, bookmark
        following.content = self._read()

    def fetch(self) -> None:
        """Bring what is missing up to the log's head; raises `Unavailable` when that must be tried again."""
        while (after := self._following.content) < (head := self._events.head):
            facts = self._events.since(after, limit=_PAGE, topics=_TOPICS)
            for fact in facts:
                if named := _named(fact):
                    self._bring(named.sha256, named.size)
            self._write(facts[-1].position if len(facts) == _PAGE else head)

    def _bring(self, sha256: str, size: int) -> None:
        if blob_uses(self._reader, sha256) == 0 or self._here(sha256):
            return
        try:
            blob = self._blobs.put(_Pieces(self._source, sha256), limit=size)  # type: ignore[arg-type]
        except (NotFound, Corrupt, TooLarge) as error:
            log.error("content %s cannot be had from the SMS: %s", sha256, error.message)
            return
        if blob.sha256 != sha256:
            self._blobs.delete(blob.sha256)
            log.error("what the SMS gave as content %s is %s; it was not kept", sha256, blob.sha256)

    def _here(self, sha256: str) -> bool:
        try:
            with self._blobs.open(sha256):
                return True
        except (NotFound, Corrupt):
            return False

    def _read(self) -> int:
        try:
            return min(int(self._bookmark.read_text()), self._events.head)
        except (OSError, ValueError):
            return 0

    def _write(self, position: int) -> None:
        try:
            self._bookmark.write_text(str(position))
        except OSError as error:
            raise Unavailable(f"{self._bookmark}: cannot write the bookmark: {error.strerror}") from error
        self._following.content = position


def _named(fact: Recorded) -> Content | None:
    """The stored content that the fact names, if it does."""
    event = payload(fact)
    if isinstance(event, File.FileUploaded):
        return Content(event.sha256, event.size, "")  # of any size
    named = Content("", 0, "")
    if isinstance(event, Object.ObjectPut):
        named = Content(event.sha256, event.size, event.inline)
    elif isinstance(event, Execution.ExecutionRequested):
        named = Content(event.input_sha256, event.input_size, event.input_inline)
    return named if named.stored else None


class _Pieces(io.RawIOBase):
    """Content as a stream, fetched piece by piece."""

    def __init__(self, source: Source, sha256: str) -> None:
        self._source, self._sha256 = source, sha256
        self._offset, self._left, self._size = 0, memoryview(b""), -1

    def read(self, count: int = -1) -> bytes:
        if not self._left and self._offset != self._size:
            piece = self._source.fetch(self._sha256, self._offset)
            self._left, self._size = memoryview(piece.data), piece.size
            self._offset += len(piece.data)
            if not piece.data and self._offset != self._size:
                raise Corrupt(f"content {self._sha256} ended at byte {self._offset} of {self._size}")
        taken, self._left = self._left[:count], self._left[count:]
        return bytes(taken)
