"""Reads complaints: feedback reports (RFC 5965, RFC 6591), and the forms of providers that have their own."""

import re

from postroom.mail.bounces.model import MAX_RECIPIENTS, Complaint
from postroom.mail.bounces.parts import Part
from postroom.mail.bounces.report import read_address, read_fields
from postroom.mail.bounces.returned import find_returned, message_id_of, returned_field
from postroom.mail.mailboxes import read_mailboxes

_RECIPIENT_FIELDS = ("original-rcpt-to", "removal-recipient", "original-recipient")
_HIDDEN_IN = (b"x-hmxmroriginalrecipient", b"x-original-recipient", b"x-rcpt-to")
"""Fields of the returned message that name who complained: Microsoft's program sends no report besides."""


def read_feedback(parts: tuple[Part, ...]) -> Complaint | None:
    """The complaint, None if it is none."""
    returned = find_returned(parts)
    for part in parts:
        if part.kind == "message/feedback-report":
            return _standard(part.text(), parts, returned)
    if returned is not None and returned_field(returned, _HIDDEN_IN[0]):
        return Complaint(
            "abuse",
            _hidden(returned),
            source=_address_literal(returned_field(returned, b"x-sid-pra-ip") or parts[0].field(b"x-originating-ip")),
            message_id=message_id_of(parts),
        )
    return None


def _standard(text: str, parts: tuple[Part, ...], returned: bytes | None) -> Complaint:
    fields: dict[str, list[str]] = {}
    for name, value in read_fields(text):
        if name and len(fields.setdefault(name, [])) < MAX_RECIPIENTS:
            fields[name].append(value)

    def first(name: str) -> str:
        return fields.get(name, [""])[0]

    # RFC 5965 §3.3: Original-Rcpt-To may stand several times; others have names of their own for it.
    recipients = [read_address(value) for name in _RECIPIENT_FIELDS for value in fields.get(name, [])]
    if not any("@" in recipient for recipient in recipients) and returned is not None:
        recipients = list(_hidden(returned) or _only_addressee(returned))
    return Complaint(
        first("feedback-type").lower().split(" ")[0] or "other",
        tuple(dict.fromkeys(recipient for recipient in recipients if "@" in recipient)),
        sender=read_address(first("original-mail-from")),
        domains=tuple(dict.fromkeys(value.lower() for value in fields.get("reported-domain", []))),
        source=first("source-ip"),
        message_id=message_id_of(parts),
        envelope_id=first("original-envelope-id"),
    )


def _hidden(returned: bytes) -> tuple[str, ...]:
    for name in _HIDDEN_IN:
        address = read_address(returned_field(returned, name))
        if "@" in address:
            return (address,)
    return ()


def _only_addressee(returned: bytes) -> tuple[str, ...]:
    """The To of the returned message where it is one address: then nobody else can have complained."""
    found = read_mailboxes(returned_field(returned, b"to")[:1000])
    return (str(found[0]),) if len(found) == 1 and found[0] is not None else ()


def _address_literal(text: str) -> str:
    return re.sub(r"[\[\]\s]", "", text)[:50]
