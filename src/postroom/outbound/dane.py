"""DANE for SMTP: finds the TLSA records of an MX host, and examines its certificates by them (RFC 7672, RFC 7671)."""

import hashlib
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from postroom.dns.resolver import Answer, Family, Resolver, TlsaRecord
from postroom.mail.trouble import ResolverUnavailable
from postroom.mail.value import value
from postroom.net.peercerts import (
    UNREADABLE,
    CertificateFault,
    Chain,
    Flaw,
    check_names,
    examine_anchored,
    public_key_info,
    read_der_chain,
)

_TA, _EE = 2, 3  # DANE-TA and DANE-EE (RFC 7218 §2.1); 0 and 1 are of no use for SMTP (RFC 7672 §3.1.3)
_CERT, _SPKI = 0, 1
_FULL, _SHA256, _SHA512 = 0, 1, 2
_DIGESTS = {_SHA256: hashlib.sha256, _SHA512: hashlib.sha512}
MAX_RECORDS = 100
"""Records of one answer that are looked at."""


@value(frozen=True, slots=True)
class Tlsa:
    """The secure TLSA records of a host. ``base`` is the TLSA base domain (RFC 7672 §2.2.3), which is the SNI too.

    ``usable`` are those that can authenticate it; none: TLS is needed all the same, with any certificate
    (RFC 7672 §2.2).
    """

    base: str
    records: tuple[TlsaRecord, ...]
    usable: tuple[TlsaRecord, ...]


class Dane:
    """Looks TLSA records up. Every answer must be vouched for by DNSSEC: the resolver validates, we believe its AD."""

    def __init__(self, resolver: Resolver, *, ipv6: bool = True) -> None:
        self._resolver = resolver
        self._families = (Family.IPV6, Family.IPV4) if ipv6 else (Family.IPV4,)

    async def look_up(self, host: str, port: int) -> Tlsa | None:
        """The TLSA records of a host, None where DANE does not apply to it.

        ResolverUnavailable where that cannot be known now: the host is not to be used (RFC 7672 §2.1.2).
        """
        for base in await self._bases(host):
            answer = await self._resolver.tlsa(f"_{port}._tcp.{base}")
            if answer.records and answer.authenticated:
                records = answer.records[:MAX_RECORDS]
                return Tlsa(base, records, usable_of(records))
        return None

    async def next_hops(self, domain: str) -> tuple[str, ...]:
        """The names under which a recipient domain is meant: itself, and what it is an alias of (RFC 7672 §3.2.2)."""
        answer = await self._resolver.mx(domain)
        return (domain,) if answer.name in {"", domain} else (domain, answer.name)

    async def _bases(self, host: str) -> tuple[str, ...]:
        """The candidates for the TLSA base domain, the best first (RFC 7672 §2.2.2)."""
        answers = await self._addresses(host)
        expanded = answers[0].name or host
        if all(answer.authenticated for answer in answers):
            return (host,) if expanded == host else (expanded, host)
        if expanded == host:
            return ()  # no TLSA question to servers that mishandle it
        alias = await self._resolver.cname(host)
        return (host,) if alias.records and alias.authenticated else ()

    async def _addresses(self, host: str) -> list[Answer[str]]:
        """The answers that hold addresses; without any, those that hold none. At least one."""
        answers: list[Answer[str]] = []
        failure: ResolverUnavailable | None = None
        for family in self._families:
            try:
                answers.append(await self._resolver.addresses(host, family))
            except ResolverUnavailable as error:
                failure = error
        if failure is not None and not any(answer.records for answer in answers):
            raise failure
        return [answer for answer in answers if answer.records] or answers


def usable_of(records: Sequence[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """Those that can authenticate a host. Of digests for the same thing the strongest alone counts (RFC 7671 §9)."""
    usable = [record for record in records if _is_usable(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in usable:
        kind = (record.usage, record.selector)
        strongest[kind] = max(strongest.get(kind, 0), record.matching)
    return tuple(
        [each for each in usable if each.matching in {_FULL, strongest[(each.usage, each.selector)]}]
    )  # fmt: skip


def examine(tlsa: Tlsa, chain: Sequence[bytes], names: Sequence[str]) -> CertificateFault | None:
    """None if one of the usable records authenticates the server that showed ``chain`` (DER), as one of ``names``.

    Names matter to DANE-TA alone (RFC 7672 §3.2); neither they nor the time do to DANE-EE (§3.1.1).
    """
    try:
        certificates = read_der_chain(chain)
        ends = [record for record in tlsa.usable if record.usage == _EE]
        if any(_is_of(record, certificates[0]) for record in ends):
            return None
        anchors = [each for record in tlsa.usable if record.usage == _TA for each in _anchors(record, certificates)]
    except UNREADABLE as error:
        return CertificateFault(Flaw.INVALID, f"its certificates cannot be read: {error}")
    if not anchors:
        return CertificateFault(Flaw.UNTRUSTED, f"no TLSA record of {tlsa.base} is of its certificates")
    return examine_anchored(certificates, anchors) or check_names(certificates[0], names, common_name=True)


def _is_usable(record: TlsaRecord) -> bool:
    if record.usage not in {_TA, _EE} or record.selector not in {_CERT, _SPKI}:
        return False
    if record.matching in _DIGESTS:
        return len(record.data) == _DIGESTS[record.matching]().digest_size
    return record.matching == _FULL and _is_readable(record)


def _is_readable(record: TlsaRecord) -> bool:
    try:
        if record.selector == _CERT:
            x509.load_der_x509_certificate(record.data)
        else:
            load_der_public_key(record.data)
    except UNREADABLE:
        return False
    return True


def _is_of(record: TlsaRecord, certificate: x509.Certificate) -> bool:
    """RFC 6698 §2.1.2, §2.1.3."""
    is_whole = record.selector == _CERT
    data = certificate.public_bytes(Encoding.DER) if is_whole else public_key_info(certificate)
    return record.data == (data if record.matching == _FULL else _DIGESTS[record.matching](data).digest())


def _anchors(record: TlsaRecord, chain: Chain) -> list[x509.Certificate]:
    """What a DANE-TA record says to trust: an authority that was shown; or the record brings it (RFC 7671 §5.2.2)."""
    shown = [each for each in chain[1:] if _is_of(record, each)]
    if shown or record.matching != _FULL:
        return shown
    if record.selector == _CERT:
        return [x509.load_der_x509_certificate(record.data)]
    # A bare key has no certificate to trust: what it signed is trusted instead.
    return [each for each in chain if _is_signed_by(each, record.data)]


def _is_signed_by(certificate: x509.Certificate, spki: bytes) -> bool:
    key = load_der_public_key(spki)
    signature, signed, digest = (
        certificate.signature, certificate.tbs_certificate_bytes, certificate.signature_hash_algorithm
    )  # fmt: skip
    try:
        match key:
            case rsa.RSAPublicKey() if digest is not None:
                how = certificate.signature_algorithm_parameters
                if not isinstance(how, padding.PKCS1v15 | padding.PSS):
                    return False
                key.verify(signature, signed, how, digest)
            case ec.EllipticCurvePublicKey() if digest is not None:
                key.verify(signature, signed, ec.ECDSA(digest))
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
                key.verify(signature, signed)
            case _:
                return False
    except InvalidSignature:
        return False
    return True
