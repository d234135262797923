"""What TLS an MX host must have: DANE before MTA-STS before opportunistic (RFC 8461 §2, RFC 7672, RFC 8689 §4.2)."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from postroom.config.road import OutboundSettings
from postroom.dns.resolver import Resolver
from postroom.mail.delivery import Peer, QueuedRecipient, Site, StsMode, StsPolicy
from postroom.mail.message import Message
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.net.peercerts import CertificateFault, Flaw, ServerAuthorities
from postroom.outbound import tlstrouble
from postroom.outbound.dane import Dane, Tlsa
from postroom.outbound.stspolicy import allows
from postroom.outbound.tlschecks import DaneCheck, PkixCheck
from postroom.outbound.tlsmet import AppliedPolicy, NoteTls, TlsMet, applied_sts, applied_tlsa, note_nothing
from postroom.outbound.tlspolicy import TlsNeed, TlsPlan, TlsPolicy
from postroom.outbound.trouble import AttemptEnded

TLS_REQUIRED_NO = "tls-required-no"
"""The tag of a message whose header says ``TLS-Required: No`` (RFC 8689 §3), set when it comes in."""

_NOT_IN_POLICY = CertificateFault(Flaw.INVALID, "the MX host is not in the policy")
_FAILED_LATELY = CertificateFault(Flaw.INVALID, "TLS with it failed lately")


@value(frozen=True, slots=True)
class Wish:
    """What a message wants: ``secured`` as by REQUIRETLS (RFC 8689 §4.2.1), ``waived`` as by TLS-Required: No (§4.2.2).

    ``domains`` are those of its recipients.
    """

    domains: tuple[str, ...] = ()
    secured: bool = False
    waived: bool = False


def waives(message: Message) -> bool:
    """Whether the sender would rather have it arrive than protected. The parameter counts more (RFC 8689 §4.1)."""
    return TLS_REQUIRED_NO in message.tags and not message.envelope.require_tls


def wish_of(message: Message, recipients: Sequence[QueuedRecipient], *, secured: bool) -> Wish:
    """What a message wants for these recipients."""
    domains = tuple(dict.fromkeys([one.recipient.address.domain for one in recipients]))
    return Wish(domains, secured, waives(message))


class MxTls:
    """Plans TLS for MX hosts. ``note`` hears of hosts that are left out before they are asked."""

    def __init__(
        self, settings: OutboundSettings, policy: TlsPolicy, resolver: Resolver, note: NoteTls = note_nothing
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._note = note
        self._dane = Dane(resolver, ipv6=settings.ipv6) if settings.dane else None
        self._authorities: ServerAuthorities | None = None

    async def plan(self, site: Site, host: str, wish: Wish) -> TlsPlan:
        """What a new connection to ``host`` needs. AttemptEnded if the host is not to be used."""
        if wish.secured and not _is_vouched_for(site, host):
            raise AttemptEnded(tlstrouble.name_not_vouched(host))
        try:
            usual = self._policy.plan(site, host, secured=wish.secured)
            if not (self._settings.tls or wish.secured):
                return usual
            tlsa = await self._tlsa(site, host, wish)
            if tlsa is not None:
                if site.sts is not None and not site.dnssec:
                    # Who forges the MX records has TLSA records of his own: they say which host it is, not whose it
                    # is, and only the policy does that here (RFC 8461 §4.1).
                    self._hold_to_policy(site, host, site.sts, wish)
                plan = await self._by_dane(site, host, tlsa, wish)
            elif site.sts is not None:
                plan = self._by_sts(site, host, site.sts, usual, wish)
            else:
                plan = usual
        except OSError as error:
            raise AttemptEnded(tlstrouble.authorities_unreadable(error)) from error
        # RFC 8460 §5.3: reports go out by mail that waives; it must not be the reason for another one.
        return plan if wish.waived else replace(plan, domains=wish.domains)

    async def _tlsa(self, site: Site, host: str, wish: Wish) -> Tlsa | None:
        """The host's TLSA records, also where the MX records are not secure: RFC 7672 §2.2.1 leaves that to us."""
        if self._dane is None or _is_address(host):  # RFC 7672 §2.2
            return None
        try:
            return await self._dane.look_up(host, site.port)
        except ResolverUnavailable as error:
            if wish.waived:
                return None
            self._leave_out(
                site,
                wish,
                AppliedPolicy("tlsa"),
                Peer(host, policy="dane"),
                failure="dnssec-invalid",
                reason=str(error),
            )
            raise AttemptEnded(tlstrouble.tlsa_unavailable(host, error)) from error

    async def _by_dane(self, site: Site, host: str, tlsa: Tlsa, wish: Wish) -> TlsPlan:
        check = DaneCheck(tlsa, await self._next_hops(site, tlsa, wish), host if wish.secured else "")
        usable = bool(tlsa.usable)
        policy = "dane" if usable else "dane without usable records"
        return TlsPlan(
            TlsNeed.OPPORTUNISTIC if wish.waived else TlsNeed.REQUIRED,
            self._policy.any_certificate(),
            _waived(policy if site.dnssec else f"{policy}, MX insecure", wish),
            tlsa.base,  # RFC 7672 §8.1
            # RFC 7672 §2.2: without a usable record any certificate will do; not for REQUIRETLS, where a name counts
            check if usable else self._pkix(host) if wish.secured else None,
            strict=not wish.waived,
            applied=applied_tlsa(tlsa),
        )

    async def _next_hops(self, site: Site, tlsa: Tlsa, wish: Wish) -> tuple[tuple[str, ...], ...]:
        """RFC 7672 §3.2.2: what else a certificate may be for, where the MX records are secure."""
        if self._dane is None or not site.dnssec or not any(record.usage == 2 for record in tlsa.usable):
            return ()
        try:
            return tuple([await self._dane.next_hops(domain) for domain in wish.domains])
        except ResolverUnavailable:  # they were there a moment ago; the base domain still is
            return ()

    def _by_sts(self, site: Site, host: str, sts: StsPolicy, usual: TlsPlan, wish: Wish) -> TlsPlan:
        policy = _waived(f"sts {sts.mode.value}", wish)
        binding = wish.secured or (sts.mode is StsMode.ENFORCE and not wish.waived)
        applied = applied_sts(sts)
        self._hold_to_policy(site, host, sts, wish)
        if not allows(sts, host):
            return replace(usual, policy=policy, strict=False, flaw=_NOT_IN_POLICY, applied=applied)
        if usual.need is TlsNeed.NONE and not binding:
            return replace(usual, policy=policy, strict=False, flaw=_FAILED_LATELY, applied=applied)
        return TlsPlan(
            TlsNeed.REQUIRED if binding else TlsNeed.OPPORTUNISTIC,
            self._policy.any_certificate(),
            policy,
            check=self._pkix(host),
            strict=binding,
            applied=applied,
        )

    def _hold_to_policy(self, site: Site, host: str, sts: StsPolicy, wish: Wish) -> None:
        """AttemptEnded if a policy that is enforced does not name the host (RFC 8461 §5)."""
        if sts.mode is not StsMode.ENFORCE or wish.waived or allows(sts, host):
            return
        peer = Peer(host, policy=_waived(f"sts {sts.mode.value}", wish))
        failure, reason = Flaw.INVALID.value, _NOT_IN_POLICY.text
        self._leave_out(site, wish, applied_sts(sts), peer, failure=failure, reason=reason)
        raise AttemptEnded(tlstrouble.not_in_policy(host, sts.domain))

    def _leave_out(
        self, site: Site, wish: Wish, applied: AppliedPolicy, peer: Peer, *, failure: str, reason: str
    ) -> None:
        domains = () if wish.waived else wish.domains
        self._note(TlsMet(site.key, domains, applied, peer, failure=failure, reason=reason))

    def _pkix(self, host: str) -> PkixCheck:
        if self._authorities is None:
            self._authorities = ServerAuthorities(self._settings.sts_ca_file)
        return PkixCheck(self._authorities, host)


def _is_vouched_for(site: Site, host: str) -> bool:
    """RFC 8689 §4.2.1: the host's name must come by DNSSEC, or be one of the MTA-STS policy's."""
    return site.dnssec or (site.sts is not None and allows(site.sts, host)) or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _waived(policy: str, wish: Wish) -> str:
    return f"{policy}, waived by the sender" if wish.waived else policy
