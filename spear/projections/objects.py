"""Objects and files, and which stored content they still need: rows, folds, queries."""

import msgspec

from spear.domain.execution import Execution
from spear.domain.file import File
from spear.domain.object import Object
from spear.events.record import Recorded
from spear.projections.reader import Page, Reader
from spear.projections.tables import Sheets, Table


class ObjectRow(msgspec.Struct, gc=False):
    """The live version of an object; `name` is `bucket/key`."""

    name: str
    object_id: str
    bucket: str
    key: str
    version: int
    sha256: str
    size: int
    inline: str
    content_type: str
    metadata: dict[str, str]
    refs: int
    pinned: bool
    created_at_us: int
    updated_at_us: int


class FileRow(msgspec.Struct, gc=False):
    """An uploaded file; `seq` is the position of its upload."""

    id: str
    seq: int
    name: str
    content_type: str
    size: int
    sha256: str
    created_at_us: int


class BlobRow(msgspec.Struct, gc=False):
    """How many live things name stored content; `unused_since_us` is 0 while there are any."""

    sha256: str
    uses: int
    unused_since_us: int


OBJECTS = Table("objects", ObjectRow, fixed=("bucket", "key"), by="object_id")
FILES = Table("files", FileRow)
BLOBS = Table("blobs", BlobRow, ("unused_since_us, sha256",))


def _use(sheets: Sheets, sha256: str, change: int, time_us: int) -> None:
    row = sheets[BLOBS][sha256]
    if row is None:
        row = sheets[BLOBS][sha256] = BlobRow(sha256, 0, 0)
    row.uses += change
    row.unused_since_us = 0 if row.uses else time_us


def _put(sheets: Sheets, fact: Recorded, e: Object.ObjectPut) -> None:
    name = f"{e.bucket}/{e.key}"
    row = ObjectRow(
        name, fact.originator_id, e.bucket, e.key, e.object_version, e.sha256, e.size, e.inline, e.content_type,
        e.metadata, 1, False, fact.time_us, fact.time_us,
    )  # fmt: skip
    old = sheets[OBJECTS][row.object_id] if fact.version > 1 else None  # a stream's first event finds no row
    if old:
        row.refs, row.pinned, row.created_at_us = old.refs, old.pinned, old.created_at_us
        _let_go(sheets, old, fact)
    if not e.inline and e.size:
        _use(sheets, e.sha256, 1, fact.time_us)
    sheets[OBJECTS][row.object_id] = row


def _let_go(sheets: Sheets, row: ObjectRow, fact: Recorded) -> None:
    if not row.inline and row.size:
        _use(sheets, row.sha256, -1, fact.time_us)


def _live(sheets: Sheets, fact: Recorded) -> ObjectRow | None:
    row = sheets[OBJECTS][fact.originator_id]
    if row:
        row.updated_at_us = fact.time_us
    return row


def _ref_added(sheets: Sheets, fact: Recorded, e: Object.ObjectRefAdded) -> None:
    row = _live(sheets, fact)
    if row:
        row.refs += e.count


def _ref_removed(sheets: Sheets, fact: Recorded, e: Object.ObjectRefRemoved) -> None:
    row = _live(sheets, fact)
    if row:
        row.refs -= e.count


def _pinned(sheets: Sheets, fact: Recorded, e: Object.ObjectPinned) -> None:
    row = _live(sheets, fact)
    if row:
        row.pinned = True


def _unpinned(sheets: Sheets, fact: Recorded, e: Object.ObjectUnpinned) -> None:
    row = _live(sheets, fact)
    if row:
        row.pinned = False


def _deleted(sheets: Sheets, fact: Recorded, e: Object.ObjectDeleted) -> None:
    row = _live(sheets, fact)
    if row:
        _let_go(sheets, row, fact)
        sheets[OBJECTS].remove(row.object_id)


def _uploaded(sheets: Sheets, fact: Recorded, e: File.FileUploaded) -> None:
    row = FileRow(fact.originator_id, fact.position, e.name, e.content_type, e.size, e.sha256, fact.time_us)
    sheets[FILES][row.id] = row
    _use(sheets, e.sha256, 1, fact.time_us)


def _file_deleted(sheets: Sheets, fact: Recorded, e: File.FileDeleted) -> None:
    row = sheets[FILES][fact.originator_id]
    if row:
        _use(sheets, row.sha256, -1, fact.time_us)
        sheets[FILES].remove(row.id)


def _input_kept(sheets: Sheets, fact: Recorded, e: Execution.ExecutionRequested) -> None:
    if e.input_size and not e.input_inline:
        _use(sheets, e.input_sha256, 1, fact.time_us)


FOLDS = {
    Object.ObjectPut: _put,
    Object.ObjectRefAdded: _ref_added,
    Object.ObjectRefRemoved: _ref_removed,
    Object.ObjectPinned: _pinned,
    Object.ObjectUnpinned: _unpinned,
    Object.ObjectDeleted: _deleted,
    File.FileUploaded: _uploaded,
    File.FileDeleted: _file_deleted,
    Execution.ExecutionRequested: _input_kept,
}


def get_object(reader: Reader, name: str) -> ObjectRow | None:
    """One object's live version, by `bucket/key`."""
    return reader.get(OBJECTS, name)


def names_within(prefix: str, after: str) -> tuple[str, tuple[str, str]]:
    """A condition on `name` and its values: begins so, beyond the cursor. With one bound on each side, an index is entered there."""
    lower, value = (">", after) if after >= prefix else (">=", prefix)
    return f"name {lower} ? AND name <= ?", (value, prefix + "\U0010ffff")  # which is no part of any name


def list_objects(reader: Reader, *, prefix: str = "", after: str = "", limit: int = 100) -> tuple[list[ObjectRow], str]:
    """Objects by name, and the cursor that continues ("": no more)."""
    within, span = names_within(prefix, after)
    rows = reader.rows(OBJECTS, f"{within} ORDER BY name LIMIT ?", (*span, limit + 1))
    return rows[:limit], rows[limit - 1].name if len(rows) > limit else ""


def get_file(reader: Reader, file_id: str) -> FileRow | None:
    """One uploaded file."""
    return reader.get(FILES, file_id)


def list_files(reader: Reader, *, q: str = "", after: int = 0, offset: int = 0, limit: int = 100) -> Page[FileRow]:
    """Files, newest first; `q` is a part of the name or id."""
    if not q:
        return reader.page(FILES, {}, after=after, limit=limit, offset=offset, newest_first=True)
    like = "%" + q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    where = "(name LIKE ? ESCAPE '\\' OR id LIKE ? ESCAPE '\\')"
    total = reader.values(f"SELECT count(*) FROM files WHERE {where}", (like, like))[0][0]
    rows = reader.rows(
        FILES,
        f"{where} AND seq < ? ORDER BY seq DESC LIMIT ? OFFSET ?",
        (like, like, after or 2**62, limit + 1, offset),
    )
    return Page(rows[:limit], total, rows[limit - 1].seq if len(rows) > limit else 0)


def unused_blobs(reader: Reader, *, after: tuple[int, str], until_us: int, limit: int = 100) -> list[BlobRow]:
    """Content that nothing live has named since `until_us` or longer, oldest first; `after` is a time and a hash."""
    return reader.rows(
        BLOBS,
        "(unused_since_us, sha256) > (?, ?) AND unused_since_us > 0 AND unused_since_us <= ?"
        " ORDER BY unused_since_us, sha256 LIMIT ?",
        (*after, until_us, limit),
    )


def blob_uses(reader: Reader, sha256: str) -> int:
    """How many live things name this content."""
    row = reader.get(BLOBS, sha256)
    return row.uses if row else 0
