"""Bulk statements: as few steps of the database engine as can be.

apsw lets go of Python's interpreter lock around every step and must win it back from the event loop after each, so one
statement with a hundred rows costs the mail path far less than a hundred statements, or a hundred fetched rows.
"""

import json
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import apsw

# Few distinct sizes, so that the statement cache always hits; the rows that a size has too many are NULLs and left out.
_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


Value = None | int | float | str | bytes
"""What a column holds."""


class Insert:
    """INSERT of any number of rows. The first column must never be NULL in a row."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        self._width = len(columns)
        head = f"INSERT INTO {table} ({', '.join(columns)})"
        row = f"({', '.join('?' * self._width)})"
        self._exact = {size: f"{head} VALUES {', '.join([row] * size)}" for size in _SIZES}
        self._padded = {
            size: f"{head} SELECT * FROM (VALUES {', '.join([row] * size)}) WHERE column1 IS NOT NULL"  # noqa: S608 - our own names
            for size in _SIZES
        }

    def run(self, connection: apsw.Connection, rows: Sequence[tuple[Value, ...]]) -> None:
        """Insert the rows."""
        largest = _SIZES[-1]
        for start in range(0, len(rows), largest):
            part = rows[start : start + largest]
            size = next(size for size in _SIZES if size >= len(part))
            missing = size - len(part)
            if missing:
                values = (*chain.from_iterable(part), *([None] * (missing * self._width)))
                connection.execute(self._padded[size], values)
            else:
                connection.execute(self._exact[size], tuple(chain.from_iterable(part)))


def numbers(values: Iterable[int]) -> "apsw.CArrayBinding":
    """Whole numbers for ``carray(?)``; at least one."""
    return apsw.carray(array("q", values))


def as_json(values: object) -> str:
    """A value for ``json_each(?)``."""
    return json.dumps(values, separators=(",", ":"))


def rows_of(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> list[Any]:
    """The rows of a query whose only result is one JSON array of them: fetched in one step."""
    text = connection.execute(sql, bindings).get
    rows: list[Any] = json.loads(text) if text else []
    return rows
