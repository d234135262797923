"""The receiving side's extensions against the real program: binary mail in a mailbox, LMTP, XCLIENT, held mail."""

import email
import email.policy
import poplib
import re
import smtplib
from typing import Any

from tests.system.fixtures import MakeProgram
from tests.system.program import HOSTNAME, Program

BOB, ANN = "bob@example.org", "ann@example.org"
LOOPBACK: dict[str, Any] = {"addresses": ["127.0.0.1"], "port": 0}
HEADER = (
    b"Subject: binary\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
)


def send_binary(program: Program, content: bytes, *recipients: str) -> tuple[int, bytes]:
    """By BDAT, in chunks of 100,000 octets; the last reply."""
    client = smtplib.SMTP("127.0.0.1", program.port("mx"))
    client.ehlo("client.example")
    assert client.has_extn("binarymime")
    client.mail("x@elsewhere.example", ["BODY=BINARYMIME"])
    for recipient in recipients:
        assert client.rcpt(recipient)[0] == 250
    for at in range(0, len(content), 100_000):
        chunk = content[at : at + 100_000]
        client.send(b"BDAT %d\r\n%s" % (len(chunk), chunk))
        assert client.getreply()[0] == 250
    client.send(b"BDAT 0 LAST\r\n")
    reply = client.getreply()
    client.quit()
    return reply


def collect(client: poplib.POP3) -> bytes:
    """The first message, as it came over the wire but for its dots."""
    _, lines, _ = client.retr(1)
    return b"\r\n".join(lines) + b"\r\n"


def test_binary_mail_reaches_a_mailbox_as_text(make_program: MakeProgram) -> None:
    """RFC 3030 §3, RFC 1939 §3: small enough for memory, and large enough for the store's chunks."""
    program = make_program().add(BOB, ANN).start()
    small, large = bytes(range(256)) + b"\n.\n\r\n.\r\n", bytes(range(256)) * 8000
    assert send_binary(program, HEADER + small, BOB)[0] == 250
    assert send_binary(program, HEADER + large, ANN)[0] == 250
    for name, octets in ((BOB, small), (ANN, large)):
        client = program.pop3(name)
        _, size = client.stat()
        received = collect(client)
        assert len(received) == size  # what STAT promises is what RETR brings
        message = email.message_from_bytes(received, policy=email.policy.SMTP)
        assert message.get_payload(decode=True) == octets
        client.quit()


def test_binary_mail_that_no_mailbox_can_hold_is_refused(make_program: MakeProgram) -> None:
    program = make_program().add(BOB).start()
    code, text = send_binary(program, b"Subject: a\nX: b\r\n\r\n" + b"x" * 300_000, BOB)
    assert (code, text[:5]) == (554, b"5.6.3")
    assert program.inbox(BOB) == []


def test_lmtp_delivers(make_program: MakeProgram) -> None:
    """RFC 2033 §4.2, with the client of Python's own library."""
    program = make_program({"listener": [{"role": "lmtp", **LOOPBACK}, {"role": "pop3s", **LOOPBACK}]})
    program.add(BOB, ANN).start()
    client = smtplib.LMTP("127.0.0.1", program.port("lmtp"), local_hostname="mta.example.org")
    client.ehlo()
    client.mail("x@elsewhere.example")
    replies = [client.rcpt(to)[0] for to in (BOB, "nobody@example.org", "y@elsewhere.example", ANN)]
    assert replies == [250, 550, 550, 250]
    assert client.data(b"Subject: hi\r\n\r\n")[0] == 250
    assert client.getreply()[0] == 250  # the second recipient's
    assert client.noop()[0] == 250
    client.quit()
    for name in (BOB, ANN):
        (message,) = program.inbox(name)
        assert re.search(rf"by {re.escape(HOSTNAME)} with LMTP\b".encode(), message)


def test_xclient_speaks_for_another(make_program: MakeProgram) -> None:
    settings = {"smtp": {"xclient_networks": ["127.0.0.0/8"], "trusted_networks": ["127.0.0.0/8"]}}
    program = make_program(settings).add(BOB).start()
    client = smtplib.SMTP("127.0.0.1", program.port("mx"))
    client.ehlo("proxy.example")
    assert client.has_extn("xclient")
    assert client.docmd("XCLIENT", "ADDR=198.51.100.7 PORT=4711")[0] == 220
    client.ehlo("client.example")
    client.mail("x@elsewhere.example")
    assert client.rcpt("y@elsewhere.example")[0] == 550  # the proxy may relay, its client may not
    assert client.rcpt(BOB)[0] == 250
    assert client.data(b"Subject: hi\r\n\r\n")[0] == 250
    client.quit()
    (message,) = program.inbox(BOB)
    assert b"from client.example ([198.51.100.7])" in message
