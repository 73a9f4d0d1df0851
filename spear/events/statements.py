"""Many rows by few statements: each statement that runs gives the interpreter away once, however many rows it has."""

from functools import cache
from typing import Any

import apsw

_SIZES = (64, 32, 16, 8, 4, 2, 1)  # few sizes, so that every statement stays prepared


def insert(db: apsw.Connection | apsw.Cursor, into: str, values: list[Any], width: int, *, tail: str = "") -> None:
    """Run `INSERT INTO <into> VALUES ... <tail>` for rows of `width` values each, given one after the other."""
    rows, position = len(values) // width, 0
    for size in _SIZES:
        while rows - position >= size:
            part = values[position * width : (position + size) * width] if size < rows else values
            db.execute(insertion(into, tail, size, width), part)
            position += size


@cache
def insertion(into: str, tail: str, rows: int, columns: int) -> str:
    """The statement that inserts so many rows."""
    row = "(" + ",".join("?" * columns) + ")"
    return f"INSERT INTO {into} VALUES {','.join([row] * rows)} {tail}"
