"""The history's port on SQLite."""

from collections.abc import Sequence

import apsw

from postroom.report.history import OUTCOMES, HistoryRow, OutcomeTally, Tally
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.statements import as_json, rows_of

_SLICE = 5000
"""Rows that are forgotten in one transaction."""

_OF_MESSAGE = """
SELECT json_group_array(json_array(queue_id, at, kind, recipient, domain, message_id, detail) ORDER BY at, history_id)
FROM history WHERE queue_id = ?
"""

# What waits is not asked for here (its rows are not indexed): it is in the queue.
# The days that are kept are few; naming each lets the indexes that begin with the day answer.
_FIND = """
WITH RECURSIVE day(day) AS (
    SELECT min(at) / 86400 FROM history
    UNION ALL SELECT day + 1 FROM day WHERE day < (SELECT max(at) / 86400 FROM history)
)
SELECT json_group_array(queue_id) FROM (
    SELECT queue_id FROM (
        SELECT h.queue_id FROM day CROSS JOIN history AS h INDEXED BY history_recipient
        WHERE h.day = CAST(day.day AS INTEGER) AND h.recipient = ?1 COLLATE NOCASE AND h.recipient <> ''
            AND h.kind NOT IN ('accepted', 'deferred', 'put_off')
        UNION
        SELECT h.queue_id FROM day CROSS JOIN history AS h INDEXED BY history_message_id
        WHERE h.day = CAST(day.day AS INTEGER) AND h.message_id IN (?1, '<' || ?1 || '>') AND h.message_id <> ''
    ) ORDER BY queue_id DESC LIMIT ?2)
"""
_TALLIES = """
SELECT json_group_array(json_array(kind, domain, count)) FROM (
    SELECT kind, domain, count(*) AS count FROM history WHERE at >= ? GROUP BY kind, domain ORDER BY kind, domain)
"""
_OUTCOMES = """
SELECT json_group_array(json_array(kind, cause, sender, domain, count)) FROM (
    SELECT h.kind, iif(h.kind = 'relayed', '', coalesce(h.detail ->> '$.cause', '')) AS cause,
        coalesce(a.domain, '') AS sender, h.domain, count(*) AS count
    FROM history AS h LEFT JOIN history AS a ON a.queue_id = h.queue_id AND a.kind = 'accepted'
    WHERE h.at >= ? AND h.kind IN (SELECT value FROM json_each(?))
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4)
"""
_EXPIRE = "DELETE FROM history WHERE history_id IN (SELECT history_id FROM history WHERE at < ? ORDER BY at LIMIT ?)"


class SqliteHistory:
    """See ``postroom.report.history.HistoryStore``."""

    def __init__(self, writer: Writer[apsw.Connection], reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def of_message(self, queue_id: int) -> Sequence[HistoryRow]:
        """The rows of one message, oldest first."""
        rows = await self._reader.run(lambda connection: rows_of(connection, _OF_MESSAGE, (queue_id,)))
        return [HistoryRow(*row) for row in rows]

    async def find(self, text: str, limit: int) -> Sequence[int]:
        """Queue ids of messages whose Message-ID (brackets or not) or a recipient is ``text``, newest first."""
        return await self._reader.run(lambda connection: rows_of(connection, _FIND, (text, limit)))

    async def tallies(self, since: float) -> Sequence[Tally]:
        """Counts by kind and domain since ``since`` (seconds since the Unix epoch)."""
        rows = await self._reader.run(lambda connection: rows_of(connection, _TALLIES, (since,)))
        return [Tally(*row) for row in rows]

    async def outcomes(self, since: float) -> Sequence[OutcomeTally]:
        """Counts of outcomes since ``since``, by cause and both domains."""
        rows = await self._reader.run(lambda connection: rows_of(connection, _OUTCOMES, (since, as_json(OUTCOMES))))
        return [OutcomeTally(*row) for row in rows]

    async def expire(self, before: float) -> int:
        """Forget rows older than ``before``, a slice at a time; returns how many."""
        count = 0
        while True:
            forgotten = await self._writer.submit(_EXPIRE_SLICE, before, _SLICE)
            count += forgotten
            if forgotten < _SLICE:
                return count


def _expire(connection: apsw.Connection, calls: Sequence[float]) -> Sequence[int]:
    counts = []
    for before in calls:
        connection.execute(_EXPIRE, (before, _SLICE))
        counts.append(connection.changes())
    return counts


_EXPIRE_SLICE: Kind[apsw.Connection, float, int] = Kind("expire", _expire, essential=True)
