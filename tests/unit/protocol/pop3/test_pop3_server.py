"""The POP3 engine, command by command (RFC 1939, RFC 2449, RFC 2595, RFC 3206, RFC 5034)."""

from base64 import b64encode
from collections.abc import Sequence

import pytest

from postroom.protocol.errors import LocalProtocolError
from postroom.protocol.pop3 import answers
from postroom.protocol.pop3.answers import Answer, error, ok
from postroom.protocol.pop3.capabilities import Pop3Options
from postroom.protocol.pop3.commands import read_line
from postroom.protocol.pop3.events import (
    NEED_DATA,
    PAUSED,
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
from postroom.protocol.pop3.languages import translated
from postroom.protocol.pop3.server import Pop3Server
from postroom.protocol.pop3.states import ORDER
from postroom.protocol.sasl.exchange import Password

IDS = (11, 12, 17)
SIZES = (120, 200, 300)
PLAIN = b64encode(b"\x00anna@example.org\x00secret").decode()


class Talk:
    """A session: what the client says, what it hears, what is asked of the shell."""

    def __init__(self, *, tls: bool = True, **options: object) -> None:
        self.engine = Pop3Server(Pop3Options(**options), tls=tls)  # type: ignore[arg-type]  # options by name
        self.questions: list[Event] = []
        self.notices: list[Answered] = []
        self.heard(b"")
        assert self.questions == [Connected()]
        assert self.engine.answer(ok("ready")) == b"+OK ready\r\n"
        self.questions.clear()

    def heard(self, data: bytes) -> str:
        """What the server answers by itself to ``data``, until it needs more or asks."""
        if data:
            self.engine.receive_data(data)
        sent = b""
        while not isinstance(event := self.engine.next_event(), Signal):
            match event:
                case Answered():
                    self.notices.append(event)
                    sent += event.data
                case Outgoing(piece):
                    sent += piece
                case _:
                    self.questions.append(event)
                    if isinstance(event, Closed):
                        break
        return sent.decode()

    def say(self, *lines: str) -> str:
        return self.heard("".join(f"{line}\r\n" for line in lines).encode())

    def asked(self) -> Event:
        """The one question that came since the last."""
        (question,) = self.questions
        self.questions = []
        return question

    def over(self) -> bool:
        return self.engine.is_over

    def wants_content(self) -> bool:
        return self.engine.wants_content

    def log_in(self, ids: Sequence[int] = IDS, sizes: Sequence[int] = SIZES) -> None:
        self.say("USER anna@example.org", "PASS secret")
        assert isinstance(self.asked(), Login)
        self.engine.open_maildrop(ids, sizes)


def logged_in(**options: object) -> Talk:
    talk = Talk(tls=True, **options)
    talk.log_in()
    return talk


class TestGreeting:
    def test_is_the_first_question(self) -> None:
        engine = Pop3Server(Pop3Options())
        engine.receive_data(b"QUIT\r\n")
        assert engine.next_event() == Connected()
        assert engine.next_event() is PAUSED
        assert engine.answer(ok("hello")) == b"+OK hello\r\n"
        assert isinstance(engine.next_event(), Answered)
        assert engine.is_over

    def test_may_be_a_refusal(self) -> None:
        engine = Pop3Server(Pop3Options())
        engine.next_event()
        assert engine.answer(answers.TRY_LATER).startswith(b"-ERR [SYS/TEMP] ")
        assert engine.is_over
        engine.receive_data(b"QUIT\r\n")
        assert engine.next_event() is PAUSED


class TestCapabilities:
    def test_in_the_clear(self) -> None:
        assert Talk(tls=False).say("CAPA").split("\r\n") == [
            "+OK what there is",
            "TOP",
            "UIDL",
            "PIPELINING",
            "RESP-CODES",
            "AUTH-RESP-CODE",
            "EXPIRE NEVER",
            "UTF8 USER",
            "LANG",
            "STLS",
            "IMPLEMENTATION Postroom",
            ".",
            "",
        ]

    def test_over_tls(self) -> None:
        lines = Talk().say("capa").split("\r\n")
        assert "STLS" not in lines
        assert "USER" in lines
        assert "SASL PLAIN LOGIN" in lines

    def test_after_login_those_of_before_it_stay(self) -> None:
        # RFC 2449 §5, RFC 5034 §3
        lines = logged_in(auth_without_tls=True).say("CAPA").split("\r\n")
        assert {"USER", "SASL PLAIN LOGIN", "TOP", "UIDL"} <= set(lines)
        assert "STLS" not in lines

    def test_without_mechanisms_or_certificate(self) -> None:
        assert "SASL" not in Talk(auth_mechanisms=()).say("CAPA")
        assert "STLS" not in Talk(tls=False, stls=False).say("CAPA")

    def test_has_no_arguments(self) -> None:
        assert Talk().say("CAPA x").startswith("-ERR")


class TestUserPass:
    def test_asks_the_shell(self) -> None:
        talk = Talk()
        assert talk.say("user anna@example.org").startswith("+OK")
        assert talk.say("PASS  two  spaces ") == ""
        assert talk.asked() == Login("anna@example.org", Password(" two  spaces "))
        assert not talk.engine.is_logged_in
        assert talk.engine.open_maildrop(IDS, SIZES) == b"+OK 3 messages (620 octets)\r\n"
        assert talk.engine.is_logged_in

    def test_wrong_password(self) -> None:
        talk = Talk()
        talk.say("USER a", "PASS b")
        assert talk.engine.answer(answers.LOGIN_REFUSED) == b"-ERR [AUTH] wrong name or password\r\n"
        assert talk.say("PASS c").startswith("-ERR")
        assert talk.say("STAT").startswith("-ERR")
        talk.questions.clear()
        talk.log_in()
        assert talk.say("STAT") == "+OK 3 620\r\n"

    def test_in_use(self) -> None:
        talk = Talk()
        talk.say("USER a", "PASS b")
        assert talk.engine.answer(answers.IN_USE).startswith(b"-ERR [IN-USE] ")
        assert not talk.over()

    def test_guessing_is_bounded(self) -> None:
        talk = Talk(max_logins=3)
        for attempt in range(3):
            assert not talk.over()
            talk.say("USER a", f"PASS {attempt}")
            talk.engine.answer(answers.LOGIN_REFUSED)
        assert talk.over()
        assert talk.say("USER a") == ""

    def test_breaking_off_is_no_way_to_guess_on(self) -> None:
        talk = Talk(max_logins=2)
        for _ in range(2):
            assert not talk.over()
            talk.say("AUTH PLAIN")
            talk.engine.challenge(b"wrong")
            assert talk.say("*") == "-ERR cancelled\r\n"
        assert talk.over()

    def test_pass_comes_after_user(self) -> None:
        assert Talk().say("PASS secret").startswith("-ERR")

    @pytest.mark.parametrize("line", ["USER", "USER ", "USER    ", "USER a\0b", "USER " + "x" * 600])
    def test_malformed_name(self, line: str) -> None:
        talk = Talk()
        talk.say("USER anna")
        assert talk.say(line).startswith("-ERR")
        if len(line) < 500:
            assert talk.say("PASS secret").startswith("-ERR")
            assert not talk.questions

    @pytest.mark.parametrize("line", [b"PASS", b"PASS ", b"PASS a\0b", b"PASS \xff"])
    def test_malformed_password(self, line: bytes) -> None:
        talk = Talk()
        talk.say("USER anna")
        assert talk.heard(line + b"\r\n").startswith("-ERR")
        assert not talk.questions

    def test_not_in_the_clear(self) -> None:
        talk = Talk(tls=False)
        assert talk.say("USER anna").startswith("-ERR only over TLS")
        assert talk.say("PASS secret").startswith("-ERR")
        assert talk.say("AUTH PLAIN " + PLAIN).startswith("-ERR only over TLS")
        assert not talk.questions

    def test_in_the_clear_if_that_is_wanted(self) -> None:
        talk = Talk(tls=False, auth_without_tls=True)
        talk.log_in()
        assert talk.engine.is_logged_in

    def test_no_second_login(self) -> None:
        talk = logged_in()
        for line in ("USER a", "PASS b", "AUTH PLAIN", "STLS"):
            assert talk.say(line).startswith("-ERR")


class TestAuth:
    """RFC 5034 §4."""

    def test_initial_response(self) -> None:
        talk = Talk()
        assert talk.say("auth plain " + PLAIN) == ""
        assert talk.asked() == Auth("PLAIN", b"\x00anna@example.org\x00secret")
        talk.engine.open_maildrop((), ())
        assert talk.say("STAT") == "+OK 0 0\r\n"

    def test_an_empty_initial_response(self) -> None:
        talk = Talk()
        talk.say("AUTH PLAIN =")
        assert talk.asked() == Auth("PLAIN", b"")

    def test_challenge(self) -> None:
        talk = Talk()
        talk.say("AUTH PLAIN")
        assert talk.asked() == Auth("PLAIN", None)
        assert talk.engine.challenge(b"") == b"+ \r\n"  # the space stands
        talk.say(PLAIN)
        assert talk.asked() == AuthResponse(b"\x00anna@example.org\x00secret")
        assert talk.engine.challenge(b"and now?") == b"+ YW5kIG5vdz8=\r\n"
        talk.say("")
        assert talk.asked() == AuthResponse(b"")
        assert talk.engine.open_maildrop(IDS, SIZES).startswith(b"+OK")

    def test_a_response_may_be_long(self) -> None:
        talk = Talk()
        long = b64encode(b"n" * 6000)
        talk.heard(b"AUTH PLAIN " + long + b"\r\n")
        assert talk.asked() == Auth("PLAIN", b"n" * 6000)
        talk.engine.challenge(b"")
        talk.heard(long + b"\r\n")
        assert talk.asked() == AuthResponse(b"n" * 6000)

    def test_refused(self) -> None:
        for answer in (answers.LOGIN_REFUSED, answers.LOGIN_LOCKED, answers.AUTH_MALFORMED):
            talk = Talk()
            talk.say("AUTH PLAIN " + PLAIN)
            assert talk.engine.answer(answer).startswith(b"-ERR ")
            talk.questions.clear()
            talk.log_in()

    def test_what_a_session_offers(self) -> None:
        talk = Talk()
        talk.engine.offer_mechanisms(("SCRAM-SHA-256-PLUS", "EXTERNAL"))
        assert "SASL SCRAM-SHA-256-PLUS EXTERNAL\r\n" in talk.say("CAPA")
        assert talk.say("AUTH PLAIN") == "-ERR no such mechanism\r\n"
        assert talk.say("AUTH") == "+OK what there is\r\nSCRAM-SHA-256-PLUS\r\nEXTERNAL\r\n.\r\n"

    @pytest.mark.parametrize(
        "line",
        [
            "AUTH ",
            "AUTH CRAM-MD5",
            "AUTH \u00fc",
            "AUTH PLAIN ",
            "AUTH PLAIN !!!!",
            "AUTH PLAIN =AAA",
            "AUTH PLAIN AAA=BBB",
            "AUTH PLAIN AAA",
        ],
    )
    def test_malformed(self, line: str) -> None:
        talk = Talk()
        assert talk.say(line).startswith("-ERR")
        assert not talk.questions
        talk.log_in()

    @pytest.mark.parametrize("line", ["*", "QUIT!", "AA AA", "A" * 20000])
    def test_malformed_response(self, line: str) -> None:
        talk = Talk()
        talk.say("AUTH PLAIN")
        talk.asked()
        talk.engine.challenge(b"")
        assert talk.say(line).startswith("-ERR")
        assert not talk.questions
        talk.log_in()

    def test_a_challenge_belongs_to_an_exchange(self) -> None:
        talk = Talk()
        with pytest.raises(LocalProtocolError):
            talk.engine.challenge(b"")
        talk.say("USER anna", "PASS secret")
        with pytest.raises(LocalProtocolError):
            talk.engine.challenge(b"")

    def test_questions_do_not_show_what_they_hold(self) -> None:
        assert "secret" not in repr([Auth("PLAIN", b"secret"), AuthResponse(b"secret")])

    def test_nothing_of_it_is_shown(self) -> None:
        talk = Talk(tls=False)
        secret = PLAIN[8:]
        talk.say("AUTH PLAIN " + PLAIN, PLAIN, "PASS topsecret", "AUTH PLAIN " + "A" * 13000)
        talk = Talk()
        talk.say("USER anna", "topsecret", "PASSX topsecret", "PASS " + "topsecret" * 100)
        for response in ("A" * 13000, "!topsecret"):
            talk.say("AUTH PLAIN")
            talk.asked()
            talk.engine.challenge(b"")
            talk.say(response)
        shown = repr(talk.notices) + repr(talk.questions)
        assert "topsecret" not in shown
        assert secret not in shown
        assert "AAAAAA" not in shown


class TestStls:
    def test_starts_over(self) -> None:
        talk = Talk(tls=False, auth_without_tls=True)
        talk.say("USER anna")
        talk.say("STLS")
        assert talk.asked() == StartTls()
        assert talk.engine.answer(answers.BEGIN_TLS) == b"+OK begin TLS\r\n"
        assert talk.engine.next_event() is PAUSED
        talk.engine.tls_established()
        assert talk.say("PASS secret").startswith("-ERR")
        assert "STLS" not in talk.say("CAPA")
        assert talk.say("STLS") == "-ERR TLS is up already\r\n"

    def test_what_was_buffered_is_dropped(self) -> None:
        talk = Talk(tls=False)
        talk.heard(b"STLS\r\nUSER mallory\r\nPASS x\r\nSTA")
        talk.engine.answer(answers.BEGIN_TLS)
        talk.engine.tls_established()
        assert talk.heard(b"") == ""
        assert talk.say("CAPA").startswith("+OK")

    def test_refused_by_the_shell(self) -> None:
        talk = Talk(tls=False)
        talk.say("STLS")
        assert talk.engine.answer(answers.TRY_LATER).startswith(b"-ERR")
        assert talk.say("CAPA").startswith("+OK")

    def test_without_a_certificate(self) -> None:
        assert Talk(tls=False, stls=False).say("STLS") == "-ERR no TLS here\r\n"

    def test_has_no_arguments(self) -> None:
        assert Talk(tls=False).say("STLS now").startswith("-ERR")


class TestUtf8:
    """RFC 6856 §2."""

    def test_has_no_parameters_and_comes_before_login(self) -> None:
        assert Talk().say("UTF8") == "+OK UTF-8 from now on\r\n"
        assert Talk().say("UTF8 x").startswith("-ERR")
        assert logged_in().say("UTF8") == "-ERR not now\r\n"

    def test_no_tls_after_it(self) -> None:
        # RFC 6856 §2.1
        talk = Talk(tls=False)
        talk.say("UTF8")
        assert "STLS" not in talk.say("CAPA")
        assert talk.say("STLS") == "-ERR no TLS after UTF8\r\n"
        assert not talk.questions

    def test_names_may_be_utf_8_and_are_prepared(self) -> None:
        # RFC 6856 §2.2
        talk = Talk()
        assert talk.heard("USER Ju\u0308rgen\r\n".encode()).startswith("+OK")
        talk.heard("PASS pa\u00df\r\n".encode())
        assert talk.asked() == Login("J\u00fcrgen", Password("pa\u00df"))
        for name in (b"\xff", "\u200e".encode(), "\ue000x".encode(), b"\x07"):
            assert Talk().heard(b"USER " + name + b"\r\n") == "-ERR wrong arguments\r\n", name

    MESSAGE = "Subject: \u00fc\r\n\r\n\u00fc\r\n".encode()

    def retrieved(self, talk: Talk) -> bytes:
        talk.log_in()
        talk.say("RETR 1")
        talk.engine.answer(ok())
        return talk.engine.content(self.MESSAGE) + talk.engine.end_content()

    def test_messages_go_as_they_are(self) -> None:
        talk = Talk()
        talk.say("UTF8")
        assert self.retrieved(talk) == self.MESSAGE + b".\r\n"

    def test_without_it_header_fields_are_made_conventional(self) -> None:
        assert self.retrieved(Talk()) == "Subject: =?utf-8?B?w7w=?=\r\n\r\n\u00fc\r\n.\r\n".encode()

    def test_top_counts_the_lines_of_the_surrogate(self) -> None:
        # RFC 6858 §4
        talk = logged_in()
        talk.say("TOP 1 1")
        talk.engine.answer(ok())
        message = "From: \u00fc@b.example\r\n\r\none\r\ntwo\r\n".encode()
        sent = talk.engine.content(message) + talk.engine.end_content()
        assert sent.isascii()
        assert sent.endswith(b".invalid>\r\n\r\none\r\n.\r\n")

    def test_tls_begins_anew(self) -> None:
        talk = Talk(tls=False, auth_without_tls=True)
        talk.say("LANG de", "STLS")
        talk.engine.answer(answers.BEGIN_TLS)
        talk.engine.tls_established()
        assert talk.say("XYZZY") == "-ERR unknown command\r\n"


class TestLang:
    """RFC 6856 §3."""

    def test_the_languages(self) -> None:
        # RFC 6856 §3.2
        assert Talk().say("LANG") == "+OK languages\r\nen English\r\nde Deutsch\r\n.\r\n"

    def test_all_that_follows_is_in_it(self) -> None:
        talk = Talk()
        assert talk.say("LANG de") == "+OK de Sprache gewechselt\r\n"
        assert talk.say("XYZZY") == "-ERR unbekannter Befehl\r\n"
        talk.say("USER a", "PASS b")
        assert (
            talk.engine.answer(answers.LOGIN_REFUSED).decode() == "-ERR [AUTH] falscher Name oder falsches Passwort\r\n"
        )
        talk.questions.clear()
        talk.say("USER a", "PASS b")
        talk.asked()
        assert talk.engine.open_maildrop((1,), (5,)) == b"+OK 1 Nachricht (5 Oktette)\r\n"
        assert talk.say("STAT") == "+OK 1 5\r\n"
        talk.say("RETR 1")
        assert talk.engine.answer(ok("{} octets", 5)) == b"+OK 5 Oktette\r\n"
        talk.engine.end_content()
        assert talk.say("LANG *") == "+OK en language changed\r\n"
        assert talk.say("RSET") == "+OK 1 message (5 octets)\r\n"

    def test_reports_stay_in_english(self) -> None:
        talk = Talk()
        talk.say("LANG de", "XYZZY")
        assert str(talk.notices[-1].answer) == "-ERR unknown command"

    @pytest.mark.parametrize("wanted", ["DE", "de-AT", "de-Latn-CH"])
    def test_ranges(self, wanted: str) -> None:
        # RFC 4647 §3.4
        assert Talk().say(f"LANG {wanted}") == "+OK de Sprache gewechselt\r\n"

    @pytest.mark.parametrize("wanted", ["MUL", "deu", "d", "-", "\u00fc", "de fr"])
    def test_a_language_that_we_have_not(self, wanted: str) -> None:
        talk = Talk()
        assert talk.say("LANG de").startswith("+OK")
        assert talk.say(f"LANG {wanted}") == "-ERR diese Sprache gibt es nicht\r\n"

    def test_every_text_is_translated(self) -> None:
        for answer in vars(answers).values():
            if isinstance(answer, Answer) and answer.text:
                assert translated(answer.text, "de") != answer.text, answer
        assert translated(answers.GREETING_TEXT, "de") != answers.GREETING_TEXT


class TestListings:
    def test_stat(self) -> None:
        talk = logged_in()
        assert talk.say("STAT") == "+OK 3 620\r\n"
        assert talk.say("STAT 1").startswith("-ERR")

    def test_list(self) -> None:
        talk = logged_in()
        assert talk.say("LIST") == "+OK 3 messages (620 octets)\r\n1 120\r\n2 200\r\n3 300\r\n.\r\n"
        assert talk.say("LIST 2") == "+OK 2 200\r\n"
        for line in ("LIST 0", "LIST 4", "LIST 99999999999", "LIST x", "LIST 1 2", "LIST -1", "LIST \u0661"):
            assert talk.say(line).startswith("-ERR"), line

    def test_uidl(self) -> None:
        talk = logged_in()
        assert talk.say("UIDL").split("\r\n", 1)[1] == "1 11\r\n2 12\r\n3 17\r\n.\r\n"
        assert talk.say("UIDL 3") == "+OK 3 17\r\n"
        assert talk.say("UIDL 4").startswith("-ERR")

    def test_empty(self) -> None:
        talk = Talk()
        talk.log_in((), ())
        assert talk.say("LIST").endswith("octets)\r\n.\r\n")
        assert talk.say("UIDL ").endswith("octets)\r\n.\r\n")
        assert talk.say("STAT") == "+OK 0 0\r\n"

    def test_long_ones_come_in_pieces_and_in_order(self) -> None:
        talk = Talk()
        talk.log_in(range(1, 5001), [10] * 5000)
        talk.say(*[f"DELE {number}" for number in range(1001, 2002)])
        talk.engine.receive_data(b"LIST\r\nNOOP\r\n")
        pieces: list[bytes] = []
        while not isinstance(event := talk.engine.next_event(), Signal):
            assert isinstance(event, Answered | Outgoing)
            pieces.append(event.data)
        assert max(len(piece) for piece in pieces) < 32_000
        lines = b"".join(pieces).split(b"\r\n")
        assert lines[0] == b"+OK 3999 messages (39990 octets)"
        assert lines[1000:1002] == [b"1000 10", b"2002 10"]
        assert lines[-4:] == [b"5000 10", b".", b"+OK", b""]

    def test_the_largest_ids(self) -> None:
        talk = Talk()
        talk.log_in(((1 << 63) - 1,), (1 << 40,))
        assert talk.say("UIDL 1") == f"+OK 1 {(1 << 63) - 1}\r\n"


class TestDeletion:
    def test_marks(self) -> None:
        talk = logged_in()
        assert talk.say("DELE 2").startswith("+OK")
        assert talk.engine.marked == 1
        assert talk.say("STAT") == "+OK 2 420\r\n"
        assert talk.say("LIST") == "+OK 2 messages (420 octets)\r\n1 120\r\n3 300\r\n.\r\n"
        for line in ("DELE 2", "RETR 2", "TOP 2 0", "LIST 2", "UIDL 2", "DELE", "DELE 1 1", "DELE 9"):
            assert talk.say(line).startswith("-ERR"), line
        assert talk.say("RSET") == "+OK 3 messages (620 octets)\r\n"
        assert talk.engine.marked == 0
        assert talk.say("STAT") == "+OK 3 620\r\n"

    def test_quit_asks_the_shell(self) -> None:
        talk = logged_in()
        talk.say("DELE 3", "DELE 1", "QUIT", "STAT")
        assert talk.asked() == Update((1, 3))
        assert not talk.over()
        assert talk.engine.answer(ok("bye")) == b"+OK bye\r\n"
        assert talk.over()
        assert talk.heard(b"NOOP\r\n") == ""

    def test_quit_when_it_cannot_be_done(self) -> None:
        talk = logged_in()
        talk.say("DELE 1", "QUIT")
        assert talk.engine.answer(answers.NOT_REMOVED).startswith(b"-ERR [SYS/TEMP] ")
        assert talk.over()

    def test_quit_without_deletions_is_an_update_too(self) -> None:
        talk = logged_in()
        talk.say("QUIT")
        assert talk.asked() == Update(())

    def test_quit_before_login_is_none(self) -> None:
        # RFC 1939 §4
        for first in (["NOOP"], ["USER anna"]):
            talk = Talk()
            assert talk.say(*first, "QUIT", "CAPA").endswith("+OK bye\r\n")
            assert talk.over()
            assert not talk.questions

    def test_a_lost_connection_is_none(self) -> None:
        talk = logged_in()
        talk.say("DELE 1")
        talk.engine.receive_data(b"")
        talk.heard(b"")
        assert talk.asked() == Closed()
        assert talk.over()
        assert talk.engine.next_event() is PAUSED


class TestRetrieval:
    def test_retr(self) -> None:
        talk = logged_in()
        assert talk.say("RETR 2", "NOOP") == ""
        assert talk.asked() == Retrieve(2)
        assert talk.engine.answer(ok("200 octets")) == b"+OK 200 octets\r\n"
        assert talk.wants_content()
        assert talk.engine.next_event() is PAUSED
        assert talk.engine.content(b"\r\na\r\n") == b"\r\na\r\n"
        assert talk.engine.content(b".b\r\n") == b"..b\r\n"
        assert talk.wants_content()
        assert talk.engine.end_content() == b".\r\n"
        assert not talk.wants_content()
        assert talk.heard(b"") == "+OK\r\n"  # what was pipelined

    def test_top(self) -> None:
        talk = logged_in()
        talk.say("TOP 1 1")
        assert talk.asked() == Retrieve(1, 1)
        talk.engine.answer(ok())
        assert talk.engine.content(b"A: b\r\n\r\n.\r\ntwo\r\n") == b"A: b\r\n\r\n..\r\n"
        assert not talk.wants_content()
        assert talk.engine.content(b"three\r\n") == b""
        assert talk.engine.end_content() == b".\r\n"
        talk.say("RETR 1")
        talk.engine.answer(ok())
        assert talk.engine.content(b"A: b\r\n\r\n.\r\ntwo\r\n") == b"A: b\r\n\r\n..\r\ntwo\r\n"

    def test_refused_by_the_shell(self) -> None:
        talk = logged_in()
        talk.say("RETR 1")
        assert talk.engine.answer(answers.TRY_LATER).startswith(b"-ERR [SYS/TEMP]")
        assert talk.say("NOOP") == "+OK\r\n"

    @pytest.mark.parametrize(
        "line", ["RETR", "RETR 0", "RETR 4", "RETR 1 1", "RETR one", "TOP 1", "TOP 9 1", "TOP 1 -1", "TOP 1 1 1", "TOP"]
    )
    def test_malformed(self, line: str) -> None:
        talk = logged_in()
        assert talk.say(line).startswith("-ERR")
        assert not talk.questions


class TestOrder:
    @pytest.mark.parametrize("keyword", sorted(ORDER))
    def test_every_command_knows_its_states(self, keyword: str) -> None:
        arguments = {"RETR": " 1", "TOP": " 1 1", "DELE": " 1", "USER": " a", "PASS": " b", "AUTH": " LOGIN"}
        line = keyword + arguments.get(keyword, "")
        before, named, after = Talk(tls=False, auth_without_tls=True), Talk(), logged_in()
        named.say("USER anna")
        if keyword == "STLS":
            named = before
        legal = {
            "before": {"CAPA", "QUIT", "STLS", "AUTH", "USER", "UTF8", "LANG"},
            "named": {"CAPA", "QUIT", "STLS", "AUTH", "USER", "PASS", "UTF8", "LANG"},
            "after": {"CAPA", "LANG", "QUIT", "STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "NOOP", "RSET"},
        }
        for state, talk in (("before", before), ("named", named), ("after", after)):
            refused = talk.say(line).startswith("-ERR not now")
            assert refused is (keyword not in legal[state]), state
            if keyword == "STLS":
                talk.questions.clear()
                if state == "before":
                    talk.engine.answer(answers.TRY_LATER)

    def test_unknown_commands(self) -> None:
        talk = Talk()
        for line in (
            "XTND",
            "APOP anna c4c9334bac560ecc979e58001b3e22fb",
            "",
            " ",
            "GET / HTTP/1.1",
            "N\u00d6\u00d6P",
            "\0",
        ):
            assert talk.say(line) == "-ERR unknown command\r\n", line
        assert [notice.command for notice in talk.notices[:2]] == ["XTND", "APOP"]

    def test_bare_lf_ends_a_line(self) -> None:
        assert Talk().heard(b"CAPA\nQUIT\n").endswith(".\r\n+OK bye\r\n")


class TestBounds:
    def test_errors(self) -> None:
        talk = Talk(max_errors=3)
        assert talk.say("A") == talk.say("B") == "-ERR unknown command\r\n"
        assert talk.say("C", "QUIT") == "-ERR too many errors\r\n"
        assert talk.over()

    def test_asking_for_what_is_not_there_is_no_error_of_the_protocol(self) -> None:
        talk = logged_in(max_errors=3)
        for _ in range(10):
            assert talk.say("RETR 9").startswith("-ERR")
        assert not talk.over()

    def test_255_octets_are_a_command(self) -> None:
        # RFC 2449 §4
        talk = Talk()
        assert talk.say("USER " + "x" * 248).startswith("+OK")

    def test_a_long_line_is_thrown_away_while_it_comes(self) -> None:
        talk = Talk()
        for _ in range(300):
            assert talk.heard(b"x" * 10_000) == ""
            assert len(talk.engine._reader) == 0
        assert talk.heard(b"\r\nNOOP\r\nCAPA\r\n").startswith("-ERR line too long\r\n-ERR not now\r\n+OK")

    def test_an_endless_line_ends_the_session(self) -> None:
        talk = Talk()
        for _ in range(300):
            heard = talk.heard(b"x" * 100_000)
            if heard:
                break
        assert heard == "-ERR too many errors\r\n"
        assert talk.over()


class TestShell:
    def test_shut_down_says_nothing(self) -> None:
        # RFC 1939 §3: the autologout sends no response and removes nothing
        talk = logged_in()
        talk.say("DELE 1")
        talk.engine.shut_down()
        assert talk.over()
        assert talk.engine.marked == 1
        assert talk.say("QUIT") == ""
        assert not talk.questions

    def test_eof_after_quit_still_updates(self) -> None:
        talk = logged_in()
        talk.engine.receive_data(b"DELE 1\r\nQUIT\r\n")
        talk.engine.receive_data(b"")
        talk.heard(b"")
        assert talk.asked() == Update((1,))
        talk.engine.answer(ok())
        assert talk.engine.next_event() is PAUSED

    def test_half_a_line_at_the_end_is_nothing(self) -> None:
        talk = logged_in()
        talk.engine.receive_data(b"QUIT")
        assert talk.engine.next_event() is NEED_DATA
        talk.engine.receive_data(b"")
        assert talk.engine.next_event() == Closed()

    def test_mistakes_of_the_shell(self) -> None:
        talk = Talk()
        for mistake in (
            lambda: talk.engine.answer(ok()),
            lambda: talk.engine.open_maildrop((), ()),
            lambda: talk.engine.content(b""),
            talk.engine.end_content,
            talk.engine.tls_established,
        ):
            with pytest.raises(LocalProtocolError):
                mistake()
        talk.say("USER a", "PASS b")
        with pytest.raises(LocalProtocolError):
            talk.engine.answer(ok())
        assert talk.engine.answer(answers.LOGIN_REFUSED)


class TestAnswer:
    def test_on_the_wire(self) -> None:
        assert ok().to_bytes() == b"+OK\r\n"
        assert error("no").to_bytes() == b"-ERR no\r\n"
        assert error("no", "SYS/TEMP").to_bytes() == b"-ERR [SYS/TEMP] no\r\n"
        assert str(Answer(False, "no", "AUTH")) == "-ERR [AUTH] no"

    def test_never_longer_than_512_octets(self) -> None:
        # RFC 1939 §3, RFC 2449 §3
        assert len(error("x" * 1000).to_bytes()) == 512
        assert error("\u00fc" * 1000).to_bytes().decode().endswith("\u00fc\r\n")  # no half character


def test_a_command_line_does_not_show_itself() -> None:
    command = read_line(b"PASS secret")
    assert (command.keyword, command.argument) == ("PASS", b"secret")
    assert "secret" not in repr(command) + command.shown
