"""The certificate that init makes is one that clients can use, and bad ones are found."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from postroom.admin.certificate import check_certificate, make_self_signed, write_new
from postroom.admin.finding import Finding, Level
from postroom.config.certificates import CertificateSettings, TlsSettings

NOW = 1_800_000_000.0
DAY = 86400


@pytest.fixture
def tls(tmp_path: Path) -> TlsSettings:
    settings = TlsSettings(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    make_self_signed("mx.example.org", tmp_path / "c.pem", tmp_path / "k.pem", NOW)
    return settings


def check(tls: TlsSettings, hostname: str = "mx.example.org", now: float = NOW) -> list[Finding]:
    return list(check_certificate(tls, hostname, now))


def the_fault(found: list[Finding]) -> Finding:
    faults = [finding for finding in found if finding.level is not Level.OK]
    assert len(faults) == 1, faults
    return faults[0]


def test_self_signed_is_usable(tls: TlsSettings) -> None:
    assert tls.certificate is not None
    assert tls.key is not None
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
    assert tls.key.stat().st_mode & 0o777 == 0o600
    found = check(tls)
    assert [finding.level for finding in found] == [Level.OK, Level.OK]
    assert "valid until 2029-" in found[0].what
    assert "self-signed" in found[1].what


def test_clients_verify_it(tls: TlsSettings) -> None:
    """A client that was given the certificate trusts it for its name."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert tls.certificate is not None
    now = datetime.now(UTC).timestamp()
    folder = tls.certificate.parent
    make_self_signed("mx.example.org", folder / "now.pem", folder / "now.key", now)
    server_context.load_cert_chain(folder / "now.pem", folder / "now.key")
    client_context = ssl.create_default_context(cafile=str(folder / "now.pem"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="mx.example.org")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    sides = [client, server]
    for _ in range(10):
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
    assert sides == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_text("precious")
    with pytest.raises(FileExistsError):
        make_self_signed("mx.example.org", tmp_path / "c.pem", tmp_path / "k.pem", NOW)
    assert not (tmp_path / "c.pem").exists()
    assert (tmp_path / "k.pem").read_text() == "precious"


def test_mode_holds_from_the_first_moment(tmp_path: Path) -> None:
    write_new(tmp_path / "x", b"secret", 0o600)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("days", "level", "says"),
    [
        (-1, Level.ERROR, "not valid before"),
        (824, Level.WARNING, "expires on"),
        (826, Level.ERROR, "expired on"),
    ],
)
def test_dates(tls: TlsSettings, days: int, level: Level, says: str) -> None:
    fault = the_fault(check(tls, now=NOW + days * DAY))
    assert fault.level is level
    assert says in fault.what
    assert fault.remedy


def test_another_host(tls: TlsSettings) -> None:
    fault = the_fault(check(tls, "mx.example.net"))
    assert fault.level is Level.WARNING
    assert "is for mx.example.org, not for mx.example.net" in fault.what


def test_wildcards(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("*.example.org")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "c.pem")
    issued.private_key_pem.write_to_path(tmp_path / "k.pem")
    settings = TlsSettings(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    found = check(settings, now=datetime.now(UTC).timestamp())
    assert [finding.level for finding in found] == [Level.OK]
    assert the_fault(check(settings, "a.b.example.org", datetime.now(UTC).timestamp()))


def test_no_names_at_all(tmp_path: Path) -> None:
    """Old certificates have only a common name, which nobody looks at any more."""
    issued = trustme.CA().issue_cert(common_name="mx.example.org")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "c.pem")
    issued.private_key_pem.write_to_path(tmp_path / "k.pem")
    settings = TlsSettings(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    assert "no host" in the_fault(check(settings, now=datetime.now(UTC).timestamp())).what


def test_a_key_of_something_else(tls: TlsSettings) -> None:
    assert tls.key is not None
    other = ec.generate_private_key(ec.SECP256R1())
    encrypted = serialization.BestAvailableEncryption(b"x")
    for protection, says in ((serialization.NoEncryption(), "is not the key of"), (encrypted, "without a passphrase")):
        pem = other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
        tls.key.write_bytes(pem)
        fault = the_fault(check(tls))
        assert fault.level is Level.ERROR
        assert says in fault.what


@pytest.mark.parametrize("name", ["c.pem", "k.pem"])
def test_files_that_are_no_use(tls: TlsSettings, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("nonsense")
    assert "in PEM form that can be used" in the_fault(check(tls)).what
    (tmp_path / name).unlink()
    assert "No such file" in the_fault(check(tls)).what


def test_none() -> None:
    assert the_fault(check(TlsSettings())).level is Level.WARNING


def test_each_of_several_is_looked_at(tls: TlsSettings, tmp_path: Path) -> None:
    """The host's name may be in any of them; each is listed with its end."""
    make_self_signed("other.example.net", tmp_path / "o.pem", tmp_path / "o.key", NOW - 820 * DAY)
    several = tls.model_copy(
        update={"more": (CertificateSettings(certificate=tmp_path / "o.pem", key=tmp_path / "o.key"),)}
    )
    found = check(several)
    assert f"mx.example.org ({tmp_path / 'c.pem'}) is valid until" in found[0].what
    assert found[1].level is Level.WARNING
    assert f"other.example.net ({tmp_path / 'o.pem'}) expires on" in found[1].what
    assert not any("not for" in finding.what for finding in check(several, "other.example.net"))
    (tmp_path / "o.key").write_text("")
    assert [finding.level for finding in check(several)] == [Level.ERROR, Level.OK, Level.OK]


def test_when_to_warn_is_a_setting(tls: TlsSettings) -> None:
    early = tls.model_copy(update={"warn_before": 800 * DAY})
    assert check(early, now=NOW + 24 * DAY)[0].level is Level.OK
    assert check(early, now=NOW + 26 * DAY)[0].level is Level.WARNING


def test_authorities_of_clients(tls: TlsSettings, tmp_path: Path) -> None:
    trusting = tls.model_copy(update={"client_ca": tmp_path / "ca.pem"})
    assert "No such file" in the_fault(check(trusting)).what
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    (authority,) = [finding for finding in check(trusting) if "client authority" in finding.what]
    assert authority.level is Level.OK
