"""What an outcome means for a recipient: where it stands, what its history says, what its sender is told. Pure."""

from typing import assert_never

from postroom.config.model import QueueSettings
from postroom.mail.cause import Cause
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
from postroom.mail.envelope import ByMode, Notify
from postroom.mail.message import Message
from postroom.mail.notice import Action, RecipientReport
from postroom.queue.deadlines import late, next_deadline, tells_delay_at
from postroom.queue.expansion import to_json
from postroom.queue.putoff import is_put_off
from postroom.queue.retry import expires_at, next_attempt
from postroom.report.history import HistoryRow

_DELIVERED, _RELAYED = RecipientState.DELIVERED, RecipientState.RELAYED  # to name them each time is slow

_HERE = frozenset(  # whose success is the end of the journey
    {RouteKind.MAILBOX, RouteKind.LMTP, RouteKind.MAILDIR, RouteKind.COMMAND, RouteKind.DISCARD}
)


def judge(
    settings: QueueSettings,
    message: Message,
    one: QueuedRecipient,
    outcome: Outcome,
    *,
    site: Site | None,
    now: float,
    chance: float,
    gives_up: bool = False,
) -> QueuedRecipient:
    """Where ``one`` stands after an attempt that ended at ``now``. ``gives_up``: who is deferred has expired."""
    again: float | None = None
    told = one.delay_told
    attempts = one.attempts + 1
    last_attempt: float | None = now
    match outcome:
        case Delivered():
            state = _DELIVERED if site is not None and site.kind in _HERE else _RELAYED
        case Failed():
            state = RecipientState.FAILED
        case Deferred():
            null_sender = message.envelope.reverse_path is None
            soonest = now + settings.first_retry
            if outcome.retry_at is None:
                again = next_attempt(settings, attempts, now, message.starts_at, chance, null_sender=null_sender)
            else:  # nothing was tried: no attempt is counted, and the waits do not grow
                attempts, last_attempt, soonest = one.attempts, one.last_attempt, now
                expiry = expires_at(settings, message.starts_at, null_sender=null_sender)
                again = None if now >= expiry else min(max(outcome.retry_at, now), expiry)
            if gives_up:
                again = None
            state = RecipientState.EXPIRED if again is None else RecipientState.DEFERRED
            if again is not None:
                told, again = _warn(settings, message, one, now=now, again=again, soonest=soonest)
        case _:
            assert_never(outcome)
    return QueuedRecipient(
        one.number, one.recipient, state, attempts, again, last_attempt, outcome.reply, outcome.peer, told,
        one.destination, one.return_path,
    )  # fmt: skip


def report_of(
    settings: QueueSettings,
    message: Message,
    before: QueuedRecipient,
    stands: QueuedRecipient,
    outcome: Outcome,
) -> RecipientReport | None:
    """What the sender is told of this recipient now; None: nothing (RFC 3461 §5.2)."""
    recipient, reply = stands.recipient, outcome.reply
    if isinstance(outcome, Delivered) and recipient.notify is None and message.envelope.deliver_by is None:
        return None  # nearly all: it is there, and nobody asked
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
            if _delay_told_at(settings, message) == tells_delay_at(message):
                reply = late(reply)
        case _:
            success = _report_success(message, stands, outcome)
            if success is None:
                return None
            action = success
    delayed = action is Action.DELAYED
    return RecipientReport(
        recipient=recipient,
        action=action,
        reply=reply,
        peer=outcome.peer,
        # RFC 3463 §3.5: X.4.z is the network's trouble, which we found ourselves
        by_peer=bool(outcome.peer.host) and reply.status[1:3] != ".4",
        expired=expired,
        last_attempt=stands.last_attempt,
        retry_until=expires_at(settings, message.starts_at, null_sender=False) if delayed else None,
        cause=Cause.OTHER if isinstance(outcome, Delivered) else outcome.cause,
    )


_KINDS = {
    RecipientState.DELIVERED: "placed",
    RecipientState.RELAYED: "relayed",
    RecipientState.DEFERRED: "deferred",
    RecipientState.FAILED: "failed",
    RecipientState.EXPIRED: "expired",
}


def says_no_more(before: QueuedRecipient, stands: QueuedRecipient, outcome: Outcome) -> bool:
    """Whether history has it already: of a run of times that a recipient was not tried it keeps the first.

    A million that wait for a rate to allow them are one row each, however often they are put off.
    """
    return (
        isinstance(outcome, Deferred)
        and outcome.retry_at is not None
        and not stands.state.is_final
        and is_put_off(before.last_reply)
    )


def history_row(message: Message, stands: QueuedRecipient, outcome: Outcome, now: float, seconds: float) -> HistoryRow:
    """What the history says of an attempt."""
    if isinstance(outcome, Deferred) and outcome.retry_at is not None and not stands.state.is_final:
        return _waiting_row(message, stands, outcome, now)
    peer = outcome.peer
    detail: dict[str, object] = {"reply": str(outcome.reply), "attempt": stands.attempts, "seconds": round(seconds, 3)}
    if peer.host:
        detail["host"] = peer.host
    if peer.address:
        detail["address"] = peer.address
    if peer.tls:
        detail["tls"] = peer.tls
    if outcome.detail:
        detail["why"] = outcome.detail
    if peer.policy:
        detail["policy"] = peer.policy
    if peer.source:
        detail["source"] = peer.source
    if not isinstance(outcome, Delivered):
        detail |= _obstacle(stands, outcome)
    if stands.return_path is not None:
        detail["return_path"] = str(stands.return_path)
    address = stands.recipient.address
    return HistoryRow(message.queue_id, now, _KINDS[stands.state], str(address), address.domain, "", to_json(detail))


def _obstacle(stands: QueuedRecipient, outcome: Deferred | Failed) -> dict[str, object]:
    """What the history says of an attempt without success beside the reply."""
    detail: dict[str, object] = {}
    if outcome.cause is not Cause.OTHER:
        detail["cause"] = outcome.cause.value
    if stands.next_attempt is not None:
        detail["next_attempt"] = round(stands.next_attempt, 3)
    if isinstance(outcome, Deferred) and outcome.ambiguous:
        detail["ambiguous"] = True
    return detail


def _waiting_row(message: Message, stands: QueuedRecipient, outcome: Deferred, now: float) -> HistoryRow:
    """What the history says of a recipient that was not tried."""
    detail: dict[str, object] = {"reply": str(outcome.reply)}
    if outcome.detail:
        detail["why"] = outcome.detail
    if stands.next_attempt is not None:
        detail["next_attempt"] = round(stands.next_attempt, 3)
    address = stands.recipient.address
    return HistoryRow(message.queue_id, now, "put_off", str(address), address.domain, "", to_json(detail))


def _report_success(message: Message, stands: QueuedRecipient, outcome: Outcome) -> Action | None:
    """What the sender is told of a success: asked for by SUCCESS, or by DELIVERBY; None: nothing."""
    recipient, by = stands.recipient, message.envelope.deliver_by
    asked = recipient.notify is not None and bool(recipient.notify & Notify.SUCCESS)
    if stands.state is RecipientState.DELIVERED:
        return Action.DELIVERED if asked else None
    passes_on = isinstance(outcome, Delivered) and outcome.notifies
    if asked and not passes_on:  # RFC 3461 §5.2.2 b
        return Action.RELAYED
    if by is None or not recipient.wants_trace:
        return None
    keeps_time = isinstance(outcome, Delivered) and outcome.keeps_time
    in_time = (stands.last_attempt or 0.0) < by.ends_at(message.received_at)
    # RFC 2852 §4.1.4: a trace was asked for; §4.1.4.2: the next hop cannot tell of a delay at the time asked for
    loses_time = by.mode is ByMode.NOTIFY and in_time and not keeps_time
    return Action.RELAYED if by.trace or loses_time else None


def _warn(
    settings: QueueSettings, message: Message, one: QueuedRecipient, *, now: float, again: float, soonest: float
) -> tuple[bool, float]:
    """Whether the sender has been told of the delay, and when the next attempt is made in view of that: at ``soonest``.

    An attempt is made just when the sender would be told, so that the warning is true; and when a DELIVERBY ends, not
    a moment later.
    """
    told = one.delay_told
    deadline = next_deadline(message)
    if deadline is not None and now < deadline < again:
        again = deadline
    warning = _delay_told_at(settings, message)
    if told or warning is None or message.envelope.reverse_path is None or not one.recipient.wants(Notify.DELAY):
        return told, again  # RFC 3461 §5.2.5
    if now >= warning:
        return True, again
    return False, warning if soonest <= warning < again else again


def _delay_told_at(settings: QueueSettings, message: Message) -> float | None:
    """When a sender is told of a delay: when DELIVERBY says so within the message's life, else as ever."""
    asked = tells_delay_at(message)
    if asked is not None and asked < expires_at(settings, message.starts_at, null_sender=False):
        return asked
    return message.starts_at + settings.delay_warning if settings.delay_warning > 0 else None
