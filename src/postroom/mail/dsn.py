"""Composes delivery status notifications: multipart/report as RFC 3464 and RFC 6522 ask, RFC 6533 where addresses are
international. Pure; nothing that a peer said or a sender wrote can break out of its place.

People are told in their language, programs never: the parts stand apart.
"""

import base64
import re
from datetime import UTC, datetime

from postroom.mail.address import Address
from postroom.mail.dsntext import write_text_part
from postroom.mail.dsntexts import choosing
from postroom.mail.dsntexts.texts import Texts
from postroom.mail.envelope import Body, Envelope, Recipient, Ret
from postroom.mail.headers import find_body, glance, show_date
from postroom.mail.message import Message, show_queue_id
from postroom.mail.notice import Action, Notice, RecipientReport, clean, gravest, reply_lines
from postroom.mail.status import status_or
from postroom.mail.value import value

__all__ = [
    "MAX_RETURNED",
    "MAX_RETURNED_HEADER",
    "Action",
    "Dsn",
    "Notice",
    "RecipientReport",
    "clean",
    "compose",
    "gravest",
    "wants_whole",
]

MAX_RETURNED = 50 * 1024
"""Octets of prefix and content up to which a failed message is returned whole (RFC 3461 §6.2 leaves it to us)."""

MAX_RETURNED_HEADER = 64 * 1024
"""Octets of header that are returned at most."""

MAX_LINE = 998  # RFC 5322 §2.1.1
_WORD = 42  # octets in an encoded word: 75 characters at most (RFC 2047 §2)
_BEYOND_ASCII = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]")  # RFC 6533 §3 QCHAR
_LONG_LINE = re.compile(rb"[^\r\n]{999}")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\x00")


@value(frozen=True, slots=True)
class Dsn:
    """A composed DSN: its envelope, its content, and its Message-ID with angle brackets."""

    envelope: Envelope
    content: bytes
    message_id: str
    action: Action


def wants_whole(message: Message, action: Action) -> bool:
    """Whether the DSN returns the whole message, so that the caller knows how much to read (RFC 3461 §4.3, §6.2).

    Never that of a message that requires TLS, whatever RET said (RFC 8689 §5).
    """
    envelope = message.envelope
    if envelope.ret is Ret.HDRS or envelope.require_tls:
        return False
    return action is Action.FAILED and message.size <= MAX_RETURNED


def compose(notice: Notice) -> Dsn:
    """The DSN to the reverse-path of the message, and to nobody but the postmaster where that is null.

    ValueError for a message with the null sender where no postmaster is named (RFC 3461 §5.2).
    """
    sender = notice.message.envelope.reverse_path or notice.postmaster
    if sender is None:
        raise ValueError("a message with the null sender never causes a DSN")
    action = gravest(notice.reports)
    utf8 = sender.needs_smtputf8  # RFC 6533 §4.5: else nobody says that the way back takes UTF-8
    utf8_message = notice.message.envelope.smtputf8
    texts = choosing.choose(notice.returned, notice.language)
    whole = notice.whole and wants_whole(notice.message, action) and _is_safe(notice.returned)
    parts = (
        write_text_part(notice, texts, whole=whole),
        _status_part(notice, utf8=utf8),
        (_whole_part if whole else _header_part)(notice.returned, utf8_message=utf8_message, seven_bit=not utf8),
    )
    message_id = f"<{show_queue_id(notice.queue_id)}@{notice.hostname}>"
    boundary = _boundary(notice, parts)
    eight_bit = not all(part.isascii() for part in parts)
    header = _header(notice, sender, texts, message_id, boundary, eight_bit=eight_bit)
    delimiter = b"--" + boundary + b"\r\n"
    content = b"".join(
        (
            header,
            b"\r\nThis is a report in MIME format (RFC 6522).\r\n\r\n",
            *(piece for part in parts for piece in (delimiter, part, b"\r\n")),
            b"--" + boundary + b"--\r\n",
        )
    )
    envelope = Envelope(
        reverse_path=None,  # RFC 3461 §6.1
        recipients=(Recipient(sender),),
        body=Body.EIGHT_BIT if eight_bit or not header.isascii() else Body.SEVEN_BIT,
        smtputf8=sender.needs_smtputf8,
        priority=notice.message.envelope.priority,  # RFC 6710 §4.6
        require_tls=notice.message.envelope.require_tls,  # RFC 8689 §5
    )
    return Dsn(envelope, content, message_id, action)


# The header ----------------------------------------------------------------------


def _header(
    notice: Notice, sender: Address, texts: Texts, message_id: str, boundary: bytes, *, eight_bit: bool
) -> bytes:
    lines = [
        f"From: Mail Delivery System <MAILER-DAEMON@{notice.hostname}>",
        f"To: <{clean(str(sender))}>",
        f"Subject: {_encoded_words(texts.subjects[gravest(notice.reports)])}",
        f"Date: {show_date(notice.now)}",
        f"Message-ID: {message_id}",
    ]
    original = glance(notice.returned).message_id
    if original.isascii() and "@" in original:
        lines += [f"In-Reply-To: {original}", f"References: {original}"]
    lines += [
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary.decode("ascii")}"',
        f"Content-Transfer-Encoding: {'8bit' if eight_bit else '7bit'}",
    ]
    return "\r\n".join([*lines, ""]).encode()


def _encoded_words(text: str) -> str:
    """The text as the value of an unstructured field: in encoded words where it is not ASCII (RFC 2047 §5)."""
    if text.isascii():
        return text
    chunks: list[bytes] = [b""]
    for character in text:
        octets = character.encode()
        if len(chunks[-1]) + len(octets) > _WORD:  # a character is never cut in two (RFC 2047 §5)
            chunks.append(b"")
        chunks[-1] += octets
    words = [f"=?utf-8?B?{base64.b64encode(chunk).decode('ascii')}?=" for chunk in chunks]
    return "\r\n ".join(words)


def _boundary(notice: Notice, parts: tuple[bytes, ...]) -> bytes:
    """A delimiter that stands in none of the parts (RFC 2046 §5.1.1)."""
    stem = f"=_{show_queue_id(notice.queue_id)}_{int(notice.now)}"
    number = 0
    while True:
        boundary = f"{stem}_{number}".encode()
        if not any(boundary in part for part in parts):
            return boundary
        number += 1


# The part for programs ----------------------------------------------------------------------


def _status_part(notice: Notice, *, utf8: bool) -> bytes:
    message = notice.message
    lines = [f"Reporting-MTA: dns; {notice.hostname}"]
    if message.envelope.envid:  # RFC 3461 §6.3 a
        lines.append(f"Original-Envelope-Id: {clean(message.envelope.envid)}")
    lines.append(f"Arrival-Date: {show_date(message.received_at)}")
    by = message.envelope.deliver_by
    if by is not None:  # RFC 2852 §5
        lines.append(f"Deliver-By-Date: {show_date(by.ends_at(message.received_at))}")
    if message.envelope.hold_until is not None:  # RFC 4865 §5.1.2
        lines.append(f"Future-Release-Request: {_show_hold(message.envelope)}")
    lines.append(f"X-Postroom-Queue-Id: {show_queue_id(message.queue_id)}")
    for report in notice.reports:
        lines.append("")
        lines += _recipient_fields(report, utf8=utf8)
    text = "\r\n".join([*lines, ""])
    if not utf8:  # RFC 3464 §2.1: 7bit is a must
        head = b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n"
        return head + b"Content-Description: Delivery report\r\n\r\n" + text.encode("ascii", "replace")
    head = b"Content-Type: message/global-delivery-status\r\nContent-Description: Delivery report\r\n"
    return head + _encoded(text.encode("utf-8", "replace"), seven_bit=False)


def _show_hold(envelope: Envelope) -> str:
    """How FUTURERELEASE was asked for, else the time as ``until`` (RFC 4865 §5.1.2, RFC 3339)."""
    if envelope.hold_request:
        return _in_ascii(clean(envelope.hold_request))
    return f"until;{datetime.fromtimestamp(envelope.hold_until or 0.0, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _recipient_fields(report: RecipientReport, *, utf8: bool) -> list[str]:
    """The per-recipient fields (RFC 3464 §2.3, RFC 3461 §6.3)."""
    lines = []
    if report.recipient.orcpt:
        kind, _, address = report.recipient.orcpt.partition(";")
        kind = _in_ascii(clean(kind))
        lines.append(f"Original-Recipient: {kind}; {_show_address(kind, clean(address), utf8=utf8)}")
    address = clean(str(report.recipient.address))
    kind = "rfc822" if address.isascii() else "utf-8"
    lines.append(f"Final-Recipient: {kind}; {_show_address(kind, address, utf8=utf8)}")
    lines.append(f"Action: {report.action.value}")
    lines.append(f"Status: {_status(report)}")
    if report.peer.host:
        lines.append(f"Remote-MTA: dns; {clean(report.peer.host)}")
    if report.action is not Action.EXPANDED:
        replies = reply_lines(report.reply)
        kind = "smtp" if report.by_peer else "x-postroom"
        folded = "\r\n ".join(replies)  # RFC 3461 §9.2
        lines.append(f"Diagnostic-Code: {kind}; {folded if utf8 else _in_ascii(folded)}")
    if report.last_attempt is not None:
        lines.append(f"Last-Attempt-Date: {show_date(report.last_attempt)}")
    if report.retry_until is not None and report.action is Action.DELAYED:
        lines.append(f"Will-Retry-Until: {show_date(report.retry_until)}")
    return lines


def _status(report: RecipientReport) -> str:
    """The status of the reply, in a class that fits the action (RFC 3464 §2.3.4)."""
    status = status_or(report.reply.status, report.reply.code)
    match report.action:
        case Action.FAILED:
            return status if status[0] in "45" else "5.0.0"
        case Action.DELAYED:
            return status if status[0] == "4" else "4.0.0"
        case _:
            return status if status[0] == "2" else "2.0.0"


def _show_address(kind: str, text: str, *, utf8: bool) -> str:
    """An address as it stands, or as utf-8-addr-xtext where only ASCII may stand (RFC 6533 §3)."""
    if utf8 or (kind.lower() != "utf-8" and text.isascii()):
        return text
    return _BEYOND_ASCII.sub(_embed, text)


def _embed(match: re.Match[str]) -> str:
    return f"\\x{{{ord(match[0]):X}}}"


def _in_ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


# The part that returns the message ----------------------------------------------------------------------


def _whole_part(returned: bytes, *, utf8_message: bool, seven_bit: bool) -> bytes:
    body = returned if returned.endswith(b"\r\n") else returned + b"\r\n"
    if utf8_message and not body.isascii():
        head = b"Content-Type: message/global\r\nContent-Description: Undelivered message\r\n"
        return head + _encoded(body, seven_bit=seven_bit)
    # RFC 2046 §5.2.1: message/rfc822 is 7bit or 8bit, never encoded again
    encoding = b"7bit" if body.isascii() else b"8bit"
    head = b"Content-Type: message/rfc822\r\nContent-Description: Undelivered message\r\n"
    return head + b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body


def _header_part(returned: bytes, *, utf8_message: bool, seven_bit: bool) -> bytes:
    end, _ = find_body(returned)
    fields = returned[: min(end, MAX_RETURNED_HEADER)]
    if len(fields) < end:  # cut where a line ends
        fields = fields[: fields.rfind(b"\r\n") + 2]
    kind = b"message/global-headers" if utf8_message and not fields.isascii() else b"text/rfc822-headers"
    head = b"Content-Type: " + kind + b"\r\nContent-Description: Message header\r\n"
    return head + _encoded(fields, seven_bit=seven_bit)


def _encoded(body: bytes, *, seven_bit: bool) -> bytes:
    """The end of a part's header, and its body in the plainest encoding that carries it."""
    if body.isascii() and _is_safe(body):
        return b"Content-Transfer-Encoding: 7bit\r\n\r\n" + body
    if not seven_bit and _is_safe(body):
        return b"Content-Transfer-Encoding: 8bit\r\n\r\n" + body
    return b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(body).replace(b"\n", b"\r\n")


def _is_safe(body: bytes) -> bool:
    """Lines of 998 octets at most and no bare CR, bare LF or NUL (RFC 2045 §2.7, §2.8)."""
    return _BARE.search(body) is None and _LONG_LINE.search(body) is None
