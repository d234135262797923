"""Messages, recipients and history as rows, and back."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import apsw

from postroom.mail.address import Address
from postroom.mail.delivery import NO_PEER, Peer, QueuedRecipient, RecipientState
from postroom.mail.envelope import Body, ByMode, DeliverBy, Envelope, Notify, Recipient, Ret
from postroom.mail.message import Message, QueueId
from postroom.mail.reply import Reply
from postroom.queue.model import Lease, QueueEntry
from postroom.report.history import HistoryRow
from postroom.storage.sqlite.statements import Insert, Value, as_json, numbers, rows_of

Row = tuple[Value, ...]

INSERT_MESSAGES = Insert(
    "message",
    (
        "queue_id", "received_at", "sender_local", "sender_domain", "recipients", "body", "smtputf8", "ret", "envid",
        "account", "client", "message_id", "content_size", "chunks", "prefix", "content", "options",
    ),
)  # fmt: skip
INSERT_RECIPIENTS = Insert(
    "recipient",
    (
        "queue_id", "number", "local", "domain", "notify", "orcpt", "state", "attempts", "next_attempt", "last_attempt",
        "last_reply", "last_peer", "delay_told", "lease_node", "priority", "destination", "return_path",
    ),
)  # fmt: skip
INSERT_HISTORY = Insert("history", ("queue_id", "at", "day", "kind", "recipient", "domain", "message_id", "detail"))

_DAY = 86400

# Looking a member up in its class and asking it for its value take longer than all else that a row takes.
_HELD = RecipientState.HELD
_LEASED = RecipientState.LEASED

_MESSAGES = """
SELECT json_group_array(json_array(
    m.queue_id, m.received_at, m.sender_local, m.sender_domain, m.recipients, m.body, m.smtputf8, m.ret, m.envid,
    m.account, m.client, m.message_id, m.content_size, hex(m.prefix), json(m.options),
    json((SELECT json_group_array(json_array(
        r.number, r.local, r.domain, r.notify, r.orcpt, r.state, r.attempts, r.next_attempt, r.last_attempt,
        r.last_reply, r.last_peer, r.delay_told, r.lease_node, r.lost, r.destination, r.return_path))
     FROM recipient AS r WHERE r.queue_id = m.queue_id))
) ORDER BY m.queue_id)
FROM message AS m WHERE m.queue_id IN (SELECT value FROM carray(?))
"""


def message_row(message: Message, queued: Sequence[QueuedRecipient], chunks: int, content: bytes | None) -> Row:
    """A row of ``message``."""
    envelope = message.envelope
    sender = envelope.reverse_path
    same = envelope.recipients == tuple([one.recipient for one in queued])
    return (
        message.queue_id,
        message.received_at,
        None if sender is None else sender.local,
        None if sender is None else sender.domain,
        None if same else _write_recipients(envelope.recipients),
        envelope.body._value_,
        int(envelope.smtputf8),
        None if envelope.ret is None else envelope.ret.value,
        envelope.envid,
        message.account,
        message.client,
        message.message_id,
        message.content_size,
        chunks,
        message.prefix,
        content,
        _write_options(message) if envelope.has_options or message.tags else None,
    )


def recipient_row(message: Message, queued: QueuedRecipient, lease: Lease | None) -> Row:
    """A row of ``recipient`` for a fresh message. Leased with ``lease``, unless it is held."""
    recipient, address = queued.recipient, queued.recipient.address
    state, next_attempt, node = queued.state, queued.next_attempt, None
    if state is _HELD:
        next_attempt = None
    elif lease is not None:
        state, next_attempt, node = _LEASED, lease.until, lease.node
    elif next_attempt is None:
        next_attempt = message.received_at
    return (
        message.queue_id,
        queued.number,
        address.local,
        address.domain,
        None if recipient.notify is None else recipient.notify.value,
        recipient.orcpt,
        state._value_,
        queued.attempts,
        next_attempt,
        queued.last_attempt,
        write_reply(queued.last_reply),
        write_peer(queued.last_peer),
        int(queued.delay_told),
        node,
        message.envelope.priority,
        queued.destination or address.domain,
        None if queued.return_path is None else as_json([queued.return_path.local, queued.return_path.domain]),
    )


def history_row(row: HistoryRow) -> Row:
    """A row of ``history``."""
    return (
        row.queue_id, row.at, int(row.at // _DAY), row.kind, row.recipient, row.domain, row.message_id, row.detail
    )  # fmt: skip


def read_messages(connection: apsw.Connection, queue_ids: Iterable[int]) -> list[tuple[QueueEntry, frozenset[int]]]:
    """Messages with all of their recipients in order of queue id, and which recipients had lost leases."""
    ids = list(queue_ids)
    return [_read_entry(row) for row in rows_of(connection, _MESSAGES, (numbers(ids),))] if ids else []


def write_reply(reply: Reply | None) -> str | None:
    """A reply as JSON."""
    return None if reply is None else as_json([reply.code, reply.status, *reply.lines])


def write_peer(peer: Peer) -> str | None:
    """A peer as JSON; None for none."""
    return None if peer is NO_PEER or peer == NO_PEER else as_json(_parts(peer))


def _parts(peer: Peer) -> list[object]:
    parts: list[object] = [peer.host, peer.address, peer.port, peer.tls]
    return [*parts, peer.policy, peer.source] if peer.policy or peer.source else parts


def _write_recipients(recipients: Sequence[Recipient]) -> str:
    return as_json(
        [
            [one.address.local, one.address.domain, None if one.notify is None else one.notify.value, one.orcpt]
            for one in recipients
        ]
    )


def _write_options(message: Message) -> str:
    """What few messages ask for, and their tags; a float in JSON is read back as the same float."""
    options: dict[str, object] = {}
    envelope = message.envelope
    by = envelope.deliver_by
    if by is not None:
        options["by"] = [by.seconds, by.mode.value, by.trace]
    if envelope.hold_until is not None:
        options["hold"] = [envelope.hold_until, envelope.hold_request]
    if envelope.priority:
        options["priority"] = envelope.priority
    if envelope.require_tls:
        options["tls"] = True
    if message.tags:
        options["tags"] = message.tags
    return as_json(options)


def _with_options(
    envelope: Envelope,
    *,
    by: tuple[int, str, bool] | None = None,
    hold: tuple[float, str] | None = None,
    priority: int = 0,
    tls: bool = False,
) -> Envelope:
    seconds, mode, trace = by or (0, "", False)
    hold_until, hold_request = hold or (None, "")
    return replace(
        envelope,
        deliver_by=None if by is None else DeliverBy(seconds, ByMode(mode), trace),
        hold_until=hold_until,
        hold_request=hold_request,
        priority=priority,
        require_tls=tls,
    )


def _read_recipient(local: str, domain: str, notify: int | None, orcpt: str) -> Recipient:
    return Recipient(Address(local, domain), None if notify is None else Notify(notify), orcpt)


def _read_entry(row: list[Any]) -> tuple[QueueEntry, frozenset[int]]:
    (
        queue_id, received_at, sender_local, sender_domain, asked, body, smtputf8, ret, envid, account, client,
        message_id, content_size, prefix, options, recipients,
    ) = row  # fmt: skip
    queued = tuple([_read_queued(one) for one in recipients])
    envelope = Envelope(
        reverse_path=None if sender_local is None else Address(sender_local, sender_domain),
        recipients=tuple([one.recipient for one in queued])
        if asked is None
        else tuple([_read_recipient(*one) for one in json.loads(asked)]),
        body=Body(body),
        smtputf8=bool(smtputf8),
        ret=None if ret is None else Ret(ret),
        envid=envid,
    )
    tags: tuple[str, ...] = ()
    if options is not None:
        tags = tuple(options.pop("tags", ()))
        if options:
            envelope = _with_options(envelope, **options)
    message = Message(
        queue_id=QueueId(queue_id),
        received_at=received_at,
        envelope=envelope,
        prefix=bytes.fromhex(prefix),
        content_size=content_size,
        account=account,
        client=client,
        message_id=message_id,
        tags=tags,
    )
    lease = next((Lease(node=one[12], until=one[7]) for one in recipients if one[12] is not None), None)
    lost = frozenset([one[0] for one in recipients if one[13]])
    return QueueEntry(message, queued, lease), lost


def _read_queued(row: list[Any]) -> QueuedRecipient:
    (
        number, local, domain, notify, orcpt, state, attempts, next_attempt, last_attempt, last_reply, last_peer,
        delay_told, lease_node, _lost, destination, return_path,
    ) = row  # fmt: skip
    return QueuedRecipient(
        number=number,
        recipient=_read_recipient(local, domain, notify, orcpt),
        state=RecipientState(state),
        attempts=attempts,
        next_attempt=next_attempt if lease_node is None else None,  # a leased row keeps the end of its lease there
        last_attempt=last_attempt,
        last_reply=_read_reply(last_reply),
        last_peer=NO_PEER if last_peer is None else Peer(*json.loads(last_peer)),
        delay_told=bool(delay_told),
        destination=destination,
        return_path=None if return_path is None else Address(*json.loads(return_path)),
    )


def _read_reply(text: str | None) -> Reply | None:
    if text is None:
        return None
    code, status, *lines = json.loads(text)
    return Reply(code, status, tuple(lines))
