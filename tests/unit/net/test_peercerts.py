"""What certificates of servers are worth, with chains made for the purpose."""

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.fakes.chains import Issuer, make_leaf, make_root

from postroom.net.channel import ClientChannel
from postroom.net.peercerts import (
    Flaw,
    ServerAuthorities,
    check_names,
    examine_anchored,
    matches,
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
