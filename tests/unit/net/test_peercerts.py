"""What certificates of servers are worth, with chains made for the purpose."""

import shutil
import ssl
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.fakes.chains import Issuer, Key, make_leaf, make_root, spki

from postroom.net.channel import ClientChannel
from postroom.net.peercerts import (
    Flaw,
    ServerAuthorities,
    check_names,
    examine_anchored,
    matches,
    public_key_info,
    read_der_chain,
)

HOST = "mx.example.org"


@pytest.fixture(scope="module")
def root() -> Issuer:
    return make_root()


@pytest.fixture
def authorities(root: Issuer, tmp_path: Path) -> ServerAuthorities:
    (tmp_path / "ca.pem").write_bytes(root.pem)
    return ServerAuthorities(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("pattern", "name", "meant"),
    [
        ("mx.example.org", "MX.example.org", True),
        ("*.example.org", "mx.example.org", True),
        ("*.example.org", "example.org", False),  # RFC 8461 §4.1
        ("*.example.org", "foo.bar.example.org", False),
        ("*.example.org", ".example.org", False),
        ("mx*.example.org", "mx1.example.org", False),  # RFC 7672 §3.2.3
        ("*", "mx", False),
        ("*.", "mx.", False),
        ("", "", False),
        ("mx.example.org.", "mx.example.org", True),
    ],
)
def test_names_by_pattern(pattern: str, name: str, meant: bool) -> None:
    assert matches(pattern, name) is meant


def test_a_good_chain_by_an_intermediate(root: Issuer, authorities: ServerAuthorities) -> None:
    middle = root.issue_issuer("middle")
    leaf = make_leaf(middle, HOST)
    assert authorities.examine((leaf, middle.certificate), [HOST]) is None
    missing = authorities.examine((leaf,), [HOST])
    assert missing is not None
    assert missing.flaw is Flaw.UNTRUSTED


@pytest.mark.parametrize(
    ("fields", "flaw"),
    [
        ({"expired": True}, Flaw.EXPIRED),
        ({"names": ("other.example",)}, Flaw.MISMATCH),
        ({"names": (), "common_name": HOST}, Flaw.MISMATCH),  # RFC 8461 §4.2: a DNS-ID
        ({"client_only": True}, Flaw.UNTRUSTED),
        ({"weak": True}, Flaw.UNTRUSTED),
    ],
)
def test_what_is_wrong_is_said(
    root: Issuer, authorities: ServerAuthorities, fields: dict[str, object], flaw: Flaw
) -> None:
    names = fields.pop("names", (HOST,))
    leaf = make_leaf(root, *names, **fields)  # type: ignore[arg-type, misc]  # keywords of a table
    fault = authorities.examine((leaf,), [HOST])
    assert fault is not None
    assert fault.flaw is flaw
    assert fault.text


def test_a_stranger_is_not_trusted(authorities: ServerAuthorities) -> None:
    fault = authorities.examine((make_leaf(make_root(), HOST),), [HOST])
    assert fault is not None
    assert fault.flaw is Flaw.UNTRUSTED


def test_anchors_may_be_in_the_middle(root: Issuer) -> None:
    middle = root.issue_issuer("middle")
    leaf = make_leaf(middle, HOST)
    assert examine_anchored((leaf, middle.certificate), [middle.certificate]) is None
    assert examine_anchored((leaf,), [middle.certificate]) is None
    fault = examine_anchored((leaf, middle.certificate), [make_root().certificate])
    assert fault is not None
    assert fault.flaw is Flaw.UNTRUSTED


def test_the_common_name_counts_only_where_it_may(root: Issuer) -> None:
    # RFC 7672 §3.2.3
    nameless = make_leaf(root, common_name=HOST)
    assert check_names(nameless, [HOST], common_name=True) is None
    assert check_names(nameless, [HOST]) is not None
    named = make_leaf(root, "other.example", common_name=HOST)
    assert check_names(named, [HOST], common_name=True) is not None


def test_no_certificate_and_rubbish() -> None:
    with pytest.raises(ValueError, match="no certificate"):
        read_der_chain(())
    with pytest.raises(ValueError, match=r".+"):
        read_der_chain((b"rubbish",))


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
        rsa.generate_private_key(65537, 4096),
    ],
)
def test_the_key_as_it_stands_in_the_certificate(root: Issuer, key: Key) -> None:
    leaf = make_leaf(root, *[f"mx{number}.example.org" for number in range(50)], key=key)
    assert public_key_info(leaf) == spki(leaf)


def test_a_key_that_is_written_in_another_way_is_taken_as_it_is() -> None:
    # RFC 4055 §1.2: id-RSASSA-PSS; who reads and writes it anew may make an ordinary RSA key of it
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    words = "req -x509 -newkey rsa-pss -pkeyopt rsa_keygen_bits:2048 -nodes -subj /CN=x -keyout /dev/null -outform DER"
    der = subprocess.run(["openssl", *words.split()], capture_output=True, check=True, timeout=60).stdout
    certificate = x509.load_der_x509_certificate(der)
    info = public_key_info(certificate)
    assert bytes.fromhex("06092a864886f70d01010a") in info[:30]  # the OID of RSASSA-PSS
    assert info in der


def test_authorities_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no authorities"):
        ServerAuthorities(tmp_path / "missing.pem")


def test_the_system_has_authorities_or_none_but_nobody_made_here_is_one() -> None:
    fault = ServerAuthorities().examine((make_leaf(make_root(), HOST),), [HOST])
    assert fault is not None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_chain_comes_as_it_was_shown(root: Issuer, version: ssl.TLSVersion, tmp_path: Path) -> None:
    middle = root.issue_issuer("middle")
    server = middle.server_context(HOST, folder=tmp_path)
    server.minimum_version = server.maximum_version = version
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    channel = ClientChannel(client, HOST)
    assert channel.chain() == ()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    other = server.wrap_bio(incoming, outgoing, server_side=True)
    data = b""
    for _ in range(10):
        channel.receive(data)
        incoming.write(channel.output())
        with suppress(ssl.SSLWantReadError):
            other.do_handshake()
        data = outgoing.read()
        if channel.facts is not None:
            break
    chain = read_der_chain(channel.chain())
    assert len(chain) == 2
    assert chain[1] == middle.certificate
    assert check_names(chain[0], [HOST]) is None
    assert chain[0].not_valid_after_utc > datetime.now(UTC) + timedelta(hours=1)
