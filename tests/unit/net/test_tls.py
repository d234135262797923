"""What a server shows comes from the settings and follows the files; tickets live as long as that is safe."""

import os
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from tests.unit.net.conftest import write_certificate
from tests.unit.net.tlspeer import Peer, several, trusting_any, write_leaf

from postroom.config.certificates import TlsSettings
from postroom.net.certificates import CertificateError
from postroom.net.channel import ClientChannel, TlsError
from postroom.net.tls import ServerTls, opportunistic_context, server_tls, verifying_context


def shown(tls: ServerTls, name: str | None) -> tuple[str, ...]:
    """The names in the certificate that a client gets which asks for ``name``."""
    peer = Peer(trusting_any(), name)
    peer.shake(tls.channel())
    return peer.shown


def resumes(tls: ServerTls, session: ssl.SSLSession | None, context: ssl.SSLContext, name: str) -> bool:
    peer, channel = Peer(context, name, session), tls.channel()
    peer.shake(channel)
    assert channel.facts is not None
    assert channel.facts.resumed == bool(peer.tls.session_reused)
    return channel.facts.resumed


def ticket(tls: ServerTls, context: ssl.SSLContext, name: str) -> ssl.SSLSession:
    peer = Peer(context, name)
    peer.shake(tls.channel())
    assert peer.tls.session is not None
    return peer.tls.session


def change(path: Path) -> None:
    """A date that it has not had."""
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


# Which certificate there is.


def test_without_a_certificate_there_is_no_tls() -> None:
    assert server_tls(TlsSettings()) is None
    with pytest.raises(CertificateError, match=r"tls\.certificate"):
        ServerTls(TlsSettings())


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"none\.pem cannot be read: No such file.*correct \[tls\]"):
        server_tls(TlsSettings(certificate=tmp_path / "none.pem", key=tmp_path / "none.pem"))


def test_a_key_of_something_else_is_told_by_both_names(tls_settings: TlsSettings, tmp_path: Path) -> None:
    trustme.CA().issue_cert("mx.example.org").private_key_pem.write_to_path(tmp_path / "key.pem")
    with pytest.raises(CertificateError, match=r"key\.pem is not the key of .*cert\.pem: name the key"):
        ServerTls(tls_settings)


def test_keys_that_are_of_no_use(tls_settings: TlsSettings, tmp_path: Path) -> None:
    def store(
        key: ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey, how: serialization.KeySerializationEncryption
    ) -> None:
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
        tmp_path.joinpath("key.pem").write_bytes(pem)

    store(ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"secret"))
    with pytest.raises(CertificateError, match="without a passphrase"):
        ServerTls(tls_settings)
    store(dsa.generate_private_key(2048), serialization.NoEncryption())
    with pytest.raises(CertificateError, match="EC, RSA or Ed25519"):
        ServerTls(tls_settings)
    tmp_path.joinpath("key.pem").write_text("nonsense")
    with pytest.raises(CertificateError, match="no private key in PEM form"):
        ServerTls(tls_settings)


def test_certificate_and_key_in_one_file(authority: trustme.CA, tmp_path: Path) -> None:
    issued = authority.issue_cert("mx.example.org")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    both = tmp_path / "both.pem"
    assert shown(ServerTls(TlsSettings(certificate=both, key=both)), None) == ("mx.example.org",)
    assert shown(ServerTls(TlsSettings(certificate=both)), None) == ("mx.example.org",)


def test_a_certificate_stands_in_until_one_comes(tls_settings: TlsSettings) -> None:
    tls = server_tls(TlsSettings(), stand_in_for="mx.example.org", now=1_700_000_000)
    assert tls is not None
    stood_in = [tls.stands_in]
    assert shown(tls, "mx.example.org") == ("mx.example.org",)
    assert tls.certificates[0].path is None
    assert not tls.reload_if_changed()
    tls.reload(tls_settings)
    stood_in.append(tls.stands_in)
    assert stood_in == [True, False]
    assert tls.certificates[0].path == tls_settings.certificate
    tls.reload(TlsSettings(minimum="1.3"))  # a reload of settings that leave the certificate to others
    assert tls.certificates[0].path == tls_settings.certificate
    assert not tls.reload_if_changed()


# Which one is shown.


def test_the_name_asked_for_chooses(authority: trustme.CA, tmp_path: Path) -> None:
    """RFC 6066 §3, RFC 9525 §6.3."""
    settings = several(
        authority,
        tmp_path,
        ("mx.example.org",),
        ("*.example.net", "example.net"),
        ("in.example.net", "xn--bcher-kva.example"),
    )
    tls = ServerTls(settings)
    assert shown(tls, "mx.example.org") == ("mx.example.org",)
    assert "example.net" in shown(tls, "pop.example.net")
    assert "example.net" in shown(tls, "POP.Example.NET")
    assert "in.example.net" in shown(tls, "in.example.net")  # the name itself goes before the wildcard
    assert "in.example.net" in shown(tls, "bücher.example")  # sent as an A-label
    assert shown(tls, "a.b.example.net") == ("mx.example.org",)  # a wildcard is one label
    assert shown(tls, "nowhere.example") == ("mx.example.org",)
    assert shown(tls, None) == ("mx.example.org",)


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_name_asked_for_is_told(tls_settings: TlsSettings, maximum: ssl.TLSVersion) -> None:
    tls = ServerTls(tls_settings)
    for name in ("mx.example.org", None):
        channel = tls.channel()
        Peer(trusting_any(maximum), name).shake(channel)
        assert channel.facts is not None
        assert channel.facts.server_name == (name or "")
        assert channel.facts.version == maximum.name.replace("v1_", "v1.")
        assert channel.facts.peer_names == ()
        assert not channel.facts.resumed


# Reload.


def test_a_new_certificate_is_taken_up(authority: trustme.CA, tls_settings: TlsSettings, tmp_path: Path) -> None:
    tls = ServerTls(tls_settings)
    assert not tls.reload_if_changed()
    before, channel = Peer(trusting_any()), tls.channel()
    before.shake(channel)
    write_certificate(authority, tmp_path, "new.example.org")
    change(tmp_path / "cert.pem")
    assert tls.reload_if_changed()
    assert not tls.reload_if_changed()
    assert shown(tls, None) == ("new.example.org",)
    before.tls.write(b"still here")  # a session that was open stays open
    assert channel.receive(before.outgoing.read()) == b"still here"


def test_broken_files_leave_the_old_certificate(tls_settings: TlsSettings, tmp_path: Path) -> None:
    tls = ServerTls(tls_settings)
    tmp_path.joinpath("cert.pem").write_text("not a certificate")
    with pytest.raises(CertificateError, match=r"cert\.pem"):
        tls.reload()
    assert shown(tls, None) == ("mx.example.org",)
    with pytest.raises(CertificateError, match=r"cert\.pem.*stays in use"):
        tls.reload_if_changed()
    assert not tls.reload_if_changed()  # told once
    assert shown(tls, None) == ("mx.example.org",)
    tmp_path.joinpath("cert.pem").unlink()
    with pytest.raises(CertificateError, match="No such file"):
        tls.reload_if_changed()
    assert shown(tls, None) == ("mx.example.org",)


def test_one_broken_certificate_does_not_keep_the_others_from_being_renewed(
    authority: trustme.CA, tmp_path: Path
) -> None:
    settings = several(authority, tmp_path, ("a.example.org",), ("b.example.org",))
    tls = ServerTls(settings)
    tmp_path.joinpath("0.pem").write_text("half a certi")
    write_leaf(authority.issue_cert("c.example.org"), tmp_path / "1.pem", tmp_path / "1.key")
    for name in ("0.pem", "1.pem", "1.key"):
        change(tmp_path / name)
    with pytest.raises(CertificateError, match=r"0\.pem"):
        tls.reload_if_changed()
    assert shown(tls, "a.example.org") == ("a.example.org",)
    assert shown(tls, "c.example.org") == ("c.example.org",)


def test_a_reload_takes_all_or_nothing(authority: trustme.CA, tls_settings: TlsSettings, tmp_path: Path) -> None:
    tls = ServerTls(tls_settings)
    (tmp_path / "more").mkdir()
    other = several(authority, tmp_path / "more", ("other.example.org",), ("broken.example.org",))
    (tmp_path / "more" / "1.key").write_text("")
    with pytest.raises(CertificateError):
        tls.reload(other)
    assert shown(tls, "other.example.org") == ("mx.example.org",)
    tls.reload(other.model_copy(update={"more": ()}))
    assert shown(tls, "mx.example.org") == ("other.example.org",)


def test_settings_are_taken_up(tls_settings: TlsSettings) -> None:
    tls = ServerTls(tls_settings)
    Peer(trusting_any(ssl.TLSVersion.TLSv1_2)).shake(tls.channel())
    tls.reload(tls_settings.model_copy(update={"minimum": "1.3"}))
    with pytest.raises(TlsError, match="unsupported protocol"):
        Peer(trusting_any(ssl.TLSVersion.TLSv1_2)).shake(tls.channel())


# Tickets.


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_resumes_whatever_name_chose_the_certificate(
    authority: trustme.CA, tmp_path: Path, maximum: ssl.TLSVersion
) -> None:
    tls = ServerTls(several(authority, tmp_path, ("a.example.org",), ("b.example.org",)))
    context = trusting_any(maximum)
    for name in ("a.example.org", "b.example.org"):
        session = ticket(tls, context, name)
        assert resumes(tls, session, context, name)


def test_a_ticket_outlives_a_reload_that_changes_nothing_but_no_other(
    authority: trustme.CA, tls_settings: TlsSettings, tmp_path: Path
) -> None:
    tls, context = ServerTls(tls_settings), trusting_any()
    session = ticket(tls, context, "mx.example.org")
    tls.reload()
    change(tmp_path / "cert.pem")
    assert tls.reload_if_changed()
    assert resumes(tls, session, context, "mx.example.org")
    session = ticket(tls, context, "mx.example.org")
    write_certificate(authority, tmp_path, "mx.example.org")
    tls.reload()
    assert not resumes(tls, session, context, "mx.example.org")


def test_the_key_of_the_tickets_can_be_forgotten(tls_settings: TlsSettings) -> None:
    """RFC 9325 §3.4."""
    tls, context = ServerTls(tls_settings), trusting_any()
    session = ticket(tls, context, "mx.example.org")
    tls.renew_tickets()
    assert not resumes(tls, session, context, "mx.example.org")


# Contexts of clients.


def test_opportunistic_tls_believes_anybody(tls_settings: TlsSettings) -> None:
    """RFC 7435 §3."""
    client, server = ClientChannel(opportunistic_context(), "anything.example"), ServerTls(tls_settings).channel()
    client.receive(b"")
    server.receive(client.output())
    client.receive(server.output())
    assert client.facts is not None
    assert server.receive(client.output() + client.encrypt(b"hello")) == b"hello"


def test_verifying_tls_believes_the_authorities_it_is_given(
    authority: trustme.CA, tls_settings: TlsSettings, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ServerTls(tls_settings)
    Peer(verifying_context(tmp_path / "ca.pem"), "mx.example.org").shake(tls.channel())
    with pytest.raises(ssl.SSLCertVerificationError):
        Peer(verifying_context(), "mx.example.org").shake(tls.channel())
