"""The server's side of TLS is safe against odd clients, says why it ends, and binds logins to the session."""

import hashlib
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from tests.unit.net.tlspeer import Peer, several, trusting_any, write_leaf

from postroom.config.certificates import TlsSettings
from postroom.net.certificates import Certificate, CertificateError, end_point_binding, self_signed
from postroom.net.channel import END_POINT, EXPORTER, ClientChannel, TlsError
from postroom.net.serverchannel import ServerChannel, ServerContexts
from postroom.net.tls import ServerTls

BOTH = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
OURS = self_signed("mx.example.org", 1_700_000_000, 10_000)
CONTEXTS = ServerContexts([OURS], "1.2", None)


@pytest.fixture(params=BOTH)
def joined(request: pytest.FixtureRequest) -> tuple[Peer, ServerChannel]:
    """After the handshake."""
    peer, channel = Peer(trusting_any(request.param)), ServerChannel(CONTEXTS)
    peer.shake(channel)
    return peer, channel


def test_big_data_travels_both_ways(joined: tuple[Peer, ServerChannel]) -> None:
    peer, channel = joined
    data = bytes(range(256)) * 1000
    peer.tls.write(data)
    assert channel.receive(peer.outgoing.read()) == data
    assert channel.output() == b""
    peer.incoming.write(channel.encrypt(data))
    received = b""
    while piece := peer.read():
        received += piece
    assert received == data
    assert channel.encrypt(b"") == b""


def test_tickets_go_with_what_is_said_next() -> None:
    """RFC 8446 §4.6.1: at any time after the handshake; here in one packet with the greeting."""
    context = trusting_any()
    peer, channel = Peer(context), ServerChannel(CONTEXTS)
    with suppress(ssl.SSLWantReadError):
        peer.tls.do_handshake()
    channel.receive(peer.outgoing.read())
    peer.incoming.write(channel.output())
    peer.tls.do_handshake()
    channel.receive(peer.outgoing.read())
    assert channel.facts is not None
    assert channel.output() == b""
    alone = len(channel.encrypt(b"220 ready\r\n"))
    assert alone > 100, "the tickets came with it"
    assert len(channel.encrypt(b"220 ready\r\n")) < 100


def test_octet_by_octet(joined: tuple[Peer, ServerChannel]) -> None:
    peer, channel = joined
    peer.tls.write(b"EHLO a\r\n")
    cipher_text = peer.outgoing.read()
    assert b"".join(channel.receive(cipher_text[at : at + 1]) for at in range(len(cipher_text))) == b"EHLO a\r\n"


@pytest.mark.parametrize("maximum", BOTH)
def test_a_handshake_octet_by_octet(maximum: ssl.TLSVersion) -> None:
    peer, channel = Peer(trusting_any(maximum)), ServerChannel(CONTEXTS)
    while channel.facts is None:
        with suppress(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        for octet in peer.outgoing.read():
            assert channel.receive(bytes((octet,))) == b""
        peer.incoming.write(channel.output())
    assert channel.facts.cipher


def test_ends_are_told_politely(joined: tuple[Peer, ServerChannel]) -> None:
    """RFC 8446 §6.1: close_notify, either way."""
    peer, channel = joined
    peer.tls.write(b"QUIT\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.unwrap()
    assert channel.receive(peer.outgoing.read()) == b"QUIT\r\n"
    assert channel.ended
    farewell = channel.close()
    assert farewell
    peer.incoming.write(farewell)
    peer.tls.unwrap()
    assert channel.close() == b""
    assert channel.encrypt(b"too late") == b""


def test_we_may_end_first_and_still_hear_the_rest(joined: tuple[Peer, ServerChannel]) -> None:
    peer, channel = joined
    peer.incoming.write(channel.close())
    assert peer.tls.read(1) == b""  # the end, where more to come would be SSLWantReadError
    peer.tls.write(b"QUIT\r\n")
    assert channel.receive(peer.outgoing.read()) == b"QUIT\r\n"


def test_nothing_is_said_before_the_handshake() -> None:
    channel = ServerChannel(CONTEXTS)
    assert channel.close() == b""
    assert channel.binding(EXPORTER) is None
    assert channel.binding(END_POINT) is None


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"EHLO client.example\r\n" * 10, "wrong version number"),
        (b"GET / HTTP/1.1\r\nHost: mx\r\n\r\n", "http request"),
        (b"\x16\x03\x01\x40\x01" + b"\0" * 500, r"\w+ length|too long|packet"),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", r"unexpected message|\w"),
    ],
)
def test_garbage_is_told_in_words(said: bytes, reason: str) -> None:
    channel = ServerChannel(CONTEXTS)
    with pytest.raises(TlsError, match=reason) as caught:
        channel.receive(said)
    assert str(caught.value) == str(caught.value).lower()
    with pytest.raises(TlsError):
        channel.receive(b"more")
    channel.output()
    assert channel.close() == b""


@given(st.lists(st.binary(max_size=200), max_size=5))
@settings(deadline=None)
def test_nothing_but_tls_errors(pieces: list[bytes]) -> None:
    channel = ServerChannel(CONTEXTS)
    try:
        for piece in pieces:
            assert channel.receive(piece) == b""
    except TlsError as error:
        assert str(error)  # noqa: PT017 - most do not end so
    assert channel.facts is None


@given(st.integers(0, 400), st.integers(0, 255))
@settings(deadline=None, max_examples=60)
def test_a_bent_client_hello(at: int, octet: int) -> None:
    peer, channel = Peer(trusting_any(), "mx.example.org"), ServerChannel(CONTEXTS)
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.do_handshake()
    hello = bytearray(peer.outgoing.read())
    hello[at % len(hello)] = octet
    try:
        assert channel.receive(bytes(hello)) == b""
    except TlsError as error:
        assert str(error)  # noqa: PT017 - a harmless change is none
    channel.output()


def test_a_tampered_record_ends_the_session(joined: tuple[Peer, ServerChannel]) -> None:
    peer, channel = joined
    peer.tls.write(b"MAIL FROM:<a@b.example>\r\n")
    record = bytearray(peer.outgoing.read())
    record[-1] ^= 1
    with pytest.raises(TlsError, match=r"mac|decryption|cipher"):
        channel.receive(bytes(record))
    channel.encrypt(b"250 ok\r\n")  # without an exception


def test_the_clients_reason_is_told(authority: trustme.CA) -> None:
    """Its alert says what it minds, such as an authority that it does not know."""
    peer, channel = Peer(ssl.create_default_context(), "mx.example.org"), ServerChannel(CONTEXTS)
    with pytest.raises(ssl.SSLCertVerificationError):
        peer.shake(channel)
    with pytest.raises(TlsError, match=r"alert.*(unknown ca|bad certificate|certificate)"):
        channel.receive(peer.outgoing.read())


# What is agreed on.


def client_of(method: int = SSL.TLS_CLIENT_METHOD, ciphers: bytes = b"") -> SSL.Connection:
    context = SSL.Context(method)
    if ciphers:
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(ciphers)
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    return connection


def shake(client: SSL.Connection, channel: ServerChannel) -> None:
    for _ in range(5):
        with suppress(SSL.WantReadError):
            client.do_handshake()
        with suppress(SSL.WantReadError):
            channel.receive(client.bio_read(1 << 16))
        answer = channel.output()
        if answer:
            client.bio_write(answer)


@pytest.mark.parametrize(
    "ciphers", [b"AES128-SHA", b"AES256-GCM-SHA384", b"ECDHE-ECDSA-AES256-SHA", b"DHE-RSA-AES128-SHA"]
)
def test_no_ciphers_without_forward_secrecy_and_authentication(ciphers: bytes) -> None:
    """RFC 9325 §4.1, §4.2."""
    with pytest.raises(TlsError, match="no shared cipher"):
        shake(client_of(ciphers=ciphers + b":@SECLEVEL=0"), ServerChannel(CONTEXTS))


@pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
def test_old_versions_are_not_spoken(version: int) -> None:
    """RFC 8996 §4, §5."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    client = SSL.Connection(context, None)
    client.set_connect_state()
    with pytest.raises(TlsError, match=r"unsupported protocol|version"):
        shake(client, ServerChannel(CONTEXTS))


def test_key_exchange_is_hybrid_where_both_can() -> None:
    client = client_of()
    shake(client, ServerChannel(CONTEXTS))
    assert client.get_group_name() in ("X25519MLKEM768", "x25519", "X25519")


def key_kinds() -> Iterator[Certificate]:
    kinds = (
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    )
    for key in kinds:
        yield Certificate(
            None, (leaf_of(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA384()),), key
        )


def leaf_of(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    algorithm: hashes.SHA256 | hashes.SHA384 | None,
) -> x509.Certificate:
    model = OURS.leaf
    builder = (
        x509.CertificateBuilder()
        .subject_name(model.subject)
        .issuer_name(model.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(model.not_valid_before_utc)
        .not_valid_after(model.not_valid_after_utc)
    )
    for extension in model.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, algorithm)


def test_keys_of_each_kind_serve() -> None:
    for certificate in key_kinds():
        client = client_of()
        shake(client, ServerChannel(ServerContexts([certificate], "1.2", None)))
        assert client.get_protocol_version_name() == "TLSv1.3"


def test_a_key_that_is_too_small_is_told() -> None:
    key = rsa.generate_private_key(65537, 1024)
    with pytest.raises(CertificateError, match=r"key too small.*2048"):
        ServerContexts([Certificate(Path("x.pem"), (leaf_of(key, hashes.SHA256()),), key)], "1.2", None)


def test_renegotiation_is_refused() -> None:
    """RFC 9325 §3.5."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client, channel = SSL.Connection(context, None), ServerChannel(CONTEXTS)
    client.set_connect_state()
    shake(client, channel)
    assert channel.facts is not None
    assert client.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    try:
        channel.receive(client.bio_read(1 << 16))
    except TlsError as error:
        assert "renegotiation" in str(error)  # noqa: PT017 - either way is right
    client.bio_write(channel.output())
    with pytest.raises(SSL.Error):
        client.do_handshake()
    assert client.total_renegotiations() <= 1


# Channel bindings.


def test_the_exporter_gives_both_sides_the_same_once_per_session() -> None:
    """RFC 9266 §2."""
    seen = set()
    for _ in range(2):
        client, channel = client_of(), ServerChannel(CONTEXTS)
        shake(client, channel)
        binding = channel.binding(EXPORTER)
        assert binding == client.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
        assert len(binding) == 32
        seen.add(binding)
    assert len(seen) == 2


def test_the_exporter_before_tls_1_3_needs_the_extended_master_secret() -> None:
    """RFC 9266 §4.2, RFC 7627."""
    client, channel = client_of(ciphers=b"ECDHE+AESGCM"), ServerChannel(CONTEXTS)
    shake(client, channel)
    assert channel.facts is not None
    assert channel.facts.version == "TLSv1.2"
    assert channel.binding(EXPORTER) == client.export_keying_material(b"EXPORTER-Channel-Binding", 32)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(1)  # SSL_OP_NO_EXTENDED_MASTER_SECRET
    client, channel = SSL.Connection(context, None), ServerChannel(CONTEXTS)
    client.set_connect_state()
    shake(client, channel)
    assert channel.facts is not None
    assert channel.binding(EXPORTER) is None
    assert channel.binding(END_POINT) is not None


def test_unknown_bindings_are_none(joined: tuple[Peer, ServerChannel]) -> None:
    assert joined[1].binding("tls-unique") is None


def test_the_end_point_is_the_certificate_that_was_chosen(authority: trustme.CA, tmp_path: Path) -> None:
    """RFC 5929 §4, for both sides, resumed sessions too."""
    tls = ServerTls(several(authority, tmp_path, ("a.example.org",), ("b.example.org",)))
    bindings = set()
    for name in ("a.example.org", "b.example.org"):
        context, session = trusting_any(), None
        for _ in range(2):
            peer, channel = Peer(context, name, session), tls.channel()
            peer.shake(channel)
            session = peer.tls.session
            expected = hashlib.sha256(peer.certificate.public_bytes(serialization.Encoding.DER)).digest()
            assert channel.binding(END_POINT) == expected
            bindings.add(channel.binding(END_POINT))
        client, channel = ClientChannel(trusting_any(), name), tls.channel()
        assert client.binding(END_POINT) is None
        client.receive(b"")
        channel.receive(client.output())
        client.receive(channel.output())
        assert client.binding(END_POINT) == expected
        assert client.binding(EXPORTER) is None
    assert len(bindings) == 2


def test_the_hash_is_that_of_the_signature() -> None:
    """RFC 5929 §4.1."""
    by_rsa, by_ec, by_ed = (each.leaf for each in key_kinds())
    for leaf in (by_rsa, by_ec):
        assert end_point_binding(leaf) == hashlib.sha384(leaf.public_bytes(serialization.Encoding.DER)).digest()
    assert end_point_binding(by_ed) is None


def test_old_hashes_are_replaced(tmp_path: Path) -> None:
    """RFC 5929 §4.1: SHA-256 in place of MD5 and SHA-1."""
    leaf = x509.load_pem_x509_certificate(SHA1_SIGNED)
    assert isinstance(leaf.signature_hash_algorithm, hashes.SHA1)
    assert end_point_binding(leaf) == hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).digest()


def test_the_settings_say_which_versions(tls_settings: TlsSettings, tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("mx.example.org")
    write_leaf(issued, tmp_path / "cert.pem", tmp_path / "key.pem")
    strict = ServerTls(tls_settings.model_copy(update={"minimum": "1.3"}))
    with pytest.raises(TlsError, match="unsupported protocol"):
        Peer(trusting_any(ssl.TLSVersion.TLSv1_2)).shake(strict.channel())
    Peer(trusting_any()).shake(strict.channel())


SHA1_SIGNED = b"""-----BEGIN CERTIFICATE-----
MIIBhjCCAS6gAwIBAgIUEdl/OpXtwXK/PVhaGQmYgDo8XrwwCQYHKoZIzj0EATAa
MRgwFgYDVQQDDA9vbGQuZXhhbXBsZS5vcmcwHhcNMjYxMTI0MTgxMzA0WhcNMzYx
MTIxMTgxMzA0WjAaMRgwFgYDVQQDDA9vbGQuZXhhbXBsZS5vcmcwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAARVJsGC309oLHYyV3rPGElabm7t0JNZI9xWY2c7KCdC
l+tygPxKWtz+8DM43VaI0xJVsYsvZ2wHg6INMBgfMYxfo1MwUTAdBgNVHQ4EFgQU
8YCRCLzsFlmiI9Yic91qycaVs90wHwYDVR0jBBgwFoAU8YCRCLzsFlmiI9Yic91q
ycaVs90wDwYDVR0TAQH/BAUwAwEB/zAJBgcqhkjOPQQBA0cAMEQCIBKLL+XxsYGi
lL9kpgogOQk9cvpFbUbUaFv1HY/cTpVrAiAaKE1NRtjPs+fAhb7285PchPNo4Ung
lJWMXeQESmTwnw==
-----END CERTIFICATE-----
"""
