"""The addresses of a site in the order in which they are tried (RFC 5321 §5.1)."""

import random
from collections.abc import AsyncGenerator, Callable, Mapping
from ipaddress import IPv6Address, ip_address
from itertools import chain, zip_longest

from postroom.clock import Clock
from postroom.config.road import OutboundSettings
from postroom.dns.resolver import Family, Resolver
from postroom.mail.delivery import RouteKind, Site
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.outbound import trouble
from postroom.outbound.trouble import Trouble

SHUNNED_FOR = 60.0  # seconds for which an address that could not be reached is tried after all others
MAX_SHUNNED = 1000  # addresses; the oldest are forgotten


@value(frozen=True, slots=True)
class Target:
    """One address of one host. ``relay`` names the smarthost that it is, ``""`` for an MX host.

    For a socket of this machine host and address are its path, and the port is 0.
    """

    host: str
    address: str
    port: int
    relay: str = ""

    @property
    def is_socket(self) -> bool:
        """Whether it is a socket in the file system."""
        return self.address.startswith("/")


class Hosts:
    """Turns sites into targets: by preference, equal preferences in random order, IPv6 and IPv4 in turns."""

    def __init__(
        self,
        resolver: Resolver,
        settings: OutboundSettings,
        clock: Clock,
        shuffle: Callable[[list[str]], None] = random.shuffle,
        *,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        """``ports`` are those of the smarthosts, by name."""
        self._ports = ports or {}
        self._resolver = resolver
        self._settings = settings
        self._clock = clock
        self._shuffle = shuffle
        self._shunned: dict[str, float] = {}

    async def of(self, site: Site) -> AsyncGenerator[Target | Trouble, None]:
        """Each target as it is needed, or the trouble with a host that has none. Those shunned come last."""
        shunned: list[Target] = []
        now = self._clock.monotonic()
        relays = site.relays or (site.route,) * len(site.hosts)
        for group, relay in zip(site.hosts, relays, strict=True):
            hosts = list(group)
            self._shuffle(hosts)
            for host in hosts:
                for found in await self._targets(site, host, relay):
                    if isinstance(found, Target) and self._shunned.get(found.address, 0.0) > now:
                        shunned.append(found)
                    else:
                        yield found
        for target in shunned:
            yield target

    def shun(self, address: str) -> None:
        """The address could not be reached: others first, for a while."""
        self._shunned.pop(address, None)
        self._shunned[address] = self._clock.monotonic() + SHUNNED_FOR
        if len(self._shunned) > MAX_SHUNNED:
            del self._shunned[next(iter(self._shunned))]

    async def _targets(self, site: Site, host: str, relay: str) -> list[Target | Trouble]:
        if host.startswith("/"):
            return [Target(host, host, 0, relay)]
        addresses, failure = await self._addresses(host)
        if not addresses:
            if failure is not None:
                return [trouble.host_unresolved(host, failure)]
            return [trouble.unknown_host(host, ours=site.kind is not RouteKind.MX)]
        guarded = site.kind is RouteKind.MX and not self._settings.allow_loopback
        port = self._ports.get(relay, site.port) if site.relays else site.port
        return [
            trouble.address_is_ours(host, address)
            if guarded and is_own_address(address)
            else Target(host, address, port, relay)
            for address in addresses
        ]

    async def _addresses(self, host: str) -> tuple[list[str], ResolverUnavailable | None]:
        """The addresses, IPv6 first and in turns; if a family could not be asked, why."""
        if _is_address(host):
            return [host], None
        failure: ResolverUnavailable | None = None
        families: list[list[str]] = []
        for family in (Family.IPV6, Family.IPV4) if self._settings.ipv6 else (Family.IPV4,):
            try:
                found = list((await self._resolver.addresses(host, family)).records)
            except ResolverUnavailable as error:
                failure = error
                continue
            self._shuffle(found)
            families.append(found)
        return [address for address in chain(*zip_longest(*families)) if address is not None], failure


def is_own_address(address: str) -> bool:
    """Loopback or unspecified, or a socket in the file system: whatever answers there is this machine."""
    if address.startswith("/"):
        return True
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    return parsed.is_loopback or parsed.is_unspecified


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
