"""Certificates of ours: read with their keys, named by what they are for, chosen by what a client asks for (SNI)."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import MD5, SHA1, SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

_SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class CertificateError(ValueError):
    """A certificate or a key is of no use. The text names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain, leaf first, and its key. ``path`` is the chain's file, or None for one that stands in."""

    path: Path | None
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    @property
    def leaf(self) -> x509.Certificate:
        """The one that is ours."""
        return self.chain[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The host names that it is for: A-labels in lower case, perhaps with a wildcard."""
        return host_names(self.leaf)

    @property
    def expires_at(self) -> float:
        """When it ends, seconds since the epoch."""
        return self.leaf.not_valid_after_utc.timestamp()


def load_certificate(certificate: Path, key: Path | None) -> Certificate:
    """The files, read and compared; without ``key`` it stands in the certificate's file. Raises CertificateError."""
    chain = read_chain(certificate)
    key_file = certificate if key is None else key
    private = read_key(key_file)
    if private.public_key().public_bytes(*_SPKI) != chain[0].public_key().public_bytes(*_SPKI):
        raise CertificateError(
            f"{key_file} is not the key of the first certificate in {certificate}: name the key that belongs to it, "
            "and put the host's own certificate before its authority's"
        )
    return Certificate(certificate, chain, private)


def read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM file, at least one. Raises CertificateError."""
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except OSError as error:
        raise CertificateError(_unreadable(path, error)) from error
    except ValueError as error:
        raise CertificateError(f"{path} has no certificate in PEM form that can be used") from error


def read_key(path: Path) -> PrivateKey:
    """The private key of a PEM file. Raises CertificateError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise CertificateError(_unreadable(path, error)) from error
    except TypeError as error:
        raise CertificateError(
            f"{path} is encrypted: store the key without a passphrase, readable by the server alone"
        ) from error
    except ValueError as error:
        raise CertificateError(f"{path} has no private key in PEM form that can be used") from error
    if not isinstance(key, PrivateKey):
        raise CertificateError(f"{path} is no key for TLS: make one of type EC, RSA or Ed25519")
    return key


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path} cannot be read: {error.strerror or error}; correct [tls], or the file's place and owner"


def host_names(leaf: x509.Certificate) -> tuple[str, ...]:
    """The names of the certificate (RFC 9525 §6.3: dNSName entries alone count, the common name does not)."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):  # ValueError: what stands there is malformed
        return ()
    return tuple([name.lower().removesuffix(".") for name in names.get_values_for_type(x509.DNSName)])


class Shelf:
    """Certificates by name. The first one serves whoever asks for a name that none has, or for none (RFC 6066 §3)."""

    def __init__(self, certificates: Sequence[Certificate]) -> None:
        self.certificates = tuple(certificates)
        self._by_name: dict[str, int] = {}
        for number, each in enumerate(self.certificates):
            for name in each.names:
                self._by_name.setdefault(name, number)

    def choose(self, name: str) -> int:
        """The number of the certificate for a host name. A name itself goes before a wildcard (RFC 9525 §6.3)."""
        found = self._by_name.get(name)
        if found is None:
            parent = name.partition(".")[2]
            found = self._by_name.get(f"*.{parent}") if parent else None
        return 0 if found is None else found


def asked_name(raw: bytes | None) -> str:
    """What a client asked for by SNI (RFC 6066 §3), A-labels in lower case; ``""`` for nothing, or for nonsense."""
    if not raw or len(raw) > 255:
        return ""
    name = raw.decode("ascii", "replace").lower().removesuffix(".")
    return name if all(char.isalnum() or char in "-._" for char in name) and name.isascii() else ""


def end_point_binding(certificate: x509.Certificate) -> bytes | None:
    """The hash of a server's certificate that binds to the channel; None where the RFC defines none (Ed25519)."""
    # RFC 5929 §4.1: the hash of the signature, but SHA-256 in place of MD5 and SHA-1.
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return None
    return certificate.fingerprint(SHA256() if isinstance(algorithm, MD5 | SHA1) else algorithm)


def digest(certificates: Iterable[Certificate]) -> bytes:
    """What differs where the certificates do."""
    whole = hashlib.sha256()
    for each in certificates:
        whole.update(b"".join(one.fingerprint(SHA256()) for one in each.chain) + b"|")
    return whole.digest()


def self_signed(hostname: str, now: float, days: int) -> Certificate:
    """A new certificate for ``hostname``, signed by its own key, in no file yet."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    start = datetime.fromtimestamp(now, UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - timedelta(hours=1))  # clocks of peers differ
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, SHA256())
    )
    return Certificate(None, (built,), private)
