"""Looks for the record of a key as the world sees it: at each server of its zone, and through our resolver."""

from collections.abc import Sequence
from typing import Protocol

from postroom.dns.authorities import Authorities
from postroom.dns.resolver import Resolver
from postroom.mail.trouble import ResolverUnavailable
from postroom.mailauth.keys.model import KeyPair, Look, Sight
from postroom.mailauth.keys.record import judge

OUR_RESOLVER = "our resolver"


class Watcher(Protocol):
    """Whoever can look."""

    async def look(self, key: KeyPair) -> Look:
        """One look, now. Raises nothing: who does not answer makes it UNKNOWN."""
        ...


class DnsWatcher:
    """Asks every server of the zone, those that answer, and then our resolver.

    The resolver is asked last, and only about what is at all servers: it would remember for long that it was not there
    (RFC 2308 §5). ``resolver`` should keep nothing itself: a look is worth what it is fresh.
    """

    def __init__(self, resolver: Resolver, authorities: Authorities) -> None:
        self._resolver = resolver
        self._authorities = authorities

    async def look(self, key: KeyPair) -> Look:
        """One look, now."""
        found: list[tuple[str, Sequence[bytes] | None]] = [
            (each.server, each.records) for each in await self._authorities.txt(key.name)
        ]
        at_source = judge(key.record, found)
        if at_source.sight in (Sight.ABSENT, Sight.WRONG):
            return at_source
        try:
            found.append((OUR_RESOLVER, (await self._resolver.txt(key.name)).records))
        except ResolverUnavailable:
            return at_source
        return judge(key.record, found)
