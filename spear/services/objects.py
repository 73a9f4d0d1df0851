"""Objects: put, read, list, references, pins, delete."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from spear.domain.object import DEFAULT_BUCKET, RESULTS_BUCKET, Object, result_key
from spear.errands import FarObject, Holders
from spear.errors import Corrupt, Invalid, NotFound, PreconditionFailed, Refused, SpearError, TooLarge, Unavailable
from spear.events.record import Committed, Origin
from spear.projections import objects as views
from spear.projections.executions import ExecutionRow
from spear.projections.objects import ObjectRow
from spear.projections.reader import Reader
from spear.services.content import Content, Contents
from spear.services.unit import Unit, retrying

HELD_ELSEWHERE = "HELD_ELSEWHERE"
_LONGEST_NAME = 1024
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"  # what is left of bytes that are not UTF-8


def split_name(name: str) -> tuple[str, str]:
    """Bucket and key of an object name: `bucket/key`, where the key may hold slashes; a bare key is in `default`."""
    bucket, slash, key = name.partition("/")
    if not slash:
        bucket, key = DEFAULT_BUCKET, name
    if not bucket or not key or len(name) > _LONGEST_NAME or not name.isprintable() or _UNREADABLE in name:
        raise Invalid.field("key", name, f"key or bucket/key of at most {_LONGEST_NAME} printable characters")
    return bucket, key


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be true of an object for a write: that it has this version or this content, is absent, or is present."""

    version: int | None = None
    absent: bool = False
    present: bool = False
    sha256: str = ""

    def check(self, current: int, sha256: str) -> None:
        """Raise `PreconditionFailed` unless it holds for an object of version `current` (0: there is none)."""
        wanted = _expected(self, current, sha256)
        if wanted:
            raise PreconditionFailed(
                f"the object's version is {current or 'none'}, expected {wanted}; read it again",
                details={"version": current} if current else {},
            )


def _expected(condition: Condition, current: int, sha256: str) -> str:
    if condition.absent and current:
        return "no object"
    if condition.present and not current:
        return "any version"
    if condition.sha256 and condition.sha256 != (sha256 if current else ""):
        return f"content with the SHA-256 {condition.sha256}"
    return "" if condition.version in (None, current) else f"version {condition.version}"


ALWAYS = Condition()


@dataclass(frozen=True, slots=True)
class Written:
    """What one write left behind: the object's version, references and pin, and whether it is (newly) there."""

    name: str
    version: int
    refs: int
    pinned: bool
    present: bool
    created: bool
    committed: Committed


class Objects:
    """What can be asked of the object store."""

    def __init__(
        self, unit: Unit, reader: Reader, contents: Contents, *, max_object_size: int, holders: Holders | None = None
    ) -> None:
        self._unit, self._reader, self._contents, self._limit = unit, reader, contents, max_object_size
        self._holders = holders

    def put(
        self,
        origin: Origin,
        name: str,
        source: BinaryIO,
        *,
        content_type: str,
        condition: Condition = ALWAYS,
        metadata: dict[str, str] | None = None,
    ) -> tuple[Written, Content]:
        """Write a new version; raises `TooLarge`, or `PreconditionFailed` and keeps what was there."""
        bucket, key = split_name(name)
        self._refuse_early(f"{bucket}/{key}", condition)
        with self._contents.keep(source, limit=self._limit) as kept:

            def put(found: Object) -> None:
                found.put(
                    bucket, key, sha256=kept.sha256, size=kept.size, inline=kept.inline, content_type=content_type,
                    metadata=metadata,
                )  # fmt: skip

            return self._tell(origin, name, put, condition=condition), kept

    def _refuse_early(self, name: str, condition: Condition) -> None:
        if condition != ALWAYS:
            row = views.get_object(self._reader, name)
            condition.check(row.version if row else 0, row.sha256 if row else "")

    def look(self, name: str, *, reader: Reader | None = None) -> ObjectRow | None:
        """The live version that this process has (or had, as `reader` sees it), None for none."""
        return views.get_object(reader or self._reader, "/".join(split_name(name)))

    def get(self, name: str) -> ObjectRow:
        """The live version that this process has; raises `NotFound`."""
        row = self.look(name)
        if row is None:
            raise NotFound.noun("object", name)
        return row

    def elsewhere(self, name: str) -> FarObject | None:
        """An object that this process lacks, as who has it has it; None where nobody is known. Raises `Unavailable`."""
        return self._holders.find("/".join(split_name(name))) if self._holders else None

    def read(self, name: str, found: FarObject) -> bytes:
        """All of it; raises `Unavailable`, `Corrupt`, or `TooLarge` when it is larger than an object may be here."""
        if found.size > self._limit:
            text = f"object {name}: it has {found.size} bytes, the limit is {self._limit} bytes"
            raise TooLarge(text, details={"limit": self._limit})
        with found.open_at(0) as reader:
            return reader.read()

    def result_elsewhere(self, row: ExecutionRow) -> bytes | SpearError | None:
        """The output of an execution that another node ran, or why it cannot be had now; None when it was deleted there."""
        if not row.output_size:
            return b""
        name = f"{RESULTS_BUCKET}/{result_key(row.task_id, row.execution_id)}"
        try:
            found = self.elsewhere(name)
            return self.read(name, found) if found else None
        except (Unavailable, Corrupt, TooLarge) as error:
            return error

    def content(self, row: ObjectRow) -> Content:
        """Where the bytes of a version are."""
        return Content(row.sha256, row.size, row.inline)

    def add_ref(self, origin: Origin, name: str, count: int) -> Written:
        """Hold the object `count` times more."""
        return self._tell_present(origin, name, lambda o: o.add_ref(count))

    def remove_ref(self, origin: Origin, name: str, count: int) -> Written:
        """Let go `count` times; at zero an unpinned object is gone."""
        return self._tell_present(origin, name, lambda o: o.remove_ref(count))

    def pin(self, origin: Origin, name: str) -> Written:
        """Keep the object whatever its references say."""
        return self._tell_present(origin, name, lambda o: o.pin())

    def unpin(self, origin: Origin, name: str) -> Written:
        """Let references decide again; an object without any is gone."""
        return self._tell_present(origin, name, lambda o: o.unpin())

    def delete(self, origin: Origin, name: str, *, force: bool = False, condition: Condition = ALWAYS) -> Written:
        """Remove the object; a pinned one only by force. Raises `PreconditionFailed`, and `Refused` for one of a node."""
        reason = "deleted by request"
        return self._tell_present(origin, name, lambda o: o.delete(reason, force=force), condition=condition)

    def _tell_present(
        self, origin: Origin, name: str, command: Callable[[Object], None], *, condition: Condition = ALWAYS
    ) -> Written:
        def tell(found: Object) -> None:
            if not found.present:
                raise NotFound.noun("object", name)
            command(found)

        try:
            return self._tell(origin, name, tell, condition=condition)
        except (NotFound, PreconditionFailed):
            self._refuse_held(name)
            raise

    def _refuse_held(self, name: str) -> None:
        """Raise `Refused` for what this process lacks and a node has, who alone changes it."""
        lacking = self._holders is not None and self.look(name) is None
        node_uuid = self._holders.holder("/".join(split_name(name))) if self._holders and lacking else ""
        if node_uuid:
            text = f"object {name}: node {node_uuid} has it, and it is changed and deleted there alone"
            raise Refused(text, code=HELD_ELSEWHERE, details={"node_uuid": node_uuid})

    def _tell(self, origin: Origin, name: str, command: Callable[[Object], None], *, condition: Condition) -> Written:
        bucket, key = split_name(name)

        def attempt() -> Written:
            found = self._unit.blank_or_loaded(Object, Object.ident(bucket, key))
            was_there = found.present
            condition.check(found.object_version if was_there else 0, found.sha256)
            command(found)
            committed = self._unit.save(origin, found)
            return _written(f"{bucket}/{key}", found, was_there, committed)

        return retrying(attempt)


def _written(name: str, found: Object, was_there: bool, committed: Committed) -> Written:
    return Written(
        name,
        found.object_version,
        found.refs,
        found.pinned,
        present=found.present,
        created=found.present and not was_there,
        committed=committed,
    )
