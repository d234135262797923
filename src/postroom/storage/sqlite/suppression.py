"""The port of the suppression list on SQLite."""

from collections.abc import Sequence
from typing import Any

import apsw

from postroom.mail.address import Address
from postroom.reputation.model import Origin, Suppression, SuppressionFilter, joined
from postroom.reputation.store import Key
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.statements import Value, as_json, rows_of

# ruff: noqa: S608 - the names are our own, values are bound
_COLUMNS = "sender_domain, key, local, domain, origin, cause, since, latest, until, count, reason, queue_id"
_SELECT = "sender_domain, local, domain, origin, cause, since, latest, until, count, reason, queue_id"

_GENERATION = "SELECT value FROM counter WHERE name = 'suppression'"
_RAISE = "UPDATE counter SET value = value + 1 WHERE name = 'suppression'"
_ANY = "SELECT EXISTS (SELECT 1 FROM suppression)"
_PUT = f"INSERT OR REPLACE INTO suppression ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REMOVE = "DELETE FROM suppression WHERE sender_domain = ? AND key = ?"
_FIND = f"""
SELECT json_group_array(json_array({_SELECT})) FROM json_each(?) AS j
CROSS JOIN suppression AS s ON s.sender_domain = j.value ->> 0 AND s.key = j.value ->> 1
"""
_SLICE = 5000
_EXPIRE = """
DELETE FROM suppression WHERE (sender_domain, key) IN (
    SELECT sender_domain, key FROM suppression WHERE until <= ? ORDER BY until LIMIT ?)
"""


class SqliteSuppression:
    """See ``postroom.reputation.store.SuppressionStore``."""

    def __init__(self, writer: Writer[apsw.Connection], lookups: Reader, listings: Reader) -> None:
        self._writer = writer
        self._lookups = lookups
        self._listings = listings

    async def generation(self) -> int:
        """A counter that every change of the list raises."""
        return await self._lookups.run(lambda connection: int(connection.execute(_GENERATION).get))

    async def is_empty(self) -> bool:
        """Whether there is no entry at all."""
        return await self._lookups.run(lambda connection: not connection.execute(_ANY).get)

    async def note(self, events: Sequence[Suppression]) -> None:
        """Join what happened with what stands there."""
        if events:
            await self._writer.submit(_NOTE, events, len(events))

    async def put(self, entries: Sequence[Suppression]) -> None:
        """Set entries instead of what stands there."""
        if entries:
            await self._writer.submit(_PUT_KIND, entries, len(entries))

    async def remove(self, keys: Sequence[Key]) -> Sequence[bool]:
        """Take entries off the list; whether there was one, in order."""
        return await self._writer.submit(_REMOVE_KIND, keys, len(keys)) if keys else ()

    async def find(self, keys: Sequence[Key]) -> Sequence[Suppression | None]:
        """The entry of each key, in order."""
        found = await self._lookups.run(lambda connection: _find(connection, keys))
        return [found.get(key) for key in keys]

    async def entries(self, which: SuppressionFilter, *, limit: int, after: Key = ("", "")) -> Sequence[Suppression]:
        """At most ``limit`` entries in order of their keys, those after ``after``."""
        where, bindings = _conditions(which)
        sql = f"""
            SELECT json_group_array(json_array({_SELECT})) FROM (
                SELECT * FROM suppression WHERE (sender_domain, key) > (?, ?) AND {where}
                ORDER BY sender_domain, key LIMIT ?)
        """
        rows = await self._listings.run(lambda connection: rows_of(connection, sql, (*after, *bindings, limit)))
        return [_read(row) for row in rows]

    async def expire(self, now: float) -> int:
        """Forget what has ended, a slice at a time; returns how many."""
        count = 0
        while True:
            gone = await self._writer.submit(_EXPIRE_KIND, now)
            count += gone
            if gone < _SLICE:
                return count


def note_suppressions(connection: apsw.Connection, events: Sequence[Suppression]) -> None:
    """Join what happened with what stands there, in the running transaction."""
    standing = _find(connection, [event.key for event in events])
    for event in events:
        standing[event.key] = joined(standing.get(event.key), event)
    connection.executemany(_PUT, [_row(standing[key]) for key in {event.key: None for event in events}])
    connection.execute(_RAISE)


def _find(connection: apsw.Connection, keys: Sequence[Key]) -> dict[Key, Suppression]:
    rows = rows_of(connection, _FIND, (as_json(list(dict.fromkeys(keys))),))
    return {one.key: one for one in map(_read, rows)}


def _conditions(which: SuppressionFilter) -> tuple[str, list[Value]]:
    """The filter as SQL, and its bindings."""
    wanted: list[tuple[str, Value]] = [
        ("sender_domain = ?", which.sender_domain),
        ("key = ?", which.recipient),
        ("domain = ?", which.recipient_domain),
        ("cause = ?", which.cause),
        ("origin = ?", "" if which.origin is None else which.origin.value),
    ]
    clauses = [(clause, binding) for clause, binding in wanted if binding]
    if which.holds_at is not None:
        clauses.append(("until > ?", which.holds_at))
    return " AND ".join(["1", *[clause for clause, _ in clauses]]), [binding for _, binding in clauses]


def _row(one: Suppression) -> tuple[Any, ...]:
    return (
        one.sender_domain, one.recipient.key, one.recipient.local, one.recipient.domain, one.origin.value, one.cause,
        one.since, one.latest, one.until, one.count, one.reason, one.queue_id,
    )  # fmt: skip


def _read(row: list[Any]) -> Suppression:
    sender_domain, local, domain, origin, *rest = row
    return Suppression(sender_domain, Address(local, domain), Origin(origin), *rest)


def _note(connection: apsw.Connection, calls: Sequence[Sequence[Suppression]]) -> Sequence[None]:
    for events in calls:
        note_suppressions(connection, events)
    return [None] * len(calls)


def _put(connection: apsw.Connection, calls: Sequence[Sequence[Suppression]]) -> Sequence[None]:
    for entries in calls:
        connection.executemany(_PUT, [_row(one) for one in entries])
        connection.execute(_RAISE)
    return [None] * len(calls)


def _remove(connection: apsw.Connection, calls: Sequence[Sequence[Key]]) -> Sequence[Sequence[bool]]:
    answers = []
    for keys in calls:
        found = []
        for key in keys:
            connection.execute(_REMOVE, key)
            found.append(connection.changes() > 0)
        connection.execute(_RAISE)
        answers.append(found)
    return answers


def _expire(connection: apsw.Connection, calls: Sequence[float]) -> Sequence[int]:
    counts = []
    for now in calls:
        connection.execute(_EXPIRE, (now, _SLICE))
        counts.append(connection.changes())
        if counts[-1]:
            connection.execute(_RAISE)
    return counts


_NOTE: Kind[apsw.Connection, Sequence[Suppression], None] = Kind("note suppressions", _note)
_PUT_KIND: Kind[apsw.Connection, Sequence[Suppression], None] = Kind("put suppressions", _put)
_REMOVE_KIND: Kind[apsw.Connection, Sequence[Key], Sequence[bool]] = Kind(
    "remove suppressions", _remove, essential=True
)
_EXPIRE_KIND: Kind[apsw.Connection, float, int] = Kind("expire suppressions", _expire, essential=True)
