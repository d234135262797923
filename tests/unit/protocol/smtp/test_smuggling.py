"""The smuggling matrix: nothing but the true end ends a message, however the octets are mixed and cut.

RFC 5321 §2.3.8: only CRLF ends a line. RFC 5321 §4.1.1.4, §4.5.2: only CRLF, dot, CRLF ends DATA. RFC 3030 §2: BDAT
ends where its octets are counted. RFC 3207 §4.2: nothing said before TLS counts after it.
"""

from collections.abc import Iterator
from itertools import product

import pytest
from tests.fakes.smtp_shell import SmtpShell

from postroom.mail.envelope import Body
from postroom.protocol.smtp.content import is_strict
from postroom.protocol.smtp.events import Answered, Content, Hello, Mail, Rcpt, StartTls
from postroom.protocol.smtp.options import ServerOptions

SMUGGLED = b"MAIL FROM:<smuggled@b.example>\r\nRCPT TO:<victim@b.example>\r\nDATA\r\nsmuggled\r\n.\r\n"
END = b"\r\n.\r\n"

# Every mix of CR, LF, dot and NUL before and behind a dot, three octets on each side at most.
_AROUND = [bytes(mix) for size in range(4) for mix in product(b"\r\n\0", repeat=size)]
FALSE_ENDS = [
    before + b"." + behind
    for before in _AROUND
    for behind in _AROUND
    if not (b"x" + before).endswith(b"\r\n") or not behind.startswith(b"\r\n")
]
DOTS = [b"\r\n..\r\n", b"\r\n. \r\n", b"\r\n .\r\n", b"\n..\n", b"\r..\r", b"\r\n.\t\r\n", b"\r\n...\r\n"]


def in_data(**options: bool) -> SmtpShell:
    shell = SmtpShell(ServerOptions("mx.example", **options))  # type: ignore[arg-type] # all of them are flags
    shell.start()
    said = shell.say("EHLO a.example", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA")
    assert said[-1].startswith("354")
    shell.events.clear()
    return shell


def splits(stream: bytes) -> Iterator[list[bytes]]:
    """The stream in two pieces, cut at every place; and octet by octet."""
    for at in range(1, len(stream)):
        yield [stream[:at], stream[at:]]
    yield [stream[at : at + 1] for at in range(len(stream))]


def said_mail(shell: SmtpShell) -> list[str]:
    """The reverse-paths of every transaction that was begun."""
    return [str(event.reverse_path) for event in shell.events if isinstance(event, Mail)]


def test_the_matrix_is_whole() -> None:
    assert len(_AROUND) == 1 + 3 + 9 + 27
    assert b"\n.\n" in FALSE_ENDS
    assert b"\r\n.\n" in FALSE_ENDS
    assert b"\n.\r\n" in FALSE_ENDS
    assert b"\r\n.\r\n" not in FALSE_ENDS


@pytest.mark.parametrize("normalise", [False, True], ids=["refuse", "normalise"])
@pytest.mark.parametrize("end", FALSE_ENDS + DOTS, ids=repr)
def test_no_false_end_ends_data(end: bytes, normalise: bool) -> None:
    """RFC 5321 §4.1.1.4, in one piece and cut in the middle of the false end."""
    for cut in range(len(end) + 1):
        shell = in_data(normalise_newlines=normalise)
        assert shell.feed(b"x" + end[:cut]) == b""
        assert shell.feed(end[cut:] + b"MAIL FROM:<smuggled@b.example>\r\n") == b""
        replies = shell.feed(b".\r\nNOOP\r\n").split(b"\r\n")
        assert len(replies) == 3  # one for the content, one for NOOP
        assert replies[1].startswith(b"250 ")
        assert said_mail(shell) == []
        for message in shell.messages:  # what was taken is made of CRLF lines alone: nothing to smuggle out
            assert message.replace(b"\r\n", b"").count(b"\r") == message.replace(b"\r\n", b"").count(b"\n") == 0


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\r.\r", b"\r\n\0.\r\n"], ids=repr
)
def test_no_false_end_ends_data_wherever_it_is_cut(end: bytes) -> None:
    stream = b"one" + end + SMUGGLED[:32] + b"two" + END + b"NOOP\r\n"
    whole = in_data()
    expected = whole.feed(stream)
    for pieces in splits(stream):
        shell = in_data()
        assert b"".join([shell.feed(piece) for piece in pieces]) == expected
        assert said_mail(shell) == []


@pytest.mark.parametrize("end", [END, b".\r\n"], ids=["after a line", "at once"])
def test_the_true_end_ends_data_wherever_it_is_cut(end: bytes) -> None:
    stream = (b"one" if end == END else b"") + end + SMUGGLED  # here the client does say MAIL
    for pieces in splits(stream):
        shell = in_data()
        for piece in pieces:
            shell.feed(piece)
        assert said_mail(shell) == ["smuggled@b.example"]
        assert shell.messages == [b"one\r\n" if end == END else b"", b"smuggled\r\n"]


@pytest.mark.parametrize("line", [b"..", b"...", b". ", b".QUIT", b".\0"], ids=repr)
def test_a_dot_is_unstuffed_once_wherever_it_is_cut(line: bytes) -> None:
    """RFC 5321 §4.5.2."""
    stream = b"a\r\n" + line + b"\r\nb" + END
    for pieces in splits(stream):
        shell = in_data()
        for piece in pieces:
            shell.feed(piece)
        assert shell.messages == [b"a\r\n" + line[1:] + b"\r\nb\r\n"]


# BDAT.

ENDS = [END, b".\r\n", b"\n.\n", b"\r\n.\r\nQUIT\r\n", b"\r\n.\r\nBDAT 0 LAST\r\n", b"\r", b"\n", b"\r\n"]


def in_transaction(body: Body) -> SmtpShell:
    shell = SmtpShell(ServerOptions("mx.example"))
    shell.start()
    shell.say("EHLO a.example", f"MAIL FROM:<a@b.example> BODY={body.value}", "RCPT TO:<c@d.example>")
    shell.events.clear()
    return shell


@pytest.mark.parametrize("data", ENDS, ids=repr)
def test_nothing_in_a_binary_chunk_is_obeyed(data: bytes) -> None:
    """RFC 3030 §2, §3: the octets are counted and passed on as they are; what follows them is the next command."""
    content = b"one" + data + SMUGGLED
    stream = b"BDAT %d\r\n%sBDAT 0 LAST\r\nNOOP\r\n" % (len(content), content)
    for pieces in splits(stream):
        shell = in_transaction(Body.BINARY)
        output = b"".join([shell.feed(piece) for piece in pieces])
        assert [line[:3] for line in output.split(b"\r\n")] == [b"250", b"250", b"250", b""]
        assert said_mail(shell) == []
        assert shell.messages == [content]


@pytest.mark.parametrize("data", ENDS, ids=repr)
def test_nothing_in_a_chunk_of_text_is_obeyed(data: bytes) -> None:
    content = b"one" + data + SMUGGLED
    stream = b"BDAT %d LAST\r\n%sNOOP\r\n" % (len(content), content)
    flawed = len(content.replace(b"\r\n", b"")) != len(content.translate(None, b"\r\n"))
    for pieces in splits(stream):
        shell = in_transaction(Body.SEVEN_BIT)
        output = b"".join([shell.feed(piece) for piece in pieces])
        assert [line[:3] for line in output.split(b"\r\n")] == [b"550" if flawed else b"250", b"250", b""]
        assert said_mail(shell) == []
        assert shell.messages == ([] if flawed else [content])


@pytest.mark.parametrize("body", list(Body), ids=lambda body: body.value)
@pytest.mark.parametrize("last", [b"BDAT 3 LAST\r\nabc", b"BDAT 3\r\nabcBDAT 0 LAST\r\n"], ids=["one", "two"])
def test_a_command_behind_the_last_chunk_is_the_clients(body: Body, last: bytes) -> None:
    stream = last + b"MAIL FROM:<next@b.example>\r\n"
    for pieces in splits(stream):
        shell = in_transaction(body)
        for piece in pieces:
            shell.feed(piece)
        assert said_mail(shell) == ["next@b.example"]
        assert shell.messages == [b"abc"]


@pytest.mark.parametrize("body", list(Body), ids=lambda body: body.value)
def test_a_refused_chunk_is_consumed_before_the_next_command(body: Body) -> None:
    """RFC 3030 §2: its octets follow whatever the answer is, and are never taken for commands."""
    stream = b"BDAT %d LAST\r\n%sNOOP\r\n" % (len(SMUGGLED), SMUGGLED)
    for pieces in splits(stream):
        shell = SmtpShell(ServerOptions("mx.example"))
        shell.start()
        shell.say("EHLO a.example", f"MAIL FROM:<a@b.example> BODY={body.value}")  # and no RCPT
        output = b"".join([shell.feed(piece) for piece in pieces])
        assert [line[:3] for line in output.split(b"\r\n")] == [b"503", b"250", b""]
        assert said_mail(shell) == ["a@b.example"]


@pytest.mark.parametrize(
    "argument", ["-1 LAST", "+5 LAST", "5LAST", "0x5 LAST", "5 LAST LAST", "\u0665 LAST", "5;LAST", "1e1"]
)
def test_a_size_that_two_readers_might_read_otherwise_is_none(argument: str) -> None:
    shell = in_transaction(Body.BINARY)
    assert shell.say(f"BDAT {argument}")[0].startswith("50")
    assert shell.messages == []


def test_an_empty_message_by_chunks() -> None:
    shell = in_transaction(Body.BINARY)
    assert shell.say("BDAT 0 LAST", "NOOP")[0].startswith("250")
    assert shell.messages == [b""]


# STARTTLS.

INJECTED = b"EHLO injected.example\r\nMAIL FROM:<injected@b.example>\r\nRCPT TO:<victim@b.example>\r\n"


@pytest.mark.parametrize(
    "behind", [INJECTED, INJECTED[:10], b"\r\n", b"MAIL", b"\0", b"STARTTLS\r\n", b"x" * 5000], ids=len
)
def test_what_comes_with_starttls_is_dropped(behind: bytes) -> None:
    """RFC 3207 §4.2, RFC 3207 §6: in the same packet, and in any cut of it."""
    for pieces in [[b"STARTTLS\r\n" + behind], [b"STARTTLS\r", b"\n" + behind], [b"STARTTLS\r\n", behind]]:
        shell = SmtpShell(ServerOptions("mx.example"))
        shell.start()
        shell.say("EHLO a.example")
        shell.events.clear()
        assert b"".join([shell.feed(piece) for piece in pieces]).startswith(b"220 ")
        shell.shake_hands()
        said = shell.say("MAIL FROM:<a@b.example>", "EHLO b.example", "MAIL FROM:<a@b.example>")
        assert said[0].startswith("503 5.5.1 Send EHLO first")  # nothing of before is believed
        assert [type(event) for event in shell.events] == [StartTls, Answered, Hello, Mail]
        assert said_mail(shell) == ["a@b.example"]


def test_a_transaction_does_not_cross_the_handshake() -> None:
    shell = SmtpShell(ServerOptions("mx.example"))
    shell.start()
    shell.say("EHLO a.example", "MAIL FROM:<a@b.example>")
    assert shell.say("STARTTLS")[0].startswith("503")
    shell.say("RSET", "STARTTLS")
    shell.shake_hands()
    shell.events.clear()
    assert [line[:3] for line in shell.say("RCPT TO:<c@d.example>", "DATA", "BDAT 0 LAST")] == ["503", "503", "503"]
    assert not any(isinstance(event, Rcpt | Content) for event in shell.events)


def test_what_comes_during_the_handshake_is_not_kept() -> None:
    shell = SmtpShell(ServerOptions("mx.example"))
    shell.start()
    shell.say("EHLO a.example", "STARTTLS")
    for _ in range(1000):
        assert shell.feed(INJECTED) == b""
    shell.shake_hands()
    assert shell.feed(b"NOOP\r\n") == b"250 2.0.0 OK\r\n"
    assert said_mail(shell) == []


def test_strict_is_what_has_no_half_of_a_pair() -> None:
    for size in range(7):
        for octets in product(b"\r\na.", repeat=size):
            data = bytes(octets)
            left = data.split(b"\r\n")
            assert is_strict(data) is not any(b"\r" in part or b"\n" in part for part in left), data
