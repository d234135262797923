"""A TLS session between two byte queues, so that both event loops behave alike; and the client's side of it."""

import ssl
import sys
from contextlib import suppress
from typing import Protocol

from cryptography import x509

from postroom.mail.session import TlsFacts
from postroom.net.certificates import end_point_binding

RECORD = 16 * 1024
"""Octets: what one record holds at most (RFC 8446 §5.1), and what is allocated for each read."""

_DER = 2  # ssl's own name of the form is private

END_POINT = "tls-server-end-point"
EXPORTER = "tls-exporter"


class TlsError(ConnectionError):
    """The handshake failed, or the peer broke the encrypted stream. The text is for the log."""


class TlsChannel(Protocol):
    """One TLS session between two byte queues: cipher text in and out, clear text in and out. Does no I/O."""

    facts: TlsFacts | None
    """What was agreed on; None until the handshake is done."""
    ended: bool
    """The peer said close_notify."""

    def receive(self, cipher_text: bytes) -> bytes:
        """Take what came, which may be nothing; returns the clear text in it. Answers lie in ``output``.

        Raises TlsError when the handshake fails or the stream is broken; an alert may then lie in ``output``.
        """
        ...

    def encrypt(self, data: bytes) -> bytes:
        """The cipher text of ``data``, with whatever else waits to be sent."""
        ...

    def output(self) -> bytes:
        """What waits to be sent."""
        ...

    def close(self) -> bytes:
        """Our close_notify, as far as the session is in a state to say it."""
        ...

    def binding(self, kind: str) -> bytes | None:
        """What ties a login to this session (RFC 5056), by its registered name; None where there is none."""
        ...


class ClientChannel:
    """The client's side, by Python's ``ssl``."""

    __slots__ = ("_incoming", "_object", "_outgoing", "ended", "facts")

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, False, server_hostname)
        self.facts: TlsFacts | None = None
        self.ended = False

    def receive(self, cipher_text: bytes) -> bytes:
        """See ``TlsChannel``."""
        if cipher_text:
            self._incoming.write(cipher_text)
        try:
            if self.facts is None:
                self._object.do_handshake()
                cipher = self._object.cipher()
                self.facts = TlsFacts(
                    self._object.version() or "",
                    cipher[0] if cipher else "",
                    self._object.server_hostname or "",
                    resumed=bool(self._object.session_reused),
                )
            return self._read()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from error

    def encrypt(self, data: bytes) -> bytes:
        """See ``TlsChannel``."""
        self._object.write(data)
        return self._outgoing.read()

    def output(self) -> bytes:
        """See ``TlsChannel``."""
        return self._outgoing.read()

    def close(self) -> bytes:
        """See ``TlsChannel``."""
        if self.facts is not None:
            with suppress(ssl.SSLError):  # the peer's close_notify is still out, and nobody waits for it
                self._object.unwrap()
        return self._outgoing.read()

    def binding(self, kind: str) -> bytes | None:
        """See ``TlsChannel``. Python's ``ssl`` has no exporter."""
        if kind != END_POINT or self.facts is None:
            return None
        der = self._object.getpeercert(binary_form=True)
        return None if der is None else end_point_binding(x509.load_der_x509_certificate(der))

    def chain(self) -> tuple[bytes, ...]:
        """What the server showed, its own certificate first, in DER; not examined (docs/adr/0014)."""
        if self.facts is None:
            return ()
        if sys.version_info >= (3, 13):
            return tuple(self._object.get_unverified_chain())
        inner = self._object._sslobj  # type: ignore[attr-defined]  # public from Python 3.13 on, and the same there
        return tuple([each.public_bytes(_DER) for each in inner.get_unverified_chain() or ()])

    def _read(self) -> bytes:
        """All clear text that is complete."""
        pieces: list[bytes] = []
        try:
            while self._incoming.pending or self._object.pending():
                piece = self._object.read(RECORD)
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
