"""Which DKIM-Signature fields of a header are tried, and what each claims to be (RFC 6376 §6.1, §6.1.1, RFC 6008)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from postroom.mail.domain import normalise_domain
from postroom.mail.headers import Field
from postroom.mail.value import value
from postroom.mailauth.dkim.header import SignedHeader
from postroom.mailauth.dkim.signature import (
    Signature,
    SignatureFault,
    read_algorithm,
    read_domain,
    read_selector,
    read_signature,
)
from postroom.mailauth.dkim.tags import TagFault, read_tags, without_space
from postroom.mailauth.model import DkimCheck, Result

CLOCK_SKEW = 300
"""Seconds by which the clock of a signer may differ from ours when a signature expires (RFC 6376 §3.5 x=)."""
MOST_AHEAD = 86_400
"""Seconds by which it may be ahead: clocks are wrong by time zones, and no harm is in that (RFC 6376 §3.5 t=)."""
FIELD = b"dkim-signature"

_MARK, _MARK_AT_MOST = 8, 64  # RFC 6008 §4: at least 8 characters of b=, and more where these are not unique
_AUTHOR = re.compile(rb"@([^\s@<>,;()\"]{1,255})")
_AUTHORS = 20
_DOMAIN_TAG = re.compile(rb"(?:\A|;)[ \t\r\n]*d[ \t\r\n]*=[ \t\r\n]*([^;\s]{1,255})")


@value(frozen=True, slots=True)
class Claim:
    """One field: where it stands in the header, what is known of it, the signature if it can be used."""

    place: int
    about: DkimCheck
    signature: Signature | None = None
    value: str = ""
    """b= as far as marks need it."""


def choose(header: SignedHeader, most: int) -> list[int]:
    """The places of at most so many DKIM-Signature fields, in their order.

    Where there are more, those that are or could be aligned with From go first, whoever put the others in
    (RFC 6376 §8.4): an exact d= before one that has the last two labels in common.
    """
    places = header.places(FIELD)
    if len(places) <= most:
        return list(places)
    authors = _authors(header)
    related = {_last_labels(author) for author in authors}

    def rank(place: int) -> int:
        match = _DOMAIN_TAG.search(header.fields[place].value)
        domain = _normalised(match[1]) if match else ""
        return 0 if domain in authors else 1 if _last_labels(domain) in related else 2

    return sorted(sorted(places, key=rank)[:most])


def read_claim(field: Field, place: int, now: float) -> Claim:
    """What a field says at a time. Nothing raises."""
    try:
        tags = read_tags(field.value)
    except TagFault as fault:
        return Claim(place, DkimCheck(Result.NEUTRAL, "", "", "", reason=f"the signature is malformed: {fault}"))
    about = _describe(tags)
    written = without_space(tags.get("b", ""))[:_MARK_AT_MOST]
    try:
        signature = read_signature(tags)
        check_times(signature, now)
    except SignatureFault as fault:
        return Claim(place, replace(about, result=fault.result, reason=str(fault)), None, written)
    return Claim(place, replace(about, identity=signature.identity), signature, written)


def check_times(signature: Signature, now: float) -> None:
    """Raises SignatureFault if the signature has expired, or was made in the future: both are ours to refuse
    (RFC 6376 §3.5 t= and x=, §6.1.1).
    """
    if signature.expires is not None and now > signature.expires + CLOCK_SKEW:
        raise SignatureFault("the signature has expired", Result.POLICY)
    if signature.made is not None and signature.made > now + MOST_AHEAD:
        raise SignatureFault("the signature was made in the future", Result.POLICY)


def marked(checks: Sequence[DkimCheck], claims: Sequence[Claim]) -> tuple[DkimCheck, ...]:
    """The checks, each with as much of its b= as tells it from the others (RFC 6008 §4)."""
    length = _MARK
    values = {claim.value for claim in claims}
    while length < _MARK_AT_MOST and len({text[:length] for text in values}) < len(values):
        length += _MARK
    return tuple([replace(check, mark=claim.value[:length]) for check, claim in zip(checks, claims, strict=True)])


def _describe(tags: dict[str, str]) -> DkimCheck:
    """Domain, selector and algorithm as far as they can be read; ``""`` for what is no name."""
    domain = _readable(lambda: read_domain(tags))
    selector = _readable(lambda: read_selector(tags, domain))
    return DkimCheck(Result.NEUTRAL, domain, selector, _readable(lambda: read_algorithm(tags)))


def _readable(read: Callable[[], str]) -> str:
    try:
        return read()
    except SignatureFault:
        return ""


def _authors(header: SignedHeader) -> set[str]:
    """The domains of whatever looks like an address in From; more than it has do no harm here."""
    found: list[bytes] = []
    for place in header.places(b"from")[:_AUTHORS]:
        found += _AUTHOR.findall(header.fields[place].value)[:_AUTHORS]
    return {domain for domain in map(_normalised, found) if domain}


def _normalised(octets: bytes) -> str:
    try:
        return normalise_domain(octets.decode())
    except ValueError:  # UnicodeDecodeError is one
        return ""


def _last_labels(domain: str) -> str:
    return ".".join(domain.split(".")[-2:])
