"""Many rows by few statements: each statement that runs gives the interpreter away once, however many rows it has."""

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import apsw

_SIZES = (64, 32, 16, 8, 4, 2, 1)  # few sizes, so that every statement stays prepared


def insert(db: apsw.Connection | apsw.Cursor, into: str, rows: Sequence[Sequence[Any]], *, tail: str = "") -> None:
    """Run `INSERT INTO <into> VALUES ... <tail>` for all rows, which have the same number of values."""
    position = 0
    for size in _SIZES:
        while len(rows) - position >= size:
            part = rows[position : position + size]
            db.execute(insertion(into, tail, size, len(part[0])), list(chain.from_iterable(part)))
            position += size


@cache
def insertion(into: str, tail: str, rows: int, columns: int) -> str:
    """The statement that inserts so many rows."""
    row = "(" + ",".join("?" * columns) + ")"
    return f"INSERT INTO {into} VALUES {','.join([row] * rows)} {tail}"
