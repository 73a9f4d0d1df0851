"""The tools that look back: as-of, diff."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw
import msgspec

from spear.cli._place import Place, find, opened, position_of
from spear.cli._progress import Progress
from spear.cli._text import aligned, as_json, cell, plain, title
from spear.errors import Invalid
from spear.events.recorder import ApswRecorder
from spear.projections.executions import EXECUTIONS
from spear.projections.instances import INSTANCES
from spear.projections.nodes import NODES, RESOURCES
from spear.projections.objects import FILES, OBJECTS
from spear.projections.reader import Reader
from spear.projections.registry import TABLES
from spear.projections.snapshots import Snapshots
from spear.projections.tables import Table
from spear.projections.tasks import ENDPOINTS, TASKS
from spear.projections.timeline import make_views

SHOWN: dict[str, tuple[Table[Any], tuple[str, ...]]] = {
    "nodes": (NODES, ("seq", "uuid", "status", "ip_address", "port", "http_port", "last_heartbeat_us")),
    "resources": (
        RESOURCES,
        ("node_uuid", "cpu_usage_percent", "memory_usage_percent", "load_average_1m", "updated_at_us"),
    ),
    "tasks": (TASKS, ("seq", "task_id", "name", "status", "endpoint", "executable_type", "registered_at_us")),
    "instances": (INSTANCES, ("seq", "instance_id", "task_id", "node_uuid", "status", "running", "updated_at_us")),
    "executions": (EXECUTIONS, ("seq", "execution_id", "task_id", "status", "requested_at_us", "duration_us", "error")),
    "objects": (OBJECTS, ("name", "version", "size", "content_type", "refs", "pinned", "updated_at_us")),
    "files": (FILES, ("seq", "id", "name", "content_type", "size", "created_at_us")),
    "endpoints": (ENDPOINTS, ("endpoint", "task_id")),
}


def _make(path: Path, place: Place, recorder: ApswRecorder, *, until: int, progress: Progress) -> None:
    start = Snapshots(place.snapshots).nearest(until) if place.snapshots.is_dir() else None
    make_views(path, recorder, until=until, start=start, progress=progress.step(f"views at {until}"))


def as_of(args: Namespace, progress: Progress) -> int:
    """Print the rows of one table as they were."""
    table, columns = SHOWN[args.table]
    place = find(args.data_dir)
    with opened(place) as recorder, TemporaryDirectory(prefix="spear-as-of-") as name:
        position = position_of(recorder, "POSITION", args.position)
        _make(Path(name) / "views.db", place, recorder, until=position, progress=progress)
        with closing(Reader(Path(name) / "views.db")) as reader:
            rows, cursor = _page(reader, table, after=args.after, limit=args.limit)
    if args.json:
        progress.say(as_json({"position": position, "table": args.table, "rows": rows, "next_after": cursor}))
    else:
        progress.say("\n".join(_row_lines(columns, rows, cursor)))
    return 0


def _page(reader: Reader, table: Table[Any], *, after: str, limit: int) -> tuple[list[Any], str | int | None]:
    key = "seq" if "seq" in table.columns else table.key
    if key == "seq" and after and not (after.isascii() and after.isdigit()):
        raise Invalid.field("--after", after, f"a number, because {table.name} are listed by their seq")
    start = int(after or 0) if key == "seq" else after
    rows = reader.rows(table, f"{key} > ? ORDER BY {key} LIMIT ?", (start, limit + 1))
    return rows[:limit], getattr(rows[limit - 1], key) if len(rows) > limit else None


def _row_lines(columns: Sequence[str], rows: Sequence[Any], cursor: str | int | None) -> Iterator[str]:
    titles = [title(column) for column in columns]
    yield from aligned([titles, *([cell(column, getattr(row, column)) for column in columns] for row in rows)])
    if cursor is not None:
        yield f"more: --after {plain(str(cursor))}"


class _Change(msgspec.Struct):
    change: str
    key: str | int
    before: dict[str, Any]
    after: dict[str, Any]


class _TableDiff(msgspec.Struct):
    table: str
    changes: list[_Change]
    cut: bool


def diff(args: Namespace, progress: Progress) -> int:
    """Print which rows were added, removed and changed between two positions."""
    place = find(args.data_dir)
    with opened(place) as recorder, TemporaryDirectory(prefix="spear-diff-") as name:
        before, after = (position_of(recorder, which, getattr(args, which.lower())) for which in ("A", "B"))
        if before > after:
            raise Invalid.field("B", args.b, f"a position or time not before A, which is position {before}")
        earlier, later = Path(name) / "earlier.db", Path(name) / "later.db"
        _make(earlier, place, recorder, until=before, progress=progress)
        make_views(later, recorder, until=after, start=earlier, progress=progress.step(f"views at {after}"))
        progress.step("compare")
        found = _table_diffs(earlier, later, args.limit)
    if args.json:
        progress.say(as_json({"from": before, "to": after, "tables": found}))
    else:
        progress.say("\n".join([f"from position {before} to {after}", *_diff_lines(found)]))
    return 0


def _table_diffs(earlier: Path, later: Path, limit: int) -> list[_TableDiff]:
    with closing(apsw.Connection(str(earlier), flags=apsw.SQLITE_OPEN_READONLY, vfs="unix")) as db:
        db.execute("ATTACH ? AS later", (str(later),))
        cut = [(table.name, list(islice(_changes(db, table), limit + 1))) for table in TABLES]
    return [_TableDiff(name, changes[:limit], len(changes) > limit) for name, changes in cut if changes]


def _changes(db: apsw.Connection, table: Table[Any]) -> Iterator[_Change]:
    name, key, width = table.name, table.key, len(table.columns)
    for values in db.execute(f"SELECT * FROM later.{name} WHERE {key} NOT IN (SELECT {key} FROM main.{name})"):
        yield _Change("added", values[0], {}, _fields(table, values))
    for values in db.execute(f"SELECT * FROM main.{name} WHERE {key} NOT IN (SELECT {key} FROM later.{name})"):
        yield _Change("removed", values[0], _fields(table, values), {})
    old, new = (", ".join(f"{side}.{column}" for column in table.columns) for side in ("old", "new"))
    sql = f"SELECT old.*, new.* FROM main.{name} old JOIN later.{name} new ON old.{key} = new.{key}"
    for values in db.execute(f"{sql} WHERE ({old}) IS NOT ({new}) ORDER BY old.{key}"):
        before, after = _fields(table, values[:width]), _fields(table, values[width:])
        columns = [column for column in table.columns if before[column] != after[column]]
        yield _Change("changed", values[0], *({c: side[c] for c in columns} for side in (before, after)))


def _fields(table: Table[Any], values: Sequence[Any]) -> dict[str, Any]:
    return msgspec.structs.asdict(table.load(values))


def _diff_lines(found: Sequence[_TableDiff]) -> Iterator[str]:
    for table in found:
        yield table.table
        for one in table.changes:
            yield f"  {one.change:<7}  {plain(str(one.key))}  {_columns(one)}".rstrip()
        if table.cut:
            yield f"  cut after {len(table.changes)} changes; --limit shows more"
    if not found:
        yield "nothing changed"


def _columns(one: _Change) -> str:
    if one.change == "changed":
        return ", ".join(f"{c}: {cell(c, one.before[c])} -> {cell(c, one.after[c])}" for c in one.after)
    return ", ".join(
        f"{c}: {cell(c, value)}" for c, value in (one.before or one.after).items() if value and value != one.key
    )
