"""What the certificates of a server are worth, examined after the handshake, before anything is sent (docs/adr/0014).

Trust is OpenSSL's judgement (RFC 5280 §6), from authorities or from single trust anchors; names are compared here.
"""

import ssl
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto

from postroom.mail.value import value

MAX_CHAIN = 16
"""Certificates of one chain that are looked at."""

_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_LEAST_RSA = 2048  # bits; RFC 9325 §4.2 and the system's own level 2
_LEAST_EC = 224
_BROKEN_HASHES = frozenset({"md5", "sha1"})


class Flaw(Enum):
    """What is wrong with certificates; the values are words of RFC 8460 §4.3.1."""

    EXPIRED = "certificate-expired"
    MISMATCH = "certificate-host-mismatch"
    UNTRUSTED = "certificate-not-trusted"
    INVALID = "validation-failure"


@value(frozen=True, slots=True)
class CertificateFault:
    """Why a server is not who it should be. ``text`` is for the log and for reports."""

    flaw: Flaw
    text: str


UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What reading a hostile certificate can raise, at once or later."""

Chain = Sequence[x509.Certificate]
"""Certificates as a server showed them, its own first."""


class ServerAuthorities:
    """The authorities that vouch for servers: those of a PEM file, or the system's. OSError if it is of no use."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._store = crypto.X509Store()
        paths = ssl.get_default_verify_paths()
        try:
            if ca_file is not None:
                self._store.load_locations(str(ca_file))
            elif paths.cafile or paths.capath:  # either may be None
                self._store.load_locations(paths.cafile, paths.capath)
        except crypto.Error as error:
            raise OSError(f"{ca_file or 'the system'} has no authorities that can be read") from error

    def examine(self, chain: Chain, names: Sequence[str]) -> CertificateFault | None:
        """None if an authority vouches for the server as one of ``names``, by its DNS-IDs alone (RFC 8461 §4.2)."""
        return _trust(self._store, chain) or check_names(chain[0], names)


def examine_anchored(chain: Chain, anchors: Chain) -> CertificateFault | None:
    """None if one of ``anchors``, intermediate certificates too, stands above the server's (RFC 7671 §5.2)."""
    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for each in anchors:
        store.add_cert(crypto.X509.from_cryptography(each))
    return _trust(store, chain)


def read_der_chain(chain: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    """The certificates of a handshake. One of UNREADABLE if there is none, or one that cannot be read."""
    if not chain:
        raise ValueError("the server showed no certificate")
    return tuple([x509.load_der_x509_certificate(each) for each in chain[:MAX_CHAIN]])


def check_names(
    certificate: x509.Certificate, names: Sequence[str], *, common_name: bool = False
) -> CertificateFault | None:
    """None if the certificate is for one of ``names`` (RFC 6125 §6.4).

    ``common_name``: where it has no DNS-ID the subject's common name counts (RFC 7672 §3.2.3).
    """
    try:
        shown = _shown_names(certificate, common_name=common_name)
    except UNREADABLE as error:
        return CertificateFault(Flaw.INVALID, f"its names cannot be read: {error}")
    if any(matches(pattern, name) for pattern in shown for name in names):
        return None
    listed = ", ".join(shown[:5]) or "nobody"
    return CertificateFault(Flaw.MISMATCH, f"it is for {listed[:200]} and not for {' or '.join(names)}")


def public_key_info(certificate: x509.Certificate) -> bytes:
    """The SubjectPublicKeyInfo as it stands in the certificate (RFC 5280 §4.1). ValueError if it is malformed.

    Not as it would be written anew: a key can be written in more than one way, and digests are of the one there.
    """
    der = certificate.tbs_certificate_bytes
    at, _ = _contents(der, 0)
    if der[at : at + 1] == b"\xa0":  # the version
        _, at = _contents(der, at)
    for _ in range(5):  # serial number, signature, issuer, validity, subject
        _, at = _contents(der, at)
    return der[at : _contents(der, at)[1]]


def matches(pattern: str, name: str) -> bool:
    """Whether a name is meant by a pattern, whose whole first label may be ``*`` and then is any one label.

    RFC 6125 §6.4.3, as narrowed by RFC 8461 §4.1 and RFC 7672 §3.2.3.
    """
    pattern, name = pattern.lower().removesuffix("."), name.lower().removesuffix(".")
    if pattern.startswith("*."):
        label, dot, rest = name.partition(".")
        return bool(label and dot) and bool(rest) and rest == pattern[2:]
    return bool(pattern) and "*" not in pattern and pattern == name


def _contents(der: bytes, at: int) -> tuple[int, int]:
    """Where the contents of the element at ``at`` begin and end. ValueError beyond the end."""
    size, start = int.from_bytes(der[at + 1 : at + 2], "big"), at + 2
    if size >= 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[at + 2 : start], "big")
    if start + size > len(der) or at >= len(der):
        raise ValueError("the certificate is cut off")
    return start, start + size


def _shown_names(certificate: x509.Certificate, *, common_name: bool) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        found = []
    else:
        found = extension.value.get_values_for_type(x509.DNSName)
    if found or not common_name:
        return found
    return [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _trust(store: crypto.X509Store, chain: Chain) -> CertificateFault | None:
    try:
        leaf, *others = [crypto.X509.from_cryptography(each) for each in chain]
        context = crypto.X509StoreContext(store, leaf, others)
        verified = [each.to_cryptography() for each in context.get_verified_chain()]
        why = _use_of(chain[0]) or _weakness_of(verified)
    except crypto.X509StoreContextError as error:
        expired = bool(error.errors) and error.errors[0] == _EXPIRED
        return CertificateFault(Flaw.EXPIRED if expired else Flaw.UNTRUSTED, str(error))
    except (*UNREADABLE, crypto.Error) as error:
        return CertificateFault(Flaw.INVALID, f"it cannot be read: {error}")
    return CertificateFault(Flaw.UNTRUSTED, why) if why else None


def _use_of(certificate: x509.Certificate) -> str:
    """RFC 5280 §4.2.1.12: why it is not for servers, or nothing."""
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ""
    if ExtendedKeyUsageOID.SERVER_AUTH in uses or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in uses:
        return ""
    return "it is not for servers (no extended key usage serverAuth)"


def _weakness_of(verified: Chain) -> str:
    """What OpenSSL's security level would say: outside a handshake it has none. The anchor's signature is not asked."""
    for certificate in verified:
        key = certificate.public_key()
        weak_rsa = isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and key.key_size < _LEAST_RSA
        if weak_rsa or (isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < _LEAST_EC):
            return "a key of its chain is too short"
    for certificate in verified[:-1]:
        used = certificate.signature_hash_algorithm
        if used is not None and used.name in _BROKEN_HASHES:
            return "a signature of its chain is by a broken hash"
    return ""
