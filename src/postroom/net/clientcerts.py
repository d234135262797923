"""Certificates of clients: whether one counts, and whose it is. One that does not is told of, and shuts nobody out."""

from collections import OrderedDict
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from OpenSSL import crypto

from postroom.net.certificates import read_chain

REMEMBERED = 1000
"""Clients whose intermediate certificates are kept for the time when they resume a session: it brings only theirs."""

_SMTP_UTF8_MAILBOX = ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # id-on-SmtpUTF8Mailbox, RFC 9598 §3
_UTF8_STRING = 0x0C
_LONGEST_NAME = 320  # octets: 64 of a local part, @, 255 of a domain (RFC 5321 §4.5.3.1)
_MOST_NAMES = 20


class ClientAuthorities:
    """The authorities whose clients' certificates count. Raises CertificateError where their file is of no use."""

    def __init__(self, path: Path) -> None:
        self.certificates = read_chain(path)
        self._store = crypto.X509Store()
        for each in self.certificates:
            self._store.add_cert(crypto.X509.from_cryptography(each))
        self._intermediates: OrderedDict[bytes, tuple[crypto.X509, ...]] = OrderedDict()

    def examine(self, leaf: crypto.X509, sent: list[crypto.X509], *, resumed: bool) -> tuple[tuple[str, ...], str]:
        """The mail addresses in the certificate if it counts now, else none and the reason, for the log.

        ``sent`` is what came with it. It is asked anew for each session, resumed ones too: a certificate
        ends, and authorities change.
        """
        try:
            certificate = leaf.to_cryptography()
            self._verify(leaf, sent, resumed=resumed)
            _demand_client_use(certificate)
            names = mail_names(certificate)
        except crypto.X509StoreContextError as error:
            return (), str(error)
        except (ValueError, crypto.Error) as error:
            return (), str(error) or "it cannot be read"
        return (names, "") if names else ((), "it names no mail address")

    def _verify(self, leaf: crypto.X509, sent: list[crypto.X509], *, resumed: bool) -> None:
        fingerprint = leaf.digest("sha256")
        between = tuple(sent)
        if resumed:
            between = between or self._intermediates.get(fingerprint, ())
        crypto.X509StoreContext(self._store, leaf, list(between)).verify_certificate()
        if between:
            self._intermediates[fingerprint] = between
            self._intermediates.move_to_end(fingerprint)
            if len(self._intermediates) > REMEMBERED:
                self._intermediates.popitem(last=False)


def mail_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The mail addresses of a certificate: those in subjectAltName, or where there is none, in the subject.

    RFC 5280 §4.2.1.6: new ones have them in subjectAltName. ValueError if what stands there is malformed.
    """
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]
    else:
        found = others.get_values_for_type(x509.RFC822Name)
        found += [
            _utf8_string(each.value)
            for each in others.get_values_for_type(x509.OtherName)
            if each.type_id == _SMTP_UTF8_MAILBOX
        ]
    return tuple([name for name in found if _is_sane(name)][:_MOST_NAMES])


def _is_sane(name: str) -> bool:
    return "@" in name and name.isprintable() and " " not in name and len(name.encode()) <= _LONGEST_NAME


def _demand_client_use(certificate: x509.Certificate) -> None:
    """RFC 5280 §4.2.1.12: for what the key may be used."""
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        uses = None
    if uses is None or ExtendedKeyUsageOID.CLIENT_AUTH not in uses:
        raise ValueError("it is not for clients (no extended key usage clientAuth)")


def _utf8_string(der: bytes) -> str:
    """The text of a DER UTF8String. ValueError if it is none."""
    if len(der) < 2 or der[0] != _UTF8_STRING:
        raise ValueError("its SmtpUTF8Mailbox is malformed")
    size, start = der[1], 2
    if size >= 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[2:start], "big")
    if start + size != len(der):
        raise ValueError("its SmtpUTF8Mailbox is malformed")
    return der[start:].decode()
