"""Delivery status notifications by the standard and beside it (RFC 3464, RFC 6533)."""

from dataclasses import replace

import pytest
from tests.unit.mail.bounces.judging import bounce, read
from tests.unit.mail.test_dsn import CONTENT, PEER, REFUSED, a_message, a_notice

from postroom.mail.address import Address
from postroom.mail.bounces.model import MAX_RECIPIENTS, Bounce
from postroom.mail.cause import Cause
from postroom.mail.dsn import Action, RecipientReport, compose
from postroom.mail.envelope import Recipient
from postroom.mail.reply import Reply

TOP = """From: MAILER-DAEMON@mx.far.example
To: ann@home.example
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"

--=_b
Content-Type: text/plain

It failed.

--=_b
Content-Type: message/delivery-status

"""
RETURNED = """
--=_b
Content-Type: message/rfc822

Message-ID: <1@home.example>
To: list@far.example

Content
--=_b--
"""


def dsn(status: str, returned: str = RETURNED) -> Bounce:
    return bounce(TOP + status + returned)


# Our own.


def test_our_own_reports_are_read_as_they_were_meant() -> None:
    late = RecipientReport(
        Recipient(Address("carol", "far.example")), Action.DELAYED, Reply.of(451, "4.4.1", "not reached"), PEER
    )
    done = RecipientReport(Recipient(Address("dan", "far.example")), Action.RELAYED, Reply.of(250, "2.0.0", "ok"), PEER)
    found = bounce(compose(a_notice(REFUSED, late, done)).content)
    assert found.standard
    assert found.reporter == "mx.home.example"
    assert found.envelope_id == "QQ314159"
    assert found.message_id == "<1@home.example>"
    bob, carol, dan = found.recipients
    assert (bob.address, bob.final) == ("Bob@Far.Example", "bob@far.example")
    assert (bob.action, bob.permanent, bob.hard) == (Action.FAILED, True, True)
    assert (bob.cause, bob.host) == (Cause.MAILBOX_UNKNOWN, "mx.far.example")
    assert bob.reply == Reply.of(550, "5.1.1", "no such user look elsewhere")
    assert (carol.action, carol.permanent, carol.hard) == (Action.DELAYED, False, False)
    assert (dan.action, dan.permanent, dan.hard) == (Action.RELAYED, False, False)


@pytest.mark.parametrize("local", ["jörg", "日本", "a b"])
def test_names_beyond_ascii_come_back_as_they_were(local: str) -> None:
    # RFC 6533 §3: in the 7-bit form they are escaped.
    address = Address(local, "far.example")
    report = replace(REFUSED, recipient=Recipient(address))
    found = bounce(compose(a_notice(report, message=a_message(CONTENT, smtputf8=True))).content)
    assert [recipient.address for recipient in found.recipients] == [str(address)]


def test_an_escaped_address_is_read() -> None:
    found = dsn(
        "Reporting-MTA: dns; x\n\nFinal-Recipient: utf-8; j\\x{F6}rg@far.example\nAction: failed\nStatus: 5.1.1\n"
    )
    assert found.recipients[0].address == "jörg@far.example"


# Others'.


@pytest.mark.parametrize(
    ("fields", "action", "permanent", "hard"),
    [
        ("Action: failed\nStatus: 5.1.1", Action.FAILED, True, True),
        ("Action: Failed\nStatus: 5.0.0 (permanent failure)", Action.FAILED, True, True),
        ("Action: failed (bad destination)\nStatus: 5.1.1", Action.FAILED, True, True),
        ("Action: failed\nStatus: 4.4.7", Action.FAILED, True, False),
        ("Action: failed\nDiagnostic-Code: smtp; 450 4.2.2 mailbox full", Action.FAILED, True, False),
        ("Action: failed\nStatus: 5.7.1\nDiagnostic-Code: smtp; 550 greylisted", Action.FAILED, True, False),
        ("Action: delayed\nStatus: 4.4.1", Action.DELAYED, False, False),
        ("Action: relayed\nStatus: 2.1.5", Action.RELAYED, False, False),
        ("Action: expanded\nStatus: 2.0.0", Action.EXPANDED, False, False),
        ("Action: delivered\nStatus: 2.0.0", Action.DELIVERED, False, False),
        ("Status: 5.1.1", Action.FAILED, True, True),
        ("Status: 4.4.1", Action.DELAYED, False, False),
        ("Status: 2.0.0", Action.DELIVERED, False, False),
        ("Diagnostic-Code: smtp; 550 no", Action.FAILED, True, True),
        ("Action: nonsense", Action.FAILED, True, True),
    ],
)
def test_what_became_of_it(fields: str, action: Action, permanent: bool, hard: bool) -> None:
    (found,) = dsn(
        f"Reporting-MTA: dns; mx.far.example\n\nFinal-Recipient: rfc822; bob@far.example\n{fields}\n"
    ).recipients
    assert (found.action, found.permanent, found.hard) == (action, permanent, hard)


@pytest.mark.parametrize(
    "written",
    [
        "rfc822; bob@far.example",
        "RFC822;bob@far.example",
        "rfc822; <bob@far.example>",
        "bob@far.example",
        "rfc822; bob@far.example (Bob)",
        "rfc822;\n bob@far.example",
    ],
)
def test_the_spellings_of_an_address(written: str) -> None:
    found = dsn(f"Reporting-MTA: dns; x\n\nFinal-Recipient: {written}\nAction: failed\nStatus: 5.1.1\n")
    assert [recipient.address for recipient in found.recipients] == ["bob@far.example"]


@pytest.mark.parametrize(
    "blocks",
    [
        # as it should be
        "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x.example\nAction: failed\n\n"
        "Final-Recipient: rfc822; b@x.example\nAction: failed\n",
        # no empty line anywhere
        "Reporting-MTA: dns; x\nFinal-Recipient: rfc822; a@x.example\nAction: failed\n"
        "Final-Recipient: rfc822; b@x.example\nAction: failed\n",
        # too many of them
        "\n\nReporting-MTA: dns; x\n\n\n\nFinal-Recipient: rfc822; a@x.example\n\nAction: failed\n\n\n"
        "Final-Recipient: rfc822; b@x.example\n\n\nAction: failed\n\n",
        # the original recipient first, the action before the recipient, nothing about the message
        "Original-Recipient: rfc822; a@x.example\nFinal-Recipient: rfc822; aa@x.example\nAction: failed\n\n"
        "Action: failed\nOriginal-Recipient: rfc822; b@x.example\nFinal-Recipient: rfc822; bb@x.example\n",
        # lines that are no fields
        "Reporting-MTA: dns; x\n\n?? junk\nFinal-Recipient: rfc822; a@x.example\nAction: failed\n\n"
        "junk without colon\nFinal-Recipient: rfc822; b@x.example\nAction: failed\n",
    ],
)
def test_blocks_that_are_set_badly(blocks: str) -> None:
    found = dsn(blocks)
    assert [recipient.address for recipient in found.recipients] == ["a@x.example", "b@x.example"]
    assert all(recipient.action is Action.FAILED for recipient in found.recipients)


def test_a_diagnostic_over_several_lines_gives_the_cause_and_the_better_status() -> None:
    (found,) = dsn(
        "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.0.0\n"
        "Remote-MTA: DNS; Mx.Example (192.0.2.1)\n"
        "Diagnostic-Code: SMTP; 552 5.2.2\n The mailbox of a@x.example\n\tis full\n"
    ).recipients
    assert found.cause is Cause.MAILBOX_FULL
    assert found.reply == Reply.of(552, "5.2.2", "The mailbox of a@x.example is full")
    assert found.host == "mx.example"


def test_without_a_diagnostic_the_words_beside_the_report_tell_why() -> None:
    status = "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.0.0\n"
    text = (TOP + status + RETURNED).replace("It failed.", "User unknown.")
    assert bounce(text).recipients[0].cause is Cause.MAILBOX_UNKNOWN


def test_a_report_inside_a_mixed_message_under_a_wrong_type_or_encoded() -> None:
    fields = "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.1.1\n"
    top = (
        "From: postmaster@x.example\nSubject: Undelivered\nContent-Type: multipart/mixed; boundary=o\n\npreamble\n--o\n"
    )
    inner = "Content-Type: multipart/report; boundary=i\n\n--i\n\nhello\n--i\nContent-Type: message/delivery-status\n\n"
    assert bounce(f"{top}{inner}{fields}--i--\n--o--\n").recipients[0].address == "a@x.example"
    assert bounce(f"{top}Content-Type: text/plain\n\n{fields}--o--\n").recipients[0].address == "a@x.example"
    # the same, forwarded by a gateway as a message of its own
    assert (
        bounce(f"{top}Content-Type: message/rfc822\n\n{inner}{fields}--i--\n--o--\n").recipients[0].address
        == "a@x.example"
    )
    encoded = fields.replace("=", "=3D").replace(":", "=3A")
    kind = "Content-Type: message/delivery-status\nContent-Transfer-Encoding: quoted-printable\n\n"
    assert bounce(f"{top}{kind}{encoded}--o--\n").recipients[0].address == "a@x.example"


def test_what_a_bounce_returns_is_no_report() -> None:
    # A person forwards a bounce to us as an attachment, and the returned message quotes a report.
    returned = "Final-Recipient: rfc822; victim@x.example\nAction: failed\nStatus: 5.1.1\n"
    text = (
        "From: paul@people.example\nSubject: look\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\nHi\n--o\n"
        f"Content-Type: message/rfc822\n\nSubject: x\n\n{returned}\n--o--\n"
    )
    assert read(text) is None


def test_a_report_without_usable_recipients_is_read_by_its_words() -> None:
    text = (TOP + "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; nonsense\nAction: failed\n" + RETURNED).replace(
        "It failed.", "<a@x.example>: user unknown"
    )
    found = bounce(text)
    assert not found.standard
    assert [recipient.address for recipient in found.recipients] == ["a@x.example"]


def test_only_so_many_recipients_are_read() -> None:
    one = "Final-Recipient: rfc822; a%d@x.example\nAction: failed\n\n"
    found = dsn("Reporting-MTA: dns; x\n\n" + "".join(one % number for number in range(MAX_RECIPIENTS + 9)))
    assert len(found.recipients) == MAX_RECIPIENTS


def test_a_returned_header_gives_the_message_id_too() -> None:
    header = "\n--=_b\nContent-Type: text/rfc822-headers\n\nReceived: x\nMessage-Id:\n <2@home.example>\n--=_b--\n"
    fields = "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x.example\nAction: failed\n"
    assert dsn(fields, header).message_id == "<2@home.example>"
    assert dsn(fields, "\n--=_b--\n").message_id == ""
