"""Returned mail of any kind: nothing raises, nothing takes long, nothing grows without bound."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.mail.bounces.judging import CLASSIFIER

from postroom.mail.bounces.model import MAX_RECIPIENTS, Bounce, Complaint
from postroom.mail.bounces.parts import MAX_DEPTH, MAX_PARTS, read_parts
from postroom.mail.bounces.read import read_bounce
from postroom.mail.cause import Cause

_FRAGMENTS = [
    b"From: MAILER-DAEMON@x.example\r\n",
    b"From: \xff\xfe <>\n",
    b"Subject: Undeliverable\r\n",
    b"Subject: =?utf-8?b?4pyT?= =?x?q?=ZZ?=\r\n",
    b"Return-Path: <>\r\n",
    b"X-Failed-Recipients: a@x.example, , <b@x.example>\r\n",
    b"Auto-Submitted: auto-replied\r\n",
    b"Content-Type: multipart/report; boundary=b\r\n",
    b'Content-Type: multipart/mixed; boundary="b c"\n',
    b"Content-Type: message/delivery-status; charset=idna\r\n",
    b"Content-Type: message/feedback-report\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type: text/html; charset=utf-7\r\n",
    b"Content-Type: text/plain; charset=\x00\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"--b\r\n",
    b"--b--\r\n",
    b"--b c\n",
    b"Final-Recipient: rfc822; a@x.example\r\n",
    b"Final-Recipient: utf-8; \\x{110000}\\x{D800}\\x{F6}@x.example\r\n",
    b"Original-Recipient: ;;\r\n",
    b"Action: failed\r\n",
    b"Action:\r\n",
    b"Status: 5.1.1\r\n",
    b"Status: 9.9.9.9\r\n",
    b"Diagnostic-Code: smtp; 550 5.1.1 user unknown\r\n continued\r\n",
    b"Original-Rcpt-To: <a@x.example>\r\n",
    b"Feedback-Type: abuse\r\n",
    b"Message-ID: <1@x.example>\r\n",
    b"X-HmXmrOriginalRecipient: <>\r\n",
    b"could not be delivered to the following:\r\n",
    b"<a@x.example>: user unknown\r\n",
    b"  (expanded from: <b@y.example>)\r\n",
    b"\tbob\r\n",
    b"--- Original message ---\r\n",
    b"Received: from x\r\n",
    b"<style><script><td>a@x.example</td>&#0;&#x110000;\r\n",
    b"c=US;dda:SMTP=a@x.example;\r\n",
    "İ ſ 不存在 ａ@ｘ.example\r\n".encode(),
]
SECONDS = 2.0
"""Generous: some tens of milliseconds are usual, on a machine that is busy with other tests a few hundred."""


def check(content: bytes) -> None:
    found = read_bounce(content, CLASSIFIER)
    assert found is None or isinstance(found, Bounce | Complaint)
    if isinstance(found, Bounce):
        assert 0 < len(found.recipients) <= MAX_RECIPIENTS
        for recipient in found.recipients:
            assert "@" in recipient.address
            assert isinstance(recipient.cause, Cause)
            assert not (recipient.hard and not recipient.permanent)
            assert len(str(recipient.reply)) < 2000


@given(st.lists(st.sampled_from(_FRAGMENTS) | st.binary(max_size=40), max_size=40))
@settings(max_examples=600, deadline=None)
def test_any_mixture_is_read_or_left(pieces: list[bytes]) -> None:
    check(b"".join(pieces))


@given(st.binary(max_size=2000))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_left(content: bytes) -> None:
    check(content)


_TOP = b"From: mailer-daemon@x.example\r\nTo: a@b.example\r\nSubject: Undeliverable\r\n"
_REPORT = b"Final-Recipient: rfc822; c@d.example\r\nAction: failed\r\n\r\n"
_HUGE = 1 << 20


def filled(start: bytes, piece: bytes) -> bytes:
    return _TOP + start + piece * (_HUGE // len(piece))


LONG = {
    "one line": filled(b"\r\n", b"a"),
    "short lines": filled(b"\r\n", b"could not be delivered\r\n"),
    "addresses": filled(b"\r\nfailed:\r\n", b"<u@example.org>: unknown\r\n"),
    "addresses in one line": filled(b"\r\n", b"a@b.c "),
    "half addresses": filled(b"\r\n", b"a@"),
    "tags": filled(b"Content-Type: text/html\r\n\r\n", b"<style"),
    "brackets": filled(b"Content-Type: text/html\r\n\r\n", b"<"),
    "parts": filled(b"Content-Type: multipart/report; boundary=x\r\n\r\n", b"--x\r\n"),
    "text parts": filled(
        b"Content-Type: multipart/report; boundary=x\r\n\r\n",
        b"--x\r\n\r\n" + b"cannot deliver to <a@x.example>\r\n" * 500,
    ),
    "reports": filled(b"Content-Type: message/delivery-status\r\n\r\n", _REPORT),
    "report parts": filled(
        b"Content-Type: multipart/report; boundary=x\r\n\r\n",
        b"--x\r\nContent-Type: message/delivery-status\r\n\r\n" + _REPORT * 300,
    ),
    "header only": filled(b"", b"a: b\r\n"),
    "folds": filled(b"X: a\r\n", b" a\r\n"),
    "failed recipients": filled(b"X-Failed-Recipients: ", b"a@b.example, "),
    "words": filled(b"\r\n", b"mailbox is not delivered user "),
    "parameters": filled(b"Content-Type: multipart/report;", b' a="b\\'),
    "encoded subject": filled(b"Subject: ", b"=?utf-8?q?a?= "),
}


@pytest.mark.parametrize("name", LONG)
def test_a_megabyte_of_anything_is_soon_read(name: str) -> None:
    start = time.process_time()
    check(LONG[name])
    assert time.process_time() - start < SECONDS


def test_parts_are_opened_only_so_deep_and_so_many() -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(9000))
    assert len(read_parts(deep)) == MAX_DEPTH + 1
    check(_TOP + deep)
    # One boundary begins like the other, as some programs make them.
    alike = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n"
    )
    assert [part.kind for part in read_parts(alike + b"--b1\r\n\r\nx\r\n--b1--\r\n--b\r\n\r\ny\r\n--b--\r\n")] == [
        "multipart/mixed",
        "multipart/mixed",
        "text/plain",
        "text/plain",
    ]
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 9000
    assert len(read_parts(many)) == MAX_PARTS
