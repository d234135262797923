"""Knows where mail goes: the settings' rules, ourselves, or the MX of the DNS (RFC 5321 §5.1, RFC 7505)."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import groupby

from postroom.clock import Clock
from postroom.config.road import CommandSettings, MaildirSettings, OutboundSettings, RouteSettings, SmarthostSettings
from postroom.dns.resolver import Existence, Family, MxRecord, Resolver
from postroom.mail.address import Address
from postroom.mail.delivery import Failed, Outcome, RouteKind, Site, StsPolicy
from postroom.mail.domain import literal_address
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.outbound import trouble
from postroom.outbound.rules import HOLD, MAILBOX, Rule, Rules

MEMO_TTL = 1.0  # seconds: changes of the directory take effect within a second (DESIGN §5)
MEMO_SIZE = 1000  # domains
MAX_MX = 100  # MX hosts taken from one answer, the best first: a hostile zone must not make us busy

# Keys that no set of hosts can have: a domain whose MX host is called "discard" must not be thrown away.
_MAILBOX = Site("local:mailbox", RouteKind.MAILBOX)
_DISCARD = Site("local:discard", RouteKind.DISCARD)
_HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")

MX, DISCARD = "mx", "discard"
BUILT_IN = (MX, MAILBOX, DISCARD, HOLD)
"""What ``via`` can say without a name of the settings."""

IsLocal = Callable[[str], Awaitable[bool]]
"""Whether a domain is one of ours."""

StsOf = Callable[[str], Awaitable[StsPolicy | None]]
"""The MTA-STS policy that mail for a domain goes by now."""


@value(frozen=True, slots=True)
class _Memo:
    site: Site | Outcome
    until: float


class MailRouter:
    """The router of the queue. What was asked within the last second is answered without suspending.

    The rules come first (``outbound/rules.py``), then domains of ours, then MX. A rule that names neither domains nor
    recipients leaves our own domains alone: a smarthost for everything else must not swallow them.
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
        maildirs: Sequence[MaildirSettings] = (),
        commands: Sequence[CommandSettings] = (),
        sts_of: StsOf | None = None,
    ) -> None:
        """ValueError where a rule names something that is not there, or a pattern is of no use."""
        self._hostname = hostname.lower()
        self._settings = settings
        self._resolver = resolver
        self._is_local = is_local
        self._sts_of = sts_of
        self._clock = clock
        self._memo: dict[str, _Memo] = {}
        self._vias = {smarthost.name: _smarthost_site(smarthost) for smarthost in smarthosts}
        for kind, names in (
            (RouteKind.MAILDIR, [maildir.name for maildir in maildirs]),
            (RouteKind.COMMAND, [command.name for command in commands]),
        ):
            self._vias |= {name: Site(f"{kind.value}:{name}", kind, route=name) for name in names}
        self.rules = Rules(routes)
        for route in routes:
            self._check(route)

    def destination(self, message: Message, recipient: Recipient) -> str:
        """The recipient's domain, followed by a blank and the rule where it goes by one. No rule that holds."""
        return self.rules.destination(message, recipient.address)

    def holds(self, message: Message, recipient: Recipient, *, ours: bool = False) -> str:
        """The rule that keeps the recipient until an operator releases it; ``""`` where there is none."""
        return self.rules.holding(message, recipient.address, ours=ours)

    def takes(self, message: Message, address: Address) -> bool:
        """Whether a rule takes mail for an account of this address elsewhere than to its mailbox, or holds it."""
        return self.rules.takes(message, address)

    async def site_of(self, destination: str) -> Site | Outcome:
        """The site, or a Deferred or Failed for all recipients there."""
        memo = self._memo.get(destination)
        now = self._clock.monotonic()
        if memo is not None and memo.until > now:
            return memo.site
        site = await self._look_up(destination)
        if len(self._memo) >= MEMO_SIZE:
            self._memo.clear()
        self._memo[destination] = _Memo(site, now + MEMO_TTL)
        return site

    async def _look_up(self, destination: str) -> Site | Outcome:
        domain, _, choice = destination.partition(" ")
        if not choice:
            return _MAILBOX if await self._is_local(domain) else await self._by_mx(domain)
        choice, _, local_choice = choice.partition("|")
        rule, place = self._rule(choice)
        if rule is None:
            return trouble.no_route(f"there is no rule {choice!r} any more").outcome
        if not rule.is_explicit and await self._is_local(domain):
            if not local_choice:
                return _MAILBOX
            rule, place = self._rule(local_choice)
            if rule is None:
                return trouble.no_route(f"there is no rule {local_choice!r} any more").outcome
        return await self._by_rule(domain, rule, place)

    def _rule(self, choice: str) -> tuple[Rule | None, int]:
        """The rule of that name, and which of its hosts comes first, counted from 1."""
        rule = self.rules.by_name.get(choice)
        if rule is not None:
            return rule, 1
        name, _, place = choice.rpartition("/")
        return self.rules.by_name.get(name), int(place) if place.isdecimal() else 1

    async def _by_rule(self, domain: str, rule: Rule, place: int) -> Site | Outcome:
        """Where the rule says, with its pool and schedule."""
        via = rule.settings.via
        if via == (HOLD,):
            return trouble.no_route(f"{rule.name} holds mail, and nobody has released it").outcome
        if via == (MAILBOX,):
            if await self._is_local(domain):
                return _MAILBOX
            return trouble.no_route(f"{rule.name} is for mailboxes here, and {domain} is no domain of ours").outcome
        if via == (DISCARD,):
            return _DISCARD
        if via == (MX,):
            site = await self._by_mx(domain)
        else:
            start = min(place, len(via)) - 1
            order = (via[start], *via[:start], *via[start + 1 :])
            site = self._vias[via[0]] if len(via) == 1 else _joined([self._vias[name] for name in order])
        if not isinstance(site, Site):
            return site
        pool, schedule = rule.settings.pool, rule.settings.schedule
        return replace(site, pool=pool, schedule=schedule) if pool or schedule else site

    def _check(self, route: RouteSettings) -> None:
        """ValueError where the rule leads nowhere."""
        if len(route.via) == 1 and route.via[0] in BUILT_IN:
            return
        for via in route.via:
            if via not in self._vias:
                raise ValueError(
                    f"the route via {via!r} leads nowhere: there is no smarthost, maildir or command of it"
                )
        kinds = {self._vias[via].kind for via in route.via}
        if not kinds or (len(route.via) > 1 and kinds not in ({RouteKind.SMARTHOST}, {RouteKind.LMTP})):
            raise ValueError(f"the route via {', '.join(route.via)} mixes what cannot stand in for each other")

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
                site = await self._implicit_mx(domain)
            case Existence.FOUND:
                site = self._by_preference(domain, answer.records)
        if not isinstance(site, Site):
            return site
        dnssec = self._settings.dane and answer.authenticated  # RFC 7672 §2.2.1, §2.2.2
        sts = None if self._sts_of is None else await self._sts_of(domain)
        return replace(site, dnssec=dnssec, sts=sts) if dnssec or sts is not None else site

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


def smarthost_host(smarthost: SmarthostSettings) -> str:
    """The host as sites name it: a name in lower case, an address, or the path of a socket."""
    if smarthost.host.startswith("/"):
        return smarthost.host
    return literal_address(smarthost.host) or smarthost.host.lower()


def _smarthost_site(smarthost: SmarthostSettings) -> Site:
    kind = RouteKind.LMTP if smarthost.protocol == "lmtp" else RouteKind.SMARTHOST
    return Site(f"{kind.value}:{smarthost.name}", kind, ((smarthost_host(smarthost),),), smarthost.port, smarthost.name)


def _joined(sites: Sequence[Site]) -> Site:
    """Several smarthosts as one site: the next is tried where one fails."""
    names = tuple([site.route for site in sites])
    first = sites[0]
    hosts = tuple([site.hosts[0] for site in sites])
    return Site(f"{first.kind.value}:{'+'.join(names)}", first.kind, hosts, first.port, first.route, names)
