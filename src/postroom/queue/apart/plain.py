"""Admissions on their way to the queue: plain values in ``marshal``, as the queue trusts the node; octets stay octets.

An admission is what one accepted message writes, and the DSN that is due with it. Nearly all have the same shape: what
few of them have stands in one place, which is None in the others.
"""

import marshal
from collections.abc import Sequence

from postroom.mail.address import Address
from postroom.mail.delivery import NO_PEER, Peer, QueuedRecipient, RecipientState
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message
from postroom.mail.plain import Plain, read_envelope, read_recipient, write_envelope, write_recipient
from postroom.mail.reply import Reply
from postroom.mailbox.model import NewEntry
from postroom.net.apart.frames import WireError
from postroom.queue.model import Intake, Lease
from postroom.queue.reportmodel import ReportNote
from postroom.report.history import HistoryRow

_VERSION = 4
_STATES = {state.value: state for state in RecipientState}
_QUEUED = RecipientState.QUEUED


def write_admissions(admissions: Sequence[tuple[int, Sequence[Intake]]]) -> bytes:
    """Some admissions for one frame, each under its number: the intake comes first, its DSN second."""
    return marshal.dumps(
        [(number, [_write_intake(intake) for intake in intakes]) for number, intakes in admissions], _VERSION
    )


def read_admissions(data: bytes | memoryview) -> list[tuple[int, tuple[Intake, ...]]]:
    """The admissions of one frame. WireError where it has none."""
    try:
        return [
            (number, tuple([_read_intake(plain) for plain in intakes]))
            for number, intakes in marshal.loads(data)  # noqa: S302 - our own node wrote it
        ]
    except (EOFError, ValueError, TypeError, KeyError, IndexError) as error:
        raise WireError(f"admissions that cannot be read: {error!r}") from error


def _write_intake(intake: Intake) -> Plain:
    message = intake.message
    envelope = message.envelope
    recipients = envelope.recipients
    rare = intake.entries or intake.lease is not None or intake.returned or intake.reported is not None
    return (
        message.queue_id,
        message.received_at,
        message.prefix,
        message.content_size,
        message.account,
        message.client,
        message.message_id,
        message.tags,
        write_envelope(envelope),
        [write_recipient(one) for one in recipients],
        intake.content,
        [_write_queued(one, recipients) for one in intake.queued],
        [
            (row.queue_id, row.at, row.kind, row.recipient, row.domain, row.message_id, row.detail)
            for row in intake.history
        ],
        _write_rare(intake) if rare else None,
    )


def _read_intake(plain: Plain) -> Intake:
    (
        queue_id, received_at, prefix, size, account, client, message_id, tags, envelope, recipients, content, queued,
        history, rare,
    ) = plain  # fmt: skip
    asked = tuple([read_recipient(one) for one in recipients])
    message = Message(
        queue_id, received_at, read_envelope(envelope, asked), prefix, size, account, client, message_id, tags
    )
    out = tuple([_read_queued(one, asked) for one in queued])
    rows = tuple([HistoryRow(*row) for row in history])
    if rare is None:
        return Intake(message, content, out, (), None, rows)
    entries, lease, returned, reported = rare
    return Intake(
        message,
        content,
        out,
        tuple([NewEntry(*entry) for entry in entries]),
        None if lease is None else Lease(*lease),
        rows,
        returned,
        None if reported is None else ReportNote(*reported),
    )


def _write_rare(intake: Intake) -> Plain:
    """What few messages have."""
    lease, reported = intake.lease, intake.reported
    return (
        [(entry.account_id, entry.recipient, entry.prefix) for entry in intake.entries],
        None if lease is None else (lease.node, lease.until),
        intake.returned,
        None if reported is None else (reported.recipients, reported.author),
    )


def _write_queued(queued: QueuedRecipient, asked: tuple[Recipient, ...]) -> Plain:
    """One who leaves the house. Its recipient is left out where it is the one that was asked for under its number."""
    number, recipient, path = queued.number, queued.recipient, queued.return_path
    same = number < len(asked) and asked[number] is recipient
    fresh = (
        queued.state is _QUEUED
        and not queued.attempts
        and queued.last_attempt is None
        and queued.last_reply is None
        and not queued.delay_told
        and queued.last_peer is NO_PEER
    )
    return (
        number,
        None if same else write_recipient(recipient),
        queued.next_attempt,
        queued.destination,
        None if path is None else (path.local, path.domain),
        None if fresh else _write_standing(queued),
    )


def _read_queued(plain: Plain, asked: tuple[Recipient, ...]) -> QueuedRecipient:
    number, own, next_attempt, destination, path, standing = plain
    recipient = asked[number] if own is None else read_recipient(own)
    back = None if path is None else Address(path[0], path[1])
    if standing is None:
        return QueuedRecipient(
            number, recipient, _QUEUED, 0, next_attempt, None, None, NO_PEER, False, destination, back
        )
    state, attempts, last_attempt, reply, peer, delay_told = standing
    return QueuedRecipient(
        number,
        recipient,
        _STATES[state],
        attempts,
        next_attempt,
        last_attempt,
        None if reply is None else Reply(*reply),
        Peer(*peer),
        delay_told,
        destination,
        back,
    )


def _write_standing(queued: QueuedRecipient) -> Plain:
    """How a recipient stands that is not just to be sent."""
    reply, peer = queued.last_reply, queued.last_peer
    return (
        queued.state.value,
        queued.attempts,
        queued.last_attempt,
        None if reply is None else (reply.code, reply.status, reply.lines),
        (peer.host, peer.address, peer.port, peer.tls, peer.policy, peer.source),
        queued.delay_told,
    )
