"""Domains with SPF and DMARC records in a zone, and the real checks over it. The client of tests is 192.0.2.1."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postroom.clock import Clock
from postroom.config.mailauth import MailauthSettings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.address import Address
from postroom.mail.headers import Header
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.dkim.signing import sign
from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record
from postroom.mailauth.dmarc.evaluating import DmarcEvaluator
from postroom.mailauth.model import Authentication, Policy
from postroom.mailauth.overrides import Override
from postroom.mailauth.results import without_forged, write_results
from postroom.mailauth.spf import SpfChecker
from postroom.policy.authentication import MailChecks, Methods
from postroom.report.reporter import Reporter

HOST = "mx.local.example"

_RECORDS = {
    "good.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "_dmarc.good.example": {"TXT": ["v=DMARC1; p=reject; rua=mailto:dmarc@good.example"]},
    "bank.example": {"TXT": ["v=spf1 -all"]},
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject; rua=mailto:dmarc@bank.example"]},
    "shop.example": {"TXT": ["v=spf1 -all"]},
    "_dmarc.shop.example": {"TXT": ["v=DMARC1; p=quarantine"]},
    "watch.example": {"TXT": ["v=spf1 -all"]},
    "_dmarc.watch.example": {"TXT": ["v=DMARC1; p=none"]},
    "plain.example": {"TXT": ["v=spf1 -all exp=why.plain.example"]},
    "why.plain.example": {"TXT": ["see https://plain.example/spf"]},
    "lame.example": {"TXT": ["v=spf1 -all"]},
    "client.example": {"A": ["192.0.2.1"]},
    "mx.list.example": {"A": ["192.0.2.1"]},
    "list.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["mx.forward.example"]},
    "mx.forward.example": {"A": ["192.0.2.1"]},
    "2.2.0.192.in-addr.arpa": {"PTR": ["mx.forward.example"]},
}


def a_zone() -> Zone:
    """good: passes SPF from 192.0.2.1. bank asks for reject, shop for quarantine, watch for none, plain for nothing;
    lame's DMARC record cannot be asked. Mail of these fails unless it is signed.
    """
    zone = Zone.of({**_RECORDS, f"sel._domainkey.{SIGNER}": {"TXT": [_public_record()]}})
    zone.servfail.add("_dmarc.lame.example")
    return zone


SIGNER = "bank.example"
"""Whose key there is: mail that ``signed`` makes passes as its."""


@cache
def _key() -> SigningKey:
    return SigningKey(SIGNER, "sel", Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(b"k" * 32))


def _public_record() -> str:
    return key_record(_key())


async def signed(content: bytes, now: float) -> bytes:
    """The content with a signature of SIGNER in front."""
    return await sign(content, b"", [_key()], now) + content


@dataclass
class KeepingTally:
    """What the aggregate reports hear."""

    noted: list[tuple[Authentication, Policy, tuple[Override, ...]]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)

    def note(
        self,
        authentication: Authentication,
        *,
        header: Header,
        client: str,
        envelope_from: Address | None,
        envelope_to: Collection[str],
        disposition: Policy,
        overrides: Sequence[Override] = (),
    ) -> None:
        self.noted.append((authentication, disposition, tuple(overrides)))
        self.said.append(
            {"header": header, "client": client, "envelope_from": envelope_from, "envelope_to": set(envelope_to)}
        )


def methods_over(zone: Zone, clock: Clock) -> Methods:
    """The real methods."""
    resolver = ZoneResolver(zone)
    return Methods(
        spf=SpfChecker(resolver, hostname=HOST, clock=clock),
        signatures=SignatureChecker(resolver, clock),
        dmarc=DmarcEvaluator(resolver),
        write=write_results,
        without_forged=without_forged,
    )


def make_checks(
    clock: Clock,
    tell: Callable[[Any], None],
    *,
    zone: Zone | None = None,
    tally: KeepingTally | None = None,
    methods: Methods | None = None,
    **settings: Any,
) -> MailChecks:
    """Checks with these settings of ``[mailauth]``."""
    zone = zone or a_zone()
    return MailChecks(
        MailauthSettings.model_validate(settings),
        methods or methods_over(zone, clock),
        hostname=HOST,
        resolver=ZoneResolver(zone),
        clock=clock,
        reporter=Reporter([tell]),
        tally=tally,
    )
