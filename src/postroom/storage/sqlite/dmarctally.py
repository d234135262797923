"""The port to what is counted for DMARC reports, on SQLite."""

from collections.abc import Sequence
from typing import Any

import apsw

from postroom.outbound.daily.counts import DAY, TALLY_KEPT
from postroom.outbound.dmarcrpt.store import DmarcCount
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.statements import as_json

_MOST = 200_000
"""Rows that are read at the start. The tally in memory holds no more of common ones."""

_LOAD = "SELECT day, domain, policy, result, count FROM dmarc_tally WHERE day > ? ORDER BY day DESC LIMIT ?"
_SAVE = """
INSERT OR REPLACE INTO dmarc_tally (day, domain, policy, result, count)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)
"""
_REPORTED = "DELETE FROM dmarc_tally WHERE day = ? AND domain = ?"
_FORGET = "DELETE FROM dmarc_tally WHERE day <= ?"


class SqliteDmarcTally:
    """See ``postroom.outbound.dmarcrpt.store.DmarcStore``."""

    def __init__(self, writer: Writer[apsw.Connection], listings: Reader) -> None:
        self._writer = writer
        self._listings = listings

    async def load(self, now: float) -> Sequence[DmarcCount]:
        """All counts of days that may still be reported."""
        bounds = (_last_over(now), _MOST)
        return await self._listings.run(lambda connection: _load(connection, bounds))

    async def save(self, counts: Sequence[DmarcCount]) -> None:
        """Put counts, all of them or none."""
        await self._writer.submit(_SAVE_KIND, counts, len(counts))

    async def reported(self, day: int, domain: str) -> None:
        """Remove the counts of a day and a domain."""
        await self._writer.submit(_REPORTED_KIND, (day, domain))

    async def forget(self, now: float) -> int:
        """Remove the counts of days that are over; returns how many."""
        return await self._writer.submit(_FORGET_KIND, _last_over(now))


def _last_over(now: float) -> int:
    return int(now // DAY) - TALLY_KEPT


def _load(connection: apsw.Connection, bounds: tuple[int, int]) -> Sequence[DmarcCount]:
    rows: Any = connection.execute(_LOAD, bounds)
    return tuple([DmarcCount(*row) for row in rows])


def _save(connection: apsw.Connection, calls: Sequence[Sequence[DmarcCount]]) -> Sequence[None]:
    rows = [(one.day, one.domain, one.policy, one.row, one.count) for counts in calls for one in counts]
    connection.execute(_SAVE, (as_json(rows),))
    return [None] * len(calls)


def _reported(connection: apsw.Connection, calls: Sequence[tuple[int, str]]) -> Sequence[None]:
    connection.executemany(_REPORTED, calls)
    return [None] * len(calls)


def _forget(connection: apsw.Connection, calls: Sequence[int]) -> Sequence[int]:
    counts = []
    for day in calls:
        connection.execute(_FORGET, (day,))
        counts.append(connection.changes())
    return counts


_SAVE_KIND: Kind[apsw.Connection, Sequence[DmarcCount], None] = Kind("save dmarc counts", _save)
_REPORTED_KIND: Kind[apsw.Connection, tuple[int, str], None] = Kind("dmarc reported", _reported, essential=True)
_FORGET_KIND: Kind[apsw.Connection, int, int] = Kind("forget dmarc counts", _forget, essential=True)
