"""What a draft becomes: mailbox entries for who lives here, queued recipients for the rest. Pure.

Aliases are expanded as RFC 3461 §5.2.7 asks of their DSN parameters; nobody gets a message twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import orjson

from postroom.directory.model import NotLocal, Resolution, Resolved, Unknown
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.envelope import ByMode, Envelope, Notify, Recipient
from postroom.mail.message import Message
from postroom.mail.notice import Action, RecipientReport
from postroom.mail.reply import Reply
from postroom.mail.status import BAD_MAILBOX, VALID, explain
from postroom.mailbox.carrier import entry_prefix
from postroom.mailbox.model import NewEntry
from postroom.queue.deadlines import time_is_up
from postroom.queue.model import Draft, Intake
from postroom.queue.reportmodel import ReportNote
from postroom.queue.ways import BY_DOMAIN, Ways
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
    """What became of the recipients; ``reports`` are for a DSN that is due at once.

    ``release_at`` is when those who are queued may go, None: at once (RFC 4865 §4.2); ``hold`` says why all of them
    wait for an operator, ``held`` how many do.
    """

    message: Message
    ways: Ways
    entries: list[NewEntry] = field(default_factory=list)
    queued: list[QueuedRecipient] = field(default_factory=list)
    placed: list[str] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    reports: list[RecipientReport] = field(default_factory=list)
    accounts: set[int] = field(default_factory=set)
    addresses: set[Address] = field(default_factory=set)
    release_at: float | None = None
    hold: str = ""
    held: int = 0

    @property
    def waits(self) -> bool:
        """Whether those who live here are queued as well: what they get goes to them later."""
        return self.release_at is not None or bool(self.hold)


def expand(draft: Draft, resolutions: tuple[Resolution, ...], now: float, ways: Ways = BY_DOMAIN) -> Expansion:
    """Turn the recipients as RCPT gave them into those who receive. ``resolutions`` stand in their order."""
    expansion = Expansion(_message(draft, ways), ways, hold=draft.hold)
    envelope = draft.envelope
    if envelope.has_options:
        if _is_late(draft, now):
            for recipient in envelope.recipients:
                _fail(expansion, draft, recipient, time_is_up(None).reply, now)
            return expansion
        if envelope.hold_until is not None and envelope.hold_until > now:
            expansion.release_at = envelope.hold_until
    due = now if expansion.release_at is None else expansion.release_at
    for recipient, resolution in zip(envelope.recipients, resolutions, strict=True):
        match resolution:
            case Resolved():
                _receive(expansion, draft, recipient, resolution, now)
            case NotLocal():
                _queue(expansion, recipient, due, now)
            case Unknown():
                _fail(expansion, draft, recipient, _UNKNOWN, now)
            case _:
                assert_never(resolution)
    return expansion


def _receive(expansion: Expansion, draft: Draft, recipient: Recipient, resolved: Resolved, now: float) -> None:
    """An address of ours: its mailboxes now, or when it is released; its targets elsewhere; its DSN on success."""
    waits = expansion.waits
    asked, wishes = recipient.address, recipient
    taken = expansion.ways.taken(expansion.message, asked, resolved.accounts)
    if taken:
        resolved = _take(expansion, recipient, resolved, taken, now)
        if recipient.notify is not None:  # whoever is left is one of several
            wishes = replace(recipient, notify=recipient.notify & ~Notify.SUCCESS)
    elif waits and not resolved.forwards and not expansion.ways.takes(expansion.message, asked):
        due = now if expansion.release_at is None else expansion.release_at
        _queue(expansion, recipient, due, now, ours=True)  # who receives is known when it is released
        return
    if resolved.forwards or (waits and resolved.accounts):
        _pass_on(expansion, wishes, resolved, now)
    if not waits:
        _place(expansion, draft, asked, resolved, now)
    if recipient.notify is not None and recipient.notify & Notify.SUCCESS:
        _report_success(expansion, recipient, resolved, len(taken), now)


def _take(
    expansion: Expansion, recipient: Recipient, resolved: Resolved, taken: Mapping[int, Address], now: float
) -> Resolved:
    """Queue the accounts that a rule takes elsewhere than to their mailboxes. Returns those who are left.

    They are final recipients, not forwards: the sender's wishes stay whole where there is one alone.
    """
    notify = recipient.notify
    left = tuple([account for account in resolved.accounts if account.account_id not in taken])
    if notify is not None and len(left) + len(taken) + len(resolved.forwards) > 1:
        notify &= ~Notify.SUCCESS
    due = now if expansion.release_at is None else expansion.release_at
    orcpt = recipient.orcpt or original_recipient(recipient.address)
    for account_id, address in taken.items():
        if account_id not in expansion.accounts:
            expansion.accounts.add(account_id)
            _queue(expansion, Recipient(address, notify, orcpt), due, now, ours=True)
    return Resolved(left, resolved.forwards)


def _is_late(draft: Draft, now: float) -> bool:
    """Whether the time of DELIVERBY was up before the content had come (RFC 2852 §4.1.3)."""
    by = draft.envelope.deliver_by
    return by is not None and by.mode is ByMode.RETURN and by.ends_at(draft.received_at) <= now


def _message(draft: Draft, ways: Ways) -> Message:
    client = draft.client
    return Message(
        draft.queue_id,
        draft.received_at,
        draft.envelope,
        draft.prefix,
        len(draft.content or b"") if draft.content_size < 0 else draft.content_size,
        draft.account,
        client.address if client is not None else "",
        draft.message_id,
        ways.tags_of(draft),
    )


def build(
    draft: Draft,
    expansion: Expansion,
    now: float,
    returned: tuple[str, ...] = (),
    *,
    reported: ReportNote | None = None,
) -> Intake:
    """Everything that the message writes. ``returned`` and ``reported``: see ``Intake``."""
    message = expansion.message
    return Intake(
        message,
        draft.content,
        tuple(expansion.queued),
        tuple(expansion.entries),
        None,
        (_accepted(draft, message, now), *expansion.history),
        returned,
        reported,
    )


def _place(expansion: Expansion, draft: Draft, asked: Address, resolved: Resolved, now: float) -> None:
    """Add a mailbox entry for each who lives here, once."""
    for account in resolved.accounts:
        if account.account_id in expansion.accounts:
            continue
        expansion.accounts.add(account.account_id)
        name = str(account.address)
        prefix = entry_prefix(draft.envelope.reverse_path, asked)
        detail = "{}" if account.address == asked else to_json({"for": str(asked)})
        expansion.entries.append(NewEntry(account.account_id, name, prefix))
        expansion.placed.append(name)
        expansion.history.append(HistoryRow(draft.queue_id, now, "placed", name, account.address.domain, "", detail))


def _queue(
    expansion: Expansion,
    recipient: Recipient,
    due: float,
    now: float,
    forwarder: Address | None = None,
    *,
    ours: bool = False,
) -> None:
    """Add one who leaves the house or its mailboxes, or whose time has not come, once."""
    if recipient.address in expansion.addresses:
        return
    expansion.addresses.add(recipient.address)
    message = expansion.message
    queued, rule = expansion.ways.out(message, recipient, len(expansion.queued), due, forwarder, ours=ours)
    if expansion.hold:
        queued = replace(queued, state=RecipientState.HELD, next_attempt=None)
    expansion.queued.append(queued)
    if rule or expansion.hold:
        expansion.held += 1
        why = {"rule": rule} if rule else {"quarantine": expansion.hold}
        name, detail = str(recipient.address), to_json(why)
        expansion.history.append(HistoryRow(message.queue_id, now, "held", name, recipient.address.domain, "", detail))


def _fail(expansion: Expansion, draft: Draft, recipient: Recipient, reply: Reply, now: float) -> None:
    """Nobody receives: an address of ours that leads nowhere, which RCPT refuses, so that no RCPT brought it; or it
    came too late.
    """
    name, domain = str(recipient.address), recipient.address.domain
    if recipient.wants(Notify.FAILURE):  # RFC 3461 §5.2.6
        expansion.reports.append(RecipientReport(recipient, Action.FAILED, reply, last_attempt=now))
    detail = to_json({"reply": str(reply)})
    expansion.history.append(HistoryRow(draft.queue_id, now, "failed", name, domain, "", detail))


def _pass_on(expansion: Expansion, recipient: Recipient, resolved: Resolved, now: float) -> None:
    """Queue an alias's targets elsewhere; while it waits also those here, because they travel apart.

    NOTIFY and ORCPT go with them: whole for one target alone, else without SUCCESS (RFC 3461 §5.2.7.2, §5.2.7.3 c).
    """
    targets = list(resolved.forwards)
    notify = recipient.notify
    if notify is not None and len(resolved.accounts) + len(targets) > 1:
        notify &= ~Notify.SUCCESS
    if expansion.waits:
        targets += [account.address for account in resolved.accounts]
    # RFC 3461 §5.2.1 d: what we add is the address of the RCPT command that we were given
    orcpt = recipient.orcpt or original_recipient(recipient.address)
    due = now if expansion.release_at is None else expansion.release_at
    for address in targets:
        _queue(expansion, Recipient(address, notify, orcpt), due, now, recipient.address)


def original_recipient(address: Address) -> str:
    """The decoded ORCPT that names ``address`` (RFC 3461 §4.2, RFC 6533 §3)."""
    text = str(address)
    return f"{'rfc822' if text.isascii() else 'utf-8'};{text}"


def _report_success(expansion: Expansion, recipient: Recipient, resolved: Resolved, taken: int, now: float) -> None:
    """A DSN for NOTIFY=SUCCESS: delivered (RFC 3461 §5.2.3 a), expanded (§5.2.7.3 c), or left to the next hop."""
    elsewhere = taken + len(resolved.forwards)
    count = len(resolved.accounts) + elsewhere
    if count == 1 and not resolved.accounts:
        return  # RFC 3461 §5.2.7.2: the wish travels on
    action, reply = (Action.DELIVERED, _DELIVERED) if not elsewhere else (Action.EXPANDED, _EXPANDED)
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
    if draft.facts:
        detail |= draft.facts
    if envelope.has_options:
        detail |= _options(envelope, draft.received_at)
    return HistoryRow(
        draft.queue_id,
        now,
        "accepted",
        names[0] if len(names) == 1 else "",
        "" if sender is None else sender.domain,
        draft.message_id,
        to_json(detail),
    )


def _options(envelope: Envelope, received_at: float) -> dict[str, object]:
    """What MAIL asked for beyond the usual (RFC 6710 §4.1: it is logged)."""
    detail: dict[str, object] = {}
    if envelope.deliver_by is not None:
        detail["deliver_by"] = round(envelope.deliver_by.ends_at(received_at), 3)
        detail["mode"] = envelope.deliver_by.mode.value
    if envelope.hold_until is not None:
        detail["hold_until"] = round(envelope.hold_until, 3)
    if envelope.priority:
        detail["priority"] = envelope.priority
    if envelope.require_tls:
        detail["require_tls"] = True
    return detail
