"""The part of a DSN that people read: what happened, to whom, in whose words, and what the sender can do. Pure.

Recipients who share a fate share a paragraph: it names the cause in plain words, then them, then what was said.
"""

import binascii
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header, make_header

from postroom.mail.cause import Cause
from postroom.mail.delivery import Peer
from postroom.mail.dsntexts.texts import Texts
from postroom.mail.headers import find_field
from postroom.mail.message import Message, show_queue_id
from postroom.mail.notice import Action, Notice, RecipientReport, clean, reply_lines
from postroom.mail.status import status_or

_MAX_SUBJECT = 120  # characters of the message's subject that are repeated
_UNSUCCESSFUL = frozenset({Action.FAILED, Action.DELAYED})
_OURS = frozenset({Cause.LOCAL, Cause.SUPPRESSED})  # causes that say more than the status which goes with them

_Fate = tuple[str, ...]
"""The paragraphs that several recipients share: before the list of them, and behind it."""


def write_text_part(notice: Notice, texts: Texts, *, whole: bool) -> bytes:
    """The MIME part, header included. ``whole``: the message follows, and not only its header."""
    body = "\r\n".join([*_lines(notice, texts, whole=whole), ""]).encode("utf-8", "replace")
    head = f"Content-Language: {texts.language}\r\nContent-Description: Notification\r\n".encode()
    if body.isascii():
        head += b"Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n"
        return head + b"\r\n" + body
    # Not 8bit: so that the way back need not take that (RFC 6152 §3) for the sake of a few letters
    head += b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    return head + b"\r\n" + binascii.b2a_qp(body)


def _lines(notice: Notice, texts: Texts, *, whole: bool) -> list[str]:
    message = notice.message
    lines = [texts.host.format(host=notice.hostname), ""]
    if message.envelope.reverse_path is None:
        lines += [texts.postmaster, ""]
    for action in Action:
        reports = [report for report in notice.reports if report.action is action]
        if reports:
            lines += [*texts.choose(texts.headings[action], len(reports)).split("\n"), ""]
            lines += _tell(reports, message, texts)
    subject = _subject(notice.returned)
    if subject:
        lines += [texts.about.format(subject=subject)]
    queue_id = show_queue_id(message.queue_id)
    lines.append(texts.received.format(moment=texts.show_moment(message.received_at), queue_id=queue_id))
    if message.envelope.hold_until is not None:
        lines.append(texts.held.format(moment=texts.show_moment(message.envelope.hold_until)))
    lines.append(texts.follows if whole else texts.header_follows)
    lines.append(texts.help.format(address=f"postmaster@{notice.hostname}"))
    return lines


def _tell(reports: list[RecipientReport], message: Message, texts: Texts) -> list[str]:
    """The recipients of one action, grouped by their fate, and within it by what was said."""
    fates: dict[tuple[_Fate, _Fate], dict[_Fate, list[RecipientReport]]] = {}
    for report in reports:
        fate = _before(report, message, texts), _behind(report, texts)
        fates.setdefault(fate, {}).setdefault(_words(report, texts), []).append(report)
    lines: list[str] = []
    for (before, behind), said in fates.items():
        lines += [*before, ""] if before else []
        for words, together in said.items():
            for report in together:
                lines += _name(report, texts)
            lines += [*words, ""]
        lines += [*behind, ""] if behind else []
    return lines


def _before(report: RecipientReport, message: Message, texts: Texts) -> _Fate:
    """Why, in plain words."""
    if report.action not in _UNSUCCESSFUL:
        return ()
    why = _sentence(_explain(report, texts)[0])
    if not report.expired:
        return (why,)
    age = texts.show_age(max((report.last_attempt or message.starts_at) - message.starts_at, 0))
    return (texts.given_up.format(age=age) if age else texts.given_up_soon, why)


def _behind(report: RecipientReport, texts: Texts) -> _Fate:
    """What the sender can do, or what is done."""
    if report.action is Action.FAILED:
        return (texts.to_do.format(advice=_explain(report, texts)[1]),)
    if report.action is Action.DELAYED and report.retry_until is not None:
        return (texts.tried_until.format(moment=texts.show_moment(report.retry_until)),)
    return ()


def _explain(report: RecipientReport, texts: Texts) -> tuple[str, str]:
    """Explanation and advice: by the cause of what a peer said, by the status of what we found ourselves."""
    causes: Mapping[Cause, tuple[str, str]] = texts.causes
    if report.cause in causes and (report.by_peer or report.cause in _OURS):
        return causes[report.cause]
    status = status_or(report.reply.status, report.reply.code)
    return texts.explain(status), texts.advise(status)


def _name(report: RecipientReport, texts: Texts) -> list[str]:
    address = str(report.recipient.address)
    lines = [f"    <{clean(address)}>"]
    original = report.recipient.orcpt.partition(";")[2]
    if original and original.lower() != address.lower():
        lines.append(f"    {texts.forwarded.format(address=clean(original))}")
    return lines


def _words(report: RecipientReport, texts: Texts) -> _Fate:
    """What was said, by whom."""
    said = texts.said.format(peer=_show_peer(report.peer, texts)) if report.by_peer else texts.detail
    return (f"    {said}", *(f"      {line}" for line in reply_lines(report.reply)))


def _show_peer(peer: Peer, texts: Texts) -> str:
    address = f" [{clean(peer.address)}]" if peer.address and peer.address != peer.host else ""
    return f"{clean(peer.host) or texts.other_system}{address}"


def _sentence(half: str) -> str:
    return f"{half[:1].upper()}{half[1:]}."


def _subject(returned: bytes) -> str:
    """What the message calls itself, so that its sender knows which it was; ``""`` where that is not to be told."""
    text = find_field(returned, b"subject") or ""
    if "=?" in text:
        try:
            text = str(make_header(decode_header(text)))
        except (LookupError, ValueError, HeaderParseError):
            return ""  # nobody would recognise it
    text = clean(text).strip()
    return text if len(text) <= _MAX_SUBJECT else text[:_MAX_SUBJECT] + " ..."
