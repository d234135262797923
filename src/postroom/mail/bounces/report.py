"""Reads the machine's part of a delivery status notification (RFC 3464), also where it is broken."""

import re
from collections.abc import Iterator

from postroom.mail.address import Address
from postroom.mail.bounces.diagnosis import diagnose
from postroom.mail.bounces.model import MAX_RECIPIENTS, Bounce, ReturnedRecipient
from postroom.mail.bounces.parts import Part
from postroom.mail.classify import Classifier
from postroom.mail.dsn import Action

_KINDS = frozenset({"message/delivery-status", "message/global-delivery-status"})  # RFC 3464 §2.1, RFC 6533 §4.1
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,60})[ \t]*:[ \t]*(.*)")
_NAMES_A_RECIPIENT = re.compile(r"^(?:final|original)-recipient[ \t]*:.*@", re.IGNORECASE | re.MULTILINE)
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")  # RFC 6533 §3
_ACTIONS = {action.value: action for action in Action} | {
    # Not the words of RFC 3464 §2.3.3, but seen.
    "failure": Action.FAILED,
    "fail": Action.FAILED,
    "error": Action.FAILED,
    "undeliverable": Action.FAILED,
    "delay": Action.DELAYED,
    "deferred": Action.DELAYED,
    "warning": Action.DELAYED,
    "success": Action.DELIVERED,
}

Fields = dict[str, str]
"""Names in small letters; of a field that stands twice the first."""


def find_report(parts: tuple[Part, ...]) -> Part | None:
    """The part with the report; also one that hides behind a wrong media type, as gateways make them."""
    for part in parts:
        if part.kind in _KINDS:
            return part
    for part in parts:
        if part.kind.startswith("text/") and not part.is_returned and _NAMES_A_RECIPIENT.search(part.text()):
            return part
    return None


def read_report(part: Part, classifier: Classifier, human: str = "") -> Bounce:
    """What the report says. ``human`` is the text beside it, for where the report gives no reason."""
    about, groups = _groups(part.text())
    found: list[ReturnedRecipient] = []
    for fields in groups[:MAX_RECIPIENTS]:
        recipient = _recipient(fields, classifier, human)
        if recipient is not None:
            found.append(recipient)
    return Bounce(
        tuple(found),
        envelope_id=about.get("original-envelope-id", ""),
        reporter=_name(about.get("reporting-mta", "")),
        standard=True,
    )


def read_fields(text: str) -> Iterator[tuple[str, str]]:
    """Fields of a report in order, unfolded; a field without name and value stands for an empty line."""
    name, value = "", ""
    for line in text.split("\n"):
        if line[:1] in {" ", "\t"} and line.strip():
            value = f"{value} {line.strip()}"[:4000]
            continue
        if name:
            yield name, value
        match = _FIELD.match(line)
        name, value = (match[1].lower(), match[2].strip()) if match is not None else ("", "")
        if not line.strip():
            yield "", ""
    if name:
        yield name, value


def _groups(text: str) -> tuple[Fields, list[Fields]]:
    """The fields about the message, and those of each recipient.

    Recipients are parted by empty lines (RFC 3464 §2.1), but some reporters forget them, or put too many.
    """
    about: Fields = {}
    groups: list[Fields] = []
    current = about
    parted = False
    for name, value in read_fields(text):
        if not name:
            parted = True
            continue
        if name in _BEGINNERS:
            complete = current is not about and ("action" in current or "status" in current)
            if current is about or name in current or (parted and complete):
                current = {}
                groups.append(current)
        parted = False
        current.setdefault(name, value)
    return about, groups


_BEGINNERS = frozenset({"final-recipient", "original-recipient"})


def _recipient(fields: Fields, classifier: Classifier, human: str) -> ReturnedRecipient | None:
    final = read_address(fields.get("final-recipient", ""))
    original = read_address(fields.get("original-recipient", ""))
    address = original if "@" in original else final if "@" in final else ""
    if not _can_be_written_to(address):
        return None
    status = fields.get("status", "").strip().split(" ")[0]
    diagnostic = fields.get("diagnostic-code", "")
    kind, separator, rest = diagnostic.partition(";")
    if separator and " " not in kind.strip():
        diagnostic = rest.strip()
    action = _action(fields.get("action", ""), status)
    return diagnose(
        classifier,
        address,
        action,
        final=final,
        status=status,
        diagnostic=diagnostic or (human if action in (Action.FAILED, Action.DELAYED) else ""),
        host=_name(fields.get("remote-mta", "")),
    )


def _can_be_written_to(address: str) -> bool:
    try:
        Address.parse(address)
    except ValueError:
        return False
    return "@" in address


def _action(written: str, status: str) -> Action:
    word = re.split(r"[^a-z]", written.lower(), maxsplit=1)[0]
    if word in _ACTIONS:
        return _ACTIONS[word]
    return {"2": Action.DELIVERED, "4": Action.DELAYED}.get(status[:1], Action.FAILED)


def read_address(written: str) -> str:
    """The address in ``rfc822; user@example.org`` and the like (RFC 3464 §2.3.1), ``""`` if there is none."""
    kind, separator, rest = written[:1000].partition(";")
    if not separator:
        kind, rest = "", kind
    text = rest.strip()
    if kind.strip().lower() == "utf-8":
        text = _EMBEDDED.sub(_embedded, text)
    angle = re.search(r"<([^<>]*)>", text)
    text = (angle[1] if angle is not None else text).strip(" \t<>'")
    if '"@' in text:  # a quoted local part (RFC 5321 §4.1.2), which may have spaces
        return text
    return text.strip('"').split(" ")[0]


def _embedded(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else ""


def _name(written: str) -> str:
    """The name in ``dns; mx.example.org`` (RFC 3464 §2.2.2)."""
    kind, separator, rest = written.partition(";")
    name = (rest if separator else kind).strip()
    return name.split(" ")[0][:255].lower()
