"""The port to how sites stand on SQLite."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import apsw

from postroom.queue.sites import REMEMBERED, SiteRecord, SiteStanding, WarmupCount
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.statements import as_json

_MOST = 10_000
"""Sites that are read at the start, the latest first; the memory holds no more."""

_MOST_FOUND = 10_000

_DAY = 86400.0
_COLUMNS = tuple([field.name for field in fields(SiteStanding)])
_JSON = {"limits", "used", "causes"}
_NAMES = ", ".join(_COLUMNS)

# ruff: noqa: S608 - the names above are our own, values are bound
_LOAD = f"SELECT {_NAMES} FROM site_standing WHERE seen_at > ? ORDER BY seen_at DESC LIMIT ?"
_LOAD_WARMUPS = "SELECT source, provider, day, messages FROM warmup_count WHERE day = ?"
_FIND = f"""
SELECT {_NAMES} FROM site_standing
WHERE instr(lower(site), lower(:text)) OR instr(lower(rule), lower(:text)) ORDER BY site, source LIMIT :most
"""
# In bulk: a server with many sites has hundreds of them twice a second.
_SAVE = f"""
INSERT OR REPLACE INTO site_standing ({_NAMES})
SELECT {", ".join([f"value ->> {place}" for place in range(len(_COLUMNS))])} FROM json_each(?)
"""
_SAVE_WARMUPS = """
INSERT OR REPLACE INTO warmup_count (source, provider, day, messages)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)
"""
_FORGET = "DELETE FROM site_standing WHERE seen_at <= ?"
_FORGET_WARMUPS = "DELETE FROM warmup_count WHERE day < ?"


class SqliteSites:
    """See ``postroom.queue.sites.SiteStore``."""

    def __init__(self, writer: Writer[apsw.Connection], listings: Reader) -> None:
        self._writer = writer
        self._listings = listings

    async def load(self, now: float) -> SiteRecord:
        """All sites that something was sent to lately, the latest first, and the counts of warm-up of today."""

        def read(connection: apsw.Connection) -> SiteRecord:
            rows = connection.execute(_LOAD, (now - REMEMBERED, _MOST)).fetchall()
            counts: list[Any] = connection.execute(_LOAD_WARMUPS, (int(now // _DAY),)).fetchall()
            return SiteRecord(
                tuple([_standing(row) for row in rows]),
                tuple([WarmupCount(*count) for count in counts]),
            )

        return await self._listings.run(read)

    async def save(self, record: SiteRecord) -> None:
        """Put what changed, all of it or nothing."""
        await self._writer.submit(_SAVE_KIND, record, len(record))

    async def forget(self, now: float) -> int:
        """Remove what is remembered no longer; returns how many rows."""
        return await self._writer.submit(_FORGET_KIND, now)

    async def find(self, pattern: str) -> Sequence[SiteStanding]:
        """Sites whose name or rule contains the text, case aside; by site and source."""
        bindings = {"text": pattern, "most": _MOST_FOUND}
        rows = await self._listings.run(lambda connection: connection.execute(_FIND, bindings).fetchall())
        return [_standing(row) for row in rows]


def _save(connection: apsw.Connection, calls: Sequence[SiteRecord]) -> Sequence[None]:
    for record in calls:
        if record.standings:
            connection.execute(_SAVE, (as_json([_row(one) for one in record.standings]),))
        if record.warmups:
            counts = [(one.source, one.provider, one.day, one.messages) for one in record.warmups]
            connection.execute(_SAVE_WARMUPS, (as_json(counts),))
    return [None] * len(calls)


def _forget(connection: apsw.Connection, calls: Sequence[float]) -> Sequence[int]:
    counts = []
    for now in calls:
        connection.execute(_FORGET, (now - REMEMBERED,))
        gone = connection.changes()
        connection.execute(_FORGET_WARMUPS, (int(now // _DAY),))
        counts.append(gone + connection.changes())
    return counts


def _row(standing: SiteStanding) -> list[Any]:
    row = [getattr(standing, name) for name in _COLUMNS]
    return [json.dumps(cell) if name in _JSON else cell for name, cell in zip(_COLUMNS, row, strict=True)]


def _standing(row: Sequence[Any]) -> SiteStanding:
    known = dict(zip(_COLUMNS, row, strict=True))
    known["limits"] = tuple(json.loads(known["limits"]))
    known["used"] = tuple(json.loads(known["used"]))
    known["causes"] = tuple([(cause, count) for cause, count in json.loads(known["causes"])])
    return SiteStanding(**known)


_SAVE_KIND: Kind[apsw.Connection, SiteRecord, None] = Kind("save sites", _save)
_FORGET_KIND: Kind[apsw.Connection, float, int] = Kind("forget sites", _forget, essential=True)
