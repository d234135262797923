"""Both engines talking to each other: what one says the other understands."""

import pytest
from tests.fakes.smtp_shell import SmtpShell

from postroom.mail.address import Address
from postroom.mail.envelope import Body, Notify, Recipient, Ret
from postroom.mail.reply import Reply
from postroom.protocol.smtp.client import SmtpClient
from postroom.protocol.smtp.commands import (
    Command,
    SayAuth,
    SayAuthCancel,
    SayAuthResponse,
    SayData,
    SayHello,
    SayMail,
    SayNoop,
    SayQuit,
    SayRcpt,
    SayReset,
    SayStartTls,
)
from postroom.protocol.smtp.events import NEED_DATA, Auth, AuthResponse, Closed, Mail, Rcpt, Replied
from postroom.protocol.smtp.options import ServerOptions


class Pair:
    """A client engine and a server engine, joined."""

    def __init__(self, options: ServerOptions | None = None, **refusals: Reply) -> None:
        self.shell = SmtpShell(options or ServerOptions("mx.example"), refusals=refusals)
        self.client = SmtpClient(lmtp=self.shell.options.lmtp)
        self.client.receive_data(self.shell.start())
        self.greeting = self.reply()

    def reply(self) -> Reply:
        event = self.client.next_event()
        assert isinstance(event, Replied)
        return event.reply

    def do(self, *commands: Command) -> list[Reply]:
        self.pass_on(b"".join([self.client.send(command) for command in commands]))
        return [self.reply() for _ in commands]

    def pass_on(self, data: bytes) -> None:
        self.client.receive_data(self.shell.feed(data))


HELLO = SayHello("client.example")
SENDER = SayMail(Address("a", "b.example"))
RECIPIENT = SayRcpt(Recipient(Address("c", "d.example")))


def test_a_whole_session() -> None:
    pair = Pair()
    assert pair.greeting.code == 220
    assert pair.do(HELLO)[0].code == 250
    assert pair.client.capabilities["SIZE"] == str(50 * 1024 * 1024)
    for number in range(3):
        assert [reply.code for reply in pair.do(SENDER, RECIPIENT, SayData())] == [250, 250, 354]
        pair.pass_on(pair.client.content(b"..%d\r\n." % number) + pair.client.end_content())
        assert pair.reply() == Reply.of(250, "2.0.0", "8 octets queued")
    assert pair.shell.messages == [b"..0\r\n.\r\n", b"..1\r\n.\r\n", b"..2\r\n.\r\n"]
    assert pair.do(SayReset(), SayNoop())[1].code == 250
    assert pair.do(SayQuit())[0].code == 221
    assert pair.shell.engine.is_over
    pair.client.receive_data(b"")
    assert pair.client.next_event() == Closed()


def test_every_parameter_arrives() -> None:
    pair = Pair()
    pair.do(HELLO)
    mail = SayMail(
        Address("jörg", "xn--bcher-kva.example"), 99, Body.EIGHT_BIT, smtputf8=True, ret=Ret.HDRS, envid="id +="
    )
    recipients = [
        Recipient(Address('a "b', "c.example"), Notify.NEVER, "rfc822;x +=y@z"),
        Recipient(Address("d", "[IPv6:2001:db8::1]"), Notify.SUCCESS | Notify.FAILURE | Notify.DELAY, "utf-8;jörg\\@ü"),
        Recipient(Address("postmaster", "")),
    ]
    replies = pair.do(mail, *[SayRcpt(recipient) for recipient in recipients])
    assert [reply.code for reply in replies] == [250] * 4
    assert pair.shell.events[-4:] == [
        Mail(mail.reverse_path, Body.EIGHT_BIT, smtputf8=True, size=99, ret=Ret.HDRS, envid="id +="),
        *[Rcpt(recipient) for recipient in recipients],
    ]


def test_tls_and_auth() -> None:
    pair = Pair(ServerOptions("mx.example", auth_mechanisms=("PLAIN", "LOGIN"), require_auth=True, require_tls=True))
    pair.do(HELLO)
    assert pair.do(SENDER)[0].code == 530
    assert pair.do(SayStartTls())[0].code == 220
    pair.shell.shake_hands()
    pair.client.tls_established()
    pair.do(HELLO)
    assert pair.client.capabilities["AUTH"] == "PLAIN LOGIN"
    assert pair.do(SENDER)[0].code == 530
    assert pair.do(SayAuth("PLAIN", b""))[0].code == 535
    assert pair.do(SayAuth("LOGIN"))[0].code == 334
    assert pair.do(SayAuthCancel())[0].code == 501
    assert pair.do(SayAuth("LOGIN"))[0].code == 334
    assert pair.do(SayAuthResponse(b"user"))[0].code == 334
    assert pair.do(SayAuthResponse(b"x\0secret"))[0].code == 235
    assert pair.shell.events[-3:] == [Auth("LOGIN", None), AuthResponse(b"user"), AuthResponse(b"x\0secret")]
    assert pair.do(SENDER)[0].code == 250


def test_all_recipients_refused() -> None:
    pair = Pair(None, RCPT=Reply.of(550, "5.1.1", "No such user"))
    pair.do(HELLO)
    assert [reply.code for reply in pair.do(SENDER, RECIPIENT, RECIPIENT, SayData())] == [250, 550, 550, 503]
    assert [reply.code for reply in pair.do(SayReset(), SENDER)] == [250, 250]


def test_lmtp() -> None:
    pair = Pair(ServerOptions("mx.example", lmtp=True))
    pair.do(HELLO)
    pair.do(SENDER, RECIPIENT, RECIPIENT, SayData())
    pair.pass_on(pair.client.end_content())
    assert [pair.reply().code for _ in range(2)] == [250, 250]
    assert pair.client.next_event() is NEED_DATA


@pytest.mark.parametrize("code", [421, 554])
def test_a_bad_greeting(code: int) -> None:
    pair = Pair(None, CONNECT=Reply.of(code, "4.3.2" if code == 421 else "5.3.2", "No"))
    assert pair.greeting.code == code
    assert pair.shell.engine.is_over is (code == 421)
