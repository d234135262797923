"""LaggingZone: a zone whose secondaries follow later, asked at its servers and through caches; faults are fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroom.clock import Clock
from postroom.dns.authorities import ServerAnswer
from postroom.dns.resolver import Answer, Existence, Family, MxRecord, TlsaRecord
from postroom.dns.zone import txt_strings
from postroom.mail.trouble import ResolverUnavailable
from postroom.mailauth.publishing import PublishFailed, ZoneRecord


@dataclass
class LaggingZone:
    """Publisher, authorities and resolver in one.

    ``lags`` are the seconds by which each server is behind, the primary first. ``failing``: changes are refused, with
    this text. ``hidden``: records that single servers have lost, as (server, name). ``silent``: servers that do not
    answer. ``closed``: no server can be asked, only the resolver.
    """

    clock: Clock
    lags: tuple[float, ...] = (0.0,)
    failing: str = ""
    hidden: set[tuple[int, str]] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    closed: bool = False
    resolver_down: bool = False
    ttl: float = 3600.0
    negative_ttl: float = 3600.0
    covered: bool = True
    changes: list[tuple[float, dict[str, tuple[str, ...]]]] = field(default_factory=lambda: [(float("-inf"), {})])
    cached: dict[str, tuple[float, tuple[bytes, ...]]] = field(default_factory=dict)
    asked: int = 0

    # As a Publisher

    def covers(self, name: str) -> bool:
        return self.covered

    async def change(self, add: Sequence[ZoneRecord], remove: Sequence[ZoneRecord] = ()) -> None:
        if self.failing:
            raise PublishFailed(self.failing)
        records = dict(self.changes[-1][1])
        for one in add:
            records[one.name] = tuple(dict.fromkeys((*records.get(one.name, ()), one.data)))
        for one in remove:
            records[one.name] = tuple(text for text in records.get(one.name, ()) if text != one.data)
        self.changes.append((self.clock.now(), records))

    def put(self, name: str, *texts: str) -> None:
        """What somebody else does to the zone: these are the records of a name now, none for no texts."""
        self.changes.append((self.clock.now(), {**self.changes[-1][1], name: texts}))

    # As its servers

    def at(self, server: int, name: str) -> tuple[bytes, ...]:
        """What one server has now."""
        if (server, name) in self.hidden:
            return ()
        moment = self.clock.now() - self.lags[server]
        records = next(records for at, records in reversed(self.changes) if at <= moment)
        return tuple([b"".join(txt_strings(text)) for text in records.get(name, ())])

    async def everywhere(self, name: str) -> Sequence[ServerAnswer]:
        if self.closed:
            return ()
        return [
            ServerAnswer(f"ns{server}.example.net", None if server in self.silent else self.at(server, name))
            for server in range(len(self.lags))
        ]

    # As a resolver that asks any one of them, and remembers

    async def resolve(self, name: str) -> Answer[bytes]:
        if self.resolver_down:
            raise ResolverUnavailable("no answer")
        now = self.clock.now()
        until, records = self.cached.get(name, (0.0, ()))
        if until <= now:
            self.asked += 1
            records = self.at(self.asked % len(self.lags), name)
            self.cached[name] = (now + (self.ttl if records else self.negative_ttl), records)
        return Answer(records, existence=Existence.FOUND if records else Existence.NO_SUCH_DOMAIN, name=name)


@dataclass
class ZoneServers:
    """The zone's servers, as the port has them."""

    zone: LaggingZone

    async def txt(self, name: str) -> Sequence[ServerAnswer]:
        return await self.zone.everywhere(name)


@dataclass
class ZoneCache:
    """The resolver, as the port has it; it knows TXT records alone."""

    zone: LaggingZone

    async def txt(self, name: str) -> Answer[bytes]:
        return await self.zone.resolve(name)

    async def mx(self, domain: str) -> Answer[MxRecord]:
        raise NotImplementedError

    async def addresses(self, host: str, family: Family) -> Answer[str]:
        raise NotImplementedError

    async def tlsa(self, name: str) -> Answer[TlsaRecord]:
        raise NotImplementedError

    async def cname(self, name: str) -> Answer[str]:
        raise NotImplementedError

    async def ptr(self, address: str) -> Answer[str]:
        raise NotImplementedError
