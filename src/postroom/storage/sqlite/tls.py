"""The port of what is known of TLS on the road, on SQLite."""

import json
from collections.abc import Sequence
from typing import Any

import apsw

from postroom.mail.delivery import StsMode, StsPolicy
from postroom.outbound.daily.counts import DAY, TALLY_KEPT
from postroom.outbound.tlsstore import (
    LEVEL_KEPT,
    MOST_POLICIES,
    HostLevel,
    KeptPolicy,
    Tally,
    TlsLevel,
    TlsRecord,
)
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.statements import as_json

_MOST = 100_000
"""Rows of one kind that are read at the start. The tables in memory hold no more."""

_LOAD_POLICIES = """
SELECT domain, mode, mx, policy_id, expires_at, text, fetched_at FROM tls_policy WHERE expires_at > ?
ORDER BY fetched_at DESC LIMIT ?
"""
_LOAD_LEVELS = "SELECT host, level, since, seen_at FROM tls_level WHERE seen_at > ? ORDER BY seen_at DESC LIMIT ?"
_LOAD_TALLIES = "SELECT day, domain, policy, failure, count FROM tls_tally WHERE day > ? ORDER BY day DESC LIMIT ?"

# In bulk: a busy server meets hundreds of hosts a second, and the mail path waits for the same thread.
_SAVE_POLICIES = """
INSERT OR REPLACE INTO tls_policy (domain, mode, mx, policy_id, expires_at, text, fetched_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, CAST(value ->> 4 AS REAL), value ->> 5,
    CAST(value ->> 6 AS REAL)
FROM json_each(?)
"""
_SAVE_LEVELS = """
INSERT OR REPLACE INTO tls_level (host, level, since, seen_at)
SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS REAL), CAST(value ->> 3 AS REAL) FROM json_each(?)
"""
_SAVE_TALLIES = """
INSERT OR REPLACE INTO tls_tally (day, domain, policy, failure, count)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)
"""
_REPORTED = "DELETE FROM tls_tally WHERE day = ? AND domain = ?"
_TOO_MANY = """
DELETE FROM tls_policy WHERE domain IN (SELECT domain FROM tls_policy ORDER BY fetched_at DESC LIMIT -1 OFFSET ?)
"""
_FORGET = (
    ("DELETE FROM tls_policy WHERE expires_at <= ?", lambda now: now),
    (_TOO_MANY, lambda _now: MOST_POLICIES),
    ("DELETE FROM tls_level WHERE seen_at <= ?", lambda now: now - LEVEL_KEPT),
    ("DELETE FROM tls_tally WHERE day <= ?", lambda now: int(now // DAY) - TALLY_KEPT),
)


class SqliteTls:
    """See ``postroom.outbound.tlsstore.TlsStore``."""

    def __init__(self, writer: Writer[apsw.Connection], listings: Reader) -> None:
        self._writer = writer
        self._listings = listings

    async def load(self, now: float) -> TlsRecord:
        """All that still counts at ``now``."""
        return await self._listings.run(lambda connection: _load(connection, now))

    async def save(self, record: TlsRecord) -> None:
        """Put what changed, all of it or nothing."""
        await self._writer.submit(_SAVE, record, len(record))

    async def reported(self, day: int, domain: str) -> None:
        """Remove the tallies of a day and a domain."""
        await self._writer.submit(_REPORTED_KIND, (day, domain))

    async def forget(self, now: float) -> int:
        """Remove what does not count any more, or is too much; returns how many rows."""
        return await self._writer.submit(_FORGET_KIND, now)


def _load(connection: apsw.Connection, now: float) -> TlsRecord:
    def rows(sql: str, since: float) -> list[Any]:
        return connection.execute(sql, (since, _MOST)).fetchall()

    return TlsRecord(
        tuple([_policy(row) for row in rows(_LOAD_POLICIES, now)]),
        tuple(
            [HostLevel(host, TlsLevel(level), *times) for host, level, *times in rows(_LOAD_LEVELS, now - LEVEL_KEPT)]
        ),
        tuple([Tally(*row) for row in rows(_LOAD_TALLIES, int(now // DAY) - TALLY_KEPT)]),
    )


def _policy(row: Sequence[Any]) -> KeptPolicy:
    domain, mode, mx, policy_id, expires_at, text, fetched_at = row
    lines = tuple(json.loads(text))
    return KeptPolicy(StsPolicy(domain, StsMode(mode), tuple(json.loads(mx)), policy_id, expires_at, lines), fetched_at)


def _save(connection: apsw.Connection, calls: Sequence[TlsRecord]) -> Sequence[None]:
    for record in calls:
        policies = [_policy_row(each) for each in record.policies]
        levels = [(each.host, each.level.value, each.since, each.seen_at) for each in record.levels]
        tallies = [(each.day, each.domain, each.policy, each.failure, each.count) for each in record.tallies]
        for sql, rows in ((_SAVE_POLICIES, policies), (_SAVE_LEVELS, levels), (_SAVE_TALLIES, tallies)):
            if rows:
                connection.execute(sql, (as_json(rows),))
    return [None] * len(calls)


def _policy_row(kept: KeptPolicy) -> tuple[Any, ...]:
    one = kept.policy
    mx, text = json.dumps(one.mx), json.dumps(one.text)
    return one.domain, one.mode.value, mx, one.policy_id, one.expires_at, text, kept.fetched_at


def _reported(connection: apsw.Connection, calls: Sequence[tuple[int, str]]) -> Sequence[None]:
    connection.executemany(_REPORTED, calls)
    return [None] * len(calls)


def _forget(connection: apsw.Connection, calls: Sequence[float]) -> Sequence[int]:
    counts = []
    for now in calls:
        gone = 0
        for sql, bound in _FORGET:
            connection.execute(sql, (bound(now),))
            gone += connection.changes()
        counts.append(gone)
    return counts


_SAVE: Kind[apsw.Connection, TlsRecord, None] = Kind("save tls", _save)
_REPORTED_KIND: Kind[apsw.Connection, tuple[int, str], None] = Kind("tls reported", _reported, essential=True)
_FORGET_KIND: Kind[apsw.Connection, float, int] = Kind("forget tls", _forget, essential=True)
