"""A TLS client for the tests of the server's side: Python's ``ssl``, in memory."""

import ssl
from pathlib import Path

import trustme
from cryptography import x509

from postroom.config.certificates import CertificateSettings, TlsSettings
from postroom.net.channel import TlsChannel


class Peer:
    """A client that speaks with a channel of ours."""

    def __init__(self, context: ssl.SSLContext, name: str | None = None, session: ssl.SSLSession | None = None) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, False, name, session)

    def shake(self, server: TlsChannel) -> None:
        """The whole handshake, and the tickets that follow it. Raises what either side raises."""
        shaken = False
        for _ in range(10):
            try:
                if not shaken:
                    self.tls.do_handshake()
                    shaken = True
            except ssl.SSLWantReadError:
                pass
            server.receive(self.outgoing.read())
            self.incoming.write(server.output())
            if shaken and server.facts is not None:
                self.incoming.write(server.output())  # tickets wait for what is said next
                assert self.read() == b""
                return
        raise AssertionError("the handshake does not end")

    def read(self) -> bytes:
        try:
            return self.tls.read(1 << 20)
        except ssl.SSLWantReadError:
            return b""

    @property
    def shown(self) -> tuple[str, ...]:
        """The host names of the server's certificate."""
        names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(names.get_values_for_type(x509.DNSName))

    @property
    def certificate(self) -> x509.Certificate:
        der = self.tls.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der)


def trusting_any(maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = maximum
    return context


def write_leaf(issued: trustme.LeafCert, certificate: Path, key: Path) -> None:
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)


def several(authority: trustme.CA, folder: Path, *names: tuple[str, ...]) -> TlsSettings:
    """Settings with a certificate for each group of names, the first being the default."""
    pairs = []
    for number, group in enumerate(names):
        certificate, key = folder / f"{number}.pem", folder / f"{number}.key"
        write_leaf(authority.issue_cert(*group), certificate, key)
        pairs.append(CertificateSettings(certificate=certificate, key=key))
    return TlsSettings(certificate=pairs[0].certificate, key=pairs[0].key, more=tuple(pairs[1:]))
