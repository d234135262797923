"""What the tests of returned mail share: the classifier, the cases of a text file, and when a reading is right."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postroom.config.replyrules import reply_classifier
from postroom.mail.bounces.model import Bounce, Complaint
from postroom.mail.bounces.read import read_bounce
from postroom.mail.dsn import Action

CLASSIFIER = reply_classifier()


def read(content: bytes | str) -> Bounce | Complaint | None:
    """Read it; text has LF where the wire has CRLF."""
    return read_bounce(content.replace("\n", "\r\n").encode() if isinstance(content, str) else content, CLASSIFIER)


def bounce(content: bytes | str) -> Bounce:
    found = read(content)
    assert isinstance(found, Bounce), found
    return found


@dataclass(frozen=True)
class Case:
    name: str
    addresses: frozenset[str]
    temporary: bool
    content: bytes


def cases(path: Path) -> Iterator[Case]:
    """The cases of ``own.txt`` and its like."""
    for block in re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head, _, content = block.partition("\n")
        name, what, addresses = (field.strip() for field in head.split("|"))
        assert what in {"failed", "delayed", "none"}, head
        wanted = frozenset(address.strip().lower() for address in addresses.split(",") if address.strip())
        assert bool(wanted) is (what != "none"), head
        yield Case(name, wanted, what == "delayed", content.replace("\n", "\r\n").encode())


def mistake(case: Case) -> str:
    """What was read wrong, ``""`` if all is right: the recipients, and whether the reporter has given up.

    A recipient is found if the address that was written to or the one it became is the one that was expected: where a
    report names both, either tells whom it is about.
    """
    found = read(case.content)
    recipients = [
        recipient
        for recipient in (found.recipients if isinstance(found, Bounce) else ())
        if recipient.action in {Action.FAILED, Action.DELAYED}
    ]
    named = [{recipient.address.lower(), recipient.final.lower()} for recipient in recipients]
    if not all(names & case.addresses for names in named) or not case.addresses <= set().union(*named):
        return f"found {sorted(set().union(*named))}, not {sorted(case.addresses)}"
    if any(recipient.permanent is case.temporary for recipient in recipients):
        return f"is {'temporary' if case.temporary else 'permanent'}"
    return ""
