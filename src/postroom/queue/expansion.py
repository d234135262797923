"""What a draft becomes: mailbox entries for who lives here, queued recipients for the rest. Pure.

Aliases are expanded as RFC 3461 §5.2.7 asks of their DSN parameters; nobody gets a message twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

import orjson

from postroom.directory.model import Account, NotLocal, Resolution, Resolved, Unknown
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient
from postroom.mail.dsn import Action, RecipientReport
from postroom.mail.envelope import Notify, Recipient
from postroom.mail.message import Message
from postroom.mail.reply import Reply
from postroom.mail.status import BAD_MAILBOX, VALID, explain
from postroom.mailbox.carrier import entry_prefix
from postroom.mailbox.model import NewEntry
from postroom.queue.model import Draft, Intake, Lease
from postroom.report.history import HistoryRow

_SHOWN_RECIPIENTS = 20  # of a message in its accepted row; the others have rows of their own once they are settled

_DELIVERED = Reply.of(250, f"2.{VALID}", "delivered to the mailbox")
_EXPANDED = Reply.of(250, f"2.{VALID}", "expanded")
_UNKNOWN = Reply.of(550, f"5.{BAD_MAILBOX}", explain(f"5.{BAD_MAILBOX}"))


def to_json(detail: Mapping[str, Any]) -> str:
    """The detail of a history row."""
    try:
        return orjson.dumps(detail).decode()
    except TypeError:  # a text with lone surrogates
        return json.dumps(detail, separators=(",", ":"))


@dataclass(slots=True)
class Expansion:
    """What became of the recipients; ``reports`` are for a DSN that is due at once."""

    entries: list[NewEntry] = field(default_factory=list)
    queued: list[QueuedRecipient] = field(default_factory=list)
    placed: list[str] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    reports: list[RecipientReport] = field(default_factory=list)

    @property
    def destinations(self) -> set[str]:
        """The domains of those who leave the house."""
        return {queued.recipient.address.domain for queued in self.queued}


def expand(draft: Draft, resolutions: tuple[Resolution, ...], now: float) -> Expansion:
    """Turn the recipients as RCPT gave them into those who receive. ``resolutions`` stand in their order."""
    expansion = Expansion()
    accounts: set[int] = set()
    addresses: set[Address] = set()
    envelope = draft.envelope
    for recipient, resolution in zip(envelope.recipients, resolutions, strict=True):
        match resolution:
            case Resolved(found, forwards):
                for account in found:
                    if account.account_id not in accounts:
                        accounts.add(account.account_id)
                        _place(expansion, draft, recipient.address, account, now)
                if forwards:
                    passed_on = _pass_on(recipient, alone=not found and len(forwards) == 1)
                    for address in forwards:
                        _queue(expansion, addresses, Recipient(address, *passed_on), now)
                if recipient.notify is not None and recipient.notify & Notify.SUCCESS:
                    _report_success(expansion, recipient, resolution, now)
            case NotLocal():
                _queue(expansion, addresses, recipient, now)
            case Unknown():
                _refuse(expansion, draft, recipient, now)
            case _:
                assert_never(resolution)
    return expansion


def build(draft: Draft, expansion: Expansion, lease: Lease | None, now: float) -> Intake:
    """Everything that the message writes."""
    client = draft.client
    message = Message(
        draft.queue_id,
        draft.received_at,
        draft.envelope,
        draft.prefix,
        len(draft.content or b"") if draft.content_size < 0 else draft.content_size,
        draft.account,
        client.address if client is not None else "",
        draft.message_id,
    )
    return Intake(
        message,
        draft.content,
        tuple(expansion.queued),
        tuple(expansion.entries),
        lease,
        (_accepted(draft, message, now), *expansion.history),
    )


def _place(expansion: Expansion, draft: Draft, asked: Address, account: Account, now: float) -> None:
    """Add a mailbox entry for one who lives here."""
    name = str(account.address)
    prefix = entry_prefix(draft.envelope.reverse_path, asked)
    detail = "{}" if account.address == asked else to_json({"for": str(asked)})
    expansion.entries.append(NewEntry(account.account_id, name, prefix))
    expansion.placed.append(name)
    expansion.history.append(HistoryRow(draft.queue_id, now, "placed", name, account.address.domain, "", detail))


def _queue(expansion: Expansion, seen: set[Address], recipient: Recipient, now: float) -> None:
    """Add one who leaves the house, once."""
    if recipient.address not in seen:
        seen.add(recipient.address)
        expansion.queued.append(QueuedRecipient(len(expansion.queued), recipient, next_attempt=now))


def _refuse(expansion: Expansion, draft: Draft, recipient: Recipient, now: float) -> None:
    """An address of ours that leads nowhere: RCPT refuses it, so this is mail that no RCPT brought."""
    name, domain = str(recipient.address), recipient.address.domain
    expansion.reports.append(RecipientReport(recipient, Action.FAILED, _UNKNOWN, last_attempt=now))
    detail = to_json({"reply": str(_UNKNOWN)})
    expansion.history.append(HistoryRow(draft.queue_id, now, "failed", name, domain, "", detail))


def _pass_on(recipient: Recipient, *, alone: bool) -> tuple[Notify | None, str]:
    """NOTIFY and ORCPT for an alias's targets: whole for one alone, else without SUCCESS (RFC 3461 §5.2.7)."""
    notify = recipient.notify
    if notify is not None and not alone:
        notify &= ~Notify.SUCCESS
    # RFC 3461 §5.2.1 d: what we add is the address of the RCPT command that we were given
    return notify, recipient.orcpt or original_recipient(recipient.address)


def original_recipient(address: Address) -> str:
    """The decoded ORCPT that names ``address`` (RFC 3461 §4.2, RFC 6533 §3)."""
    text = str(address)
    return f"{'rfc822' if text.isascii() else 'utf-8'};{text}"


def _report_success(expansion: Expansion, recipient: Recipient, resolved: Resolved, now: float) -> None:
    """A DSN for NOTIFY=SUCCESS: delivered (RFC 3461 §5.2.3 a), expanded (§5.2.7.3 c), or left to the next hop."""
    count = len(resolved.accounts) + len(resolved.forwards)
    if count == 1 and not resolved.accounts:
        return  # RFC 3461 §5.2.7.2: the wish travels on
    action, reply = (Action.DELIVERED, _DELIVERED) if not resolved.forwards else (Action.EXPANDED, _EXPANDED)
    expansion.reports.append(RecipientReport(recipient, action, reply, last_attempt=now))


def _accepted(draft: Draft, message: Message, now: float) -> HistoryRow:
    """The row that opens a message's history."""
    envelope, client = draft.envelope, draft.client
    sender = envelope.reverse_path
    names = [str(recipient.address) for recipient in envelope.recipients[:_SHOWN_RECIPIENTS]]
    detail: dict[str, object] = {
        "from": "" if sender is None else str(sender),
        "to": names,
        "recipients": len(envelope.recipients),
        "size": message.size,
    }
    if client is not None:
        detail["client"] = client.address
        detail["helo"] = client.helo
        detail["protocol"] = client.protocol
        if client.tls is not None:
            detail["tls"] = f"{client.tls.version} {client.tls.cipher}"
    if draft.account:
        detail["account"] = draft.account
    return HistoryRow(
        draft.queue_id,
        now,
        "accepted",
        names[0] if len(names) == 1 else "",
        "" if sender is None else sender.domain,
        draft.message_id,
        to_json(detail),
    )
