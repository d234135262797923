"""The host's certificate: a self-signed one made for the start, and any one checked (RFC 5280, RFC 6125)."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from postroom.admin.finding import Finding, Level
from postroom.config.certificates import TlsSettings

AREA = "certificate"
SELF_SIGNED_DAYS = 825  # what strict clients accept at most from a certificate that they were told to trust
SOON_DAYS = 14


def make_self_signed(hostname: str, certificate: Path, key: Path, now: float) -> None:
    """Write a certificate for ``hostname`` and its key (mode 0600). FileExistsError if either is there."""
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
        .not_valid_after(start + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_new(key, pem, 0o600)
    write_new(certificate, built.public_bytes(serialization.Encoding.PEM), 0o644)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not be there yet, with ``mode`` from its first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def check_certificate(tls: TlsSettings, hostname: str, now: float) -> Iterator[Finding]:
    """Whether the files are there, belong together, are valid now and for this host."""
    if tls.certificate is None or tls.key is None:
        yield Finding(
            Level.WARNING, AREA, "none: no TLS, so nobody can log in", "postroom init makes one; or name one in [tls]"
        )
        return
    try:
        chain = x509.load_pem_x509_certificates(tls.certificate.read_bytes())
    except (OSError, ValueError) as error:
        yield Finding(Level.ERROR, AREA, f"{tls.certificate} cannot be used: {_reason(error)}", _CORRECT)
        return
    try:
        key = serialization.load_pem_private_key(tls.key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:  # TypeError: it is encrypted
        yield Finding(Level.ERROR, AREA, f"{tls.key} cannot be used: {_reason(error)}", _CORRECT)
        return
    leaf = chain[0]
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*spki) != leaf.public_key().public_bytes(*spki):
        what = f"{tls.key} is not the key of {tls.certificate}"
        yield Finding(Level.ERROR, AREA, what, "name the key that belongs to it, in [tls]")
    yield from _check_dates(leaf, now)
    yield from _check_names(leaf, hostname)


_CORRECT = "correct [tls], or repair the file"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) or type(error).__name__


def _check_dates(leaf: x509.Certificate, now: float) -> Iterator[Finding]:
    moment = datetime.fromtimestamp(now, UTC)
    end = leaf.not_valid_after_utc
    if moment > end:
        yield Finding(Level.ERROR, AREA, f"expired on {end:%Y-%m-%d}", "renew it; SIGHUP makes the server read it")
    elif moment < leaf.not_valid_before_utc:
        what = f"not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        yield Finding(Level.ERROR, AREA, what, "set this machine's clock, or use another certificate")
    elif moment > end - timedelta(days=SOON_DAYS):
        yield Finding(Level.WARNING, AREA, f"expires on {end:%Y-%m-%d}", "renew it; SIGHUP makes the server read it")
    else:
        yield Finding(Level.OK, AREA, f"valid until {end:%Y-%m-%d}")


def _check_names(leaf: x509.Certificate, hostname: str) -> Iterator[Finding]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
    except x509.ExtensionNotFound:
        names = []
    parent = hostname.partition(".")[2]
    if not any(name.lower() in (hostname, f"*.{parent}") for name in names):
        what = f"is for {', '.join(names) or 'no host'}, not for {hostname}"
        yield Finding(Level.WARNING, AREA, what, f"get one for {hostname}: mail programs will complain otherwise")
    if leaf.issuer == leaf.subject:
        what = "self-signed: other mail servers accept it, mail programs ask their users"
        yield Finding(Level.OK, AREA, what, "get one from a certificate authority before users connect")
