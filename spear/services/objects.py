"""Objects: put, read, list, references, pins, delete."""

from collections.abc import Callable
from typing import BinaryIO

from spear.domain.object import Object
from spear.errors import Invalid, NotFound
from spear.events.record import Origin
from spear.projections import objects as views
from spear.projections.objects import ObjectRow
from spear.projections.reader import Reader
from spear.services.content import Content, Contents
from spear.services.unit import Unit, retrying

DEFAULT_BUCKET = "default"
RESULTS_BUCKET = "results"
_LONGEST_NAME = 1024


def split_name(name: str) -> tuple[str, str]:
    """Bucket and key of an object name: `bucket/key`, where the key may hold slashes; a bare key is in `default`."""
    bucket, slash, key = name.partition("/")
    if not slash:
        bucket, key = DEFAULT_BUCKET, name
    if not bucket or not key or len(name) > _LONGEST_NAME or not name.isprintable():
        raise Invalid.field("key", name, f"key or bucket/key of at most {_LONGEST_NAME} printable characters")
    return bucket, key


class Objects:
    """What can be asked of the object store."""

    def __init__(self, unit: Unit, reader: Reader, contents: Contents, *, max_object_size: int) -> None:
        self._unit, self._reader, self._contents, self._limit = unit, reader, contents, max_object_size

    def put(
        self,
        origin: Origin,
        name: str,
        source: BinaryIO,
        *,
        content_type: str,
        if_version: int | None = None,
        if_absent: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> ObjectRow:
        """Write a new version; raises `TooLarge`, or `PreconditionFailed` and keeps what was there."""
        bucket, key = split_name(name)
        kept = self._contents.keep(source, limit=self._limit)

        def attempt() -> ObjectRow:
            found = self._unit.blank_or_loaded(Object, Object.ident(bucket, key))
            found.put(
                bucket, key, sha256=kept.sha256, size=kept.size, inline=kept.inline, content_type=content_type,
                metadata=metadata, if_version=if_version, if_absent=if_absent,
            )  # fmt: skip
            self._unit.save(origin, found)
            return self.get(name)

        return retrying(attempt)

    def get(self, name: str, *, reader: Reader | None = None) -> ObjectRow:
        """The live version (or the one that `reader` sees); raises `NotFound`."""
        bucket, key = split_name(name)
        row = views.get_object(reader or self._reader, f"{bucket}/{key}")
        if row is None:
            raise NotFound.noun("object", name)
        return row

    def content(self, row: ObjectRow) -> Content:
        """Where the bytes of a version are."""
        return Content(row.sha256, row.size, row.inline)

    def add_ref(self, origin: Origin, name: str, count: int) -> ObjectRow:
        """Hold the object `count` times more."""
        self._tell(origin, name, lambda o: o.add_ref(count))
        return self.get(name)

    def remove_ref(self, origin: Origin, name: str, count: int) -> ObjectRow | None:
        """Let go `count` times; None when that deleted the object."""
        self._tell(origin, name, lambda o: o.remove_ref(count))
        return self._if_there(name)

    def pin(self, origin: Origin, name: str) -> ObjectRow:
        """Keep the object whatever its references say."""
        self._tell(origin, name, lambda o: o.pin())
        return self.get(name)

    def unpin(self, origin: Origin, name: str) -> ObjectRow | None:
        """Let references decide again; None when that deleted the object."""
        self._tell(origin, name, lambda o: o.unpin())
        return self._if_there(name)

    def delete(self, origin: Origin, name: str, *, force: bool = False, if_version: int | None = None) -> None:
        """Remove the object; a pinned one only by force."""
        self._tell(origin, name, lambda o: o.delete("deleted by request", force=force, if_version=if_version))

    def _if_there(self, name: str) -> ObjectRow | None:
        return views.get_object(self._reader, "/".join(split_name(name)))

    def _tell(self, origin: Origin, name: str, command: Callable[[Object], None]) -> None:
        bucket, key = split_name(name)

        def attempt() -> None:
            found = self._unit.blank_or_loaded(Object, Object.ident(bucket, key))
            if not found.present:
                raise NotFound.noun("object", name)
            command(found)
            self._unit.save(origin, found)

        retrying(attempt)
