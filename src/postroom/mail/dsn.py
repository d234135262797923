"""Composes delivery status notifications: multipart/report as RFC 3464 and RFC 6522 ask, RFC 6533 where addresses are
international. Pure; nothing that a peer said or a sender wrote can break out of its place.
"""

import base64
import re
from datetime import UTC, datetime
from enum import Enum

from postroom.mail.address import Address
from postroom.mail.delivery import NO_PEER, Peer
from postroom.mail.envelope import Body, Envelope, Recipient, Ret
from postroom.mail.headers import find_body, glance, show_date
from postroom.mail.message import Message, QueueId, show_queue_id
from postroom.mail.reply import Reply
from postroom.mail.status import advise, explain, status_or
from postroom.mail.value import value

MAX_RETURNED = 50 * 1024
"""Octets of prefix and content up to which a failed message is returned whole (RFC 3461 §6.2 leaves it to us)."""

MAX_RETURNED_HEADER = 64 * 1024
"""Octets of header that are returned at most."""

MAX_LINE = 998  # RFC 5322 §2.1.1
_MAX_REPLY_LINES = 20
_MAX_TEXT = 900  # octets of foreign text on one line; leaves room for a field's name
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_BEYOND_ASCII = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]")  # RFC 6533 §3 QCHAR
_LONG_LINE = re.compile(rb"[^\r\n]{999}")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\x00")


class Action(Enum):
    """What became of a recipient (RFC 3464 §2.3.3), the gravest first."""

    FAILED = "failed"
    DELAYED = "delayed"
    EXPANDED = "expanded"
    RELAYED = "relayed"
    DELIVERED = "delivered"


@value(frozen=True, slots=True)
class RecipientReport:
    """What a DSN says of one recipient. Times are seconds since the Unix epoch; ``retry_until`` only where delayed.

    ``by_peer`` says that ``reply`` is what ``peer`` said and not our own finding. ``expired``: given up for its age.
    """

    recipient: Recipient
    action: Action
    reply: Reply
    peer: Peer = NO_PEER
    by_peer: bool = False
    expired: bool = False
    last_attempt: float | None = None
    retry_until: float | None = None


@value(frozen=True, slots=True)
class Notice:
    """Everything that one DSN tells. ``returned`` is the first part of prefix and content of ``message``, as much as is
    at hand; ``whole`` says that it is all. ``hostname`` reports, ``now`` is when (seconds since the Unix epoch).
    ``postmaster`` is told where the message has the null sender.
    """

    queue_id: QueueId
    hostname: str
    now: float
    message: Message
    reports: tuple[RecipientReport, ...]
    returned: bytes = b""
    whole: bool = False
    postmaster: Address | None = None


@value(frozen=True, slots=True)
class Dsn:
    """A composed DSN: its envelope, its content, and its Message-ID with angle brackets."""

    envelope: Envelope
    content: bytes
    message_id: str
    action: Action


def gravest(reports: tuple[RecipientReport, ...]) -> Action:
    """The action that the subject speaks of."""
    present = {report.action for report in reports}
    return next(action for action in Action if action in present)


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
    whole = notice.whole and wants_whole(notice.message, action) and _is_safe(notice.returned)
    parts = (
        _text_part(notice, whole=whole),
        _status_part(notice, utf8=utf8),
        (_whole_part if whole else _header_part)(notice.returned, utf8_message=utf8_message, seven_bit=not utf8),
    )
    message_id = f"<{show_queue_id(notice.queue_id)}@{notice.hostname}>"
    boundary = _boundary(notice, parts)
    eight_bit = not all(part.isascii() for part in parts)
    header = _header(notice, sender, action, message_id, boundary, eight_bit=eight_bit)
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

_SUBJECTS = {
    Action.FAILED: "Your message could not be delivered",
    Action.DELAYED: "Your message is delayed",
    Action.EXPANDED: "Your message was passed on to a list of recipients",
    Action.RELAYED: "Your message was passed on",
    Action.DELIVERED: "Your message was delivered",
}


def _header(
    notice: Notice, sender: Address, action: Action, message_id: str, boundary: bytes, *, eight_bit: bool
) -> bytes:
    lines = [
        f"From: Mail Delivery System <MAILER-DAEMON@{notice.hostname}>",
        f"To: <{clean(str(sender))}>",
        f"Subject: {_SUBJECTS[action]}",
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


def _boundary(notice: Notice, parts: tuple[bytes, ...]) -> bytes:
    """A delimiter that stands in none of the parts (RFC 2046 §5.1.1)."""
    stem = f"=_{show_queue_id(notice.queue_id)}_{int(notice.now)}"
    number = 0
    while True:
        boundary = f"{stem}_{number}".encode()
        if not any(boundary in part for part in parts):
            return boundary
        number += 1


# The part for people ----------------------------------------------------------------------

_HEADINGS = {
    Action.FAILED: "Your message could NOT be delivered to the following recipients.\r\n"
    "Nothing more will be tried for them.",
    Action.DELAYED: "Your message could not be delivered to the following recipients YET.\r\n"
    "This is a warning only: it is tried again, and you need not send it again.",
    Action.EXPANDED: "Your message was passed on to everyone behind the following addresses:",
    Action.RELAYED: "Your message was passed on to the next mail system for the following recipients.\r\n"
    "That system may not report deliveries or delays, so you may hear no more of it:",
    Action.DELIVERED: "Your message was delivered to the following recipients:",
}


def _text_part(notice: Notice, *, whole: bool) -> bytes:
    message = notice.message
    lines = [f"This is the mail system at {notice.hostname}.", ""]
    if message.envelope.reverse_path is None:
        lines += ["You are told as the postmaster: the message has the null sender, so nobody else can be.", ""]
    for kind in Action:
        reports = [report for report in notice.reports if report.action is kind]
        if reports:
            lines += [_HEADINGS[kind], ""]
            for report in reports:
                lines += _tell(report, message)
    lines.append(f"Your message was received on {show_date(message.received_at)}")
    if message.envelope.hold_until is not None:
        lines.append(f"with the wish to be held back until {show_date(message.envelope.hold_until)}")
    lines += [
        f"under the queue id {show_queue_id(message.queue_id)}. "
        f"{'It follows' if whole else 'Its header follows'} below.",
        f"If you need help, write to postmaster@{notice.hostname} and enclose this report.",
    ]
    body = "\r\n".join([*lines, ""]).encode("utf-8", "replace")
    charset, encoding = ("us-ascii", "7bit") if body.isascii() else ("utf-8", "8bit")
    head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return head.encode() + b"Content-Description: Notification\r\n\r\n" + body


def _tell(report: RecipientReport, message: Message) -> list[str]:
    """What one recipient's part of the text says: who, what, why, and what to do."""
    lines = [f"  <{clean(str(report.recipient.address))}>"]
    original = report.recipient.orcpt.partition(";")[2]
    if original and original != str(report.recipient.address):
        lines.append(f"    (you wrote to {clean(original)})")
    status = status_or(report.reply.status, report.reply.code)
    if report.action in (Action.FAILED, Action.DELAYED):
        if report.expired:
            lines.append(f"    was given up: it could not be delivered for {_age(report, message)}. The last trouble:")
        lines.append(f"    {explain(status)} ({status}).")
    if report.by_peer:
        lines.append(f"    {_show_peer(report.peer)} said:")
    lines += [f"      {line}" for line in _reply_lines(report.reply)]
    if report.action is Action.FAILED:
        lines.append(f"    What to do: {advise(status)}")
    elif report.retry_until is not None:
        lines.append(f"    It is tried again until {show_date(report.retry_until)}.")
    return [*lines, ""]


def _age(report: RecipientReport, message: Message) -> str:
    seconds = max((report.last_attempt or message.starts_at) - message.starts_at, 0)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = round(seconds / length)
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "too long"


def _show_peer(peer: Peer) -> str:
    address = f" [{clean(peer.address)}]" if peer.address and peer.address != peer.host else ""
    return f"{clean(peer.host) or 'The other mail system'}{address}"


def _reply_lines(reply: Reply) -> list[str]:
    """The reply as it stands on the wire, each line cleaned and cut, at most a screenful."""
    last = len(reply.lines) - 1
    status = f"{reply.status} " if reply.status else ""
    lines = [
        f"{reply.code}{' ' if index == last else '-'}{status}{clean(line)}".rstrip()
        for index, line in enumerate(reply.lines[:_MAX_REPLY_LINES])
    ]
    if last >= _MAX_REPLY_LINES:
        lines.append(f"{reply.code} {status}({last + 1 - _MAX_REPLY_LINES} more lines)")
    return lines


def clean(text: str) -> str:
    """Foreign text on one line: control characters and line ends are blanks, what is too long is cut."""
    text = _CONTROL.sub(" ", text)
    if len(text) * 4 <= _MAX_TEXT:
        return text
    octets = text.encode()
    return text if len(octets) <= _MAX_TEXT else octets[:_MAX_TEXT].decode("utf-8", "ignore") + " ..."


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
        replies = _reply_lines(report.reply)
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
