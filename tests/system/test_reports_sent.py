"""Mail that comes in as somebody's is counted, and the day after that domain gets a report, signed."""

import contextlib
import email
import email.policy
import gzip
import re
import smtplib
from email.message import EmailMessage
from typing import Any

import apsw
from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import HOSTNAME, Program, wait_until
from tests.system.setups import by_mx
from tests.system.sink import Sink

ALICE, DOMAIN = "alice@example.org", "remote.example"
SENDER = f"noreply-dmarc@{HOSTNAME}"
FORGED = f"From: ceo@{DOMAIN}\r\nTo: {ALICE}\r\nSubject: urgent\r\nMessage-ID: <forged@{DOMAIN}>\r\n\r\nplease pay\r\n"
GENUINE = f"From: ann@{DOMAIN}\r\nTo: {ALICE}\r\nSubject: hello\r\nMessage-ID: <genuine@{DOMAIN}>\r\n\r\nhello\r\n"
BOUNCE = f"""\
From: MAILER-DAEMON@bouncer.example\r
To: {SENDER}\r
Subject: Undelivered Mail Returned to Sender\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status; boundary=b\r
\r
--b\r
\r
no\r
--b\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mx.{DOMAIN}\r
\r
Final-Recipient: rfc822; dmarc@{DOMAIN}\r
Action: failed\r
Status: 5.1.1\r
\r
--b\r
Content-Type: message/rfc822\r
\r
Message-ID: %s\r
\r
--b--\r
"""


def counts(program: Program) -> list[tuple[Any, ...]]:
    database = apsw.Connection(str(program.folder / "data" / "postroom.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(database.execute("SELECT domain, count FROM dmarc_tally"))
    finally:
        database.close()


def two_days_pass(program: Program) -> None:
    """What was counted today was counted the day before yesterday."""
    database = apsw.Connection(str(program.folder / "data" / "postroom.db"))
    database.execute("UPDATE dmarc_tally SET day = day - 2")
    database.close()


def bring(program: Program, sender: str, content: str, to: str = ALICE) -> None:
    with program.smtp() as client, contextlib.suppress(smtplib.SMTPDataError):
        client.sendmail(sender, [to], content.encode())


def read(content: bytes) -> tuple[EmailMessage, str]:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    (attached,) = message.iter_attachments()
    return message, gzip.decompress(attached.get_content()).decode()


def test_from_a_forged_message_to_the_report_on_it(
    make_program: MakeProgram, nameserver: Nameserver, sink: Sink
) -> None:
    nameserver.zone.add(f"_dmarc.{DOMAIN}", "TXT", f"v=DMARC1; p=reject; rua=mailto:dmarc@{DOMAIN}")
    nameserver.zone.add(DOMAIN, "TXT", "v=spf1 ip4:127.0.0.1 -all")
    nameserver.zone.add("evil.example", "TXT", "v=spf1 ip4:127.0.0.1 -all")
    settings = by_mx(nameserver, sink)
    settings["mailauth"] = {"exempt_networks": []}
    program = make_program(settings).add(ALICE)
    for key in program.listing("dkim", "list"):
        program.command("dkim", "activate", key["domain"], key["selector"], "--force")
    program.start()
    bring(program, f"ann@{DOMAIN}", GENUINE)
    for _ in range(3):
        bring(program, "x@evil.example", FORGED)
    wait_until(lambda: sum(count for _, count in counts(program)) == 4, "all of it is counted and on disk")
    assert len(program.inbox(ALICE)) == 1
    assert program.stop() == 0
    assert not sink.arrived

    two_days_pass(program)
    program.start()
    wait_until(lambda: bool(sink.arrived), "the report has left")
    (arrived,) = sink.arrived
    assert arrived.mail.startswith(f"MAIL FROM:<{SENDER}>")
    assert arrived.recipients == (f"dmarc@{DOMAIN}",)
    message, xml = read(arrived.content)
    assert message["From"] == SENDER
    assert f"Report Domain: {DOMAIN} Submitter: {HOSTNAME} Report-ID: <" in message["Subject"]
    signatures = message.get_all("DKIM-Signature", [])
    assert len(signatures) == 2
    assert all(f"d={HOSTNAME.partition('.')[2]};" in field for field in signatures)
    assert re.findall("<count>(.*?)</count>", xml) in (["1", "3"], ["3", "1"])
    assert {"pass", "reject"} == set(re.findall("<disposition>(.*?)</disposition>", xml))
    assert "<email>postmaster@example.org</email>" in xml
    wait_until(lambda: not counts(program), "what was reported is forgotten")
    wait_until(lambda: bool(program.told("dmarc_report_sent")), "the log has it")
    (told,) = program.told("dmarc_report_sent")
    assert (told["domain"], told["target"], told["messages"]) == (DOMAIN, f"dmarc@{DOMAIN}", 4)

    # Its bounce is taken and noted where it belongs, and bothers nobody.
    with program.smtp() as client:
        client.sendmail("", [SENDER], (BOUNCE % message["Message-ID"]).encode())
    program.wait_told("bounce_returned", recipient=f"dmarc@{DOMAIN}")
    assert len(program.inbox(ALICE)) == 1
    assert not program.queue()
