"""Tables of a views file, described by their rows; written through a cache, read by any thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, get_origin, get_type_hints, is_typeddict

import apsw
import msgspec
from msgspec.structs import astuple

from spear.events.statements import insert

R = TypeVar("R", bound=msgspec.Struct)
_CACHED_ROWS = 50_000
_encode = msgspec.json.Encoder().encode
_SEQ = "seq"
_decode = msgspec.json.Decoder().decode
_SQL_TYPES = {int: "INTEGER", bool: "INTEGER", float: "REAL", str: "TEXT"}


@dataclass(frozen=True, eq=False)
class Table(Generic[R]):
    """One table: its name, its row type (the first field is the key), its indexes (each a list of columns), what never changes.

    `by` is the column that folds find a row by where that is not the key.
    """

    name: str
    row: type[R]
    indexes: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    by: str = ""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Column names in the row's field order."""
        return self.row.__struct_fields__

    @cached_property
    def key(self) -> str:
        """The primary key's column."""
        return self.columns[0]

    @cached_property
    def found_by(self) -> str:
        """The column that folds find a row by."""
        return self.by or self.key

    @cached_property
    def _types(self) -> list[Any]:
        hints = get_type_hints(self.row)
        return [hints[column] for column in self.columns]

    @cached_property
    def _json(self) -> list[int]:
        return [i for i, kind in enumerate(self._types) if get_origin(kind) in (dict, list) or is_typeddict(kind)]

    @cached_property
    def _bools(self) -> list[int]:
        return [i for i, kind in enumerate(self._types) if kind is bool]

    @cached_property
    def schema(self) -> str:
        """The statement that makes the table; rows that have a `seq` lie in its order."""
        kinds = [f"{c} {_SQL_TYPES.get(t, 'TEXT')} NOT NULL" for c, t in zip(self.columns, self._types, strict=True)]
        primary = _SEQ if _SEQ in self.columns else self.key
        unique = "" if primary == self.found_by else f", UNIQUE ({self.found_by})"
        return f"CREATE TABLE {self.name} ({', '.join(kinds)}, PRIMARY KEY ({primary}){unique})"

    @cached_property
    def index_schema(self) -> list[str]:
        """The statements that make its indexes."""
        return [
            f"CREATE INDEX {self.name}_{number} ON {self.name} ({index})" for number, index in enumerate(self.indexes)
        ]

    @cached_property
    def upsert(self) -> str:
        """What an insert does to a row that is there; columns that never change leave their indexes alone."""
        stays = {self.key, self.found_by, _SEQ, *self.fixed}
        changing = ", ".join(f"{c} = excluded.{c}" for c in self.columns if c not in stays)
        return f"ON CONFLICT ({self.found_by}) DO UPDATE SET {changing}"

    def load(self, values: Sequence[Any]) -> R:
        """A row from its stored values."""
        if self._json or self._bools:
            values = list(values)
            for i in self._json:
                values[i] = _decode(values[i])
            for i in self._bools:
                values[i] = bool(values[i])
        return self.row(*values)

    def dump(self, row: R) -> Sequence[Any]:
        """The values to store for a row."""
        values = astuple(row)
        if not self._json:
            return values
        changed = list(values)
        for i in self._json:
            changed[i] = _encode(changed[i]).decode()
        return changed


class Rows(dict[Any, R | None], Generic[R]):
    """The writing side of one table: `rows[key]` is the row as of the last folded event, to be changed, or None.

    What was taken, set or removed so is folded with the next `settle`. The file still is `owed` what was folded until the
    next `flush`.
    """

    def __init__(self, db: apsw.Cursor, table: Table[R]) -> None:
        super().__init__()
        self._db, self._table = db, table
        self.owed: dict[Any, R | None] = {}
        self._removed: set[Any] = set()
        self._kept: dict[Any, R | None] = {}
        self._select = f"SELECT * FROM {table.name} WHERE {table.found_by} = ?"
        self._delete = f"DELETE FROM {table.name} WHERE {table.found_by} = ?"

    def __missing__(self, key: str | int) -> R | None:
        row = self._known(key)
        if row is not None:
            self[key] = row
        return row

    def look(self, key: str | int) -> R | None:
        """The row as of the last folded event, not to be changed."""
        return self[key] if key in self else self._known(key)

    def _known(self, key: str | int) -> R | None:
        if key in self._kept:
            return self._kept[key]
        values = self._db.execute(self._select, (key,)).fetchone()
        row = self._kept[key] = None if values is None else self._table.load(values)
        return row

    def remove(self, key: str | int) -> None:
        """There is no such row from here on; one that comes later under the same key is a new one."""
        self[key] = None
        self._removed.add(key)

    def settle(self) -> None:
        """What was taken, set or removed is folded now."""
        self.owed.update(self)
        self._kept.update(self)
        self.clear()

    def flush(self) -> None:
        """Bring the file up to what was folded, in the order in which rows were first taken: new ones are appended."""
        if self._removed:
            self._db.executemany(self._delete, [(key,) for key in self._removed])
        dump, values = self._table.dump, list[Any]()
        for row in self.owed.values():
            if row is not None:
                values += dump(row)
        if values:
            insert(self._db, self._table.name, values, len(self._table.columns), tail=self._table.upsert)

    def flushed(self) -> None:
        """The file has what was owed."""
        self.owed, self._removed = {}, set()
        if len(self._kept) > _CACHED_ROWS:
            self._kept.clear()

    def forget(self) -> None:
        """Drop every row, after a failed flush."""
        self.clear()
        self._kept.clear()
        self.owed, self._removed = {}, set()


class Sheets(dict[Table[Any], Rows[Any]]):
    """All tables of one views file, as folds see them."""

    def __init__(self, db: apsw.Cursor, tables: Sequence[Table[Any]]) -> None:
        super().__init__({table: Rows(db, table) for table in tables})

    def settle(self) -> None:
        """Whatever was taken, set or removed is folded now."""
        for rows in self.values():
            if rows:
                rows.settle()

    def owes(self, table: Table[Any] | None) -> bool:
        """Whether the file lacks folded rows of this table, or of any."""
        return any(rows.owed for rows in self.values()) if table is None else bool(self[table].owed)

    def flush(self) -> None:
        """Write every folded row."""
        for rows in self.values():
            if rows.owed:
                rows.flush()

    def flushed(self) -> None:
        """The file has every folded row."""
        for rows in self.values():
            if rows.owed:
                rows.flushed()

    def forget(self) -> None:
        """Drop every cached row."""
        for rows in self.values():
            rows.forget()
