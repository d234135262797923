"""TLS from the settings: the certificates that our listeners show, following their files; and contexts of clients."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from OpenSSL import SSL

from postroom.config.certificates import TlsSettings
from postroom.net.certificates import Certificate, CertificateError, digest, load_certificate, self_signed
from postroom.net.channel import TlsChannel, TlsError
from postroom.net.clientcerts import ClientAuthorities
from postroom.net.serverchannel import ServerChannel, ServerContexts

__all__ = ["ServerTls", "TlsChannel", "TlsError", "opportunistic_context", "server_tls", "verifying_context"]

_CIPHERS_OPPORTUNISTIC = "DEFAULT:@SECLEVEL=1"  # any encryption beats none (RFC 7435 §3)
_STAND_IN_DAYS = 825

_Fingerprint = tuple[tuple[int, int, int] | None, ...]
_Read = TypeVar("_Read")


@dataclass(slots=True)
class _Held:
    """A certificate in use, where it came from, and what its files looked like when they were last read."""

    paths: tuple[Path, Path | None] | None
    seen: _Fingerprint
    certificate: Certificate


class ServerTls:
    """The certificates that handshakes of our listeners show. Sessions that are open stay as they are.

    Tickets outlive a reload that changes nothing. They end where a certificate changes: a session resumed across that
    would be bound to one certificate by the client and to another by us (RFC 5929 §4.1).

    Without a certificate in the settings ``stand_in`` is shown until ``reload`` brings one. Raises CertificateError
    (a ValueError) where files cannot be read or do not belong together.
    """

    def __init__(self, settings: TlsSettings, stand_in: Certificate | None = None) -> None:
        if settings.certificate is None and stand_in is None:
            raise CertificateError("tls.certificate is not set")
        self._settings = settings
        self._held = [] if stand_in is None else [_Held(None, (), stand_in)]
        self._held = self._hold(settings)
        self._authorities_seen = _fingerprint(settings.client_ca)
        self._authorities = _authorities(settings)
        self._contexts = self._make_contexts()

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """What is shown, the default one first."""
        return tuple([each.certificate for each in self._held])

    @property
    def stands_in(self) -> bool:
        """Whether the default certificate only stands in for one that is still to come."""
        return self._held[0].paths is None

    def channel(self) -> ServerChannel:
        """For one more session."""
        return ServerChannel(self._contexts)

    def reload(self, settings: TlsSettings | None = None) -> None:
        """Read all files anew, with other settings if given: all of them, or on an exception none.

        Where the settings name no certificate, the default one stays.
        """
        wanted = settings or self._settings
        before = self._state()
        old = self._settings, self._held, self._authorities_seen, self._authorities
        try:
            held = self._hold(wanted)
            seen, authorities = _fingerprint(wanted.client_ca), _authorities(wanted)
            self._settings, self._held, self._authorities_seen, self._authorities = wanted, held, seen, authorities
            if self._state() != before:
                self._contexts = self._make_contexts()
        except BaseException:
            self._settings, self._held, self._authorities_seen, self._authorities = old
            raise

    def reload_if_changed(self) -> bool:
        """Read again what has another date or size than when it was read; returns whether anything had.

        A file that is of no use now leaves what was read from it before in use. CertificateError tells of it, once the
        others have been taken, and only once for each change of the file.
        """
        before = self._state()
        changed, troubles = False, list[str]()
        for each in self._held:
            if each.paths is None or (now := _fingerprint(*each.paths)) == each.seen:
                continue
            changed, each.seen, paths = True, now, each.paths
            each.certificate = _or_trouble(lambda paths=paths: _load(*paths), each.certificate, troubles)  # type: ignore[misc]
        seen = _fingerprint(self._settings.client_ca)
        if seen != self._authorities_seen:
            changed, self._authorities_seen = True, seen
            self._authorities = _or_trouble(lambda: _authorities(self._settings), self._authorities, troubles)
        if self._state() != before:
            self._contexts = self._make_contexts()
        if troubles:
            raise CertificateError("; ".join(troubles) + "; what was read before stays in use")
        return changed

    def renew_tickets(self) -> None:
        """Forget the key of the tickets that were given out. To be done now and then (RFC 9325 §3.4)."""
        self._contexts = self._make_contexts()

    def _hold(self, settings: TlsSettings) -> list[_Held]:
        """What the settings name, read now."""
        named = settings.certificate
        default = self._held[0] if named is None else _hold(named, settings.key)
        return [default, *(_hold(more.certificate, more.key) for more in settings.more)]

    def _make_contexts(self) -> ServerContexts:
        return ServerContexts(self.certificates, self._settings.minimum, self._authorities)

    def _state(self) -> tuple[bytes, str, tuple[bytes, ...]]:
        """What handshakes depend on."""
        authorities = () if self._authorities is None else self._authorities.certificates
        trusted = tuple([each.tbs_certificate_bytes for each in authorities])
        return digest(self.certificates), self._settings.minimum, trusted


def server_tls(settings: TlsSettings, *, stand_in_for: str = "", now: float = 0) -> ServerTls | None:
    """The server's TLS, or None where the settings name no certificate.

    With a host name to ``stand_in_for``, a certificate that is still to come is stood in for by a self-signed one, made
    ``now``: mail from other servers is encrypted from the first moment (RFC 7435 §3).
    """
    if settings.certificate is not None or not stand_in_for:
        return None if settings.certificate is None else ServerTls(settings)
    return ServerTls(settings, self_signed(stand_in_for, now, _STAND_IN_DAYS))


def opportunistic_context() -> ssl.SSLContext:
    """A client context that believes any certificate (RFC 7435): no worse than the clear text it replaces."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS_OPPORTUNISTIC)
    return context


def verifying_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """A client context that demands a valid certificate for the host name.

    It trusts the authorities in ``ca_file``, or else the system's.
    """
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _hold(certificate: Path, key: Path | None) -> _Held:
    seen = _fingerprint(certificate, key)  # before reading: what changes meanwhile is seen the next time
    return _Held((certificate, key), seen, _load(certificate, key))


def _load(certificate: Path, key: Path | None) -> Certificate:
    loaded = load_certificate(certificate, key)
    ServerContexts([loaded], "1.2", None)  # OpenSSL has its own demands
    return loaded


def _authorities(settings: TlsSettings) -> ClientAuthorities | None:
    return None if settings.client_ca is None else ClientAuthorities(settings.client_ca)


def _or_trouble(read: Callable[[], _Read], before: _Read, troubles: list[str]) -> _Read:
    """What ``read`` gives, or where that fails, what was ``before``."""
    try:
        return read()
    except (CertificateError, SSL.Error) as error:
        troubles.append(str(error))
        return before


def _fingerprint(*paths: Path | None) -> _Fingerprint:
    """What tells whether files have changed; None stands for one that cannot be looked at."""
    return tuple([_look_at(path) for path in paths if path is not None])


def _look_at(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
