"""A client's certificate says whose it is, if an authority vouches for it; else the client is served all the same."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from tests.unit.net.tlspeer import Peer, trusting_any, write_leaf

from postroom.config.certificates import TlsSettings
from postroom.mail.session import TlsFacts
from postroom.net.certificates import CertificateError
from postroom.net.clientcerts import mail_names
from postroom.net.tls import ServerTls

BOTH = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
NOW = datetime.now(UTC)


@pytest.fixture
def clients() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(clients: trustme.CA, tls_settings: TlsSettings, tmp_path: Path) -> ServerTls:
    clients.cert_pem.write_to_path(tmp_path / "clients.pem")
    return ServerTls(tls_settings.model_copy(update={"client_ca": tmp_path / "clients.pem"}))


def showing(issued: trustme.LeafCert, folder: Path, maximum: ssl.TLSVersion = BOTH[1]) -> ssl.SSLContext:
    """A client's context with a certificate."""
    write_leaf(issued, folder / "client.pem", folder / "client.key")
    context = trusting_any(maximum)
    context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context


def facts(tls: ServerTls, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> tuple[TlsFacts, Peer]:
    peer, channel = Peer(context, "mx.example.org", session), tls.channel()
    peer.shake(channel)
    assert channel.facts is not None
    peer.tls.write(b"EHLO\r\n")
    assert channel.receive(peer.outgoing.read()) == b"EHLO\r\n"  # whatever came of it, there is a session
    return channel.facts, peer


@pytest.mark.parametrize("maximum", BOTH)
def test_it_names_who_it_is_in_resumed_sessions_too(
    tls: ServerTls, clients: trustme.CA, tmp_path: Path, maximum: ssl.TLSVersion
) -> None:
    context = showing(clients.issue_cert("anna@example.org", "a.example.org"), tmp_path, maximum)
    found, peer = facts(tls, context)
    assert (found.peer_names, found.peer_trouble, found.resumed) == (("anna@example.org",), "", False)
    again, _ = facts(tls, context, peer.tls.session)
    assert (again.peer_names, again.resumed) == (("anna@example.org",), True)


@pytest.mark.parametrize("maximum", BOTH)
def test_intermediate_authorities_are_remembered_for_resumption(
    tls: ServerTls, clients: trustme.CA, tmp_path: Path, maximum: ssl.TLSVersion
) -> None:
    context = showing(clients.create_child_ca().issue_cert("anna@example.org"), tmp_path, maximum)
    found, peer = facts(tls, context)
    assert found.peer_names == ("anna@example.org",)
    again, _ = facts(tls, context, peer.tls.session)
    assert (again.peer_names, again.resumed) == (("anna@example.org",), True)


def test_none_is_asked_for_without_authorities(tls_settings: TlsSettings, clients: trustme.CA, tmp_path: Path) -> None:
    found, _ = facts(ServerTls(tls_settings), showing(clients.issue_cert("anna@example.org"), tmp_path))
    assert (found.peer_names, found.peer_trouble) == ((), "")


def test_clients_may_come_without(tls: ServerTls) -> None:
    found, _ = facts(tls, trusting_any())
    assert (found.peer_names, found.peer_trouble) == ((), "")


@pytest.mark.parametrize("maximum", BOTH)
def test_certificates_of_others_shut_nobody_out(tls: ServerTls, tmp_path: Path, maximum: ssl.TLSVersion) -> None:
    found, _ = facts(tls, showing(trustme.CA().issue_cert("anna@example.org"), tmp_path, maximum))
    assert found.peer_names == ()
    assert "issuer certificate" in found.peer_trouble


def test_it_ends(tls: ServerTls, clients: trustme.CA, tmp_path: Path) -> None:
    ended = clients.issue_cert("anna@example.org", not_before=NOW - timedelta(9), not_after=NOW - timedelta(1))
    found, _ = facts(tls, showing(ended, tmp_path))
    assert found.peer_names == ()
    assert "expired" in found.peer_trouble


def test_other_authorities_end_it_for_resumed_sessions_too(
    tls: ServerTls, tls_settings: TlsSettings, clients: trustme.CA, tmp_path: Path
) -> None:
    context = showing(clients.issue_cert("anna@example.org"), tmp_path)
    _, peer = facts(tls, context)
    trustme.CA().cert_pem.write_to_path(tmp_path / "clients.pem")
    assert tls.reload_if_changed()
    again, _ = facts(tls, context, peer.tls.session)
    assert again.peer_names == ()
    assert again.peer_trouble


def test_a_broken_file_of_authorities_leaves_the_old_ones(tls: ServerTls, clients: trustme.CA, tmp_path: Path) -> None:
    (tmp_path / "clients.pem").write_text("nonsense")
    with pytest.raises(CertificateError, match=r"clients\.pem"):
        tls.reload_if_changed()
    found, _ = facts(tls, showing(clients.issue_cert("anna@example.org"), tmp_path))
    assert found.peer_names == ("anna@example.org",)


def test_without_authorities_in_the_file_nothing_starts(tls_settings: TlsSettings, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("")
    with pytest.raises(CertificateError, match=r"none\.pem has no certificate"):
        ServerTls(tls_settings.model_copy(update={"client_ca": tmp_path / "none.pem"}))


# What a certificate may say, made by hand.

KEY = ec.generate_private_key(ec.SECP256R1())
CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SMTP_UTF8 = ObjectIdentifier("1.3.6.1.5.5.7.8.9")


def leaf(*extensions: x509.ExtensionType, email: str = "") -> x509.Certificate:
    """A certificate that is its own authority."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, "client")]
    if email:
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, email))
    name = x509.Name(attributes)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(1))
        .not_valid_after(NOW + timedelta(1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def names(*entries: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(entries)


def other(text: str, tag: int = 0x0C) -> x509.OtherName:
    raw = text.encode()
    length = bytes((len(raw),)) if len(raw) < 128 else bytes((0x81, len(raw)))
    return x509.OtherName(SMTP_UTF8, bytes((tag,)) + length + raw)


def shown_by(certificate: x509.Certificate, tls_settings: TlsSettings, folder: Path) -> TlsFacts:
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "own.pem").write_bytes(pem)
    (folder / "own.key").write_bytes(
        KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = trusting_any()
    context.load_cert_chain(folder / "own.pem", folder / "own.key")
    tls = ServerTls(tls_settings.model_copy(update={"client_ca": folder / "own.pem"}))
    return facts(tls, context)[0]


def test_it_must_be_for_clients(tls_settings: TlsSettings, tmp_path: Path) -> None:
    """RFC 5280 §4.2.1.12."""
    server_only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    who = names(x509.RFC822Name("anna@example.org"))
    assert shown_by(leaf(who, CLIENT), tls_settings, tmp_path).peer_names == ("anna@example.org",)
    for certificate in (leaf(who), leaf(who, server_only)):
        found = shown_by(certificate, tls_settings, tmp_path)
        assert found.peer_names == ()
        assert "clientAuth" in found.peer_trouble


def test_without_a_mail_address_it_is_nobodys(tls_settings: TlsSettings, tmp_path: Path) -> None:
    found = shown_by(leaf(names(x509.DNSName("a.example.org")), CLIENT), tls_settings, tmp_path)
    assert (found.peer_names, found.peer_trouble) == ((), "it names no mail address")


def test_addresses_stand_in_the_alternative_name_or_else_in_the_subject() -> None:
    """RFC 5280 §4.2.1.6."""
    assert mail_names(leaf(email="anna@example.org")) == ("anna@example.org",)
    both = leaf(names(x509.RFC822Name("a@example.org"), x509.RFC822Name("b@example.org")), email="c@example.org")
    assert mail_names(both) == ("a@example.org", "b@example.org")
    assert mail_names(leaf(names(x509.DNSName("example.org")), email="c@example.org")) == ()


def test_international_addresses() -> None:
    """RFC 9598 §3."""
    long = "ä" * 60 + "@bücher.example"
    assert mail_names(leaf(names(other("jürgen@bücher.example"), other(long)))) == ("jürgen@bücher.example", long)
    unknown = x509.OtherName(ObjectIdentifier("1.2.3.4"), b"\x0c\x01a")
    assert mail_names(leaf(names(unknown))) == ()


@pytest.mark.parametrize(
    "value", [b"", b"\x0c", b"\x0c\x05a@b", b"\x16\x03a@b", b"\x0c\x03a\xff@", b"\x0c\x84\xff\xff\xff\xff"]
)
def test_malformed_ones_count_for_nothing(tls_settings: TlsSettings, tmp_path: Path, value: bytes) -> None:
    try:
        certificate = leaf(names(x509.OtherName(SMTP_UTF8, value)), CLIENT)
    except ValueError:
        return  # not even DER: nobody can make such a certificate with this library
    found = shown_by(certificate, tls_settings, tmp_path)
    assert found.peer_names == ()
    assert found.peer_trouble


@pytest.mark.parametrize("name", ["a b@example.org", "a@b\nc", "no-address", "a" * 400 + "@example.org"])
def test_odd_names_are_left_out(name: str) -> None:
    assert mail_names(leaf(names(other(name[:120]), x509.RFC822Name("ok@example.org")))) == ("ok@example.org",) or (
        len(name) > 320
    )


def test_ever_so_many_names_are_cut() -> None:
    assert len(mail_names(leaf(names(*(x509.RFC822Name(f"a{n}@example.org") for n in range(100)))))) == 20
