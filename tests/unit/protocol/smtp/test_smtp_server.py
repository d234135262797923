"""The server engine beyond what the transcripts show: the questions it asks, its bounds, its manners with the shell."""

from typing import Any

import pytest
from tests.fakes.smtp_shell import SmtpShell

from postroom.mail.address import Address
from postroom.mail.envelope import Body, Notify, Recipient, Ret
from postroom.mail.reply import Reply
from postroom.protocol.errors import LocalProtocolError
from postroom.protocol.smtp.events import (
    NEED_DATA,
    PAUSED,
    Answered,
    Auth,
    AuthResponse,
    Closed,
    Connected,
    Content,
    ContentDropped,
    ContentEnd,
    Data,
    Flaw,
    Hello,
    Mail,
    Quit,
    Rcpt,
    Reset,
    ServerEvent,
    StartTls,
    Verify,
)
from postroom.protocol.smtp.options import ServerOptions
from postroom.protocol.smtp.server import SmtpServer

OK = Reply.of(250, "2.0.0", "OK")
MEGABYTE = 1024 * 1024


def options(**changes: Any) -> ServerOptions:
    return ServerOptions("mx.example", **changes)


def is_over(engine: SmtpServer) -> bool:
    """Asked anew each time, whatever a type checker remembers."""
    return engine.is_over


def is_between(engine: SmtpServer) -> bool:
    """Asked anew each time."""
    return engine.between_transactions


def greeted(**changes: Any) -> SmtpShell:
    """A shell whose client has said EHLO."""
    shell = SmtpShell(options(**changes))
    shell.start()
    shell.say("EHLO client.example")
    shell.events.clear()
    return shell


def in_data(**changes: Any) -> SmtpShell:
    """A shell whose client may send content."""
    shell = greeted(**changes)
    assert shell.say("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA")[-1].startswith("354")
    shell.events.clear()
    return shell


def answered(events: list[ServerEvent]) -> list[Answered]:
    return [event for event in events if isinstance(event, Answered)]


# Questions.


def test_each_command_asks_its_question() -> None:
    shell = SmtpShell(options(auth_mechanisms=("PLAIN", "LOGIN"), auth_without_tls=True))
    shell.start()
    shell.say(
        "HELO client.example",
        "EHLO [192.0.2.1]",
        "VRFY someone",
        "EXPN staff SMTPUTF8",
        "AUTH LOGIN",
        "dXNlcg==",
        "",
        "AUTH plain =",
        "MAIL FROM:<> SIZE=17 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=x+3Dy@z",
        "RCPT TO:<jörg@bücher.example> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;j\\x{F6}rg@b",
        "RCPT TO:<postmaster> NOTIFY=NEVER ORCPT=rfc822;a+2Bb@c",
        "DATA",
    )
    shell.feed(b"..hi\r\n.\r\n")
    shell.say("RSET", "STARTTLS")
    assert shell.events == [
        Connected(),
        Hello("client.example", esmtp=False),
        Hello("[192.0.2.1]", esmtp=True),
        Verify("VRFY", "someone"),
        Verify("EXPN", "staff"),
        Auth("LOGIN", None),
        AuthResponse(b"user"),
        AuthResponse(b""),
        Auth("PLAIN", b""),
        Mail(None, Body.EIGHT_BIT, smtputf8=True, size=17, ret=Ret.HDRS, envid="a+b", auth="x=y@z"),
        Rcpt(Recipient(Address("jörg", "xn--bcher-kva.example"), Notify.SUCCESS | Notify.DELAY, "utf-8;jörg@b")),
        Rcpt(Recipient(Address("postmaster", ""), Notify.NEVER, "rfc822;a+b@c")),
        Data(),
        Content(b".hi\r\n"),
        ContentEnd(5),
        Reset(),
        StartTls(),
    ]


def test_one_question_at_a_time() -> None:
    engine = SmtpServer(options())
    engine.receive_data(b"EHLO a.example\r\nQUIT\r\n")
    assert engine.next_event() == Connected()
    assert engine.next_event() is PAUSED
    engine.answer(Reply.of(220, "", "mx.example"))
    assert engine.next_event() == Hello("a.example", esmtp=True)
    assert engine.next_event() is PAUSED
    engine.answer(Reply.of(250, "", "mx.example"))
    assert engine.next_event() == Quit()
    assert not is_over(engine)
    assert engine.answer(Reply.of(221, "2.0.0", "Bye")) == b"221 2.0.0 Bye\r\n"
    assert is_over(engine)
    assert engine.next_event() is PAUSED
    engine.receive_data(b"NOOP\r\n")
    assert engine.next_event() is PAUSED


def test_everything_used_up_needs_data() -> None:
    shell = greeted()
    shell.say("NOOP")
    assert shell.signal is NEED_DATA
    shell.feed(b"NO")
    assert shell.signal is NEED_DATA


def test_an_answer_without_a_question_is_our_bug() -> None:
    engine = SmtpServer(options())
    with pytest.raises(LocalProtocolError):
        engine.answer(OK)


def test_the_hello_reply_has_no_enhanced_status() -> None:
    engine = SmtpServer(options(starttls=False, smtputf8=False, extra=("X-ONE",)))
    engine.next_event()
    engine.answer(Reply.of(220, "", "mx.example"))
    engine.receive_data(b"EHLO a\r\n")
    engine.next_event()
    lines = engine.answer(Reply.of(250, "2.0.0", "mx.example")).decode().splitlines()
    assert lines[0] == "250-mx.example"
    assert lines[-1] == "250 X-ONE"


# The peer leaves.


def test_what_came_before_the_peer_left_is_still_done() -> None:
    shell = greeted()
    shell.engine.receive_data(b"MAIL FROM:<a@b.example>\r\nNOO")
    shell.feed(b"")
    assert shell.events == [Mail(Address("a", "b.example")), Closed()]
    assert is_over(shell.engine)
    assert shell.signal is PAUSED


@pytest.mark.parametrize(
    "lines",
    [
        ["MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "BDAT 5"],
        ["BDAT 5"],
        ["AUTH PLAIN"],
        ["STARTTLS"],
    ],
)
def test_the_peer_leaves_in_the_middle(lines: list[str]) -> None:
    shell = greeted(auth_mechanisms=("PLAIN",), auth_without_tls=True)
    shell.say(*lines)
    shell.feed(b"")
    assert shell.events[-1] == Closed()
    assert is_over(shell.engine)


# Our side ends it.


def test_shut_down_ends_the_session_even_with_a_question_open() -> None:
    engine = SmtpServer(options())
    engine.next_event()
    assert engine.shut_down(Reply.of(421, "4.3.2", "Draining")) == b"421 4.3.2 Draining\r\n"
    assert is_over(engine)
    assert engine.next_event() is PAUSED
    with pytest.raises(LocalProtocolError):
        engine.answer(OK)


def test_a_drain_waits_for_the_end_of_a_transaction() -> None:
    shell = greeted()
    assert is_between(shell.engine)
    shell.say("BDAT 5")
    assert not is_between(shell.engine)
    shell.feed(b"12345")
    assert is_between(shell.engine)
    shell.say("MAIL FROM:<a@b.example>")
    assert not is_between(shell.engine)
    shell.say("RCPT TO:<c@d.example>")
    shell.feed(b"DATA\r\nhalf")
    assert not is_between(shell.engine)
    shell.feed(b"\r\n.\r\n")
    assert is_between(shell.engine)


# TLS.


def test_tls_established_only_in_a_handshake() -> None:
    with pytest.raises(LocalProtocolError):
        greeted().engine.tls_established()


def test_nothing_is_believed_across_the_handshake() -> None:
    shell = greeted(auth_mechanisms=("PLAIN",), auth_without_tls=True)
    shell.say("AUTH PLAIN AHVzZXIAc2VjcmV0")
    assert shell.feed(b"STARTTLS\r\nMAIL FROM:<injected@b.example>\r\n").startswith(b"220")
    assert shell.signal is PAUSED
    assert shell.feed(b"MAIL FROM:<injected@b.example>\r\n") == b""
    shell.shake_hands()
    assert shell.feed(b"NOOP\r\n") == b"250 2.0.0 OK\r\n"
    assert not any(isinstance(event, Mail) for event in shell.events)
    assert "250-AUTH PLAIN" in shell.say("EHLO client.example")


# Content.


def test_content_comes_in_pieces_that_never_split_a_crlf() -> None:
    shell = in_data()
    pieces = []
    for at in range(len(stream := b"a\r\n\r\n..b\r\nc\r\n.\r\n")):
        shell.engine.receive_data(stream[at : at + 1])
        while isinstance(event := shell.engine.next_event(), Content):
            pieces.append(event.data)
    assert event == ContentEnd(len(b"a\r\n\r\n.b\r\nc\r\n"))
    assert b"".join(pieces) == b"a\r\n\r\n.b\r\nc\r\n"
    assert not any(piece.endswith(b"\r") or piece.startswith(b"\n") for piece in pieces)


def test_the_shell_may_refuse_content_in_mid_stream() -> None:
    shell = in_data()
    shell.feed(b"one\r\n")
    shell.engine.refuse_content(Reply.of(452, "4.3.1", "Store full"))
    assert shell.feed(b"two\r\n") == b""
    assert shell.feed(b".\r\nNOOP\r\n") == b"452 4.3.1 Store full\r\n250 2.0.0 OK\r\n"
    assert [event for event in shell.events if isinstance(event, Content)] == [Content(b"one")]
    assert ContentDropped(None) in shell.events
    assert is_between(shell.engine)


def test_a_refusal_with_421_ends_the_session() -> None:
    shell = in_data()
    shell.engine.refuse_content(Reply.of(421, "4.3.2", "Draining"))
    assert shell.feed(b".\r\nNOOP\r\n") == b"421 4.3.2 Draining\r\n"
    assert is_over(shell.engine)


def test_a_refusal_without_content_is_our_bug() -> None:
    shell = greeted()
    with pytest.raises(LocalProtocolError):
        shell.engine.refuse_content(OK)
    shell = in_data()
    shell.engine.receive_data(b".\r\n")
    assert shell.engine.next_event() == ContentEnd(0)
    with pytest.raises(LocalProtocolError):
        shell.engine.refuse_content(OK)


def test_the_shell_may_refuse_between_chunks() -> None:
    shell = greeted()
    shell.say("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "BDAT 2")
    shell.feed(b"ab")
    shell.engine.refuse_content(Reply.of(452, "4.3.1", "Store full"))
    assert shell.feed(b"BDAT 2\r\ncdBDAT 2 LAST\r\nef") == (b"452 4.3.1 Store full\r\n503 5.5.1 Send MAIL first\r\n")


def test_too_big_content_is_consumed_without_being_passed_on() -> None:
    shell = in_data(max_size=MEGABYTE)
    line = b"x" * 1022 + b"\r\n"
    for _ in range(1025):
        assert shell.feed(line) == b""
    assert sum(len(event.data) for event in shell.events if isinstance(event, Content)) <= MEGABYTE
    assert shell.feed(b".\r\n").startswith(b"552 5.3.4 ")
    assert ContentDropped(Flaw.TOO_BIG) in shell.events
    assert not is_over(shell.engine)


@pytest.mark.parametrize("whole", [True, False])
def test_patience_with_too_big_content_ends(whole: bool) -> None:
    shell = in_data(max_size=10)
    block = (b"x" * 1022 + b"\r\n") * 64
    if whole:
        shell.feed(block * 17 + b".\r\n")
    else:
        for _ in range(17):
            shell.feed(block)
    *_, dropped, refusal, closed = shell.events
    assert dropped == ContentDropped(Flaw.TOO_BIG)
    assert isinstance(refusal, Answered)
    assert refusal.reply.code == 552
    assert closed == Closed()
    assert is_over(shell.engine)


def test_a_monstrous_chunk_is_not_even_consumed() -> None:
    shell = greeted(max_size=10)
    shell.say("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "BDAT 1")
    assert shell.feed(b"x" + b"BDAT 1048586\r\n").splitlines()[-1].startswith(b"552 5.3.4")
    assert shell.events[-3] == ContentDropped(Flaw.TOO_BIG)
    assert shell.events[-1] == Closed()


def test_no_engine_event_is_over_before_its_last_words() -> None:
    shell = in_data(max_size=10)
    shell.engine.receive_data(b"x" * 2 * MEGABYTE)
    assert shell.engine.next_event() == ContentDropped(Flaw.TOO_BIG)
    assert not is_over(shell.engine)
    assert isinstance(shell.engine.next_event(), Answered)
    assert is_over(shell.engine)


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"a\nb\r\n", Flaw.BARE_LF),
        (b"a\rb\r\n", Flaw.BARE_CR),
        (b"a\n\rb\r\n", Flaw.BARE_LF),
        (b"x" * 8193 + b"\r\n", Flaw.LONG_LINE),
        (b"x" * 8193 + b"\r\na\rb\r\n", Flaw.BARE_CR),
    ],
)
@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_flaws(content: bytes, flaw: Flaw, size: int) -> None:
    shell = in_data()
    stream = content + b".\r\n"
    for at in range(0, len(stream), size):
        shell.feed(stream[at : at + size])
    *_, dropped, refusal = shell.events
    assert dropped == ContentDropped(flaw)
    assert isinstance(refusal, Answered)
    assert (refusal.reply.code, refusal.reply.status, refusal.command) == (550, "5.6.0", "DATA")


@pytest.mark.parametrize("size", [1, 3, 5000, 1 << 20])
def test_the_longest_lines_allowed(size: int) -> None:
    shell = in_data(max_line=5000)
    content = (b"x" * 5000 + b"\r\n" + b"y\r\n") * 3
    stream = content + b".\r\n"
    for at in range(0, len(stream), size):
        shell.feed(stream[at : at + size])
    assert shell.messages == [content]


# LMTP.


def test_each_lmtp_recipient_may_have_its_own_reply() -> None:
    engine = SmtpServer(options(lmtp=True))
    engine.next_event()
    engine.answer(Reply.of(220, "", "mx.example"))
    for line in (b"LHLO a", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"RCPT TO:<e@f>"):
        engine.receive_data(line + b"\r\n")
        engine.next_event()
        engine.answer(OK)
    engine.receive_data(b"DATA\r\n")
    engine.next_event()
    engine.answer(Reply.of(354, "", "Go ahead"))
    engine.receive_data(b".\r\n")
    with pytest.raises(LocalProtocolError):
        engine.answer_each([OK, OK])
    assert engine.next_event() == ContentEnd(0)
    with pytest.raises(LocalProtocolError):
        engine.answer_each([OK])
    assert engine.answer_each([OK, Reply.of(452, "4.2.2", "Full")]) == b"250 2.0.0 OK\r\n452 4.2.2 Full\r\n"
    assert is_between(engine)
    assert engine.next_event() is NEED_DATA


# Lines.


def test_a_three_megabyte_command_line_is_refused_once_and_not_kept() -> None:
    shell = greeted()
    for _ in range(48):
        assert shell.feed(b"x" * 65536) == b""
        assert len(shell.engine._lines) == 0
    assert shell.feed(b"\r\nNOOP\r\n") == b"500 5.5.2 Line too long\r\n250 2.0.0 OK\r\n"
    assert len(answered(shell.events)[0].line) <= 200


def test_the_longest_parameters_that_there_may_be() -> None:
    # RFC 3461 §5.4: each of at least that size, and all extensions together
    shell = greeted(auth_mechanisms=("PLAIN",), auth_without_tls=True)
    sender = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 57}.e"
    assert len(sender) == 252
    mail = (
        f"MAIL FROM:<{sender}> SIZE=52428800 BODY=BINARYMIME SMTPUTF8 RET=FULL ENVID={'e' * 100} AUTH={'f' * 500} "
        "BY=+999999999;RT MT-PRIORITY=-9"
    )
    orcpt = "rfc822;" + "+2B" * 164 + "g"
    assert len(orcpt) == 500
    said = shell.say(mail, f"RCPT TO:<{sender}> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT={orcpt}")
    assert [line[:3] for line in said] == ["250", "250"]


def test_a_command_line_without_end_is_given_up() -> None:
    shell = greeted()
    for _ in range(17):
        shell.feed(b"x" * MEGABYTE)
    assert shell.events[-1] == Closed()
    assert is_over(shell.engine)


@pytest.mark.parametrize(("size", "code"), [(2046, 250), (2047, 500)])
def test_the_longest_command_line(size: int, code: int) -> None:
    # RFC 5321 §4.5.3.1.4
    line = "NOOP ".ljust(size, "x")
    assert greeted().say(line)[0].startswith(str(code))


def test_auth_may_be_longer() -> None:
    # RFC 4954 §4
    shell = greeted(auth_mechanisms=("PLAIN",), auth_without_tls=True)
    assert shell.say("AUTH PLAIN " + "A" * 12000)[0].startswith("535")
    assert shell.say("AUTH PLAIN " + "A" * 13000) == ["500 5.5.2 Line too long"]
    assert shell.say("AUTH PLAIN", "A" * 12000)[1].startswith("535")
    assert shell.say("AUTH PLAIN", "A" * 13000)[1] == "500 5.5.6 Authentication exchange line is too long"
    assert shell.say("NOOP") == ["250 2.0.0 OK"]


def test_an_endless_auth_line_is_given_up() -> None:
    shell = greeted(auth_mechanisms=("PLAIN",), auth_without_tls=True)
    shell.say("AUTH PLAIN")
    for _ in range(17):
        shell.feed(b"A" * MEGABYTE)
    assert shell.events[-1] == Closed()


# What a log sees.


def test_the_line_for_the_log_is_short_and_visible() -> None:
    shell = greeted()
    shell.feed(b"FOO \x1b[31m\r\n" + b"BAR" * 200 + b"\r\n" + b"\xff\r\n" + b"MAIL FROM:<x@y> FOO\r\nNOOP hello\r\n")
    assert [(event.command, event.line) for event in answered(shell.events)] == [
        ("", "FOO \\x1b[31m"),
        ("", ("BAR" * 200)[:200]),
        ("", "\\xff"),
        ("MAIL", "MAIL FROM:<x@y> FOO"),
        ("NOOP", "NOOP hello"),
    ]


def test_no_password_reaches_the_log() -> None:
    secret = "AHVzZXIAc2VjcmV0"
    shell = greeted(auth_mechanisms=("PLAIN", "LOGIN"), max_errors=100)
    shell.say(f"AUTH PLAIN {secret}", f"AUTH {secret}", f" auth plain {secret}")
    shell.feed(f"AUTH PLAIN {secret}\nAUTH PLAIN {secret}".encode() + b"A" * 20000 + b"\r\n")
    # A client that pipelines the exchange, whatever the server says to AUTH.
    shell.say("AUTH LOGIN", secret, secret, "NOOP")
    seen = [event.line for event in answered(shell.events)]
    shell = greeted(auth_mechanisms=("PLAIN", "LOGIN"), auth_without_tls=True, max_errors=100)
    shell.say("AUTH LOGIN", "!", secret, "AUTH PLAIN", f"{secret}!", secret, f"AUTH PLAIN {secret} x", "NOOP")
    shell.say("AUTH PLAIN d3Jvbmc=", secret)
    seen += [event.line for event in answered(shell.events)]
    assert len(seen) == 9 + 7
    assert not any(secret in line for line in seen)
    assert [event.command for event in answered(shell.events)].count("AUTH") == 3


def test_an_unknown_command_is_shown_again_once_the_exchange_is_forgotten() -> None:
    shell = greeted(auth_mechanisms=("PLAIN",))
    shell.say("AUTH PLAIN", "hidden", "NOOP", "shown")
    assert [event.line for event in answered(shell.events)] == ["AUTH PLAIN", "", "NOOP", "shown"]
