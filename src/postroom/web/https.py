"""TLS for the port by HTTPS: the certificates of the mail ports, chosen by the name that a client asks for."""

import os
import ssl
import sys
import tempfile
from collections.abc import Callable

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from postroom.net.certificates import Certificate, Shelf, asked_name

Certificates = Callable[[], tuple[Certificate, ...]]
"""What is shown now, the default one first (``net.tls.ServerTls.certificates``)."""


class HttpsContexts:
    """``context`` is the one to serve with. It follows the certificates: handshakes see a new one from the next on."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._seen = certificates()
        self._shelf = Shelf(self._seen)
        self._contexts = [_context(each) for each in self._seen]
        self.context = _context(self._seen[0])
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        self._follow()
        raw = None if name is None else name.encode("ascii", "replace")
        connection.context = self._contexts[self._shelf.choose(asked_name(raw))]

    def _follow(self) -> None:
        now = self._certificates()
        if now != self._seen:
            self._contexts = [_context(each) for each in now]
            self._shelf, self._seen = Shelf(now), now


def _context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    chain = b"".join(each.public_bytes(Encoding.PEM) for each in certificate.chain)
    key = certificate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if sys.platform == "linux":  # OpenSSL's loader wants a file; the key is not to touch the disk for that
        inner = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(inner, key + chain)
            context.load_cert_chain(f"/proc/self/fd/{inner}")
        finally:
            os.close(inner)
    else:
        with tempfile.NamedTemporaryFile() as file:  # 0600, and gone at once
            file.write(key + chain)
            file.flush()
            context.load_cert_chain(file.name)
    return context
