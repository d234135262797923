"""What speaks for a message that fails SPF or DMARC: who sealed or forwarded it, a list, its author, its recipients."""

import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from postroom.config.mailauth import MailauthSettings, read_forwarder
from postroom.config.section import Network
from postroom.dns.resolver import Family, Resolver
from postroom.mail.address import Address
from postroom.mail.domain import normalise_domain
from postroom.mail.envelope import Envelope
from postroom.mail.headers import Header
from postroom.mail.session import Client
from postroom.mail.trouble import ResolverUnavailable
from postroom.mailauth.model import ArcCheck, Authentication, Result
from postroom.mailauth.overrides import Override, OverrideKind
from postroom.mailauth.results import read_results
from postroom.policy.disposition import Action, Ground, Leniency, Objection, action_of
from postroom.policy.networks import member_of

_MAX_NAMES = 10
"""PTR names of a client that are looked at (as RFC 7208 §4.6.4 bounds them)."""

_LIST_ID = re.compile(r"<([^<>\s]+)>\s*\Z")


class Vouchers:
    """Knows whom the settings trust. ``lenient`` is asked only where something would be done to a message."""

    def __init__(self, settings: MailauthSettings, resolver: Resolver) -> None:
        self._settings = settings
        self._resolver = resolver
        networks: list[Network] = []
        names: list[str] = []
        for text in settings.trusted_forwarders:
            entry = read_forwarder(text)
            if isinstance(entry, str):
                names.append(entry)
            else:
                networks.append(entry)
        self._in_network = member_of(networks)
        self._is_forwarder = domain_matcher(names) if names else None
        self._is_sealer = domain_matcher(settings.trusted_sealers)
        self._overrides = tuple([(domain_matcher(one.domains), action_of(one.at_most)) for one in settings.override])
        self._exempt = frozenset(settings.exempt_recipients)

    async def lenient(
        self, objection: Objection, client: Client, envelope: Envelope, header: Header, found: Authentication
    ) -> Leniency | None:
        """What bounds the objection, the mildest bound of all."""
        if objection.action <= Action.TAG:
            return None
        candidates: list[Leniency | None] = [self._for_recipients(envelope)]
        if objection.ground is not Ground.AUTHORS:  # two authors are nothing that forwarding brings about
            author = "" if found.dmarc is None else found.dmarc.author
            candidates += [
                self._for_author(author),
                self._for_seal(found.arc, author),
                self._for_list(objection, header, found),
                await self._for_forwarder(client, found),
            ]
        given = [one for one in candidates if one is not None]
        return min(given, key=lambda one: one.at_most, default=None)

    def _for_recipients(self, envelope: Envelope) -> Leniency | None:
        if all(self._is_exempt(recipient.address) for recipient in envelope.recipients):
            comment = "for the postmaster"
            return Leniency(Override(OverrideKind.LOCAL_POLICY, comment), "its recipients are to hear of what fails")
        return None

    def _is_exempt(self, address: Address) -> bool:
        return address.local.lower() in self._exempt or str(address).lower() in self._exempt

    def _for_author(self, author: str) -> Leniency | None:
        for matches, at_most in self._overrides:
            if author and matches(author):
                override = Override(OverrideKind.LOCAL_POLICY, "known to fail")
                return Leniency(override, f"mail of {author} is known to fail", at_most)
        return None

    def _for_seal(self, arc: ArcCheck, author: str) -> Leniency | None:
        sealer = sealed_by(arc, author, self._is_sealer)
        if not sealer:
            return None
        # RFC 8617 §7.2.2: a message that is taken for its chain is reported as local policy
        override = Override(OverrideKind.LOCAL_POLICY, f"arc=pass, dmarc=pass at {sealer}")
        return Leniency(override, f"arc=pass, and {sealer} saw it pass DMARC")

    def _for_list(self, objection: Objection, header: Header, found: Authentication) -> Leniency | None:
        at_most = action_of(self._settings.on_list)
        if objection.ground is not Ground.DMARC or at_most >= objection.action:
            return None
        name = authentic_list(header, found)
        if not name:
            return None
        return Leniency(Override(OverrideKind.MAILING_LIST), f"it comes from the list {name}", at_most)

    async def _for_forwarder(self, client: Client, found: Authentication) -> Leniency | None:
        if self._in_network(client.address):
            return _forwards(client.address)
        matches, helo = self._is_forwarder, found.helo
        if matches is None:
            return None
        if helo is not None and helo.result is Result.PASS and matches(helo.domain):
            return _forwards(helo.domain)
        try:
            name = await self._confirmed_name(client.address, matches)
        except ResolverUnavailable:
            # It may be one whose mail must not bounce: a failing DNS refuses nothing for good.
            reason = "whether it comes from a trusted forwarder cannot be asked now"
            return Leniency(Override(OverrideKind.OTHER), reason, Action.DEFER)
        return _forwards(name) if name else None

    async def _confirmed_name(self, address: str, matches: Callable[[str], bool]) -> str:
        """The name of a forwarder that the address points to and that points back (RFC 8601 §3: iprev)."""
        try:
            parsed = ip_address(address)
        except ValueError:  # a socket
            return ""
        family = Family.IPV4 if parsed.version == 4 else Family.IPV6
        names = (await self._resolver.ptr(address)).records[:_MAX_NAMES]
        for name in names:
            if matches(name):
                answer = await self._resolver.addresses(name, family)
                if any(ip_address(one) == parsed for one in answer.records):
                    return name
        return ""


def _forwards(who: str) -> Leniency:
    return Leniency(Override(OverrideKind.TRUSTED_FORWARDER), f"{who} forwards to us")


def domain_matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A test for domains: equal to a pattern, or below one that begins with a dot."""
    exact = frozenset([one for one in patterns if not one.startswith(".")])
    below = tuple([one for one in patterns if one.startswith(".")])

    def matches(domain: str) -> bool:
        return domain in exact or (bool(below) and domain.endswith(below))

    return matches


def sealed_by(arc: ArcCheck, author: str, is_trusted: Callable[[str], bool]) -> str:
    """The trusted sealer that saw the message pass DMARC for ``author``; ``""`` if none did.

    The chain must hold, and whoever sealed after that one must be trusted as well: a seal says nothing of what others
    did to the message later (RFC 8617 §9.3).
    """
    if arc.result is not Result.PASS or not author:
        return ""
    for sealer, results in zip(reversed(arc.sealers), reversed(arc.results), strict=True):
        if not is_trusted(sealer):
            return ""
        if passed_dmarc(results, author):
            return sealer
    return ""


def passed_dmarc(results: str, author: str) -> bool:
    """Whether the value of an Authentication-Results field says dmarc=pass for that author (RFC 8601 §2.2).

    Two results are none: which one a reader goes by is anybody's guess.
    """
    said = [finding for finding in read_results(results) if finding.method == "dmarc"]
    if len(said) != 1 or said[0].result != Result.PASS.value:
        return False
    try:
        return normalise_domain(said[0].properties.get("header.from", "")) == author
    except ValueError:
        return False


def authentic_list(header: Header, found: Authentication) -> str:
    """The List-Id of a mailing list whose domain SPF or DKIM vouches for (RFC 2919 §2); ``""`` if it is none."""
    fields = header.all(b"list-id")
    match = _LIST_ID.search(fields[0].text) if len(fields) == 1 else None
    if match is None:
        return ""
    name = match[1].lower()
    domains = [one.domain for one in found.dkim if one.result is Result.PASS and not one.testing]
    if found.spf is not None and found.spf.result is Result.PASS:
        domains.append(found.spf.domain)
    if any("." in domain and f".{name}".endswith(f".{domain}") for domain in domains):
        return name
    return ""
