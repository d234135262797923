"""What the log says about each report: level, event and fields. Names are stable; text from peers is cut here.

A line about a message has ``queue_id``, from ``message_accepted`` to the final ``attempt_made``, so that one search
shows its life. No field ever holds a password, AUTH material or content: reports do not carry any.
"""

from collections.abc import Sequence
from typing import assert_never

from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, Failed, Outcome
from postroom.mail.message import show_queue_id
from postroom.mail.session import Client
from postroom.report.checking import MailChecked
from postroom.report.checkingtold import tell_checking
from postroom.report.events import (
    AbuseSeen,
    AlertRaised,
    AttemptMade,
    CertificateExpiring,
    CertificateRenewed,
    CertificateTrouble,
    CommandRefused,
    DsnMade,
    InternalError,
    LeaseLost,
    LimitNear,
    LimitReached,
    ListenerPaused,
    LockedOut,
    LockoutLifted,
    LoginFailed,
    LoginSucceeded,
    MailboxClosed,
    MailboxOpened,
    MessageAccepted,
    MessageRefused,
    QueueActed,
    RecipientRefused,
    Report,
    SenderRefused,
    ServerDraining,
    ServerReady,
    SessionClosed,
    SessionOpened,
    SessionRefused,
    SettingsReloaded,
    SourceTrouble,
    StoreTrouble,
    TlsFailed,
)
from postroom.report.keys import DkimKeyChanged, DkimKeyWaits, DkimTrouble, KeyReport
from postroom.report.keystold import tell_keys
from postroom.report.line import DEBUG, ERROR, INFO, LONGEST_TRACE, MOST_NAMES, WARNING, Fields, Told, cut
from postroom.report.received import ReceivedReport, ReportReceived, ReportUnread
from postroom.report.receivedtold import tell_received
from postroom.report.road import RoadReport
from postroom.report.roadtold import tell_road
from postroom.report.zones import DnsBroken, DnsLooked, DnsMended, ZoneReport
from postroom.report.zonestold import tell_zones

QUIET = frozenset({SessionOpened, SessionClosed, MailboxOpened})
"""The kinds whose level is never above debug: where that is not shown, no line needs to be made."""


def tell(report: Report) -> Told:
    """The line that a report makes."""
    match report:
        case MessageAccepted():
            return Told(INFO, "message_accepted", _accepted(report))
        case AttemptMade():
            return Told(INFO, "attempt_made", _attempt(report))
        case LeaseLost() | DsnMade() | QueueActed():
            return _of_queue(report)
        case MailboxOpened() | MailboxClosed():
            return _of_mailbox(report)
        case (
            ServerReady() | ServerDraining() | SettingsReloaded() | ListenerPaused() | StoreTrouble() | InternalError()
        ):
            return _of_server(report)
        case SessionOpened() | SessionClosed() | SessionRefused() | TlsFailed() | LoginSucceeded() | LoginFailed():
            return _of_session(report)
        case LockedOut() | LockoutLifted() | AbuseSeen() | LimitNear() | LimitReached():
            return _of_guard(report)
        case CertificateExpiring() | CertificateRenewed() | CertificateTrouble() | AlertRaised() | SourceTrouble():
            return _of_upkeep(report)
        case CommandRefused() | SenderRefused() | RecipientRefused() | MessageRefused():
            return _of_refusal(report)
        case MailChecked():
            return tell_checking(report)
        case _:
            return _of_elsewhere(report)


def _of_elsewhere(report: RoadReport | KeyReport | ReceivedReport | ZoneReport) -> Told:
    """What has a module of its own."""
    if isinstance(report, DkimKeyChanged | DkimKeyWaits | DkimTrouble):
        return tell_keys(report)
    if isinstance(report, ReportReceived | ReportUnread):
        return tell_received(report)
    if isinstance(report, DnsBroken | DnsMended | DnsLooked):
        return tell_zones(report)
    return tell_road(report)


_ServerReport = ServerReady | ServerDraining | SettingsReloaded | ListenerPaused | StoreTrouble | InternalError
_SessionReport = SessionOpened | SessionClosed | SessionRefused | TlsFailed | LoginSucceeded | LoginFailed
_GuardReport = LockedOut | LockoutLifted | AbuseSeen | LimitNear | LimitReached
_UpkeepReport = CertificateExpiring | CertificateRenewed | CertificateTrouble | AlertRaised | SourceTrouble
_Refusal = CommandRefused | SenderRefused | RecipientRefused | MessageRefused


def _of_queue(report: LeaseLost | DsnMade | QueueActed) -> Told:
    match report:
        case LeaseLost():
            return Told(WARNING, "lease_lost", _of_message(report.queue_id, report.recipient))
        case DsnMade():
            fields = _of_message(report.queue_id, report.recipient)
            return Told(INFO, "dsn_made", fields | {"about": show_queue_id(report.about), "kind": report.kind})
        case QueueActed():
            fields = {"action": report.action, "recipients": report.recipients, "what": cut(report.what)}
            return Told(INFO, "queue_acted", fields)
        case _:
            assert_never(report)


def _of_mailbox(report: MailboxOpened | MailboxClosed) -> Told:
    if isinstance(report, MailboxOpened):
        fields = _client(report.client) | {"messages": report.messages, "octets": report.octets}
        return Told(DEBUG, "mailbox_opened", fields)
    fields = _client(report.client) | {"retrieved": report.retrieved, "removed": report.removed}
    return Told(INFO, "mailbox_closed", fields)


def _of_server(report: _ServerReport) -> Told:
    match report:
        case ServerReady(listeners=listeners):
            return Told(INFO, "server_ready", {"listeners": list(listeners)})
        case ServerDraining(sessions=sessions):
            return Told(INFO, "server_draining", {"sessions": sessions})
        case SettingsReloaded(trouble="", waiting=()):
            return Told(INFO, "settings_reloaded", {})
        case SettingsReloaded(trouble="", waiting=waiting):
            return Told(WARNING, "settings_reloaded", {"restart_needed_for": list(waiting)})
        case SettingsReloaded(trouble=trouble):
            return Told(ERROR, "settings_not_reloaded", {"trouble": cut(trouble, LONGEST_TRACE)})
        case ListenerPaused():
            fields = {"role": report.role, "reason": report.reason, "seconds": report.seconds}
            return Told(ERROR, "listener_paused", fields)
        case StoreTrouble(reason=reason, recovered=recovered):
            level, event = (INFO, "store_recovered") if recovered else (ERROR, "store_trouble")
            return Told(level, event, {"reason": cut(reason)})
        case InternalError():
            fields = {"where": cut(report.where), "error": cut(report.error)}
            if report.trace:
                fields["trace"] = report.trace[-LONGEST_TRACE:]
            return Told(ERROR, "internal_error", fields)
        case _:
            assert_never(report)


def _of_session(report: _SessionReport) -> Told:
    match report:
        case SessionOpened(client=client):
            return Told(DEBUG, "session_opened", _client(client))
        case SessionClosed(client=client):
            fields = {"reason": report.reason, "seconds": round(report.duration, 3), "messages": report.messages}
            return Told(DEBUG, "session_closed", _client(client) | fields)
        case SessionRefused():
            fields = {"address": report.address, "role": report.role, "reason": report.reason}
            if report.count > 1:
                fields["count"] = report.count
            if report.detail:
                fields["detail"] = cut(report.detail)
            return Told(WARNING, "session_refused", fields)
        case TlsFailed(client=client, reason=reason):
            return Told(WARNING, "tls_failed", _client(client) | {"reason": cut(reason)})
        case LoginSucceeded(client=client, mechanism=mechanism):
            return Told(INFO, "login_succeeded", _client(client) | {"mechanism": mechanism})
        case LoginFailed(client=client):
            fields = {
                "mechanism": report.mechanism,
                "account": cut(report.account),
                "reason": cut(report.reason),
                "failures_from_address": report.failures_from_address,
                "failures_for_account": report.failures_for_account,
            }
            return Told(WARNING, "login_failed", _client(client) | fields)
        case _:
            assert_never(report)


def _of_guard(report: _GuardReport) -> Told:
    """``address`` first, where there is one: what a fail2ban filter looks for."""
    match report:
        case LockedOut():
            fields = {"address": report.address, "scope": report.scope, "subject": cut(report.subject)}
            return Told(WARNING, "locked_out", fields | {"reason": cut(report.reason), "until": round(report.until, 3)})
        case LockoutLifted():
            return Told(
                INFO, "lockout_lifted", {"scope": report.scope, "subject": cut(report.subject), "by": report.by}
            )
        case AbuseSeen(client=client, kind=kind, detail=detail):
            return Told(WARNING, "abuse_seen", _client(client) | {"kind": kind, "detail": cut(detail)})
        case LimitNear():
            fields = {"scope": report.scope, "subject": cut(report.subject), "rate": report.rate}
            return Told(WARNING, "limit_near", fields | {"share": round(report.share, 3)})
        case LimitReached():
            fields = {"address": report.address} if report.address else {}
            fields |= {"scope": report.scope, "subject": cut(report.subject), "rate": report.rate}
            return Told(WARNING, "limit_reached", fields | {"until": round(report.until, 3)})
        case _:
            assert_never(report)


def _of_upkeep(report: _UpkeepReport) -> Told:
    match report:
        case CertificateExpiring(names=names, path=path, expires_at=expires_at):
            fields: Fields = {"names": list(names), "path": path, "expires_at": round(expires_at)}
            return Told(WARNING, "certificate_expiring", fields)
        case CertificateRenewed(names=names, expires_at=expires_at):
            return Told(INFO, "certificate_renewed", {"names": list(names), "expires_at": round(expires_at)})
        case CertificateTrouble(names=names, reason=reason, next_try=next_try):
            fields = {"names": list(names), "reason": cut(reason), "next_try": round(next_try)}
            return Told(ERROR, "certificate_trouble", fields)
        case AlertRaised():
            fields = {"on": report.on, "count": report.count, "target": cut(report.target)}
            if report.trouble:
                return Told(ERROR, "alert_failed", fields | {"trouble": cut(report.trouble)})
            return Told(INFO, "alert_raised", fields)
        case SourceTrouble(source=source, trouble=trouble):
            return Told(ERROR, "source_trouble", {"source": source, "trouble": cut(trouble)})
        case _:
            assert_never(report)


def _of_refusal(report: _Refusal) -> Told:
    fields = _client(report.client)
    match report:
        case CommandRefused(command=command, line=line, reply=reply):
            fields |= {"command": cut(command), "line": cut(line), "reply": cut(str(reply))}
            return Told(WARNING, "command_refused", fields)
        case SenderRefused():
            event = "sender_refused"
        case RecipientRefused():
            event = "recipient_refused"
        case MessageRefused():
            event = "message_refused"
        case _:
            assert_never(report)
    fields["sender"] = cut(report.reverse_path)
    if isinstance(report, RecipientRefused):
        fields["recipient"] = cut(report.recipient)
    elif isinstance(report, MessageRefused):
        fields |= {"recipients": report.recipients, "size": report.size}
    return Told(WARNING, event, fields | {"reply": cut(str(report.reply)), "reason": cut(report.reason)})


def _client(client: Client) -> Fields:
    """Who it is. ``address`` stands first: fail2ban and its like find it right after the event's name."""
    fields: Fields = {"address": client.address, "role": client.role.value, "session": client.session_id}
    if client.helo:
        fields["helo"] = cut(client.helo)
    if client.account:
        fields["account"] = client.account
    if client.tls is not None:
        fields["tls"] = client.tls.version
        if client.tls.peer_trouble:
            fields["client_certificate"] = cut(client.tls.peer_trouble)
    if client.proxy:
        fields["proxy"] = client.proxy
    return fields


def _of_message(queue_id: int, recipient: str) -> Fields:
    return {"queue_id": show_queue_id(queue_id), "recipient": cut(recipient)}


def _accepted(report: MessageAccepted) -> Fields:
    message = report.message
    sender = message.envelope.reverse_path
    fields: Fields = {
        "queue_id": show_queue_id(message.queue_id),
        "sender": "" if sender is None else str(sender),
        "size": message.size,
        "message_id": cut(message.message_id),
    }
    if report.client is not None:
        fields |= _client(report.client)
    if message.envelope.priority:  # RFC 6710 §4.1
        fields["priority"] = message.envelope.priority
    _name(fields, "placed", report.placed)
    _name(fields, "queued", report.queued)
    fields["seconds"] = round(report.seconds, 4)
    return fields


def _name(fields: Fields, key: str, names: Sequence[str]) -> None:
    """Recipients, bounded: the first by name, the rest as a count."""
    if not names:
        return
    fields[key] = list(names[:MOST_NAMES])
    if len(names) > MOST_NAMES:
        fields[f"{key}_more"] = len(names) - MOST_NAMES


def _attempt(report: AttemptMade) -> Fields:
    outcome = report.outcome
    fields = _of_message(report.queue_id, report.recipient)
    fields |= {"outcome": _OUTCOMES[type(outcome)], "state": report.state.value, "reply": cut(str(outcome.reply))}
    if report.site is not None:
        fields |= {"route": report.site.kind.value, "site": cut(report.site.key)}
    peer = outcome.peer
    if peer.host or peer.address:
        fields |= {"host": cut(peer.host), "host_address": peer.address}
        if peer.tls:
            fields["tls"] = peer.tls
        if peer.policy:
            fields["policy"] = peer.policy
        if peer.source:
            fields["source"] = peer.source
    if not isinstance(outcome, Delivered) and outcome.cause is not Cause.OTHER:
        fields["cause"] = outcome.cause.value
    if isinstance(outcome, Deferred) and outcome.ambiguous:
        fields["ambiguous"] = True
    if outcome.detail:
        fields["detail"] = cut(outcome.detail)
    fields["attempts"] = report.attempts
    if report.next_attempt is not None:
        fields["next_attempt"] = round(report.next_attempt, 3)
    fields["seconds"] = round(report.seconds, 4)
    return fields


_OUTCOMES: dict[type[Outcome], str] = {Delivered: "delivered", Deferred: "deferred", Failed: "failed"}
