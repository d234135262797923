"""Contexts come from the settings and follow the files."""

import os
import ssl
from pathlib import Path

import pytest
import trustme
from tests.unit.net.conftest import write_certificate

from postroom.config.certificates import TlsSettings
from postroom.net.tls import ServerTls, TlsChannel, opportunistic_context, server_context, server_tls, verifying_context


def shake(client: TlsChannel, server: TlsChannel) -> None:
    """Pass bytes to and fro until both are done."""
    to_server, to_client = b"", b""
    client.receive(b"")
    for _ in range(10):
        to_server = client.output()
        server.receive(to_server)
        to_client = server.output()
        client.receive(to_client)
        if client.facts and server.facts:
            return


def certificate_of(tls: ServerTls, trusting: ssl.SSLContext, name: str) -> str:
    """The version agreed on, if the server shows a certificate for ``name``."""
    client = TlsChannel(trusting, server_side=False, server_hostname=name)
    server = TlsChannel(tls.context, server_side=True)
    shake(client, server)
    assert client.facts is not None
    return client.facts.version


def test_without_a_certificate_there_is_no_tls() -> None:
    assert server_tls(TlsSettings()) is None
    with pytest.raises(ValueError, match="certificate"):
        server_context(TlsSettings())


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        server_tls(TlsSettings(certificate=tmp_path / "none.pem", key=tmp_path / "none.pem"))


def test_old_versions_are_not_spoken(tls_settings: TlsSettings) -> None:
    assert server_context(tls_settings).minimum_version is ssl.TLSVersion.TLSv1_2
    strict = tls_settings.model_copy(update={"minimum": "1.3"})
    assert server_context(strict).minimum_version is ssl.TLSVersion.TLSv1_3


def test_only_ciphers_with_forward_secrecy(tls_settings: TlsSettings) -> None:
    names = [cipher["name"] for cipher in server_context(tls_settings).get_ciphers()]
    assert names
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)


def test_a_new_certificate_is_taken_up(
    authority: trustme.CA, tls_settings: TlsSettings, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    tls = ServerTls(tls_settings)
    assert not tls.reload_if_changed()
    assert certificate_of(tls, trusting, "mx.example.org") == "TLSv1.3"
    write_certificate(authority, tmp_path, "new.example.org")
    os.utime(tmp_path / "cert.pem", (1, 1))
    assert tls.reload_if_changed()
    assert not tls.reload_if_changed()
    assert certificate_of(tls, trusting, "new.example.org") == "TLSv1.3"


def test_broken_files_leave_the_old_certificate(
    tls_settings: TlsSettings, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    tls = ServerTls(tls_settings)
    tmp_path.joinpath("cert.pem").write_text("not a certificate")
    with pytest.raises(ssl.SSLError):
        tls.reload()
    assert certificate_of(tls, trusting, "mx.example.org") == "TLSv1.3"


def test_other_settings_are_taken_up(tls_settings: TlsSettings) -> None:
    tls = ServerTls(tls_settings)
    tls.reload(tls_settings.model_copy(update={"minimum": "1.3"}))
    assert tls.context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_opportunistic_tls_believes_anybody(tls_settings: TlsSettings) -> None:
    client = TlsChannel(opportunistic_context(), server_side=False, server_hostname="anything.example")
    server = TlsChannel(server_context(tls_settings), server_side=True)
    shake(client, server)
    assert client.facts is not None
    assert server.receive(client.encrypt(b"hello")) == b"hello"


def test_verifying_tls_believes_the_authorities_it_is_given(
    authority: trustme.CA, tls_settings: TlsSettings, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    assert certificate_of(ServerTls(tls_settings), verifying_context(tmp_path / "ca.pem"), "mx.example.org")
    with pytest.raises(ConnectionError, match="certificate not accepted"):
        certificate_of(ServerTls(tls_settings), verifying_context(), "mx.example.org")


def test_a_polite_end_is_told(tls_settings: TlsSettings) -> None:
    client = TlsChannel(opportunistic_context(), server_side=False)
    server = TlsChannel(server_context(tls_settings), server_side=True)
    shake(client, server)
    last = client.encrypt(b"QUIT\r\n") + client.close()
    assert server.receive(last) == b"QUIT\r\n"
    assert server.ended
    assert server.close()
