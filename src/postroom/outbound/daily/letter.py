"""The mail that carries a report: a few words for people, and the report attached (RFC 2045, RFC 5322). Pure."""

import base64
from datetime import UTC, datetime
from textwrap import wrap

from postroom.mail.address import Address
from postroom.mail.headers import show_date
from postroom.mail.value import value
from postroom.outbound.daily.counts import DAY


@value(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a report's mail says. All of it is ASCII without line ends; ``extra`` are whole fields of the header.

    ``media_type`` is that of the attachment, ``container`` that of the whole, with its parameters but the boundary.
    ``day`` is the one that the report is about, ``submitter`` the domain of whoever made it.
    """

    sender: Address
    recipient: Address
    domain: str
    submitter: str
    report_id: str
    day: int
    message_id: str
    now: float
    container: str
    extra: tuple[str, ...]
    words: tuple[str, ...]
    media_type: str
    file_name: str
    body: bytes


def compose(letter: Letter) -> bytes:
    """The content with CRLF. The Subject is that of RFC 8460 §5.3, which is that of RFC 9990 §3.5.2."""
    boundary = f"=_{letter.report_id.partition('@')[0]}"
    lines = [
        f"From: <{letter.sender}>",
        f"To: <{letter.recipient}>",
        f"Subject: Report Domain: {letter.domain}",
        f" Submitter: {letter.submitter}",
        f" Report-ID: <{letter.report_id}>",
        f"Date: {show_date(letter.now)}",
        f"Message-ID: {letter.message_id}",
        *letter.extra,
        "Auto-Submitted: auto-generated",  # RFC 3834 §5
        "MIME-Version: 1.0",
        f"Content-Type: {letter.container};",
        f' boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "Content-Transfer-Encoding: 7bit",
        "",
        *letter.words,
        "",
        f"--{boundary}",
        f"Content-Type: {letter.media_type}",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f' filename="{letter.file_name}"',
        "",
        *wrap(base64.b64encode(letter.body).decode(), 76),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode()


def file_name(submitter: str, domain: str, day: int, report_id: str, extension: str) -> str:
    """RFC 8460 §5.1, RFC 9990 §3.5.2: who made it, about whom, from when to when, and which it is."""
    start = day * DAY
    mark = report_id.partition("@")[0]
    return f"{submitter}!{domain}!{start}!{start + DAY - 1}!{mark}.{extension}"


def show_day(day: int) -> str:
    """The day for people, in UTC."""
    return f"{datetime.fromtimestamp(day * DAY, UTC):%Y-%m-%d}"
