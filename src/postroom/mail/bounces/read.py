"""Says what a returned mail is: a bounce, a complaint, or neither; the door of this package."""

import re
from dataclasses import replace

from postroom.mail.bounces import wording
from postroom.mail.bounces.diagnosis import diagnose
from postroom.mail.bounces.feedback import read_feedback
from postroom.mail.bounces.model import MAX_RECIPIENTS, Bounce, Complaint, ReturnedRecipient
from postroom.mail.bounces.notice import earlier_address, later_address, read_notice
from postroom.mail.bounces.parts import Part, read_parts
from postroom.mail.bounces.report import find_report, read_report
from postroom.mail.bounces.returned import message_id_of
from postroom.mail.classify import Classifier
from postroom.mail.dsn import Action
from postroom.mail.mailboxes import read_mailboxes
from postroom.mail.phrases import Phrases, folded

_SUBJECTS = Phrases((wording.FAILURE_SUBJECTS, wording.AUTO_REPLY_SUBJECTS))
_FAILURE, _AUTO_REPLY = range(2)
_ENCODED_WORD = re.compile(r"=\?([\w-]{1,40})\?([bq])\?([^?\s]{0,500})\?=", re.IGNORECASE)
_GOES_ON = ("re:", "aw:", "sv:", "fwd:", "fw:", "wg:", "tr:")
"""A person answers or forwards; a few programs that keep the subject of what they return are missed for it."""

_MAX_TEXTS = 1 << 16


def read_bounce(content: bytes, classifier: Classifier) -> Bounce | Complaint | None:
    """What came back; None for what is neither, such as an automatic reply. ``content``: as received, or its start.

    Standard forms first (RFC 3464, 5965); then what the words say, where the sender is a mail system. Whoever calls
    must know by another sign which message it is about: all that stands in it can be made up.
    """
    parts = read_parts(content)
    complaint = read_feedback(parts)
    if complaint is not None:
        return complaint
    texts = _texts(parts)
    bounce = _from_report(parts, texts, classifier)
    if bounce is None and _is_notice(parts[0]):
        bounce = _from_report(_inner_report(parts), texts, classifier) or _from_words(parts, texts, classifier)
    return bounce


def _from_report(parts: tuple[Part, ...], texts: str, classifier: Classifier) -> Bounce | None:
    report = find_report(parts)
    if report is None:
        return None
    bounce = read_report(report, classifier, texts)
    return replace(bounce, message_id=message_id_of(parts)) if bounce.recipients else None


def _inner_report(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts of a report that a gateway has passed on inside a message of its own; empty if there is none."""
    for part in parts[1:]:
        if part.kind == "message/rfc822":
            inner = read_parts(part.body)
            if inner[0].kind == "multipart/report":
                return inner
    return ()


def _from_words(parts: tuple[Part, ...], texts: str, classifier: Classifier) -> Bounce | None:
    top = parts[0]
    excluded = frozenset(
        str(address).lower()
        for name in (b"from", b"to", b"sender", b"reply-to", b"return-path")
        for address in read_mailboxes(top.field(name)[:1000])
        if address is not None
    )
    notice = read_notice(texts, excluded, _domain_of(top))
    named = _listed_in_header(top)
    reasons = notice.reasons
    if named:
        told = {address.lower(): reason for address, reason in notice.reasons.items()}
        reasons = {address: told.get(address.lower(), "") for address in named}
    if not reasons:
        return None
    action = Action.DELAYED if notice.delayed else Action.FAILED
    recipients = tuple(_recipient(address, reason, texts, action, classifier) for address, reason in reasons.items())
    return Bounce(recipients, message_id_of(parts))


def _recipient(address: str, reason: str, texts: str, action: Action, classifier: Classifier) -> ReturnedRecipient:
    """One recipient, with the address that was written to and the one that failed, where the reason has both."""
    earlier = earlier_address(reason)
    final = address if earlier else later_address(address, reason)
    return diagnose(classifier, earlier or address, action, final=final, diagnostic=reason or texts)


def _domain_of(top: Part) -> str:
    found = [address for address in read_mailboxes(top.field(b"from")[:1000]) if address is not None]
    return found[0].domain if found else ""


def _texts(parts: tuple[Part, ...]) -> str:
    """What people read: the plain texts, or the HTML where there are none."""
    shown = [part for part in parts if part.kind.startswith("text/") and not part.is_returned]
    plain = [part for part in shown if part.kind != "text/html"]
    return "\n".join(part.text() for part in plain or shown)[:_MAX_TEXTS]


def _is_notice(top: Part) -> bool:
    """A mail system wrote it, about a delivery; not a person, nor a program that answers for one (RFC 3834 §5)."""
    subject = folded(_decoded(top.field(b"subject")[:1000]))
    said = _SUBJECTS.said_in(subject)
    if top.header.first(b"x-failed-recipients") is not None:
        return True
    from_system = _is_from_system(top)
    if _AUTO_REPLY in said and _FAILURE not in said:
        return False
    if not from_system and (_answers_by_itself(top) or subject.startswith(_GOES_ON)):
        return False
    return from_system or _FAILURE in said or top.kind == "multipart/report"


def _is_from_system(top: Part) -> bool:
    written = top.field(b"from")[:1000]
    local = re.search(r"[\w.+-]{1,64}(?=@)", written)
    if local is not None and local[0].lower() in wording.MAIL_SYSTEMS:
        return True
    name = folded(written)
    return any(
        word in name for word in ("mailer-daemon", "mail delivery", "mail system", "postmaster", "mailer daemon")
    )


def _answers_by_itself(top: Part) -> bool:
    if top.field(b"auto-submitted").lower().startswith("auto-"):
        return True
    if any(top.header.first(name) is not None for name in (b"x-autoreply", b"x-autorespond", b"x-vacation")):
        return True
    return top.field(b"precedence").lower() in {"auto_reply", "auto-reply", "list"}


def _listed_in_header(top: Part) -> list[str]:
    """X-Failed-Recipients, as Exim and Google write it."""
    written = ",".join(field.text for field in top.header.all(b"x-failed-recipients"))[:20000]
    return [str(address) for address in read_mailboxes(written) if address is not None][:MAX_RECIPIENTS]


def _decoded(subject: str) -> str:
    """The subject with its encoded words read (RFC 2047)."""

    def one(match: re.Match[str]) -> str:
        header = f"Content-Type: text/plain; charset={match[1]}\r\nContent-Transfer-Encoding: "
        encoding = "base64" if match[2] in "bB" else "quoted-printable"
        data = match[3] if match[2] in "bB" else match[3].replace("_", " ")
        return read_parts(f"{header}{encoding}\r\n\r\n{data}".encode())[0].text()

    return _ENCODED_WORD.sub(one, subject)
