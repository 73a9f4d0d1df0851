"""The reading side of a views file, live or as of a position; the same for both."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import apsw
import msgspec

from spear.errors import Unavailable
from spear.projections.tables import R, Table

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows, how many match in all, and the cursor after the last one (0: no more)."""

    rows: list[T]
    total: int
    next_after: int


def whole(table: Table[Any] | None) -> None:
    """The file has all that it will ever have."""


class Reader:
    """Queries over one views file; `position` says which version of the world they answer for.

    `current` returns when the file has all that may be read of a table, or of any.
    """

    def __init__(self, path: Path, *, current: Callable[[Table[Any] | None], None] = whole) -> None:
        self._path, self._current = path, current
        self._idle: deque[apsw.Connection] = deque([self._connect()])

    @contextmanager
    def _borrow(self) -> Iterator[apsw.Connection]:
        try:
            db = self._idle.pop()
        except IndexError:
            db = self._connect()
        try:
            yield db
        except (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.BusyError) as error:
            raise Unavailable(f"the views cannot be read: {error}") from error
        finally:
            self._idle.append(db)

    def values(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Whatever `sql` finds in any table."""
        return self._found(None, sql, parameters)

    def _found(self, table: Table[Any] | None, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        self._current(table)
        with self._borrow() as db:
            return db.execute(sql, parameters).fetchall()

    def rows(self, table: Table[R], where: str, parameters: Sequence[Any] = ()) -> list[R]:
        """The rows that `where` (with order and limit) selects."""
        read = None if "SELECT" in where else table  # a condition that looks at other tables waits for them too
        return [table.load(v) for v in self._found(read, f"SELECT * FROM {table.name} WHERE {where}", parameters)]

    def get(self, table: Table[R], key: str | int) -> R | None:
        """The row with this key."""
        found = self.rows(table, f"{table.key} = ?", (key,))
        return found[0] if found else None

    def page(
        self,
        table: Table[R],
        filters: Mapping[str, str | int],
        *,
        after: int,
        limit: int,
        newest_first: bool = False,
        offset: int = 0,
        count: bool = True,
    ) -> Page[R]:
        """Rows by `seq` that match every non-empty filter, beyond the cursor `after` (0: from the start)."""
        wanted = {column: value for column, value in filters.items() if value != ""}
        where = " AND ".join(f"{column} = ?" for column in wanted) or "1"
        total = (
            self._found(table, f"SELECT count(*) FROM {table.name} WHERE {where}", list(wanted.values()))[0][0]
            if count
            else -1
        )
        beyond, order = ("seq < ?", "DESC") if newest_first else ("seq > ?", "ASC")
        cursor = after or (2**62 if newest_first else 0)
        rows = self.rows(
            table,
            f"{where} AND {beyond} ORDER BY seq {order} LIMIT ? OFFSET ?",
            (*wanted.values(), cursor, limit + 1, offset),
        )
        more = len(rows) > limit
        rows = rows[:limit]
        last: Any = rows[-1] if rows else None
        return Page(rows, total, last.seq if more else 0)

    @property
    def position(self) -> int:
        """The last folded position."""
        found: int = self.values("SELECT position FROM checkpoint")[0][0]
        return found

    def close(self) -> None:
        """Close idle connections; may be called twice."""
        while self._idle:
            self._idle.pop().close()

    def copy_to(self, path: Path) -> None:
        """Write the views as they are into a new file; works after `remove` as well."""
        self._current(None)
        with self._borrow() as db:
            db.execute("VACUUM INTO ?", (str(path),))

    def remove(self) -> None:
        """Delete the file of private views; whoever still reads it may go on."""
        self._path.unlink(missing_ok=True)

    def _connect(self) -> apsw.Connection:
        db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY, vfs="unix")
        db.set_busy_timeout(5000)
        return db
