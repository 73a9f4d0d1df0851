"""Files: upload, read, delete."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from spear.domain.file import File
from spear.errors import NotFound
from spear.events.record import Committed, Origin
from spear.ports import BlobStore, Ids
from spear.projections import objects as views
from spear.projections.objects import FileRow
from spear.projections.reader import Reader
from spear.services.content import Content, stored
from spear.services.unit import Unit, as_uuid, retrying


class Files:
    """What can be asked of uploaded files; their bytes are in the blob store before the event that names them."""

    def __init__(self, unit: Unit, reader: Reader, blobs: BlobStore, *, ids: Ids, max_upload_bytes: int) -> None:
        self._unit, self._reader, self._blobs, self._ids, self._limit = unit, reader, blobs, ids, max_upload_bytes

    def upload(self, origin: Origin, source: BinaryIO, *, name: str, content_type: str) -> FileRow:
        """Store a file under a new id; raises `TooLarge` over the upload limit."""
        with stored(self._blobs, source, limit=self._limit) as blob:
            file = File(id=self._ids.new(), name=name, content_type=content_type, size=blob.size, sha256=blob.sha256)
            self._unit.save(origin, file)
        return self.get(str(file.id))

    def get(self, file_id: str, *, reader: Reader | None = None) -> FileRow:
        """The file's metadata; raises `NotFound`."""
        row = views.get_file(reader or self._reader, str(as_uuid("file", file_id)))
        if row is None:
            raise NotFound.noun("file", file_id)
        return row

    @contextmanager
    def open(self, file_id: str) -> Iterator[BinaryIO]:
        """A reader over a live file's verified bytes; raises `NotFound`."""
        with self._blobs.open(self.get(file_id).sha256) as reader:
            yield reader

    def content(self, row: FileRow) -> Content:
        """Where the bytes of a file are."""
        return Content(row.sha256, row.size, "")

    def delete(self, origin: Origin, file_id: str, reason: str) -> Committed:
        """Take the file away; raises `NotFound`."""

        def attempt() -> Committed:
            file = self._unit.get(File, file_id)
            file.delete(reason)
            return self._unit.save(origin, file)

        return retrying(attempt)
