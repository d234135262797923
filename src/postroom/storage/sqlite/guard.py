"""The port of what guards the door on SQLite."""

from collections.abc import Sequence
from typing import Any

import apsw

from postroom.config.section import Rate, read_rate
from postroom.policy.store import (
    ACQUAINTED,
    REMEMBERED,
    AccountLimits,
    Acquaintance,
    Ban,
    Failures,
    GuardRecord,
    Standing,
)
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.statements import as_json

_MOST = 100_000
"""Rows of one kind that are read at the start; those that count longest. The tables in memory hold no more."""

_GENERATION = "SELECT value FROM counter WHERE name = 'guard'"
_RAISE = "UPDATE counter SET value = value + 1 WHERE name = 'guard'"

_LOAD_STANDINGS = "SELECT scope, subject, rate, tat FROM guard_standing WHERE tat > ? ORDER BY tat DESC LIMIT ?"
_LOAD_FAILURES = """
SELECT scope, subject, began, now, before, ends FROM guard_failure WHERE ends > ? ORDER BY now + before DESC LIMIT ?
"""
_BAN_COLUMNS = "scope, subject, since, until, reason, failures, repeats, author, lifted_by"
# ruff: noqa: S608 - the names above are our own, values are bound
_LOAD_BANS = f"SELECT {_BAN_COLUMNS} FROM guard_ban WHERE until > ? ORDER BY until DESC LIMIT ?"
_LOAD_ACQUAINTANCES = """
SELECT account, network, seen_at FROM guard_acquaintance WHERE seen_at > ? ORDER BY seen_at DESC LIMIT ?
"""

_SAVE_BAN = f"INSERT OR REPLACE INTO guard_ban ({_BAN_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

# In bulk: under attack there are thousands of them twice a second, and the mail path waits for the same thread.
_SAVE_STANDINGS = """
INSERT OR REPLACE INTO guard_standing (scope, subject, rate, tat)
SELECT value ->> 0, value ->> 1, value ->> 2, CAST(value ->> 3 AS REAL) FROM json_each(?)
"""
_SAVE_FAILURES = """
INSERT OR REPLACE INTO guard_failure (scope, subject, began, now, before, ends)
SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS REAL), value ->> 3, value ->> 4, CAST(value ->> 5 AS REAL)
FROM json_each(?)
"""
_SAVE_ACQUAINTANCES = """
INSERT OR REPLACE INTO guard_acquaintance (account, network, seen_at)
SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS REAL) FROM json_each(?)
"""

_FORGET = (
    ("DELETE FROM guard_standing WHERE tat <= ?", 0.0),
    ("DELETE FROM guard_failure WHERE ends <= ?", 0.0),
    ("DELETE FROM guard_ban WHERE until <= ?", REMEMBERED),
    ("DELETE FROM guard_acquaintance WHERE seen_at <= ?", ACQUAINTED),
)

_STANDINGS = """
SELECT scope, subject, rate, tat FROM guard_standing
WHERE scope IN ('account_messages', 'account_recipients') AND subject = ? ORDER BY scope, rate
"""
_BANS = f"SELECT {_BAN_COLUMNS} FROM guard_ban WHERE until > ? ORDER BY scope, subject"
_LIFT = """
UPDATE guard_ban SET until = ?, lifted_by = ? WHERE scope = ? AND subject = ? AND until > ? AND lifted_by = ''
"""
_LIFT_FAILURES = "DELETE FROM guard_failure WHERE subject = ?"
_LIMITS = "SELECT account, messages, recipients FROM guard_limit ORDER BY account"
_PUT_LIMIT = "INSERT OR REPLACE INTO guard_limit (account, messages, recipients) VALUES (?, ?, ?)"
_DROP_LIMIT = "DELETE FROM guard_limit WHERE account = ?"

_Lifting = tuple[Sequence[tuple[str, str]], str, float]


class SqliteGuard:
    """See ``postroom.policy.store.GuardStore``."""

    def __init__(self, writer: Writer[apsw.Connection], lookups: Reader, listings: Reader) -> None:
        self._writer = writer
        self._lookups = lookups
        self._listings = listings

    async def generation(self) -> int:
        """A counter that every change by an operator raises."""
        return await self._lookups.run(lambda connection: int(connection.execute(_GENERATION).get))

    async def load(self, now: float) -> GuardRecord:
        """All that still counts at ``now``."""
        return await self._listings.run(lambda connection: _load(connection, now))

    async def save(self, record: GuardRecord) -> None:
        """Put what changed, all of it or nothing."""
        await self._writer.submit(_SAVE, record, len(record))

    async def forget(self, now: float) -> int:
        """Remove what does not count any more; returns how many rows."""
        return await self._writer.submit(_FORGET_KIND, now)

    async def standings(self, subject: str) -> Sequence[Standing]:
        """What one account has used up."""
        return [Standing(*row) for row in await self._rows(_STANDINGS, (subject,))]

    async def bans(self, now: float) -> Sequence[Ban]:
        """The bans, also those that were lifted or have been over for less than a day."""
        return [Ban(*row) for row in await self._rows(_BANS, (now - REMEMBERED,))]

    async def ban(self, bans: Sequence[Ban]) -> None:
        """Begin bans, instead of those of the same subjects."""
        await self._writer.submit(_BAN, bans, len(bans))

    async def lift(self, subjects: Sequence[tuple[str, str]], by: str, now: float) -> Sequence[bool]:
        """End the bans of these, with their failures; whether there was one that held, in order."""
        return await self._writer.submit(_LIFT_KIND, (subjects, by, now), len(subjects))

    async def account_limits(self) -> Sequence[AccountLimits]:
        """The limits of single accounts, by account."""
        rows = await self._rows(_LIMITS, ())
        return [AccountLimits(account, _read(messages), _read(recipients)) for account, messages, recipients in rows]

    async def limit(self, limits: Sequence[AccountLimits]) -> None:
        """Set limits of single accounts instead of what they had."""
        await self._writer.submit(_LIMIT, limits, len(limits))

    async def _rows(self, sql: str, bindings: Sequence[Any]) -> list[Any]:
        return await self._listings.run(lambda connection: connection.execute(sql, bindings).fetchall())


def _load(connection: apsw.Connection, now: float) -> GuardRecord:
    def rows(sql: str, since: float) -> list[Any]:
        return connection.execute(sql, (since, _MOST)).fetchall()

    return GuardRecord(
        tuple([Standing(*row) for row in rows(_LOAD_STANDINGS, now)]),
        tuple([Failures(*row) for row in rows(_LOAD_FAILURES, now)]),
        tuple([Ban(*row) for row in rows(_LOAD_BANS, now - REMEMBERED)]),
        tuple([Acquaintance(*row) for row in rows(_LOAD_ACQUAINTANCES, now - ACQUAINTED)]),
    )


def _save(connection: apsw.Connection, calls: Sequence[GuardRecord]) -> Sequence[None]:
    for record in calls:
        standings = [(one.scope, one.subject, one.rate, one.tat) for one in record.standings]
        failures = [(one.scope, one.subject, one.began, one.now, one.before, one.ends) for one in record.failures]
        acquaintances = [(one.account, one.network, one.seen_at) for one in record.acquaintances]
        for sql, rows in (
            (_SAVE_STANDINGS, standings),
            (_SAVE_FAILURES, failures),
            (_SAVE_ACQUAINTANCES, acquaintances),
        ):
            if rows:
                connection.execute(sql, (as_json(rows),))
        connection.executemany(_SAVE_BAN, [_ban_row(one) for one in record.bans])
    return [None] * len(calls)


def _forget(connection: apsw.Connection, calls: Sequence[float]) -> Sequence[int]:
    counts = []
    for now in calls:
        gone = 0
        for sql, kept in _FORGET:
            connection.execute(sql, (now - kept,))
            gone += connection.changes()
        counts.append(gone)
    return counts


def _ban(connection: apsw.Connection, calls: Sequence[Sequence[Ban]]) -> Sequence[None]:
    for bans in calls:
        connection.executemany(_SAVE_BAN, [_ban_row(one) for one in bans])
        connection.execute(_RAISE)
    return [None] * len(calls)


def _lift(connection: apsw.Connection, calls: Sequence[_Lifting]) -> Sequence[Sequence[bool]]:
    answers = []
    for subjects, by, now in calls:
        lifted = []
        for scope, subject in subjects:
            connection.execute(_LIFT, (now, by, scope, subject, now))
            lifted.append(connection.changes() > 0)
            connection.execute(_LIFT_FAILURES, (subject,))
        connection.execute(_RAISE)
        answers.append(lifted)
    return answers


def _limit(connection: apsw.Connection, calls: Sequence[Sequence[AccountLimits]]) -> Sequence[None]:
    for limits in calls:
        for one in limits:
            if one.messages is None and one.recipients is None:
                connection.execute(_DROP_LIMIT, (one.account,))
            else:
                connection.execute(_PUT_LIMIT, (one.account, _write(one.messages), _write(one.recipients)))
        connection.execute(_RAISE)
    return [None] * len(calls)


def _ban_row(one: Ban) -> tuple[Any, ...]:
    return (
        one.scope, one.subject, one.since, one.until, one.reason, one.failures, one.repeats, one.author, one.lifted_by
    )  # fmt: skip


def _read(text: str | None) -> tuple[Rate, ...] | None:
    if text is None:
        return None
    return tuple([read_rate(each) for each in text.split(",") if each])


def _write(rates: tuple[Rate, ...] | None) -> str | None:
    return None if rates is None else ",".join([str(rate) for rate in rates])


_SAVE: Kind[apsw.Connection, GuardRecord, None] = Kind("save guard", _save)
_FORGET_KIND: Kind[apsw.Connection, float, int] = Kind("forget guard", _forget, essential=True)
_BAN: Kind[apsw.Connection, Sequence[Ban], None] = Kind("ban", _ban)
_LIFT_KIND: Kind[apsw.Connection, _Lifting, Sequence[bool]] = Kind("lift", _lift)
_LIMIT: Kind[apsw.Connection, Sequence[AccountLimits], None] = Kind("limit", _limit)
