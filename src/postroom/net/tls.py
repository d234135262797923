"""TLS: contexts from the settings, and a channel that ciphers in memory, so that both event loops behave alike."""

import ssl
from contextlib import suppress
from pathlib import Path

from postroom.config.certificates import TlsSettings
from postroom.mail.session import TlsFacts

_READ = 16 * 1024  # octets: what one record holds at most (RFC 8446 §5.1), and what is allocated for each read
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!MD5"  # TLS 1.2; 1.3 has only good ones (RFC 9325 §4.2)
_CIPHERS_OPPORTUNISTIC = "DEFAULT:@SECLEVEL=1"  # any encryption beats none (RFC 7435 §3)
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsError(ConnectionError):
    """The handshake failed, or the peer broke the encrypted stream. The text is for the log."""


class ServerTls:
    """The context that handshakes of our listeners use; ``reload`` gives later ones a new certificate.

    Raises OSError or ssl.SSLError where the files cannot be read or do not belong together.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._seen = _fingerprint(settings)
        self.context = server_context(settings)

    def reload(self, settings: TlsSettings | None = None) -> None:
        """Read the files anew, with other settings if given. On an exception the old context stays."""
        wanted = settings or self._settings
        seen = _fingerprint(wanted)
        self.context = server_context(wanted)
        self._settings, self._seen = wanted, seen

    def reload_if_changed(self) -> bool:
        """Reload if a file has another date or size than when it was read; returns whether it had."""
        if _fingerprint(self._settings) == self._seen:
            return False
        self.reload()
        return True


def server_tls(settings: TlsSettings) -> ServerTls | None:
    """The server's TLS, or None where the settings name no certificate."""
    return None if settings.certificate is None else ServerTls(settings)


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """A context for our listeners. ValueError without a certificate."""
    if settings.certificate is None:
        raise ValueError("tls.certificate is not set")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.minimum]
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 1  # one resumption is what a mail client needs; each ticket costs a write
    context.load_cert_chain(settings.certificate, settings.key)
    return context


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


class TlsChannel:
    """One TLS session between two byte queues: cipher text in and out, clear text in and out. Does no I/O."""

    __slots__ = ("_incoming", "_object", "_outgoing", "ended", "facts")

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self.facts: TlsFacts | None = None
        """What was agreed on; None until the handshake is done."""
        self.ended = False
        """The peer said close_notify."""

    def receive(self, cipher_text: bytes) -> bytes:
        """Take what came, which may be nothing; returns the clear text in it. Answers lie in ``output``.

        Raises TlsError when the handshake fails or the stream is broken; an alert may then lie in ``output``.
        """
        if cipher_text:
            self._incoming.write(cipher_text)
        try:
            if self.facts is None:
                self._object.do_handshake()
                cipher = self._object.cipher()
                self.facts = TlsFacts(self._object.version() or "", cipher[0] if cipher else "")
            return self._read()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from error

    def encrypt(self, data: bytes) -> bytes:
        """The cipher text of ``data``, with whatever else waits to be sent."""
        self._object.write(data)
        return self._outgoing.read()

    def output(self) -> bytes:
        """What waits to be sent."""
        return self._outgoing.read()

    def close(self) -> bytes:
        """Our close_notify, as far as the session is in a state to say it."""
        if self.facts is not None:
            with suppress(ssl.SSLError):  # the peer's close_notify is still out, and nobody waits for it
                self._object.unwrap()
        return self._outgoing.read()

    def _read(self) -> bytes:
        """All clear text that is complete."""
        pieces: list[bytes] = []
        try:
            while self._incoming.pending or self._object.pending():
                piece = self._object.read(_READ)
                if not piece:
                    self.ended = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass  # the rest of a record is still to come
        except ssl.SSLZeroReturnError:
            self.ended = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _reason(error: ssl.SSLError) -> str:
    """What OpenSSL complains about, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()


def _fingerprint(settings: TlsSettings) -> tuple[tuple[int, int, int], ...]:
    """What tells whether the files have changed."""
    paths = [path for path in (settings.certificate, settings.key) if path is not None]
    return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in map(Path.stat, paths))
