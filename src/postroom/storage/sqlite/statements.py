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
_SIZES = (*range(1, 17), 24, 32, 48, 64, 96, 128)
_LARGEST = _SIZES[-1]
_FITTING = tuple([next(size for size in _SIZES if size >= count) for count in range(_LARGEST + 1)])

Value = None | int | float | str | bytes
"""What a column holds."""


class Insert:
    """INSERT of any number of rows. The first column must never be NULL in a row."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        self._width = len(columns)
        # OR FAIL: a write that fails is undone as a whole, so SQLite keeps no copies of pages to undo one statement.
        head = f"INSERT OR FAIL INTO {table} ({', '.join(columns)})"
        row = f"({', '.join('?' * self._width)})"
        self._exact = {size: f"{head} VALUES {', '.join([row] * size)}" for size in _SIZES}
        self._padded = {
            size: f"{head} SELECT * FROM (VALUES {', '.join([row] * size)}) WHERE column1 IS NOT NULL"  # noqa: S608 - our own names
            for size in _SIZES
        }

    def run(self, connection: apsw.Connection, rows: Sequence[tuple[Value, ...]]) -> None:
        """Insert the rows."""
        while len(rows) > _LARGEST:
            self._run(connection, rows[:_LARGEST])
            rows = rows[_LARGEST:]
        if rows:
            self._run(connection, rows)

    def _run(self, connection: apsw.Connection, rows: Sequence[tuple[Value, ...]]) -> None:
        size = _FITTING[len(rows)]
        missing = size - len(rows)
        if missing:
            values = (*chain.from_iterable(rows), *([None] * (missing * self._width)))
            connection.execute(self._padded[size], values)
        else:
            connection.execute(self._exact[size], tuple(chain.from_iterable(rows)))


def numbers(values: Iterable[int]) -> "apsw.CArrayBinding":
    """Whole numbers for ``carray(?)``; at least one."""
    return apsw.carray(array("q", values))


def as_json(values: object) -> str:
    """A value for ``json_each(?)``."""
    return json.dumps(values, separators=(",", ":"))


def rows_of(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> list[Any]:
    """The rows of a query whose only result is one JSON array of them: fetched in one step."""
    row: Any = connection.execute(sql, bindings).fetchone()  # ``get`` would take another step: do more rows come?
    rows: list[Any] = json.loads(row[0]) if row and row[0] else []
    return rows
