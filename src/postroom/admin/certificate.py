"""The host's certificates: a self-signed one made for the start, and any ones checked (RFC 5280, RFC 9525)."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from postroom.admin.finding import Finding, Level
from postroom.config.certificates import TlsSettings
from postroom.net.certificates import CertificateError, Shelf, host_names, load_certificate, read_chain, self_signed

AREA = "certificate"
SELF_SIGNED_DAYS = 825  # what strict clients accept at most from a certificate that they were told to trust


def make_self_signed(hostname: str, certificate: Path, key: Path, now: float) -> None:
    """Write a certificate for ``hostname`` and its key (mode 0600). FileExistsError if either is there."""
    made = self_signed(hostname, now, SELF_SIGNED_DAYS)
    pem = made.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_new(key, pem, 0o600)
    write_new(certificate, made.leaf.public_bytes(serialization.Encoding.PEM), 0o644)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not be there yet, with ``mode`` from its first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def check_certificate(tls: TlsSettings, hostname: str, now: float) -> Iterator[Finding]:
    """Whether the files are there, belong together, and are valid now, and whether one of them is for this host."""
    if tls.certificate is None or tls.key is None:
        yield Finding(
            Level.WARNING, AREA, "none: no TLS, so nobody can log in", "postroom init makes one; or name one in [tls]"
        )
        return
    pairs = [(tls.certificate, tls.key), *((more.certificate, more.key) for more in tls.more)]
    loaded = []
    for certificate, key in pairs:
        try:
            loaded.append(load_certificate(certificate, key))
        except CertificateError as error:
            yield Finding(Level.ERROR, AREA, str(error), _CORRECT)
    for each in loaded:
        yield from _check_dates(each.leaf, _shown(each.leaf, each.path), now, tls.warn_before)
    if loaded:
        leaf = loaded[Shelf(loaded).choose(hostname)].leaf  # what clients that ask for the host are shown
        yield from _check_names(leaf, hostname)
    if tls.client_ca is not None:
        yield from _check_authorities(tls.client_ca, now, tls.warn_before)


_CORRECT = "correct [tls], or repair the file"
_RENEW = "renew it; the server reads the new file within a minute, or at once on SIGHUP"


def _shown(leaf: x509.Certificate, path: Path | None) -> str:
    """Which one is meant."""
    return f"{', '.join(host_names(leaf)[:3]) or 'no host'} ({path})"


def _check_dates(leaf: x509.Certificate, which: str, now: float, warn_before: float) -> Iterator[Finding]:
    moment = datetime.fromtimestamp(now, UTC)
    end = leaf.not_valid_after_utc
    if moment > end:
        yield Finding(Level.ERROR, AREA, f"{which} expired on {end:%Y-%m-%d}", _RENEW)
    elif moment < leaf.not_valid_before_utc:
        what = f"{which} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        yield Finding(Level.ERROR, AREA, what, "set this machine's clock, or use another certificate")
    elif end - moment <= timedelta(seconds=warn_before):
        yield Finding(Level.WARNING, AREA, f"{which} expires on {end:%Y-%m-%d}", _RENEW)
    else:
        yield Finding(Level.OK, AREA, f"{which} is valid until {end:%Y-%m-%d}")


def _check_names(leaf: x509.Certificate, hostname: str) -> Iterator[Finding]:
    names = host_names(leaf)
    parent = hostname.partition(".")[2]
    if not any(name in (hostname, f"*.{parent}") for name in names):
        what = f"is for {', '.join(names) or 'no host'}, not for {hostname}"
        yield Finding(Level.WARNING, AREA, what, f"get one for {hostname}: mail programs will complain otherwise")
    if leaf.issuer == leaf.subject:
        what = "self-signed: other mail servers accept it, mail programs ask their users"
        yield Finding(Level.OK, AREA, what, "get one from a certificate authority before users connect")


def _check_authorities(path: Path, now: float, warn_before: float) -> Iterator[Finding]:
    """Those whose clients' certificates count."""
    try:
        authorities = read_chain(path)
    except CertificateError as error:
        yield Finding(Level.ERROR, AREA, f"client_ca: {error}", "correct client_ca in [tls], or repair the file")
        return
    for each in authorities:
        name = each.subject.rfc4514_string() or "nameless"
        yield from _check_dates(each, f"client authority {name} ({path})", now, warn_before)
