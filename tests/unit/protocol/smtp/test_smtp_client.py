"""The client engine: order, groups, replies, and nothing smuggled out."""

from itertools import product

import pytest

from postroom.mail.address import Address
from postroom.mail.envelope import Body, ByMode, DeliverBy, Notify, Recipient, Ret
from postroom.mail.reply import Reply
from postroom.protocol.errors import LocalProtocolError, RemoteProtocolError
from postroom.protocol.smtp.announced import NOTHING_ANNOUNCED, Announced, read_announced
from postroom.protocol.smtp.client import SmtpClient
from postroom.protocol.smtp.commands import (
    Command,
    EndOfContent,
    SayAuth,
    SayAuthCancel,
    SayAuthResponse,
    SayChunk,
    SayData,
    SayHello,
    SayMail,
    SayNoop,
    SayQuit,
    SayRcpt,
    SayReset,
    SayStartTls,
)
from postroom.protocol.smtp.events import NEED_DATA, PAUSED, Closed, Replied

A = Address("a", "b.example")
C = Address("c", "d.example")
EVERYTHING = ("PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "STARTTLS", "AUTH PLAIN", "DSN")


def replied(client: SmtpClient, *lines: str) -> Replied:
    client.receive_data("".join(f"{line}\r\n" for line in lines).encode())
    event = client.next_event()
    assert isinstance(event, Replied)
    return event


def ready(*extensions: str, lmtp: bool = False) -> SmtpClient:
    """A client that has been greeted with these extensions."""
    client = SmtpClient(lmtp=lmtp)
    replied(client, "220 mx.example")
    client.send(SayHello("client.example"))
    replied(client, *[f"250-{line}" for line in ("mx.example", *extensions)], "250 X-LAST")
    return client


def in_content(*extensions: str) -> SmtpClient:
    client = ready(*extensions)
    for command, reply in ((SayMail(A), "250 ok"), (SayRcpt(Recipient(C)), "250 ok"), (SayData(), "354 go")):
        client.send(command)
        replied(client, reply)
    return client


# Words.


@pytest.mark.parametrize(
    ("command", "wire"),
    [
        (SayHello("client.example"), b"EHLO client.example\r\n"),
        (SayHello("client.example", esmtp=False), b"HELO client.example\r\n"),
        (SayStartTls(), b"STARTTLS\r\n"),
        (SayAuth("PLAIN"), b"AUTH PLAIN\r\n"),
        (SayAuth("PLAIN", b""), b"AUTH PLAIN =\r\n"),
        (SayAuth("PLAIN", b"\0a\0b"), b"AUTH PLAIN AGEAYg==\r\n"),
        (SayReset(), b"RSET\r\n"),
        (SayNoop(), b"NOOP\r\n"),
        (SayQuit(), b"QUIT\r\n"),
        (SayMail(None), b"MAIL FROM:<>\r\n"),
        (
            SayMail(A, 123, Body.EIGHT_BIT, smtputf8=True, ret=Ret.FULL, envid="x+y=z"),
            b"MAIL FROM:<a@b.example> SIZE=123 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x+2By+3Dz\r\n",
        ),
        (SayMail(Address("jörg", "b.example"), smtputf8=True), "MAIL FROM:<jörg@b.example> SMTPUTF8\r\n".encode()),
        (SayMail(A, envid="ü"), b"MAIL FROM:<a@b.example>\r\n"),
        # RFC 2852 §4, RFC 6710 §4.3, RFC 8689 §2: extensions that were not announced
        (
            SayMail(A, deliver_by=DeliverBy(9, ByMode.NOTIFY), priority=3, require_tls=True),
            b"MAIL FROM:<a@b.example>\r\n",
        ),
    ],
)
def test_on_the_wire(command: Command, wire: bytes) -> None:
    assert ready(*EVERYTHING).send(command) == wire


@pytest.mark.parametrize(
    ("recipient", "wire"),
    [
        (Recipient(C), b"RCPT TO:<c@d.example>\r\n"),
        (Recipient(Address("postmaster", "")), b"RCPT TO:<postmaster>\r\n"),
        (Recipient(Address("a b", "d.example")), b'RCPT TO:<"a b"@d.example>\r\n'),
        (Recipient(C, Notify.NEVER, "rfc822;x+y@z"), b"RCPT TO:<c@d.example> NOTIFY=NEVER ORCPT=rfc822;x+2By@z\r\n"),
        (
            Recipient(C, Notify.SUCCESS | Notify.DELAY, "utf-8;jörg@z"),
            b"RCPT TO:<c@d.example> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;j\\x{F6}rg@z\r\n",
        ),
        (Recipient(C, None, "rfc822;jörg@z"), b"RCPT TO:<c@d.example>\r\n"),
    ],
)
def test_recipients_on_the_wire(recipient: Recipient, wire: bytes) -> None:
    client = ready(*EVERYTHING)
    client.send(SayMail(A))
    assert client.send(SayRcpt(recipient)) == wire


def test_parameters_of_extensions_that_were_not_announced_are_left_out() -> None:
    client = ready()
    assert client.send(SayMail(A, 123, Body.EIGHT_BIT, True, Ret.FULL, "x")) == b"MAIL FROM:<a@b.example>\r\n"
    replied(client, "250 ok")
    assert client.send(SayRcpt(Recipient(C, Notify.NEVER, "rfc822;x@y"))) == b"RCPT TO:<c@d.example>\r\n"


def test_an_address_that_needs_smtputf8_needs_the_extension() -> None:
    with pytest.raises(LocalProtocolError, match="SMTPUTF8"):
        ready().send(SayMail(Address("jörg", "b.example"), smtputf8=True))


@pytest.mark.parametrize(
    "command",
    [
        SayHello("a\r\nMAIL FROM:<x@y>"),
        SayMail(Address("a\r\nb", "c.example")),
        SayMail(Address("a", "c.example>\nRCPT TO:<x@y")),
        SayAuth("PLAIN\r\nNOOP"),
    ],
)
def test_no_field_smuggles_a_command(command: Command) -> None:
    with pytest.raises(LocalProtocolError, match="control"):
        ready(*EVERYTHING).send(command)


# Capabilities.


def test_capabilities() -> None:
    client = ready("size 1000", "AUTH PLAIN LOGIN", "AUTH=OLD", "STARTTLS", "", "XFOO  a  b")
    assert client.capabilities == {
        "SIZE": "1000",
        "AUTH": "PLAIN LOGIN",
        "STARTTLS": "",
        "XFOO": " a  b",
        "X-LAST": "",
    }
    assert not client.can_pipeline
    assert ready("PIPELINING").can_pipeline
    assert ready("AUTH=LOGIN PLAIN").capabilities["AUTH"] == "LOGIN PLAIN"


def test_helo_has_no_capabilities() -> None:
    client = ready("PIPELINING")
    client.send(SayHello("client.example", esmtp=False))
    replied(client, "250-mx.example", "250 PIPELINING")
    assert client.capabilities == {}


# Order and groups.


def test_nothing_is_said_before_the_greeting() -> None:
    with pytest.raises(LocalProtocolError, match="order"):
        SmtpClient().send(SayHello("client.example"))


@pytest.mark.parametrize("greeting", ["554 no", "421 busy"])
def test_after_a_bad_greeting_only_quit(greeting: str) -> None:
    client = SmtpClient()
    assert replied(client, greeting).command is None
    with pytest.raises(LocalProtocolError):
        client.send(SayHello("client.example"))
    assert client.send(SayQuit()) == b"QUIT\r\n"


@pytest.mark.parametrize(
    "command",
    [SayRcpt(Recipient(C)), SayData(), SayAuthResponse(b"x"), SayAuthCancel(), EndOfContent(), SayChunk()],
)
def test_out_of_order(command: Command) -> None:
    with pytest.raises(LocalProtocolError, match="order"):
        ready(*EVERYTHING).send(command)


def test_without_pipelining_each_reply_is_awaited() -> None:
    client = ready()
    client.send(SayMail(A))
    with pytest.raises(LocalProtocolError, match="PIPELINING"):
        client.send(SayRcpt(Recipient(C)))
    replied(client, "250 ok")
    client.send(SayRcpt(Recipient(C)))


@pytest.mark.parametrize("last", [SayNoop(), SayHello("x"), SayStartTls(), SayAuth("PLAIN")])
def test_some_commands_end_a_group(last: Command) -> None:
    client = ready(*EVERYTHING)
    client.send(last)
    with pytest.raises(LocalProtocolError, match="must wait"):
        client.send(SayReset())


def test_a_group_and_its_replies() -> None:
    client = ready(*EVERYTHING)
    group: list[Command] = [SayReset(), SayMail(A), SayRcpt(Recipient(C)), SayRcpt(Recipient(A)), SayData()]
    for command in group:
        client.send(command)
    assert client.outstanding == 5
    client.receive_data(b"250 2.0.0 ok\r\n250 2.1.0 ok\r\n550 5.1.1 no\r\n250 2.1.5 ok\r\n354 go\r\n")
    events = [client.next_event() for _ in group]
    assert [event.command for event in events if isinstance(event, Replied)] == group
    assert client.next_event() is NEED_DATA
    client.content(b"hello\r\n")
    assert client.end_content() == b".\r\n"
    # RFC 2920 §3.1: the end of content may begin the next group.
    client.send(SayMail(A))
    client.send(SayRcpt(Recipient(C)))
    assert replied(client, "250 2.0.0 queued") == Replied(EndOfContent(), Reply.of(250, "2.0.0", "queued"))
    assert client.outstanding == 2


def test_a_refused_mail_is_taken_back() -> None:
    client = ready()
    client.send(SayMail(A))
    replied(client, "451 4.7.1 later")
    client.send(SayMail(A))
    client = ready(*EVERYTHING)
    for command in (SayMail(A), SayRcpt(Recipient(C)), SayData()):
        client.send(command)
    for reply in ("550 5.7.1 no", "503 5.5.1 no", "503 5.5.1 no"):
        replied(client, reply)
    client.send(SayMail(A))


def test_without_recipients_there_is_no_data() -> None:
    client = ready()
    client.send(SayMail(A))
    replied(client, "250 ok")
    client.send(SayRcpt(Recipient(C)))
    replied(client, "550 no")
    with pytest.raises(LocalProtocolError):
        client.send(SayData())
    client.send(SayRcpt(Recipient(A)))
    replied(client, "250 ok")
    client.send(SayData())
    assert replied(client, "451 later").command == SayData()
    with pytest.raises(LocalProtocolError):
        client.content(b"x")
    assert client.send(SayReset()) == b"RSET\r\n"


def test_rset_before_hello_does_not_skip_hello() -> None:
    client = SmtpClient()
    replied(client, "220 hi")
    client.send(SayReset())
    replied(client, "250 ok")
    with pytest.raises(LocalProtocolError):
        client.send(SayMail(A))
    client.send(SayHello("client.example"))
    replied(client, "502 no")
    with pytest.raises(LocalProtocolError):
        client.send(SayMail(A))
    client.send(SayHello("client.example", esmtp=False))
    replied(client, "250 ok")
    client.send(SayMail(A))


def test_quit() -> None:
    client = in_content()
    client.content(b"x\r\n")
    client.end_content()
    replied(client, "250 ok")
    client.send(SayQuit())
    assert replied(client, "221 bye").command == SayQuit()
    client.receive_data(b"")
    assert client.next_event() == Closed()
    assert client.next_event() == Closed()
    with pytest.raises(LocalProtocolError):
        client.send(SayNoop())


# AUTH and TLS.


def test_an_exchange() -> None:
    client = ready(*EVERYTHING)
    client.send(SayAuth("LOGIN"))
    assert replied(client, "334 VXNlcm5hbWU6").reply.text == "VXNlcm5hbWU6"
    with pytest.raises(LocalProtocolError):
        client.send(SayNoop())
    assert client.send(SayAuthResponse(b"user")) == b"dXNlcg==\r\n"
    replied(client, "334 UGFzc3dvcmQ6")
    assert client.send(SayAuthResponse(b"")) == b"\r\n"
    assert replied(client, "235 2.7.0 ok").reply == Reply.of(235, "2.7.0", "ok")
    client.send(SayMail(A))


def test_a_cancelled_exchange() -> None:
    client = ready(*EVERYTHING)
    client.send(SayAuth("LOGIN"))
    replied(client, "334 VXNlcm5hbWU6")
    assert client.send(SayAuthCancel()) == b"*\r\n"
    replied(client, "501 5.0.0 cancelled")
    client.send(SayMail(A))


def test_starttls() -> None:
    client = ready(*EVERYTHING)
    client.send(SayStartTls())
    client.receive_data(b"220 go\r\n250 injected\r\n")
    assert client.next_event() == Replied(SayStartTls(), Reply.of(220, "", "go"))
    assert client.next_event() is PAUSED
    client.receive_data(b"250 injected\r\n")
    assert client.next_event() is PAUSED
    client.tls_established()
    assert client.next_event() is NEED_DATA
    assert client.capabilities == {}
    with pytest.raises(LocalProtocolError):
        client.send(SayMail(A))
    client.send(SayHello("client.example"))


def test_starttls_refused() -> None:
    client = ready(*EVERYTHING)
    client.send(SayStartTls())
    replied(client, "454 4.7.0 not now")
    assert client.can_pipeline
    with pytest.raises(LocalProtocolError):
        client.tls_established()
    client.send(SayMail(A))


# Content.


@pytest.mark.parametrize(
    ("pieces", "wire"),
    [
        ([], b".\r\n"),
        ([b""], b".\r\n"),
        ([b"a\r\n"], b"a\r\n.\r\n"),
        ([b"a"], b"a\r\n.\r\n"),
        ([b"."], b"..\r\n.\r\n"),
        ([b".\r\n"], b"..\r\n.\r\n"),
        ([b".a\r\n..b\r\nc.\r\n"], b"..a\r\n...b\r\nc.\r\n.\r\n"),
        ([b"a\r\n", b".b\r\n"], b"a\r\n..b\r\n.\r\n"),
        ([b"a\r", b"\n.b\r\n"], b"a\r\n..b\r\n.\r\n"),
        ([b"a", b".b\r\n"], b"a.b\r\n.\r\n"),
        ([b"a\r", b"", b"\n", b"", b"."], b"a\r\n..\r\n.\r\n"),
        ([b"\r\n\r\n"], b"\r\n\r\n.\r\n"),
    ],
)
def test_content_on_the_wire(pieces: list[bytes], wire: bytes) -> None:
    client = in_content()
    assert b"".join([client.content(piece) for piece in pieces]) + client.end_content() == wire


@pytest.mark.parametrize(
    "pieces",
    [[b"a\n"], [b"a\rb"], [b"a\r", b"b"], [b"a\r", b"\r"], [b"\n.\r\n"], [b"\r\n", b"\n"], [b"a\r\n\r.\r\n"]],
)
def test_nothing_is_smuggled_out(pieces: list[bytes]) -> None:
    client = in_content()
    for piece in pieces[:-1]:
        client.content(piece)
    with pytest.raises(LocalProtocolError, match="bare"):
        client.content(pieces[-1])


def test_every_short_content_is_stuffed_or_refused() -> None:
    for size in range(1, 7):
        for octets in product(b"a.\r\n", repeat=size):
            data = bytes(octets)
            lines = data.split(b"\r\n")
            client = in_content()
            if any(b"\r" in line or b"\n" in line for line in lines):
                with pytest.raises(LocalProtocolError, match="bare"):
                    client.content(data + b"a")
                continue
            stuffed = b"\r\n".join([b"." + line if line.startswith(b".") else line for line in lines])
            assert client.content(data) == stuffed
            assert client.end_content() == (b".\r\n" if lines[-1] == b"" else b"\r\n.\r\n")


def test_content_cannot_end_in_a_bare_cr() -> None:
    client = in_content()
    client.content(b"a\r")
    with pytest.raises(LocalProtocolError, match="bare"):
        client.end_content()


def test_content_is_for_after_the_354() -> None:
    with pytest.raises(LocalProtocolError, match="no content"):
        ready().end_content()


def test_each_message_begins_a_line() -> None:
    client = in_content()
    client.content(b"a")
    client.end_content()
    replied(client, "250 ok")
    for command, reply in ((SayMail(A), "250 ok"), (SayRcpt(Recipient(C)), "250 ok"), (SayData(), "354 go")):
        client.send(command)
        replied(client, reply)
    assert client.content(b".") == b".."


# Replies.


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        (["250"], Reply(250, "", ("",))),
        (["250 "], Reply(250, "", ("",))),
        (["250 2.1.0 ok"], Reply(250, "2.1.0", ("ok",))),
        (["250 2.1.0"], Reply(250, "2.1.0", ("",))),
        (["550-5.1.1 no", "550 5.1.1 such"], Reply(550, "5.1.1", ("no", "such"))),
        (["550-no", "550 5.1.1 such"], Reply(550, "5.1.1", ("no", "such"))),
        (["550 4.1.1 no"], Reply(550, "", ("4.1.1 no",))),
        (["250 2.1.0ok"], Reply(250, "", ("2.1.0ok",))),
        (["250 1.2.3.4 hi"], Reply(250, "", ("1.2.3.4 hi",))),
        (["550 gr\x1b[1müße"], Reply(550, "", ("gr\\x1b[1müße",))),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_reading_replies(lines: list[str], reply: Reply, size: int) -> None:
    # RFC 5321 §4.2.1
    client = ready()
    client.send(SayNoop())
    stream = "".join(f"{line}\r\n" for line in lines).encode()
    for at in range(0, len(stream) - 1, size):
        assert client.next_event() is NEED_DATA
        client.receive_data(stream[at : at + size])
    client.receive_data(stream[len(stream) - 1 :] if size == 1 else b"250 next\r\n")
    assert client.next_event() == Replied(SayNoop(), reply)


def test_a_bare_lf_ends_a_reply_too() -> None:
    client = ready()
    client.send(SayNoop())
    client.receive_data(b"250-a\n250 b\n")
    assert client.next_event() == Replied(SayNoop(), Reply(250, "", ("a", "b")))


@pytest.mark.parametrize(
    "stream",
    [
        b"hello\r\n",
        b"\r\n",
        b"25\r\n",
        b"2500 ok\r\n",
        b"150 ok\r\n",
        b"650 ok\r\n",
        b"250_ok\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\n" * 100,
        b"250 " + b"x" * 2050 + b"\r\n",  # RFC 5321 §4.5.3.1.5
        b"x" * 17 * 1024 * 1024,
        b"250 ok\r\n250 again\r\n",
    ],
)
def test_what_no_server_says(stream: bytes) -> None:
    client = ready()
    client.send(SayNoop())
    client.receive_data(stream)

    def read() -> None:
        while client.next_event() is not NEED_DATA:
            pass

    with pytest.raises(RemoteProtocolError) as first:
        read()
    with pytest.raises(RemoteProtocolError) as second:
        client.next_event()
    assert first.value is second.value
    with pytest.raises(LocalProtocolError):
        client.send(SayQuit())


def test_an_unasked_reply_is_kept_as_a_hint() -> None:
    client = in_content()
    client.receive_data(b"552 5.3.4 enough\r\n")
    with pytest.raises(RemoteProtocolError) as error:
        client.next_event()
    assert error.value.hint == Reply.of(552, "5.3.4", "enough")


def test_a_421_may_come_at_any_time() -> None:
    client = ready()
    assert replied(client, "421 4.3.2 going down") == Replied(None, Reply.of(421, "4.3.2", "going down"))
    with pytest.raises(LocalProtocolError):
        client.send(SayMail(A))
    client = ready(*EVERYTHING)
    client.send(SayMail(A))
    client.send(SayRcpt(Recipient(C)))
    client.send(SayData())
    assert replied(client, "421 4.3.2 going down").command == SayMail(A)
    client.receive_data(b"")
    assert client.next_event() == Closed()
    assert client.outstanding == 2


def test_a_421_to_one_recipient_may_not_be_the_end() -> None:
    client = ready(*EVERYTHING)
    for command in (SayMail(A), SayRcpt(Recipient(C)), SayRcpt(Recipient(A)), SayData()):
        client.send(command)
    for reply in ("250 ok", "421 later", "250 ok", "354 go"):
        replied(client, reply)
    assert client.content(b"x") == b"x"
    client = ready(*EVERYTHING)
    for command in (SayMail(A), SayRcpt(Recipient(C)), SayData()):
        client.send(command)
    for reply in ("250 ok", "421 later", "503 no"):
        replied(client, reply)
    with pytest.raises(LocalProtocolError):
        client.send(SayReset())


# LMTP.


def test_lmtp_has_a_reply_for_each_accepted_recipient() -> None:
    client = SmtpClient(lmtp=True)
    replied(client, "220 hi")
    assert client.send(SayHello("client.example", esmtp=False)) == b"LHLO client.example\r\n"
    replied(client, "250-mx.example", "250 PIPELINING")
    assert client.can_pipeline
    for command in (SayMail(A), SayRcpt(Recipient(C)), SayRcpt(Recipient(A)), SayRcpt(Recipient(C)), SayData()):
        client.send(command)
    for reply in ("250 ok", "250 ok", "550 no", "250 ok", "354 go"):
        assert replied(client, reply).recipient is None
    client.end_content()
    client.send(SayMail(A))
    assert client.outstanding == 3
    assert replied(client, "250 ok") == Replied(EndOfContent(), Reply.of(250, "", "ok"), 0)
    assert replied(client, "452 full") == Replied(EndOfContent(), Reply.of(452, "", "full"), 2)
    assert replied(client, "250 ok").command == SayMail(A)


# The newer extensions.


@pytest.mark.parametrize(
    ("announced", "command", "parameters"),
    [
        ("DELIVERBY", SayMail(A, deliver_by=DeliverBy(120, ByMode.RETURN)), b" BY=120;R"),  # RFC 2852 §4
        ("DELIVERBY 30", SayMail(A, deliver_by=DeliverBy(-5, ByMode.NOTIFY, trace=True)), b" BY=-5;NT"),
        ("MT-PRIORITY MIXER", SayMail(A, priority=-9), b" MT-PRIORITY=-9"),  # RFC 6710 §4.2
        ("MT-PRIORITY", SayMail(A), b" MT-PRIORITY=0"),
        ("REQUIRETLS", SayMail(A, require_tls=True), b" REQUIRETLS"),  # RFC 8689 §2
        ("AUTH PLAIN", SayMail(A, no_submitter=True), b" AUTH=<>"),  # RFC 4954 §5
        ("X-AUTH", SayMail(A, no_submitter=True), b""),
        ("REQUIRETLS", SayMail(A), b""),
    ],
)
def test_parameters_of_newer_extensions(announced: str, command: SayMail, parameters: bytes) -> None:
    assert ready(announced).send(command) == b"MAIL FROM:<a@b.example>" + parameters + b"\r\n"


def test_no_time_left_is_never_said_with_mode_return() -> None:
    with pytest.raises(LocalProtocolError, match="still to come"):
        ready("DELIVERBY").send(SayMail(A, deliver_by=DeliverBy(0, ByMode.RETURN)))


@pytest.mark.parametrize("extensions", [(), ("BINARYMIME",), ("CHUNKING", "8BITMIME")])
def test_binary_is_never_said_to_a_server_that_did_not_announce_it(extensions: tuple[str, ...]) -> None:
    # RFC 3030 §3: must not, under any circumstances
    with pytest.raises(LocalProtocolError, match="BINARYMIME"):
        ready(*extensions).send(SayMail(A, body=Body.BINARY))


BINARY = ("BINARYMIME", "CHUNKING")


def in_chunks(*extensions: str, lmtp: bool = False, rcpts: int = 1) -> SmtpClient:
    """A client whose recipients have been accepted."""
    client = ready(*BINARY, *extensions, lmtp=lmtp)
    assert client.send(SayMail(A, body=Body.BINARY)) == b"MAIL FROM:<a@b.example> BODY=BINARYMIME\r\n"
    replied(client, "250 ok")
    for _ in range(rcpts):
        client.send(SayRcpt(Recipient(C)))
        replied(client, "250 ok")
    return client


def test_chunks_go_as_they_are() -> None:
    # RFC 3030 §2
    client = in_chunks()
    assert client.chunk(b"\r\n.\r\n\0\xff", last=False) == b"BDAT 7\r\n\r\n.\r\n\0\xff"
    assert replied(client, "250 7 octets") == Replied(SayChunk(), Reply(250, "", ("7 octets",)))
    assert client.chunk(b"", last=True) == b"BDAT 0 LAST\r\n"
    assert replied(client, "250 done").command == EndOfContent()
    client.send(SayMail(A))


def test_chunks_are_pipelined_where_that_was_announced() -> None:
    client = in_chunks("PIPELINING")
    client.chunk(b"a", last=False)
    client.chunk(b"b", last=True)
    assert [replied(client, "250 ok").command for _ in range(2)] == [SayChunk(), EndOfContent()]
    plain = in_chunks()
    plain.chunk(b"a", last=False)
    with pytest.raises(LocalProtocolError, match="PIPELINING"):
        plain.chunk(b"b", last=True)


def test_after_a_refused_chunk_only_reset() -> None:
    # RFC 3030 §2
    client = in_chunks()
    client.chunk(b"a", last=False)
    replied(client, "452 full")
    with pytest.raises(LocalProtocolError, match="order"):
        client.chunk(b"b", last=True)
    for command in (SayMail(A), SayData()):
        with pytest.raises(LocalProtocolError, match="order"):
            client.send(command)
    client.send(SayReset())
    replied(client, "250 ok")
    client.send(SayMail(A))


def test_a_refusal_that_comes_after_the_last_chunk_was_sent() -> None:
    client = in_chunks("PIPELINING")
    client.chunk(b"a", last=False)
    client.chunk(b"b", last=True)
    replied(client, "452 full")
    assert replied(client, "503 no").command == EndOfContent()
    client.send(SayReset())


def test_the_whole_content_leaves_with_its_commands() -> None:
    # RFC 3030 §4.2, RFC 2920 §3.1
    client = ready("PIPELINING", "CHUNKING")
    client.send(SayMail(A))
    client.send(SayRcpt(Recipient(C)))
    assert client.whole(b".\r\n") == b"BDAT 3 LAST\r\n.\r\n"
    commands = [replied(client, text).command for text in ("250 ok", "250 ok", "250 taken")]
    assert commands == [SayMail(A), SayRcpt(Recipient(C)), EndOfContent()]
    client.send(SayMail(A))


@pytest.mark.parametrize("first", ["550 no", "250 ok"])
def test_what_is_refused_with_its_content(first: str) -> None:
    client = ready("PIPELINING", "CHUNKING")
    client.send(SayMail(A))
    client.send(SayRcpt(Recipient(C)))
    client.whole(b"x\r\n")
    for text in (first, "550 nobody"):
        replied(client, text)
    assert replied(client, "503 no recipients").command == EndOfContent()
    client.send(SayReset())
    replied(client, "250 ok")
    client.send(SayMail(A))


@pytest.mark.parametrize(
    ("extensions", "lmtp", "rcpt", "why"),
    [
        (("PIPELINING",), False, True, "CHUNKING"),
        (("PIPELINING", "CHUNKING"), False, False, "order"),
        (("PIPELINING", "CHUNKING"), True, True, "LMTP"),
        (("CHUNKING",), False, True, "PIPELINING"),
    ],
)
def test_the_whole_content_needs_much(extensions: tuple[str, ...], lmtp: bool, rcpt: bool, why: str) -> None:
    client = ready(*extensions, lmtp=lmtp)
    client.send(SayMail(A))
    if "PIPELINING" not in extensions:
        replied(client, "250 ok")
    if rcpt:
        client.send(SayRcpt(Recipient(C)))
    with pytest.raises(LocalProtocolError, match=why):
        client.whole(b"x")


def test_no_chunk_out_of_order() -> None:
    with pytest.raises(LocalProtocolError, match="order"):
        ready(*BINARY).chunk(b"a", last=True)
    unannounced = ready("PIPELINING")
    unannounced.send(SayMail(A))
    unannounced.send(SayRcpt(Recipient(C)))
    with pytest.raises(LocalProtocolError, match="CHUNKING"):
        unannounced.chunk(b"a", last=True)
    too_early = ready("PIPELINING", *BINARY)
    too_early.send(SayMail(A))
    too_early.send(SayRcpt(Recipient(C)))
    too_early.send(SayRcpt(Recipient(C)))
    with pytest.raises(LocalProtocolError, match="accepted"):
        too_early.chunk(b"a", last=True)
    replied(too_early, "250 ok")
    replied(too_early, "250 ok")
    with pytest.raises(LocalProtocolError, match="accepted"):
        too_early.chunk(b"a", last=True)
    replied(too_early, "550 no")
    assert too_early.chunk(b"a", last=True)


def test_data_and_chunks_do_not_mix() -> None:
    # RFC 3030 §2, §3
    with pytest.raises(LocalProtocolError, match="chunks alone"):
        in_chunks().send(SayData())
    client = in_chunks()
    client.chunk(b"a", last=False)
    replied(client, "250 ok")
    for command in (SayData(), SayRcpt(Recipient(C))):
        with pytest.raises(LocalProtocolError, match="order"):
            client.send(command)


def test_the_last_chunk_of_lmtp_has_a_reply_for_each_recipient() -> None:
    # RFC 2033 §4.3
    client = in_chunks(lmtp=True, rcpts=2)
    client.chunk(b"a", last=False)
    assert replied(client, "250 ok").recipient is None
    client.chunk(b"b", last=True)
    assert [replied(client, "250 ok").recipient for _ in range(2)] == [0, 1]
    assert client.outstanding == 0


@pytest.mark.parametrize(
    ("lines", "announced"),
    [
        ((), NOTHING_ANNOUNCED),
        (("SIZE 1000", "8BITMIME", "SMTPUTF8", "DSN"), Announced(1000, eight_bit=True, smtputf8=True, dsn=True)),
        (("SMTPUTF8 later",), Announced(eight_bit=True, smtputf8=True)),  # RFC 6531 §3.1: parameters are passed over
        (("SIZE",), NOTHING_ANNOUNCED),  # RFC 1870 §3
        (("SIZE lots", "BINARYMIME"), NOTHING_ANNOUNCED),
        (("BINARYMIME", "CHUNKING", "REQUIRETLS"), Announced(chunking=True, binary=True, require_tls=True)),
        (("CHUNKING",), Announced(chunking=True)),
        (("DELIVERBY",), Announced(min_deliver_by=0)),  # RFC 2852 §2
        (("DELIVERBY 240",), Announced(min_deliver_by=240)),
        (("DELIVERBY soon",), Announced(min_deliver_by=0)),
        # RFC 9422 §3
        (("LIMITS MAILMAX=5 RCPTMAX=20 rcptdomainmax=1",), Announced(mail_max=5, rcpt_max=20, rcpt_domain_max=1)),
        (("LIMITS MAILMAX=0 RCPTMAX=-1 RCPTDOMAINMAX=1e3",), NOTHING_ANNOUNCED),
        (("LIMITS RCPTMAX=1000000 RCPTMAX MAILMAX= X=3 RCPTMAX=7 RCPTMAX=8",), Announced(rcpt_max=7)),
        (("LIMITS",), NOTHING_ANNOUNCED),
    ],
)
def test_what_was_announced(lines: tuple[str, ...], announced: Announced) -> None:
    assert read_announced(ready(*lines).capabilities) == announced
