"""SCRAM, both sides, against the examples of RFC 5802 §5 and RFC 7677 §3, against each other, and against scramp."""

import pytest
from scramp import ScramClient as OracleClient  # type: ignore[import-untyped]  # it has no types
from scramp import ScramException, ScramMechanism

from postroom.protocol.sasl import scram_words as words
from postroom.protocol.sasl.exchange import (
    Around,
    Binding,
    Challenge,
    Disproved,
    KeysWanted,
    Malformed,
    Password,
    Proved,
    ScramKeys,
    Step,
    no_binding,
)
from postroom.protocol.sasl.scram_client import MAX_ITERATIONS, ScramClient
from postroom.protocol.sasl.scram_server import ScramServer

SALT = b"\x01\x02\x03salt of twelve and more"
DATA = b"\x00\xffwhat both ends of the TLS session know"
ANNOUNCED = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")


def bound(kind: str) -> bytes | None:
    """A TLS 1.3 session."""
    return DATA if kind in {"tls-exporter", "tls-server-end-point"} else None


def end_point(kind: str) -> bytes | None:
    """A TLS 1.2 session."""
    return DATA if kind == "tls-server-end-point" else None


def keys(algorithm: str, *passwords: str, salt: bytes = SALT, iterations: int = 4096) -> ScramKeys:
    """Passwords under one salt; each is the credential of its own text."""
    salted = [words.salted(algorithm, password.encode(), salt, iterations) for password in passwords]
    secrets = [
        words.secret_of(algorithm, each, "" if number == 0 else password)
        for number, (each, password) in enumerate(zip(salted, passwords, strict=True))
    ]
    return ScramKeys(salt, iterations, tuple(secrets))


def server(
    algorithm: str = "SHA-256",
    *,
    plus: bool = False,
    announced: tuple[str, ...] = ANNOUNCED,
    binding: Binding = bound,
    nonce: str = "srv",
) -> ScramServer:
    return ScramServer(algorithm, plus=plus, around=Around(nonce, announced, binding))


def challenged(step: Step, secrets: ScramKeys) -> bytes:
    """The server-first-message."""
    assert isinstance(step, KeysWanted)
    return step.with_keys(secrets).data


class TestExamples:
    """The exchanges that the RFCs print."""

    FIVE = (  # RFC 5802 §5
        "SHA-1",
        "fyko+d2lbbFgONRv9qkxdawL",
        "3rfcNHYJY1ZVvWVs7j",
        "QSXCR+Q6sek8bf92",
        b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    )
    SEVEN = (  # RFC 7677 §3
        "SHA-256",
        "rOprNGfwEbeRWgbNEkqO",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    )

    @pytest.mark.parametrize("example", [FIVE, SEVEN], ids=["RFC 5802", "RFC 7677"])
    def test_both_sides(self, example: tuple[str, str, str, str, bytes, bytes, bytes, bytes]) -> None:
        algorithm, client_nonce, server_nonce, salt, first, challenge, final, outcome = example
        client = ScramClient(algorithm, "user", Password("pencil"), client_nonce)
        ours = server(algorithm, nonce=server_nonce)
        assert client.initial() == first
        step = ours.step(first)
        assert isinstance(step, KeysWanted)
        assert (step.name, step.authzid, step.algorithm) == ("user", "", algorithm)
        secrets = keys(algorithm, "pencil", salt=words.read_base64(salt.encode()))
        assert step.with_keys(secrets) == Challenge(challenge)
        assert client.respond(challenge) == final
        assert ours.step(final) == Proved("user", "", "", outcome, b"e=invalid-proof")
        assert not client.is_satisfied
        assert client.respond(outcome) == b""
        assert client.is_satisfied


class TestOracle:
    """scramp on the other side; it has one channel binding, and no tls-exporter."""

    @pytest.mark.parametrize("plus", [False, True])
    @pytest.mark.parametrize("algorithm", ["SHA-1", "SHA-256"])
    @pytest.mark.parametrize(("name", "password"), [("user", "pencil"), ("a,b=c", "p=,\u00bd"), ("J\u00fcrgen", "IX")])
    def test_as_client(self, algorithm: str, plus: bool, name: str, password: str) -> None:
        mechanism = words.mechanism_name(algorithm, plus=plus)
        oracle = OracleClient([mechanism], name, password, ("tls-server-end-point", DATA) if plus else None)
        ours = server(algorithm, plus=plus, announced=ANNOUNCED)
        step = ours.step(oracle.get_client_first().encode())
        assert isinstance(step, KeysWanted)
        assert step.name == name
        prepared = "p=,1\u20442" if "\u00bd" in password else password
        oracle.set_server_first(step.with_keys(keys(algorithm, "another", prepared)).data.decode())
        proved = ours.step(oracle.get_client_final().encode())
        assert isinstance(proved, Proved)
        assert proved.credential == prepared
        oracle.set_server_final(proved.data.decode())

    @pytest.mark.parametrize("plus", [False, True])
    @pytest.mark.parametrize("algorithm", ["SHA-1", "SHA-256"])
    @pytest.mark.parametrize("password", ["pencil", "\u2168 \u00bd\u00ad"])
    def test_as_server(self, algorithm: str, plus: bool, password: str) -> None:
        mechanism = ScramMechanism(words.mechanism_name(algorithm, plus=plus))
        info = mechanism.make_auth_info("pencil" if password == "pencil" else "IX 1\u20442")
        oracle = mechanism.make_server(lambda _: info, ("tls-server-end-point", DATA) if plus else None)
        client = ScramClient(algorithm, "us=er,", Password(password), "abc", plus=plus, binding=end_point)
        oracle.set_client_first(client.initial().decode())
        final = client.respond(oracle.get_server_first().encode())
        assert isinstance(final, bytes)
        oracle.set_client_final(final.decode())
        assert client.respond(oracle.get_server_final().encode()) == b""
        assert client.is_satisfied

    def test_it_refuses_a_wrong_password_of_ours(self) -> None:
        mechanism = ScramMechanism("SCRAM-SHA-256")
        info = mechanism.make_auth_info("pencil")
        oracle = mechanism.make_server(lambda _: info)
        client = ScramClient("SHA-256", "user", Password("pen"), "abc")
        oracle.set_client_first(client.initial().decode())
        final = client.respond(oracle.get_server_first().encode())
        assert isinstance(final, bytes)
        with pytest.raises(ScramException):
            oracle.set_client_final(final.decode())
        refusal = client.respond(oracle.get_server_final().encode())
        assert isinstance(refusal, Malformed)
        assert "invalid-proof" in refusal.reason
        assert not client.is_satisfied


def exchange(client: ScramClient, ours: ScramServer, secrets: ScramKeys) -> Step:
    """Both sides, up to what the server makes of the proof."""
    step = ours.step(client.initial())
    if not isinstance(step, KeysWanted):
        return step
    final = client.respond(step.with_keys(secrets).data)
    assert isinstance(final, bytes)
    return ours.step(final)


class TestBinding:
    """RFC 5802 §6, RFC 9266, RFC 5929 §4."""

    @pytest.mark.parametrize("binding", [bound, end_point])
    @pytest.mark.parametrize("algorithm", ["SHA-1", "SHA-256"])
    def test_both_sides(self, algorithm: str, binding: Binding) -> None:
        client = ScramClient(algorithm, "user", Password("x"), "abc", plus=True, binding=binding, authzid="us,er")
        assert client.name == f"SCRAM-{algorithm}-PLUS"
        step = exchange(client, server(algorithm, plus=True, binding=binding), keys(algorithm, "x"))
        assert isinstance(step, Proved)
        assert step.authzid == "us,er"
        assert client.respond(step.data) == b""

    def test_the_best_type_is_taken(self) -> None:
        message = ScramClient("SHA-1", "user", Password("x"), "abc", plus=True, binding=bound).initial()
        assert message.startswith(b"p=tls-exporter,")

    def test_another_session_in_between(self) -> None:
        client = ScramClient("SHA-256", "user", Password("x"), "abc", plus=True, binding=lambda _: b"another")
        step = exchange(client, server(plus=True), keys("SHA-256", "x"))
        assert step == Disproved("user", "it is bound to another TLS session", b"e=channel-bindings-dont-match")

    def test_somebody_hid_the_plus(self) -> None:
        client = ScramClient("SHA-256", "user", Password("x"), "abc", supports=True)
        assert client.initial().startswith(b"y,,")
        step = server().step(client.initial())
        assert isinstance(step, Disproved)
        assert step.data == b"e=server-does-support-channel-binding"
        assert "downgrade" in step.reason

    def test_no_plus_was_announced(self) -> None:
        client = ScramClient("SHA-256", "user", Password("x"), "abc", supports=True)
        ours = server(announced=("SCRAM-SHA-256", "PLAIN"), binding=no_binding)
        assert isinstance(exchange(client, ours, keys("SHA-256", "x")), Proved)

    def test_the_flag_cannot_be_changed_on_the_way(self) -> None:
        client = ScramClient("SHA-256", "user", Password("x"), "abc", supports=True)
        ours = server()
        challenge = challenged(ours.step(client.initial().replace(b"y,,", b"n,,")), keys("SHA-256", "x"))
        final = client.respond(challenge)
        assert isinstance(final, bytes)
        step = ours.step(final)
        assert isinstance(step, Disproved)
        assert step.data == b"e=channel-bindings-dont-match"

    @pytest.mark.parametrize(
        ("plus", "message", "error"),
        [
            (True, b"n,,n=user,r=abc", b"e=channel-binding-not-supported"),
            (False, b"p=tls-exporter,,n=user,r=abc", b"e=channel-binding-not-supported"),
            (True, b"p=tls-unique,,n=user,r=abc", b"e=unsupported-channel-binding-type"),
            (True, b"p=,,n=user,r=abc", b"e=unsupported-channel-binding-type"),
            (True, b"p=\xff,,n=user,r=abc", b"e=unsupported-channel-binding-type"),
        ],
    )
    def test_flags_that_do_not_fit(self, plus: bool, message: bytes, error: bytes) -> None:
        step = server(plus=plus).step(message)
        assert isinstance(step, Disproved)
        assert step.data == error

    def test_a_type_that_the_session_has_not(self) -> None:
        step = server(plus=True, binding=end_point).step(b"p=tls-exporter,,n=user,r=abc")
        assert isinstance(step, Disproved)
        assert step.data == b"e=unsupported-channel-binding-type"

    def test_nothing_to_bind_to(self) -> None:
        with pytest.raises(ValueError, match="nothing to bind to"):
            ScramClient("SHA-256", "user", Password("x"), "abc", plus=True)


class TestServer:
    def test_asks_where_nothing_came(self) -> None:
        ours = server()
        assert ours.step(None) == Challenge(b"")
        assert isinstance(ours.step(b"n,,n=user,r=abc"), KeysWanted)

    def test_the_keys_come_first(self) -> None:
        ours = server()
        ours.step(b"n,,n=user,r=abc")
        assert isinstance(ours.step(b"c=biws,r=abcsrv,p=AAAA"), Malformed)

    @pytest.mark.parametrize("password", ["one", "two", "three"])
    def test_any_password_under_the_salt(self, password: str) -> None:
        client = ScramClient("SHA-256", "user", Password(password), "abc")
        step = exchange(client, server(), keys("SHA-256", "one", "two", "three"))
        assert isinstance(step, Proved)
        assert step.credential == ("" if password == "one" else password)
        assert client.respond(step.data) == b""

    @pytest.mark.parametrize("secrets", [keys("SHA-256", "one", "two"), ScramKeys(SALT, 4096, ())])
    def test_wrong_password(self, secrets: ScramKeys) -> None:
        step = exchange(ScramClient("SHA-256", "user", Password("three"), "abc"), server(), secrets)
        assert step == Disproved("user", "wrong password", b"e=invalid-proof")

    def test_quoted_names(self) -> None:
        step = server().step(b"n,a=x=3D=2C,n=a=2Cb=3D3D,r=abc")
        assert isinstance(step, KeysWanted)
        assert (step.name, step.authzid) == ("a,b=3D", "x=,")

    def test_names_are_prepared(self) -> None:
        step = server().step("n,,n=Ⅸ\u00ad,r=abc".encode())
        assert isinstance(step, KeysWanted)
        assert step.name == "IX"

    def test_optional_extensions_are_passed_over(self) -> None:
        # RFC 5802 §5.1
        client = ScramClient("SHA-256", "user", Password("x"), "abc")
        client.initial()
        ours = server()
        challenge = challenged(ours.step(b"n,,n=user,r=abc,z=later"), keys("SHA-256", "x"))
        assert challenge.startswith(b"r=abcsrv,")
        final = client.respond(challenge)
        assert isinstance(final, bytes)
        step = ours.step(final.replace(b",p=", b",y=1,p="))
        assert isinstance(step, Disproved)  # they are part of what is signed

    def test_mandatory_extensions_are_refused(self) -> None:
        # RFC 5802 §5.1
        step = server().step(b"n,,m=later,n=user,r=abc")
        assert isinstance(step, Disproved)
        assert step.data == b"e=extensions-not-supported"

    def test_mandatory_extensions_have_no_place_among_the_optional_ones(self) -> None:
        # RFC 5802 §5.1: wherever m= stands, the authentication fails
        assert isinstance(server().step(b"n,,n=user,r=abc,m=later"), Malformed)
        ours = server()
        challenged(ours.step(b"n,,n=user,r=abc"), keys("SHA-256", "x"))
        assert isinstance(ours.step(b"c=biws,r=abcsrv,m=later,p=AAAA"), Malformed)

    @pytest.mark.parametrize(
        "name", [b"a=b", b"a=", b"=2X", b"\xff", b"", b"a\x00b", b"a\x07b", b"\xc2\xad", "a\u05d0b".encode()]
    )
    def test_names_that_are_none(self, name: bytes) -> None:
        step = server().step(b"n,,n=%s,r=abc" % name)
        assert isinstance(step, Disproved)
        assert step.data == b"e=invalid-username-encoding"

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"n",
            b"n,",
            b"n,,",
            b"n,,n=user",
            b"n,,r=abc,n=user",
            b"n,,n=user,r=",
            b"n,,n=user,r=a b",
            b"n,,n=user,r=\xff",
            b"n,,n=user,r=" + b"x" * 2000,
            b"n,,n=user,r=abc,z",
            b"n,,n=user,r=abc,1=x",
            b"n,b=x,n=user,r=abc",
            b"x,,n=user,r=abc",
            b"F,n,,n=user,r=abc",
            b"n,,n=" + b"x" * 2000 + b",r=abc",
        ],
    )
    def test_malformed_first(self, message: bytes) -> None:
        step = server().step(message)
        assert isinstance(step, Malformed)
        assert "user" not in step.reason

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"c=biws",
            b"c=biws,r=abcsrv",
            b"r=abcsrv,c=biws,p=AAAA",
            b"c=biws,r=abcsrv,p=!",
            b"c=biws,r=abcsrv,p=",
            b"c=,r=abcsrv,p=AAAA",
            b"c=biws,r=abcsrv,p=AAAA,z=1",
        ],
    )
    def test_malformed_final(self, message: bytes) -> None:
        ours = server()
        challenged(ours.step(b"n,,n=user,r=abc"), keys("SHA-256", "x"))
        assert isinstance(ours.step(message), Malformed)

    @pytest.mark.parametrize(
        ("message", "error"),
        [
            (b"c=biws,r=abcsrw,p=AAAA", b"e=other-error"),
            (b"c=eSws,r=abcsrv,p=AAAA", b"e=channel-bindings-dont-match"),
            (b"c=biws,r=abcsrv,p=AAAA", b"e=invalid-proof"),
        ],
    )
    def test_wrong_final(self, message: bytes, error: bytes) -> None:
        ours = server()
        challenged(ours.step(b"n,,n=user,r=abc"), keys("SHA-256", "x"))
        step = ours.step(message)
        assert isinstance(step, Disproved)
        assert step.data == error

    def test_silence_is_no_proof(self) -> None:
        ours = server()
        challenged(ours.step(b"n,,n=user,r=abc"), keys("SHA-256", "x"))
        assert isinstance(ours.step(None), Malformed)


class TestClient:
    def test_asked_before_it_spoke(self) -> None:
        client = ScramClient("SHA-256", "user", Password("x"), "abc")
        assert client.respond(b"") == b"n,,n=user,r=abc"
        assert isinstance(ScramClient("SHA-256", "user", Password("x"), "abc").respond(b"r=abc"), Malformed)

    @pytest.mark.parametrize(
        "challenge",
        [
            b"",
            b"r=abc,s=AAAA,i=4096",  # the server added nothing
            b"r=xyzsrv,s=AAAA,i=4096",
            b"r=abc srv,s=AAAA,i=4096",
            b"r=abcsrv,s=!,i=4096",
            b"r=abcsrv,s=" + b"A" * 4000 + b",i=4096",
            b"r=abcsrv,s=AAAA,i=4095",  # RFC 7677 §4
            b"r=abcsrv,s=AAAA,i=%d" % (MAX_ITERATIONS + 1),
            b"r=abcsrv,s=AAAA,i=" + b"9" * 5000,
            b"r=abcsrv,s=AAAA,i=x",
            b"m=later,r=abcsrv,s=AAAA,i=4096",  # RFC 5802 §5.1
            b"r=abcsrv,s=AAAA,i=4096,m=later",
            b"e=unknown-user",
        ],
    )
    def test_challenges_that_are_none(self, challenge: bytes) -> None:
        client = ScramClient("SHA-256", "user", Password("x"), "abc")
        client.initial()
        assert isinstance(client.respond(challenge), Malformed)

    @pytest.mark.parametrize("final", [b"", b"v=", b"v=AAAA", b"v=!", b"e=invalid-proof", b"e=\x07\xff"])
    def test_a_server_that_does_not_know_the_password(self, final: bytes) -> None:
        client = ScramClient("SHA-256", "user", Password("x"), "abc")
        client.initial()
        assert isinstance(client.respond(b"r=abcsrv,s=AAAA,i=4096"), bytes)
        refusal = client.respond(final)
        assert isinstance(refusal, Malformed)
        assert refusal.reason.isascii()
        assert refusal.reason.isprintable()
        assert not client.is_satisfied

    def test_it_is_over_in_the_end(self) -> None:
        client = ScramClient("SHA-256", "user", Password("x"), "abc")
        step = exchange(client, server(), keys("SHA-256", "x"))
        assert isinstance(step, Proved)
        assert client.respond(step.data) == b""
        assert isinstance(client.respond(step.data), Malformed)

    def test_a_name_that_cannot_be_prepared(self) -> None:
        for name, password in (("a\x07b", "x"), ("user", "\x07"), ("\u00ad", "x")):
            with pytest.raises(ValueError, match="text"):
                ScramClient("SHA-256", name, Password(password), "abc")
