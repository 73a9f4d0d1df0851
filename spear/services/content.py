"""Bytes that events speak of: small ones travel inside the event, large ones are stored by their hash first."""

import io
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from hashlib import sha256
from typing import BinaryIO, NamedTuple

from spear.errors import Corrupt, NotFound, SpearError, TooLarge
from spear.ports import Blob, BlobStore

INLINE_BYTES = 4096


class Content(NamedTuple):
    """Content as an event names it; `inline` is base64, and empty when the bytes are in the blob store."""

    sha256: str
    size: int
    inline: str

    @property
    def stored(self) -> bool:
        """Whether the bytes are in the blob store."""
        return bool(self.size) and not self.inline


class Contents:
    """Keeps and reads content; what is kept stays at least until the `with` ends, by when an event names it."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def keep_bytes(self, data: bytes) -> AbstractContextManager[Content]:
        """Keep bytes that are in memory already."""
        if len(data) <= INLINE_BYTES:
            return nullcontext(Content(sha256(data).hexdigest(), len(data), b64encode(data).decode()))
        return self._keep_large(io.BytesIO(data), limit=len(data))

    @contextmanager
    def keep(self, source: BinaryIO, *, limit: int) -> Iterator[Content]:
        """Keep a stream of unknown length; raises `TooLarge` over `limit` bytes."""
        head = _read_up_to(source, INLINE_BYTES + 1)
        if len(head) > limit:
            raise TooLarge(f"the content is larger than the limit of {limit} bytes", details={"limit": limit})
        if len(head) <= INLINE_BYTES:
            with self.keep_bytes(head) as kept:
                yield kept
            return
        with self._keep_large(_Rejoined(head, source), limit=limit) as kept:  # type: ignore[arg-type]
            yield kept

    @contextmanager
    def _keep_large(self, source: BinaryIO, *, limit: int) -> Iterator[Content]:
        with stored(self._blobs, source, limit=limit) as blob:
            yield Content(blob.sha256, blob.size, "")

    @contextmanager
    def open(self, content: Content, *, live: bool = True) -> Iterator[BinaryIO]:
        """A seekable reader over verified content; raises `Corrupt`, also when the bytes are gone.

        Content that is not `live`, of the past, may have been collected: `NotFound`.
        """
        if not content.stored:
            yield io.BytesIO(_inline(content))
            return
        with ExitStack() as stack:
            try:
                reader = stack.enter_context(self._blobs.open(content.sha256))
            except NotFound:
                raise _gone(content.sha256, live) from None
            yield reader

    def read(self, content: Content) -> bytes:
        """All of it."""
        with self.open(content) as reader:
            return reader.read()


@contextmanager
def stored(blobs: BlobStore, source: BinaryIO, *, limit: int) -> Iterator[Blob]:
    """Content that nobody can delete before the `with` ends; raises what `BlobStore.put` does."""
    blob = blobs.put(source, limit=limit, hold=True)
    try:
        yield blob
    finally:
        blobs.release(blob.sha256)


def _gone(sha256: str, live: bool) -> SpearError:
    details = {"sha256": sha256}
    if live:
        return Corrupt(f"the content {sha256} is missing from the store", details=details)
    return NotFound(f"the content {sha256} of that time was collected", code="CONTENT_COLLECTED", details=details)


def _inline(content: Content) -> bytes:
    data = b64decode(content.inline)
    if sha256(data).hexdigest() != content.sha256:
        raise Corrupt(f"the content does not match its hash {content.sha256}", details={"sha256": content.sha256})
    return data


def _read_up_to(source: BinaryIO, count: int) -> bytes:
    parts = []
    while count and (part := source.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were already read."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def read(self, count: int = -1) -> bytes:
        if self._head:
            taken, self._head = (self._head, b"") if count < 0 else (self._head[:count], self._head[count:])
            return taken
        return self._rest.read(count)
