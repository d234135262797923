"""Which message of ours a returned mail is about, and which of its recipients. Pure; all that peers say is doubted.

A valid token proves it: only whoever was sent that copy has it. Else the history must say that the message was relayed
to that recipient not long ago, and the mail must have come back to its sender; a message whose copies had tokens is
believed in no other way.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from postroom.mail.address import Address
from postroom.mail.bounces.model import Bounce, Complaint, ReturnedRecipient
from postroom.mail.dsn import Action
from postroom.mail.message import QueueId
from postroom.mail.returnpath import Sent, mark_of
from postroom.mail.value import value
from postroom.report.history import HistoryRow

BOUNCED = "bounced"
DELAYED = "delayed"
COMPLAINED = "complained"
"""The kinds of history rows that are written about mail that came back."""


@dataclass(frozen=True, slots=True)
class Journey:
    """One recipient whom a message was handed on to. ``has_token``: its copy had a return path of its own (VERP)."""

    recipient: Address
    at: float
    has_token: bool


@dataclass(slots=True)
class Trail:
    """What the history of one message says that bears on returned mail. ``told`` is what came back before: kind,
    key of the recipient, and whether for good.
    """

    queue_id: QueueId
    sender: Address | None = None
    account: str = ""
    journeys: dict[str, Journey] = field(default_factory=dict)
    told: set[tuple[str, str, bool]] = field(default_factory=set)

    def knows(self, kind: str, key: str, *, permanent: bool) -> bool:
        """Whether as much has been noted already."""
        return (kind, key, True) in self.told or (kind, key, permanent) in self.told


@value(frozen=True, slots=True)
class Match:
    """A recipient of a message of ours that the returned mail is about. ``by``: verp, envid, queue_id, message_id.

    ``entry`` is what the bounce says of it, None for a complaint.
    """

    trail: Trail
    recipient: Address
    by: str
    entry: ReturnedRecipient | None = None


def trail_of(queue_id: QueueId, rows: Iterable[HistoryRow]) -> Trail | None:
    """The trail of a message, None where its history is gone."""
    trail = Trail(queue_id)
    found = False
    for row in rows:
        detail = _read(row.detail)
        if row.kind == "accepted":
            found = True
            trail.sender = read_address(str(detail.get("from", "")))
            trail.account = str(detail.get("account", ""))
            continue
        recipient = read_address(row.recipient)
        if recipient is None:
            continue
        if row.kind == "relayed" or (row.kind == "placed" and detail.get("host")):
            path = str(detail.get("return_path", ""))
            trail.journeys[recipient.key] = Journey(recipient, row.at, path[:2] == "b-")
        elif row.kind in (BOUNCED, COMPLAINED):
            trail.told.add((row.kind, recipient.key, True))
        elif row.kind == DELAYED:
            trail.told.add((BOUNCED, recipient.key, False))
    return trail if found else None


def by_token(trail: Trail, token: Sent, report: Bounce | Complaint) -> Match | None:
    """The recipient that a valid token names; None where it was not handed on (yet)."""
    for journey in trail.journeys.values():
        if mark_of(journey.recipient) == token.mark:
            return Match(trail, journey.recipient, "verp", _entry_of(report, journey.recipient.key))
    return None


def by_record(
    trail: Trail, report: Bounce | Complaint, by: str, *, came_for: frozenset[str], since: float
) -> Iterator[Match]:
    """The recipients that the history vouches for. ``came_for`` are the keys of those whom the mail came back to."""
    if isinstance(report, Bounce):
        if trail.sender is None or trail.sender.key not in came_for:
            return
        for entry in report.recipients:
            journey = _journey(trail, (entry.address, entry.final), since)
            if journey is not None:
                yield Match(trail, journey.recipient, by, entry)
        return
    named: Sequence[str] = report.recipients
    if not named and len(trail.journeys) == 1:  # hidden, as many reports do; nobody else can have complained
        named = list(trail.journeys)
    for text in named:
        journey = _journey(trail, (text,), since)
        if journey is not None:
            yield Match(trail, journey.recipient, by)


def reports_trouble(match: Match) -> bool:
    """Whether it says that something is wrong: not a DSN of success."""
    return match.entry is None or match.entry.action in (Action.FAILED, Action.DELAYED)


def read_address(text: str) -> Address | None:
    """The address that ``text`` is, None if it is none."""
    try:
        address = Address.parse(text.strip().strip("<>"))
    except ValueError:
        return None
    return address if address.domain else None


def tokens_in(texts: Iterable[str], read: Callable[[Address], object]) -> list[Sent]:
    """The valid tokens among addresses, each once."""
    found: dict[Sent, None] = {}
    for text in texts:
        address = read_address(text)
        token = None if address is None else read(address)
        if isinstance(token, Sent):
            found[token] = None
    return list(found)


def _journey(trail: Trail, texts: Sequence[str], since: float) -> Journey | None:
    for text in texts:
        address = read_address(text)
        journey = None if address is None else trail.journeys.get(address.key)
        if journey is not None and not journey.has_token and journey.at >= since:
            return journey
    return None


def _entry_of(report: Bounce | Complaint, key: str) -> ReturnedRecipient | None:
    """What a bounce says of the recipient, whatever name it has there; None for a complaint."""
    if isinstance(report, Complaint):
        return None
    for entry in report.recipients:
        if any(
            address is not None and address.key == key for address in map(read_address, (entry.address, entry.final))
        ):
            return entry
    return report.recipients[0]


def _read(text: str) -> Mapping[str, Any]:
    try:
        detail = json.loads(text)
    except ValueError:  # a row of another make
        return {}
    return detail if isinstance(detail, dict) else {}
