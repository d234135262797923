"""The POP3 engine under any input: any split gives the same events, no input raises, nothing in it grows."""

from base64 import b64encode

from hypothesis import example, given, settings
from hypothesis import strategies as st

from postroom.protocol.pop3 import answers
from postroom.protocol.pop3.answers import ok
from postroom.protocol.pop3.capabilities import Pop3Options
from postroom.protocol.pop3.content import Stuffer, TopCutter
from postroom.protocol.pop3.events import (
    Answered,
    Auth,
    AuthResponse,
    Closed,
    Connected,
    Event,
    Login,
    Outgoing,
    Retrieve,
    Signal,
    StartTls,
    Update,
)
from postroom.protocol.pop3.server import Pop3Server
from postroom.protocol.pop3.surrogate import Surrogate
from postroom.protocol.sasl.exchange import (
    Around,
    Challenge,
    Credentials,
    KeysWanted,
    Malformed,
    Password,
    ScramKeys,
    ServerMechanism,
)
from postroom.protocol.sasl.mechanisms import SERVER, begin_server
from postroom.protocol.sasl.scram_client import ScramClient

_FRAGMENTS = [
    b"USER anna\r\n",
    b"PASS secret\r\n",
    b"PASS wrong\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"AUTH LOGIN\r\n",
    b"AGEAYg==\r\n",
    b"YQ==\r\n",
    b"*\r\n",
    b"AUTH SCRAM-SHA-256 " + b64encode(b"n,,n=anna,r=abc") + b"\r\n",
    b64encode(b"c=biws,r=abcnonce,p=AAAA") + b"\r\n",
    b"AUTH OAUTHBEARER " + b64encode(b"n,,\x01auth=Bearer abc\x01\x01") + b"\r\n",
    b"AUTH EXTERNAL =\r\n",
    b"AUTH\r\n",
    b"UTF8\r\n",
    b"LANG de\r\n",
    b"LANG\r\n",
    b"STLS\r\n",
    b"CAPA\r\n",
    b"STAT\r\n",
    b"LIST\r\n",
    b"LIST 2\r\n",
    b"UIDL\r\n",
    b"UIDL 1\r\n",
    b"RETR 1\r\n",
    b"TOP 2 1\r\n",
    b"DELE 1\r\n",
    b"DELE 3\r\n",
    b"NOOP\r\n",
    b"RSET\r\n",
    b"QUIT\r\n",
    b"XYZZY\n",
    b"\r",
    b"\n",
    b" ",
    b"\x00",
    b"\xff",
    b"x" * 600,
    b"AUTH " + b"y" * 13000,
]
_LOGIN = b"USER anna\r\nPASS secret\r\n"
_MESSAGE = b"From: a\r\n\r\n.one\r\ntwo\r\n"

_streams = st.tuples(
    st.sampled_from([b"", _LOGIN]), st.lists(st.sampled_from(_FRAGMENTS) | st.binary(max_size=8), max_size=40)
).map(lambda parts: parts[0] + b"".join(parts[1]))
_cuts = st.lists(st.integers(1, 60), min_size=1, max_size=30)


class Shell:
    """Answers every question at once; keeps the events and what would be sent."""

    def __init__(self, *, tls: bool) -> None:
        self.engine = Pop3Server(Pop3Options(max_errors=8, auth_mechanisms=tuple(SERVER)), tls=tls)
        self.events: list[Event] = []
        self.sent = b""
        self.exchange: ServerMechanism | None = None

    def feed(self, data: bytes) -> None:
        self.engine.receive_data(data)
        while not isinstance(event := self.engine.next_event(), Signal):
            self.events.append(event)
            self.sent += self.answer(event)

    def answer(self, event: Event) -> bytes:
        engine = self.engine
        match event:
            case Answered(_, data) | Outgoing(data):
                return data
            case Connected():
                return engine.answer(ok())
            case StartTls():
                return engine.answer(answers.TRY_LATER)
            case Login(_, password):
                if password.text == "wrong":
                    return engine.answer(answers.LOGIN_REFUSED)
                return engine.open_maildrop((11, 12, 13), (100, 200, 300))
            case Auth(mechanism, data):
                self.exchange = begin_server(mechanism, Around("nonce"))
                return self.go_on(data)
            case AuthResponse(data):
                return self.go_on(data)
            case Retrieve():
                first = engine.answer(ok())
                return first + engine.content(_MESSAGE) + engine.end_content()
            case Update():
                return engine.answer(answers.BYE)
            case Closed():
                return b""

    def go_on(self, data: bytes | None) -> bytes:
        """One step of an exchange."""
        assert self.exchange is not None
        match self.exchange.step(data):
            case Challenge(challenge):
                return self.engine.challenge(challenge)
            case KeysWanted() as wanted:
                return self.engine.challenge(wanted.with_keys(ScramKeys(b"salt", 4096, ())).data)
            case Malformed():
                return self.engine.answer(answers.AUTH_MALFORMED)
            case Credentials():
                return self.engine.open_maildrop((11, 12, 13), (100, 200, 300))
            case _:
                return self.engine.answer(answers.LOGIN_REFUSED)


def pieces_of(stream: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at, turn = [], 0, 0
    while at < len(stream):
        pieces.append(stream[at : at + sizes[turn % len(sizes)]])
        at += len(pieces[-1])
        turn += 1
    return pieces


def played(pieces: list[bytes], *, tls: bool) -> Shell:
    shell = Shell(tls=tls)
    for piece in [*pieces, b""]:
        shell.feed(piece)
    return shell


@settings(max_examples=300, deadline=None)
@given(_streams, _cuts, st.booleans())
def test_any_split_gives_the_same_events(stream: bytes, sizes: list[int], tls: bool) -> None:
    whole = played([stream] if stream else [], tls=tls)
    parts = played(pieces_of(stream, sizes), tls=tls)
    assert parts.events == whole.events
    assert parts.sent == whole.sent


@settings(max_examples=200, deadline=None)
@given(_streams, st.booleans())
def test_every_session_ends_and_answers_in_whole_lines(stream: bytes, tls: bool) -> None:
    shell = played([stream] if stream else [], tls=tls)
    assert shell.engine.is_over
    assert shell.sent.endswith(b"\r\n")
    lines = [line for line in shell.sent.split(b"\r\n") if line.startswith((b"+", b"-"))]
    assert all(len(line) <= 510 for line in lines)
    assert sum(isinstance(event, Update) for event in shell.events) <= 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_noise(noise: bytes) -> None:
    played([_LOGIN, noise] if noise else [], tls=True)


_texts = st.lists(st.sampled_from([b".", b"\r\n", b"\n", b"\r", b"a", b"..", b"\r\n.\r\n"]), max_size=30).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(_texts, st.none() | st.integers(0, 5), _cuts)
def test_any_split_of_a_message_looks_the_same(text: bytes, lines: int | None, sizes: list[int]) -> None:
    def sent(pieces: list[bytes]) -> bytes:
        stuffer, cutter = Stuffer(), None if lines is None else TopCutter(lines)
        return (
            b"".join([stuffer.add(piece if cutter is None else cutter.cut(piece)) for piece in pieces]) + stuffer.end()
        )

    assert sent(pieces_of(text, sizes)) == sent([text])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=6).filter(lambda line: b"\n" not in line and b"\r" not in line), max_size=20))
def test_a_message_arrives_as_it_was(lines: list[bytes]) -> None:
    message = b"".join([line + b"\r\n" for line in lines])
    stuffer = Stuffer()
    wire = stuffer.add(message) + stuffer.end()
    received = []
    while True:  # as a client reads it, RFC 1939 §3
        line, _, wire = wire.partition(b"\r\n")
        if line == b".":
            break
        received.append(line.removeprefix(b".") if line.startswith(b".") else line)
    assert wire == b""
    assert b"".join([line + b"\r\n" for line in received]) == message


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(tuple(SERVER)), st.lists(st.none() | st.binary(max_size=60), min_size=1, max_size=4))
def test_no_exchange_raises(mechanism: str, said: list[bytes | None]) -> None:
    exchange = begin_server(mechanism, Around("nonce"))
    assert exchange is not None
    for data in said:
        step = exchange.step(data)
        if isinstance(step, KeysWanted):
            step.with_keys(ScramKeys(b"salt", 4096, ()))


_attributes = st.lists(st.sampled_from([b"r=abcdef", b"s=AAAA", b"i=4096", b"v=AAAA", b"e=x", b"m=x", b""]), max_size=5)


@settings(max_examples=200, deadline=None)
@given(st.lists(_attributes.map(b",".join) | st.binary(max_size=20), max_size=3))
def test_no_server_confuses_a_client(challenges: list[bytes]) -> None:
    client = ScramClient("SHA-1", "anna", Password("secret"), "abc")
    client.initial()
    for challenge in challenges:
        assert isinstance(client.respond(challenge), bytes | Malformed)
    assert not client.is_satisfied


_fields = st.lists(
    st.sampled_from(
        [
            "Subject: ü\r\n",
            "To: a@b.example,\r\n",
            " ü <ü@b.example>\r\n",
            "Content-Type: multipart/mixed; boundary=b\r\n",
            "Content-Type: message/rfc822\r\n",
            "X: ü\r\n",
            "\r\n",
            "\n",
            "--b\r\n",
            "--b--\r\n",
            "--",
            "-",
            "ü",
            "\r",
        ]
    ).map(str.encode),
    max_size=30,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@example("--Subject: ü\r\n\r\nSubject: ü\r\n".encode(), [1])
@given(_fields | st.binary(max_size=60), _cuts)
def test_any_split_has_the_same_surrogate(text: bytes, sizes: list[int]) -> None:
    def made(pieces: list[bytes]) -> bytes:
        surrogate = Surrogate()
        return b"".join([surrogate.add(piece) for piece in pieces]) + surrogate.end()

    whole = made([text])
    assert made(pieces_of(text, sizes)) == whole
    header = (b"\n" + whole).split(b"\n\r\n")[0]  # it may be empty: a field that cannot be shown is left out
    assert header.isascii() or b"\n\n" in text or text.startswith((b"\r\n", b"\n"))


@given(st.binary(max_size=200).filter(bytes.isascii), _cuts)
def test_the_surrogate_of_a_message_in_ascii_is_itself(text: bytes, sizes: list[int]) -> None:
    surrogate = Surrogate()
    assert b"".join([surrogate.add(piece) for piece in pieces_of(text, sizes)]) + surrogate.end() == text
