"""Knows where a domain's mail goes: the settings' routes, ourselves, or the MX of the DNS (RFC 5321 §5.1, RFC 7505)."""

import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby

from postroom.clock import Clock
from postroom.config.road import OutboundSettings, RouteSettings, SmarthostSettings
from postroom.dns.resolver import Existence, Family, MxRecord, Resolver
from postroom.mail.delivery import Failed, Outcome, RouteKind, Site
from postroom.mail.domain import literal_address
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.outbound import trouble

MEMO_TTL = 1.0  # seconds: changes of the directory take effect within a second (DESIGN §5)
MEMO_SIZE = 1000  # domains
MAX_MX = 100  # MX hosts taken from one answer, the best first: a hostile zone must not make us busy

# Keys that no set of hosts can have: a domain whose MX host is called "discard" must not be thrown away.
_MAILBOX = Site("local:mailbox", RouteKind.MAILBOX)
_DISCARD = Site("local:discard", RouteKind.DISCARD)
_HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")

IsLocal = Callable[[str], Awaitable[bool]]
"""Whether a domain is one of ours."""


@value(frozen=True, slots=True)
class _Memo:
    site: Site | Outcome
    until: float


class MailRouter:
    """The router of the queue. What was asked within the last second is answered without suspending.

    Routes for a domain or for all below one come first, then domains of ours, then a ``*`` route, then MX: a smarthost
    for everything else must not swallow our own domains.
    """

    def __init__(
        self,
        *,
        hostname: str,
        settings: OutboundSettings,
        routes: Sequence[RouteSettings],
        smarthosts: Sequence[SmarthostSettings],
        resolver: Resolver,
        is_local: IsLocal,
        clock: Clock,
    ) -> None:
        """ValueError where a route names a smarthost that is not there."""
        self._hostname = hostname.lower()
        self._settings = settings
        self._resolver = resolver
        self._is_local = is_local
        self._clock = clock
        self._memo: dict[str, _Memo] = {}
        vias = {smarthost.name: _smarthost_site(smarthost) for smarthost in smarthosts}
        vias |= {"discard": _DISCARD}
        self._routes: dict[str, tuple[int, Site | None]] = {}  # the place in the settings; None is MX
        for place, route in enumerate(routes):
            via = route.via[0]
            if via != "mx" and via not in vias:
                raise ValueError(f"the route via {via!r} names no smarthost")
            for domain in route.domains:
                self._routes.setdefault(domain.lower(), (place, vias.get(via)))

    def destination(self, message: Message, recipient: Recipient) -> str:
        """The recipient's domain."""
        return recipient.address.domain

    def holds(self, message: Message, recipient: Recipient) -> str:
        """No rule holds anything."""
        return ""

    async def site_of(self, domain: str) -> Site | Outcome:
        """The site, or a Deferred or Failed for all recipients of the domain."""
        memo = self._memo.get(domain)
        now = self._clock.monotonic()
        if memo is not None and memo.until > now:
            return memo.site
        site = await self._look_up(domain)
        if len(self._memo) >= MEMO_SIZE:
            self._memo.clear()
        self._memo[domain] = _Memo(site, now + MEMO_TTL)
        return site

    async def _look_up(self, domain: str) -> Site | Outcome:
        route = self._matching(domain)
        if route is None:
            if await self._is_local(domain):
                return _MAILBOX
            route = self._routes.get("*", (0, None))
        return route[1] or await self._by_mx(domain)

    def _matching(self, domain: str) -> tuple[int, Site | None] | None:
        """Of the routes for the domain or for all below one, the first of the settings."""
        found = self._routes.get(domain)
        at = -1 if domain.startswith("[") else domain.find(".", 1)
        while at > 0:
            other = self._routes.get(domain[at:])
            if other is not None and (found is None or other[0] < found[0]):
                found = other
            at = domain.find(".", at + 1)
        return found

    async def _by_mx(self, domain: str) -> Site | Outcome:
        literal = literal_address(domain)
        if literal:  # RFC 5321 §5.1: an address literal is no domain, there is nothing to look up
            return self._site(((literal,),))
        try:
            return await self._ask(domain)
        except ResolverUnavailable as error:
            return trouble.resolver_unavailable(domain, error)

    async def _ask(self, domain: str) -> Site | Outcome:
        answer = await self._resolver.mx(domain)
        match answer.existence:
            case Existence.NO_SUCH_DOMAIN:
                return trouble.no_such_domain(domain)
            case Existence.NO_DATA:
                return await self._implicit_mx(domain)
            case Existence.FOUND:
                return self._by_preference(domain, answer.records)

    async def _implicit_mx(self, domain: str) -> Site | Outcome:
        """RFC 5321 §5.1: without MX records the domain itself is the host, with preference 0."""
        if domain == self._hostname:
            return trouble.loops_back(domain)
        for family in (Family.IPV4, Family.IPV6) if self._settings.ipv6 else (Family.IPV4,):
            if (await self._resolver.addresses(domain, family)).records:
                return self._site(((domain,),))
        return trouble.takes_no_mail(domain)

    def _by_preference(self, domain: str, records: Sequence[MxRecord]) -> Site | Failed:
        named = {record for record in records if record.host}
        if not named:
            return trouble.null_mx(domain)  # RFC 7505 §3: "." alone; beside others it means nothing
        # The DNS can hold any octets as a name. What is no host name leads nowhere, and must not pass for two hosts.
        hosts = [record for record in named if _HOST_NAME.fullmatch(record.host)]
        if not hosts:
            return trouble.takes_no_mail(domain)
        hosts = sorted(hosts, key=lambda record: record.preference)[:MAX_MX]
        ours = [record.preference for record in hosts if record.host == self._hostname]
        if ours:
            # RFC 5321 §5.1: we are one of the hosts; those no better than we are would send it back.
            hosts = [record for record in hosts if record.preference < ours[0]]
            if not hosts:
                return trouble.loops_back(domain)
        groups = groupby(hosts, key=lambda record: record.preference)
        return self._site(tuple(tuple(sorted({record.host for record in group})) for _, group in groups))

    def _site(self, hosts: tuple[tuple[str, ...], ...]) -> Site:
        """Domains with the same hosts in the same order of preference are one site, whatever their numbers are."""
        key = ";".join([",".join(group) for group in hosts])
        return Site(key, RouteKind.MX, hosts, self._settings.port)


def _smarthost_site(smarthost: SmarthostSettings) -> Site:
    kind = RouteKind.LMTP if smarthost.protocol == "lmtp" else RouteKind.SMARTHOST
    host = literal_address(smarthost.host) or smarthost.host.lower()
    return Site(f"{kind.value}:{smarthost.name}", kind, ((host,),), smarthost.port, smarthost.name)
