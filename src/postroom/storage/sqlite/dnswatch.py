"""The port of what looks at the DNS found, on SQLite."""

import json
from collections.abc import Sequence
from typing import Any

import apsw

from postroom.admin.dnswatch.model import KnownFault, WatchedDomain
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader

_LOAD = "SELECT domain, looked_at, faults FROM dns_watch ORDER BY domain"
_SAVE = "INSERT OR REPLACE INTO dns_watch (domain, looked_at, faults) VALUES (?, ?, ?)"
_FORGET = "DELETE FROM dns_watch WHERE domain = ?"


class SqliteDnsWatch:
    """See ``postroom.admin.dnswatch.model.DnsWatchStore``."""

    def __init__(self, writer: Writer[apsw.Connection], listings: Reader) -> None:
        self._writer = writer
        self._listings = listings

    async def load(self) -> Sequence[WatchedDomain]:
        """All that is remembered."""
        return await self._listings.run(lambda connection: [_read(row) for row in connection.execute(_LOAD)])

    async def save(self, domains: Sequence[WatchedDomain]) -> None:
        """Replace what is remembered of these, all of them or none."""
        await self._writer.submit(_SAVE_KIND, [_row(each) for each in domains], len(domains))

    async def forget(self, domains: Sequence[str]) -> None:
        """Remove what is remembered of these."""
        await self._writer.submit(_FORGET_KIND, domains, len(domains))


def _row(watched: WatchedDomain) -> tuple[Any, ...]:
    faults = [
        (each.fault, each.subject, each.level, each.what, each.since, each.sights, each.missed, each.told)
        for each in watched.faults
    ]
    return watched.domain, watched.looked_at, json.dumps(faults)


def _read(row: Sequence[Any]) -> WatchedDomain:
    domain, looked_at, faults = row
    return WatchedDomain(domain, looked_at, tuple([KnownFault(*each) for each in json.loads(faults)]))


def _save(connection: apsw.Connection, calls: Sequence[Sequence[tuple[Any, ...]]]) -> Sequence[None]:
    for rows in calls:
        connection.executemany(_SAVE, rows)
    return [None] * len(calls)


def _forget(connection: apsw.Connection, calls: Sequence[Sequence[str]]) -> Sequence[None]:
    for domains in calls:
        connection.executemany(_FORGET, [(domain,) for domain in domains])
    return [None] * len(calls)


_SAVE_KIND: Kind[apsw.Connection, Sequence[tuple[Any, ...]], None] = Kind("save dns watch", _save)
_FORGET_KIND: Kind[apsw.Connection, Sequence[str], None] = Kind("forget dns watch", _forget, essential=True)
