"""Certificates for tests: roots, intermediates and servers' own, good and bad ones."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Issuer:
    """An authority: its certificate, its key, and the chain above it that a server shows."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate as a file of authorities has it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate as a TLSA record may have it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def issue_issuer(self, name: str) -> "Issuer":
        """An authority below this one."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(self, _name(name), key, authority=True)
        return Issuer(certificate, key, (certificate, *self.above))

    def server_context(self, *names: str, folder: Path, expired: bool = False) -> ssl.SSLContext:
        """The TLS context of a server with a certificate for ``names`` by this authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = make_leaf(self, *names, key=key, expired=expired)
        path = folder / f"{names[0] if names else 'nobody'}.{leaf.serial_number}.pem"
        parts = [each.public_bytes(serialization.Encoding.PEM) for each in (leaf, *self.above)]
        parts.append(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        path.write_bytes(b"".join(parts))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def make_root(name: str = "root") -> Issuer:
    """An authority that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Issuer(_sign(None, _name(name), key, authority=True), key)


def make_leaf(
    issuer: Issuer,
    *names: str,
    common_name: str = "server",
    expired: bool = False,
    client_only: bool = False,
    weak: bool = False,
    key: Key | None = None,
) -> x509.Certificate:
    """A server's certificate for ``names``. ``weak``: with a key of 1024 bits."""
    if key is None:
        key = rsa.generate_private_key(65537, 1024) if weak else ec.generate_private_key(ec.SECP256R1())
    return _sign(issuer, _name(common_name), key, names=names, expired=expired, client_only=client_only)


def der(certificate: x509.Certificate) -> bytes:
    """The whole certificate."""
    return certificate.public_bytes(serialization.Encoding.DER)


def spki(certificate: x509.Certificate) -> bytes:
    """Its SubjectPublicKeyInfo."""
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _sign(
    issuer: Issuer | None,
    subject: x509.Name,
    key: Key,
    *,
    names: tuple[str, ...] = (),
    authority: bool = False,
    expired: bool = False,
    client_only: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * _DAY)
        .not_valid_after(now - _DAY if expired else now + _DAY)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(above, critical=False)
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    if not authority:
        use = ExtendedKeyUsageOID.CLIENT_AUTH if client_only else ExtendedKeyUsageOID.SERVER_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    signer = issuer.key if issuer is not None else key
    return builder.sign(signer, hashes.SHA256())
