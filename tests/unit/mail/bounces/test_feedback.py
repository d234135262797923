"""Complaints: the standard form and those of providers (RFC 5965, RFC 6591)."""

import pytest
from tests.unit.mail.bounces.judging import read

from postroom.mail.bounces.model import Complaint

ARF = """From: <abuse@provider.example>
To: <fbl@home.example>
Subject: FW: Earn money
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part1"

--part1
Content-Type: text/plain; charset=US-ASCII

This is an email abuse report for an email message received from IP 192.0.2.2.

--part1
Content-Type: message/feedback-report

{fields}
--part1
Content-Type: message/rfc822
Content-Disposition: inline

Received: from mailserver.home.example
From: <somespammer@home.example>
To: {to}
Subject: Earn money
Message-ID: <8787KJKJ3K4J3K4J3K4J3.mail@home.example>

Spam Spam Spam
--part1--
"""
FULL = """Feedback-Type: Abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <news+42@home.example>
Original-Rcpt-To: <user@provider.example>
Original-Rcpt-To: <other@provider.example>
Arrival-Date: Thu, 8 Mar 2005 14:00:00 EDT
Original-Envelope-Id: QQ42
Reporting-MTA: dns; mail.provider.example
Source-IP: 192.0.2.2
Authentication-Results: mail.provider.example;
 spf=fail smtp.mail=news@home.example
Reported-Domain: Home.example
Reported-Uri: http://home.example/earn_money.html
"""


def complaint(fields: str, to: str = "<user@provider.example>") -> Complaint:
    found = read(ARF.format(fields=fields, to=to))
    assert isinstance(found, Complaint), found
    return found


def test_all_that_a_feedback_report_says() -> None:
    assert complaint(FULL) == Complaint(
        "abuse",
        ("user@provider.example", "other@provider.example"),
        sender="news+42@home.example",
        domains=("home.example",),
        source="192.0.2.2",
        message_id="<8787KJKJ3K4J3K4J3K4J3.mail@home.example>",
        envelope_id="QQ42",
    )


def test_where_the_recipient_is_missing_the_only_addressee_complained() -> None:
    fields = "Feedback-Type: abuse\nUser-Agent: x\nVersion: 1\n"
    assert complaint(fields).recipients == ("user@provider.example",)
    assert complaint(fields, "a@provider.example, b@provider.example").recipients == ()
    assert complaint(fields, "undisclosed-recipients:;").recipients == ()


def test_a_redacted_recipient_is_none() -> None:
    assert complaint("Feedback-Type: abuse\nOriginal-Rcpt-To: <redacted>\n", "redacted").recipients == ()


def test_other_names_for_the_recipient() -> None:
    found = complaint("Feedback-Type: opt-out\nRemoval-Recipient: user2@provider.example\n")
    assert found.recipients == ("user2@provider.example",)
    assert found.kind == "opt-out"


@pytest.mark.parametrize(
    ("kind", "unwelcome"),
    [
        ("abuse", True),
        ("fraud", True),
        ("opt-out", True),
        ("other", True),
        ("not-spam", False),
        ("auth-failure", False),
    ],
)
def test_which_kinds_say_that_mail_is_not_wanted(kind: str, unwelcome: bool) -> None:
    # RFC 6591 §3.1: auth-failure is told by a machine, of a message that may be forged.
    assert complaint(f"Feedback-Type: {kind}\n").is_unwelcome is unwelcome


def test_microsofts_reports_name_the_recipient_in_the_returned_header() -> None:
    text = """From: staff@hotmail.example
To: fbl@home.example
Subject: complaint about message from 192.0.2.2
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="m"

--m
Content-Type: message/rfc822

X-HmXmrOriginalRecipient: <jane@hotmail.example>
X-SID-PRA: news@home.example
From: news@home.example
To: jane@hotmail.example
Message-ID: <5@home.example>
Subject: Spring

Hello
--m--
"""
    found = read(text)
    assert isinstance(found, Complaint)
    assert found.kind == "abuse"
    assert found.recipients == ("jane@hotmail.example",)
    assert found.message_id == "<5@home.example>"


def test_an_empty_report_is_still_a_complaint() -> None:
    assert complaint("").kind == "other"
