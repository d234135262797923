"""Reads reports about one message: failures of authentication (RFC 6591) and complaints (RFC 5965).

The form is ARF's, and read by ``mail/bounces``; here stands what that has no use for.
"""

from email.utils import parsedate_to_datetime

from postroom.mail.bounces.feedback import read_feedback
from postroom.mail.bounces.model import Complaint
from postroom.mail.bounces.parts import Part
from postroom.mail.bounces.report import read_address, read_fields
from postroom.mail.bounces.returned import find_returned, returned_field
from postroom.mail.mailboxes import read_mailboxes
from postroom.mailauth.reports.model import ComplaintReport, FailureReport
from postroom.mailauth.reports.text import LONGEST_DOMAIN, LONGEST_WORD, address, clean, count, domain, moment, word

_LONGEST_ADDRESS = LONGEST_DOMAIN + 65
_FAILURES = frozenset({"auth-failure", "dmarc"})


def read_feedback_report(parts: tuple[Part, ...]) -> FailureReport | ComplaintReport | None:
    """The report that the parts of a message make; None if they make none."""
    complaint = read_feedback(parts)
    if complaint is None:
        return None
    fields: dict[str, str] = {}
    for part in parts:
        if part.kind == "message/feedback-report":
            for name, text in read_fields(part.text()):
                fields.setdefault(name, text)
            break
    reporter = reporter_of(parts[0])
    if complaint.kind in _FAILURES or "auth-failure" in fields:
        return _failure(complaint, fields, parts, reporter)
    return complaint_report(complaint, reporter)


def complaint_report(complaint: Complaint, reporter: str, *, report_id: str = "", about: str = "") -> ComplaintReport:
    """What is kept of a complaint."""
    sender = clean(complaint.sender, _LONGEST_ADDRESS)
    named = domain(complaint.domains[0]) if complaint.domains else ""
    return ComplaintReport(
        reporter,
        named or domain(sender.rpartition("@")[2]),
        word(complaint.kind),
        report_id,
        source=address(complaint.source),
        sender=sender,
        recipient=clean(complaint.recipients[0], _LONGEST_ADDRESS) if complaint.recipients else "",
        message_id=clean(complaint.message_id, LONGEST_DOMAIN),
        about=about,
    )


def reporter_of(top: Part) -> str:
    """The domain that a report's mail is From, as it says; ``?`` if it does not."""
    found = [one for one in read_mailboxes(top.field(b"from")[:1000]) if one is not None]
    return domain(found[0].domain) if found else "?"


def _failure(complaint: Complaint, fields: dict[str, str], parts: tuple[Part, ...], reporter: str) -> FailureReport:
    returned = find_returned(parts)
    author = read_mailboxes(returned_field(returned, b"from")[:1000]) if returned is not None else ()
    header_from = domain(author[0].domain) if author and author[0] is not None else ""
    mail_from = clean(read_address(fields.get("original-mail-from", "")), _LONGEST_ADDRESS)
    named = domain(complaint.domains[0]) if complaint.domains else ""
    return FailureReport(
        reporter,
        named or header_from or domain(mail_from.rpartition("@")[2]),
        _first_word(fields.get("auth-failure", "")) or complaint.kind,
        at=_arrival(fields.get("arrival-date", "") or fields.get("received-date", "")),
        source=address(complaint.source),
        delivery=_first_word(fields.get("delivery-result", "")),
        alignment=clean(fields.get("identity-alignment", ""), LONGEST_WORD).lower(),
        header_from=header_from,
        mail_from=mail_from,
        recipient=clean(complaint.recipients[0], _LONGEST_ADDRESS) if complaint.recipients else "",
        message_id=clean(complaint.message_id, LONGEST_DOMAIN),
        dkim_domain=domain(fields.get("dkim-domain", "")),
        dkim_selector=clean(fields.get("dkim-selector", ""), LONGEST_DOMAIN),
        spf_record=clean(fields.get("spf-dns", "")),
        results=clean(fields.get("authentication-results", "")),
        incidents=max(count(fields.get("incidents", "")), 1),  # RFC 5965 §3.2
    )


def _first_word(text: str) -> str:
    """The value without comment (RFC 6591 §4 allows them)."""
    return word(text.partition("(")[0])


def _arrival(text: str) -> float:
    """When the message came (RFC 5965 §3.2), as RFC 5322 writes dates; 0 where that is not said."""
    try:
        return moment(str(parsedate_to_datetime(text[:100]).timestamp()))
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
