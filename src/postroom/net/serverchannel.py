"""The server's side of a TLS session, by pyOpenSSL: it exports keying material and bears with odd client certificates.

docs/adr/0010 tells why. All of it happens in one thread: contexts are shared by the handshakes of a server.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import lib  # pyOpenSSL has no public word for two questions below

from postroom.mail.session import TlsFacts
from postroom.net.certificates import Certificate, CertificateError, Shelf, asked_name, end_point_binding
from postroom.net.channel import END_POINT, EXPORTER, TlsError
from postroom.net.clientcerts import ClientAuthorities
from postroom.net.openssl import Pipe, Scratch

_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!MD5"  # TLS 1.2; 1.3 has only good ones (RFC 9325 §4.2)
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

_SESSION_ID = b"postroom"  # tickets are good for all certificates of one server: it is the same house behind each
_EXPORTER_LABEL = b"EXPORTER-Channel-Binding"  # RFC 9266 §2
_EXPORTER_SIZE = 32


class ServerContexts:
    """What handshakes begin with, until a certificate or a setting changes: a context for each certificate, and one in
    front of them that chooses. The one in front makes and takes the tickets, so a ticket ends with these contexts.

    Raises CertificateError where OpenSSL does not take a certificate.
    """

    def __init__(
        self, certificates: Sequence[Certificate], minimum: str, authorities: ClientAuthorities | None
    ) -> None:
        self.authorities = authorities
        self.scratch = Scratch()
        contexts = [_context_of(each, minimum, authorities) for each in certificates]
        self.front = _bare_context(minimum, authorities)
        self.front.set_tlsext_servername_callback(_chooser(Shelf(certificates), contexts))


def _chooser(shelf: Shelf, contexts: Sequence[SSL.Context]) -> Callable[[SSL.Connection], None]:
    """Called for each ClientHello, whether it names a server or not."""

    def choose(connection: SSL.Connection) -> None:
        connection.set_context(contexts[shelf.choose(asked_name(connection.get_servername()))])

    return choose


class ServerChannel:
    """The server's side of one session."""

    __slots__ = ("_connection", "_contexts", "_exported", "_holds_tickets", "_pipe", "ended", "facts")

    def __init__(self, contexts: ServerContexts) -> None:
        self._contexts = contexts  # OpenSSL may call what belongs to them as long as the handshake lasts
        self._connection = SSL.Connection(contexts.front, None)
        self._connection.set_accept_state()
        self._pipe = Pipe(self._connection, contexts.scratch)
        self._exported: bytes | None = None
        self._holds_tickets = False  # they go with what is said next: one write, one packet (RFC 8446 §4.6.1)
        self.facts: TlsFacts | None = None
        self.ended = False

    def receive(self, cipher_text: bytes) -> bytes:
        """See ``TlsChannel``."""
        pipe = self._pipe
        pieces: list[bytes] = []
        try:
            if cipher_text:
                pipe.feed(cipher_text)
            if self.facts is None:
                self._connection.do_handshake()
                self.facts = self._establish()
                self._holds_tickets = self.facts.version == "TLSv1.3"
            while piece := pipe.read():
                pieces.append(piece)
        except SSL.WantReadError:
            pass  # the rest is still to come
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.Error as error:
            raise TlsError(reason_of(error)) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def encrypt(self, data: bytes) -> bytes:
        """See ``TlsChannel``."""
        try:
            if data:
                self._pipe.write(data)
        except SSL.Error:
            pass  # the session broke or was closed before: nothing can be said in it any more
        return self._pipe.drain()

    def output(self) -> bytes:
        """See ``TlsChannel``."""
        if self._holds_tickets:
            self._holds_tickets = False
            return b""
        return self._pipe.drain()

    def close(self) -> bytes:
        """See ``TlsChannel``."""
        if self.facts is not None:
            with suppress(SSL.Error):  # it is broken already
                self._connection.shutdown()
        return self._pipe.drain()

    def binding(self, kind: str) -> bytes | None:
        """See ``TlsChannel``."""
        if self.facts is None:
            return None
        if kind == END_POINT:
            chosen = self._connection.get_certificate(as_cryptography=True)
            return None if chosen is None else end_point_binding(chosen)
        # RFC 9266 §2: before TLS 1.3 only where the extended master secret makes it unique (RFC 7627).
        if kind == EXPORTER and (self.facts.version == "TLSv1.3" or _has_extended_master_secret(self._connection)):
            if self._exported is None:  # asked for more than once in a session
                self._exported = self._connection.export_keying_material(_EXPORTER_LABEL, _EXPORTER_SIZE)
            return self._exported
        return None

    def _establish(self) -> TlsFacts:
        connection = self._connection
        resumed = _is_resumed(connection)
        names, trouble = self._peer_names(resumed=resumed)
        return TlsFacts(
            connection.get_protocol_version_name(),
            connection.get_cipher_name() or "",
            asked_name(connection.get_servername()),
            names,
            resumed,
            trouble,
        )

    def _peer_names(self, *, resumed: bool) -> tuple[tuple[str, ...], str]:
        authorities = self._contexts.authorities
        if authorities is None:
            return (), ""
        leaf = self._connection.get_peer_certificate()
        if leaf is None:
            return (), ""
        return authorities.examine(leaf, self._connection.get_peer_cert_chain() or [], resumed=resumed)


def _bare_context(minimum: str, authorities: ClientAuthorities | None) -> SSL.Context:
    """A context without a certificate. With ``authorities`` clients are asked for one, and may come without."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle session holds no buffers
    context.set_min_proto_version(_VERSIONS[minimum])
    context.set_cipher_list(_CIPHERS)
    context.set_session_id(_SESSION_ID)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets need no memory of ours (RFC 8446 §4.6.1)
    if authorities is not None:
        for each in authorities.certificates:
            context.add_client_ca(each)
        context.set_verify(SSL.VERIFY_PEER, _bear_with)
    return context


def _context_of(certificate: Certificate, minimum: str, authorities: ClientAuthorities | None) -> SSL.Context:
    """A context that shows ``certificate``."""
    context = _bare_context(minimum, authorities)
    try:
        context.use_certificate(certificate.leaf)
        for each in certificate.chain[1:]:
            context.add_extra_chain_cert(each)
        context.use_privatekey(certificate.key)
        context.check_privatekey()
    except SSL.Error as error:
        raise CertificateError(
            f"{certificate.path or 'the certificate'} cannot be used: {reason_of(error)}; get one with a key of type "
            "EC (P-256), Ed25519, or RSA with 2048 bits or more"
        ) from error
    return context


def _bear_with(_connection: SSL.Connection, _certificate: Any, _error: int, _depth: int, _fine: int) -> bool:
    """Any certificate will do for the handshake; what it is worth is examined afterwards (``ClientAuthorities``)."""
    return True


def reason_of(error: SSL.Error) -> str:
    """What OpenSSL complains about, in words."""
    if error.args and isinstance(error.args[0], list):
        reasons = [each[2] for each in error.args[0] if len(each) > 2 and each[2]]
        if reasons:
            return str(reasons[0]).replace("_", " ").lower()
    return " ".join(str(each) for each in error.args).lower() or "TLS failed"


def _is_resumed(connection: SSL.Connection) -> bool:
    return bool(lib.SSL_session_reused(connection._ssl))


def _has_extended_master_secret(connection: SSL.Connection) -> bool:
    return bool(lib.SSL_get_extms_support(connection._ssl) == 1)
