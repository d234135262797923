"""What an outcome means for a recipient: where it stands, what its history says, what its sender is told. Pure."""

from typing import assert_never

from postroom.config.model import QueueSettings
from postroom.mail.delivery import (
    Deferred,
    Delivered,
    Failed,
    Outcome,
    QueuedRecipient,
    RecipientState,
    RouteKind,
    Site,
)
from postroom.mail.dsn import Action, RecipientReport
from postroom.mail.envelope import Notify
from postroom.mail.message import Message
from postroom.queue.expansion import to_json
from postroom.queue.retry import expires_at, next_attempt
from postroom.report.history import HistoryRow

_HERE = frozenset({RouteKind.MAILBOX, RouteKind.LMTP, RouteKind.DISCARD})  # whose success is the end of the journey


def judge(
    settings: QueueSettings,
    message: Message,
    one: QueuedRecipient,
    outcome: Outcome,
    *,
    site: Site | None,
    now: float,
    chance: float,
) -> QueuedRecipient:
    """Where ``one`` stands after an attempt that ended at ``now``."""
    again: float | None = None
    told = one.delay_told
    attempts = one.attempts + 1
    match outcome:
        case Delivered():
            state = RecipientState.DELIVERED if site is not None and site.kind in _HERE else RecipientState.RELAYED
        case Failed():
            state = RecipientState.FAILED
        case Deferred():
            null_sender = message.envelope.reverse_path is None
            again = next_attempt(settings, attempts, now, message.received_at, chance, null_sender=null_sender)
            state = RecipientState.EXPIRED if again is None else RecipientState.DEFERRED
            if again is not None and _may_warn(settings, message, one):
                warning = message.received_at + settings.delay_warning
                if now >= warning:
                    told = True
                elif now + settings.first_retry <= warning < again:
                    again = warning  # an attempt just when the sender would be told, so that the warning is true
        case _:
            assert_never(outcome)
    return QueuedRecipient(one.number, one.recipient, state, attempts, again, now, outcome.reply, outcome.peer, told)


def report_of(
    settings: QueueSettings,
    message: Message,
    before: QueuedRecipient,
    stands: QueuedRecipient,
    outcome: Outcome,
) -> RecipientReport | None:
    """What the sender is told of this recipient now; None: nothing (RFC 3461 §5.2)."""
    recipient = stands.recipient
    expired = False
    match stands.state:
        case RecipientState.FAILED | RecipientState.EXPIRED:
            if not recipient.wants(Notify.FAILURE):
                return None
            action = Action.FAILED
            expired = stands.state is RecipientState.EXPIRED
        case RecipientState.DEFERRED:
            if before.delay_told or not stands.delay_told:
                return None
            action = Action.DELAYED
        case _:
            if recipient.notify is None or not recipient.notify & Notify.SUCCESS:
                return None
            if stands.state is RecipientState.DELIVERED:
                action = Action.DELIVERED
            elif isinstance(outcome, Delivered) and outcome.notifies:
                return None
            else:
                action = Action.RELAYED
    delayed = action is Action.DELAYED
    return RecipientReport(
        recipient=recipient,
        action=action,
        reply=outcome.reply,
        peer=outcome.peer,
        # RFC 3463 §3.5: X.4.z is the network's trouble, which we found ourselves
        by_peer=bool(outcome.peer.host) and outcome.reply.status[1:3] != ".4",
        expired=expired,
        last_attempt=stands.last_attempt,
        retry_until=expires_at(settings, message.received_at, null_sender=False) if delayed else None,
    )


_KINDS = {
    RecipientState.DELIVERED: "placed",
    RecipientState.RELAYED: "relayed",
    RecipientState.DEFERRED: "deferred",
    RecipientState.FAILED: "failed",
    RecipientState.EXPIRED: "expired",
}


def history_row(message: Message, stands: QueuedRecipient, outcome: Outcome, now: float, seconds: float) -> HistoryRow:
    """What the history says of an attempt."""
    peer = outcome.peer
    detail: dict[str, object] = {"reply": str(outcome.reply), "attempt": stands.attempts, "seconds": round(seconds, 3)}
    if peer.host:
        detail["host"] = peer.host
    if peer.address:
        detail["address"] = peer.address
    if peer.tls:
        detail["tls"] = peer.tls
    if not isinstance(outcome, Delivered):
        if outcome.detail:
            detail["why"] = outcome.detail
        if stands.next_attempt is not None:
            detail["next_attempt"] = round(stands.next_attempt, 3)
        if isinstance(outcome, Deferred) and outcome.ambiguous:
            detail["ambiguous"] = True
    address = stands.recipient.address
    return HistoryRow(message.queue_id, now, _KINDS[stands.state], str(address), address.domain, "", to_json(detail))


def _may_warn(settings: QueueSettings, message: Message, one: QueuedRecipient) -> bool:
    """Whether a delay warning may still be due for this recipient (RFC 3461 §5.2.5)."""
    return (
        settings.delay_warning > 0
        and not one.delay_told
        and message.envelope.reverse_path is not None
        and one.recipient.wants(Notify.DELAY)
    )
