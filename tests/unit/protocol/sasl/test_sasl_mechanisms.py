"""PLAIN and LOGIN, both sides (RFC 4616, RFC 4422); which mechanism a client takes, and a server offers."""

import pytest

from postroom.protocol.sasl.exchange import Around, Challenge, Credentials, Malformed, Password, Secrets, no_binding
from postroom.protocol.sasl.login import LoginClient, LoginServer
from postroom.protocol.sasl.mechanisms import SERVER, begin_client, begin_server, fitting
from postroom.protocol.sasl.plain import PlainClient, PlainServer

SECRET = Password("tanstaaftanstaaf")


def test_a_password_does_not_show_itself() -> None:
    credentials = Credentials("tim", SECRET)
    for shown in (repr(SECRET), str(SECRET), f"{credentials}", repr([credentials])):
        assert "tanstaaf" not in shown
    assert Password("a") == Password("a")
    assert Password("a") != Password("b")


class TestPlainServer:
    # The examples of RFC 4616 §4.
    def test_without_authzid(self) -> None:
        assert PlainServer().step(b"\x00tim\x00tanstaaftanstaaf") == Credentials("tim", SECRET)

    def test_with_authzid(self) -> None:
        assert PlainServer().step(b"Ursel\x00Kurt\x00xipj3plmq") == Credentials("Kurt", Password("xipj3plmq"), "Ursel")

    def test_asks_where_nothing_came(self) -> None:
        server = PlainServer()
        assert server.step(None) == Challenge(b"")
        assert server.step(b"\x00tim\x00tanstaaftanstaaf") == Credentials("tim", SECRET)

    def test_utf_8(self) -> None:
        assert PlainServer().step("\0jürgen\0pässwörd €".encode()) == Credentials("jürgen", Password("pässwörd €"))

    def test_takes_255_octets_each(self) -> None:
        long = b"x" * 255
        step = PlainServer().step(b"\x00".join([long, long, long]))
        assert step == Credentials("x" * 255, Password("x" * 255), "x" * 255)

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (b"", "three fields"),
            (b"tim", "three fields"),
            (b"\x00tim", "three fields"),
            (b"\x00tim\x00a\x00b", "three fields"),
            (b"\x00tim\x00a\x00", "three fields"),
            (b"\x00\x00secret", "name is empty"),
            (b"\x00tim\x00", "password is empty"),
            (b"\x00t\xfcm\x00secret", "name is not UTF-8"),
            (b"\x00tim\x00secr\xe9t", "password is not UTF-8"),
            (b"\xff\x00tim\x00secret", "authorization identity is not UTF-8"),
            (b"\x00tim\x00\xed\xa0\x80", "password is not UTF-8"),
            (b"\x00tim\x00" + b"x" * 2000, "longer"),
        ],
    )
    def test_malformed(self, message: bytes, reason: str) -> None:
        step = PlainServer().step(message)
        assert isinstance(step, Malformed)
        assert reason in step.reason
        assert "secr" not in step.reason


class TestLoginServer:
    def test_asks_twice(self) -> None:
        server = LoginServer()
        assert server.step(None) == Challenge(b"Username:")
        assert server.step(b"tim") == Challenge(b"Password:")
        assert server.step(b"tanstaaftanstaaf") == Credentials("tim", SECRET)

    def test_the_name_as_initial_response(self) -> None:
        server = LoginServer()
        assert server.step(b"tim") == Challenge(b"Password:")
        assert server.step(b"tanstaaftanstaaf") == Credentials("tim", SECRET)

    @pytest.mark.parametrize("name", [b"", b"t\x00m", b"\xff", b"x" * 2000])
    def test_malformed_name(self, name: bytes) -> None:
        server = LoginServer()
        server.step(None)
        assert isinstance(server.step(name), Malformed)
        assert isinstance(LoginServer().step(name), Malformed)

    @pytest.mark.parametrize("password", [b"", b"t\x00m", b"\xff", b"x" * 2000, None])
    def test_malformed_password(self, password: bytes | None) -> None:
        server = LoginServer()
        server.step(b"tim")
        assert isinstance(server.step(password), Malformed)

    def test_silence_is_no_name(self) -> None:
        server = LoginServer()
        server.step(None)
        assert isinstance(server.step(None), Malformed)


class TestClients:
    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    @pytest.mark.parametrize("initial", [True, False])
    def test_each_meets_its_server(self, mechanism: str, initial: bool) -> None:
        # RFC 4422 §3
        client = begin_client([mechanism], Secrets("jürgen", SECRET), "nonce")
        server = begin_server(mechanism, Around("nonce"))
        assert client is not None
        assert server is not None
        assert client.name == mechanism
        assert client.is_satisfied
        step = server.step(client.initial() if initial else None)
        while isinstance(step, Challenge):
            response = client.respond(step.data)
            assert isinstance(response, bytes)
            step = server.step(response)
        assert step == Credentials("jürgen", SECRET)

    def test_plain_with_authzid(self) -> None:
        assert PlainServer().step(PlainClient("a", SECRET, "b").initial()) == Credentials("a", SECRET, "b")

    def test_plain_is_asked_once(self) -> None:
        client = PlainClient("tim", SECRET)
        assert isinstance(PlainClient("tim", SECRET).respond(b"who are you?"), Malformed)
        client.initial()
        assert isinstance(client.respond(b""), Malformed)

    def test_plain_has_no_room_for_nul(self) -> None:
        with pytest.raises(ValueError, match="NUL"):
            PlainClient("tim", Password("a\0b"))

    def test_login_is_asked_twice(self) -> None:
        # RFC 4422 §5: where the server speaks first there is no initial response
        client = LoginClient("tim", SECRET)
        assert client.initial() is None
        assert client.respond(b"User Name") == b"tim"
        assert client.respond(b"") == b"tanstaaftanstaaf"
        assert isinstance(client.respond(b"Password:"), Malformed)


def bound(kind: str) -> bytes | None:
    return b"data" if kind == "tls-exporter" else None


class TestChoice:
    ALL = ("LOGIN", "PLAIN", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256")

    @pytest.mark.parametrize(
        ("offered", "binds", "name"),
        [
            (["login", "gssapi", "plain"], True, "PLAIN"),
            (["LOGIN"], True, "LOGIN"),
            (ALL, False, "SCRAM-SHA-256"),
            (ALL, True, "SCRAM-SHA-1-PLUS"),  # bound is better than a newer hash
            ((*ALL, "SCRAM-SHA-256-PLUS"), True, "SCRAM-SHA-256-PLUS"),
            ((*ALL, "SCRAM-SHA-256-PLUS"), False, "SCRAM-SHA-256"),
            (["SCRAM-SHA-1", "PLAIN"], True, "SCRAM-SHA-1"),
            (["GSSAPI"], False, ""),
        ],
    )
    def test_the_best_that_is_offered(self, offered: tuple[str, ...], binds: bool, name: str) -> None:
        chosen = begin_client(offered, Secrets("tim", SECRET), "nonce", bound if binds else no_binding)
        assert (chosen.name if chosen is not None else "") == name

    def test_a_server_without_plus_is_told_that_we_have_it(self) -> None:
        # RFC 5802 §6
        chosen = begin_client(["SCRAM-SHA-256"], Secrets("tim", SECRET), "nonce", bound)
        assert chosen is not None
        assert chosen.initial() == b"y,,n=tim,r=nonce"

    def test_a_password_that_scram_has_no_form_for(self) -> None:
        chosen = begin_client(self.ALL, Secrets("tim", Password("\u200e")), "nonce")
        assert chosen is not None
        assert chosen.name == "PLAIN"

    def test_tokens(self) -> None:
        secrets = Secrets("tim", token=Password("abc"))
        for offered, name in ((self.ALL, "OAUTHBEARER"), (["XOAUTH2"], "XOAUTH2"), (["PLAIN"], "")):
            chosen = begin_client(offered, secrets, "nonce")
            assert (chosen.name if chosen is not None else "") == name

    def test_a_certificate(self) -> None:
        secrets = Secrets("tim", SECRET, certificate=True, authzid="tim@example.org")
        everything = b"tim@example.org\0tim\0tanstaaftanstaaf"
        for offered, initial in ((self.ALL, b"tim@example.org"), (["PLAIN"], everything)):
            chosen = begin_client(offered, secrets, "nonce")
            assert chosen is not None
            assert chosen.initial() == initial
        assert begin_client(["LOGIN"], secrets, "nonce") is None  # it cannot act as another

    def test_secrets_do_not_show_themselves(self) -> None:
        assert "tanstaaf" not in repr(Secrets("tim", SECRET))


def test_what_there_is() -> None:
    # RFC 5802 §4
    assert tuple(SERVER) == (
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-1",
        "OAUTHBEARER",
        "XOAUTH2",
        "EXTERNAL",
        "PLAIN",
        "LOGIN",
    )
    assert all(begin_server(name, Around("nonce")) is not None for name in SERVER)
    assert begin_server("CRAM-MD5", Around("nonce")) is None


def test_what_fits() -> None:
    assert fitting([*SERVER, "GSSAPI"], binds=True, certified=True) == tuple(SERVER)
    assert fitting(["EXTERNAL", "SCRAM-SHA-1-PLUS", "PLAIN"], binds=False, certified=False) == ("PLAIN",)
    assert not no_binding("tls-exporter")
