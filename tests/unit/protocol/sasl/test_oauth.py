"""OAUTHBEARER (RFC 7628), XOAUTH2 and EXTERNAL (RFC 4422 Appendix A), both sides."""

import pytest

from postroom.protocol.sasl.exchange import Around, Bearer, Challenge, Disproved, External, Malformed, Password
from postroom.protocol.sasl.external import ExternalClient, ExternalServer
from postroom.protocol.sasl.oauth import BearerServer, XoauthServer, bearer_client, xoauth_client

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
AROUND = Around("nonce")


def token_of(step: object) -> tuple[str, str]:
    assert isinstance(step, Bearer)
    return step.name, step.token


def test_a_token_does_not_show_itself() -> None:
    assert TOKEN not in repr(Bearer(TOKEN, "user", b""))


class TestBearer:
    def test_the_example(self) -> None:
        # RFC 7628 §4.1
        where = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
        message = where + b"auth=Bearer " + TOKEN.encode() + b"\x01\x01"
        step = BearerServer(AROUND).step(message)
        assert token_of(step) == ("user@example.com", TOKEN)
        assert isinstance(step, Bearer)
        assert step.refusal == b'{"status":"invalid_token"}'
        assert bearer_client("user@example.com", Password(TOKEN), "server.example.com", 143).initial() == message

    def test_asks_where_nothing_came(self) -> None:
        assert BearerServer(AROUND).step(None) == Challenge(b"")

    def test_without_a_name(self) -> None:
        assert token_of(BearerServer(AROUND).step(b"y,,\x01auth=bearer  abc\x01\x01")) == ("", "abc")

    def test_a_quoted_name(self) -> None:
        message = bearer_client("a,b=c", Password("abc")).initial()
        assert message == b"n,a=a=2Cb=3Dc,\x01auth=Bearer abc\x01\x01"
        assert token_of(BearerServer(AROUND).step(message)) == ("a,b=c", "abc")

    @pytest.mark.parametrize("host", ["mail.example.org", "MAIL.example.org", ""])
    def test_the_host_that_tls_was_asked_for(self, host: str) -> None:
        server = BearerServer(Around("nonce", host="mail.example.org"))
        message = bearer_client("user", Password("abc"), host, 465).initial()
        assert token_of(server.step(message)) == ("user", "abc")

    def test_pairs_that_are_not_known_are_passed_over(self) -> None:
        # RFC 7628 §3.1, §3.1.1
        message = b"n,a=user,\x01mthd=POST\x01path=/\x01later=a=b\x01auth=Bearer abc\x01qs=\x01\x01"
        assert token_of(BearerServer(AROUND).step(message)) == ("user", "abc")

    def test_another_host(self) -> None:
        # RFC 7628 §3.2
        server = BearerServer(Around("nonce", host="mail.example.org"))
        step = server.step(bearer_client("user", Password("abc"), "mail.example.com", 465).initial())
        assert isinstance(step, Disproved)
        assert step.name == "user"

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"\x01",  # RFC 7628 §3.1: only when authentication has failed
            b"n,,",
            b"n,,\x01\x01",
            b"n,\x01auth=Bearer abc\x01\x01",
            b"p=tls-exporter,,\x01auth=Bearer abc\x01\x01",
            b"n,b=user,\x01auth=Bearer abc\x01\x01",
            b"n,a=us=er,\x01auth=Bearer abc\x01\x01",
            b"n,a=\xff,\x01auth=Bearer abc\x01\x01",
            b"n,,x\x01auth=Bearer abc\x01\x01",
            b"n,,\x01auth=Bearer abc\x01",
            b"n,,\x01auth=Bearer abc\x01\x01\x01",
            b"n,,\x01auth=Bearer abc\x01auth=Bearer def\x01\x01",
            b"n,,\x01auth=Basic abc\x01\x01",
            b"n,,\x01auth=Bearer\x01\x01",
            b"n,,\x01auth=Bearer a b\x01\x01",  # RFC 6750 §2.1
            b"n,,\x01auth=Bearer a\xff\x01\x01",
            b"n,,\x01auth=Bearer " + b"a" * 9000 + b"\x01\x01",
            b"n,,\x01=x\x01auth=Bearer abc\x01\x01",
            b"n,,\x01host\x01auth=Bearer abc\x01\x01",
        ],
    )
    def test_malformed(self, message: bytes) -> None:
        step = BearerServer(AROUND).step(message)
        assert isinstance(step, Malformed)
        assert "abc" not in step.reason

    def test_the_dummy(self) -> None:
        # RFC 7628 §3.2.3
        client = bearer_client("user", Password("abc"))
        assert client.name == "OAUTHBEARER"
        assert client.is_satisfied
        assert isinstance(bearer_client("user", Password("abc")).respond(b"{}"), Malformed)
        assert client.respond(b"") == client.initial()
        assert client.respond(b'{"status":"invalid_token"}') == b"\x01"
        assert isinstance(client.respond(b""), Malformed)


class TestXoauth:
    def test_both_sides(self) -> None:
        client = xoauth_client("someuser@example.com", Password(TOKEN))
        assert client.initial() == b"user=someuser@example.com\x01auth=Bearer " + TOKEN.encode() + b"\x01\x01"
        step = XoauthServer().step(client.initial())
        assert token_of(step) == ("someuser@example.com", TOKEN)
        assert isinstance(step, Bearer)
        assert client.respond(step.refusal) == b""
        assert XoauthServer().step(None) == Challenge(b"")

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"user=a\x01auth=Bearer abc\x01",
            b"user=\x01auth=Bearer abc\x01\x01",
            b"user=\xff\x01auth=Bearer abc\x01\x01",
            b"auth=Bearer abc\x01\x01",
            b"user=a\x01\x01",
            b"user=a\x01auth=abc\x01\x01",
        ],
    )
    def test_malformed(self, message: bytes) -> None:
        assert isinstance(XoauthServer().step(message), Malformed)


class TestExternal:
    def test_both_sides(self) -> None:
        # RFC 4422 Appendix A.1
        assert ExternalServer().step(None) == Challenge(b"")
        assert ExternalServer().step(b"") == External("")
        client = ExternalClient("jürgen@example.org")
        assert (client.name, client.is_satisfied) == ("EXTERNAL", True)
        assert client.respond(b"") == "jürgen@example.org".encode()
        assert ExternalServer().step(client.initial()) == External("jürgen@example.org")
        assert isinstance(client.respond(b""), Malformed)

    @pytest.mark.parametrize("data", [b"\x00", b"a\x00b", b"\xff", b"x" * 2000])
    def test_malformed(self, data: bytes) -> None:
        assert isinstance(ExternalServer().step(data), Malformed)
