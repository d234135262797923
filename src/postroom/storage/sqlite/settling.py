"""Settling: what became of attempts, and who wins where an operator or another node came between."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

import apsw

from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.queue.model import Intake, Settlement
from postroom.storage.batch import Kind
from postroom.storage.sqlite.intake import history_of, write_intakes
from postroom.storage.sqlite.rows import INSERT_HISTORY, history_row, write_peer, write_reply
from postroom.storage.sqlite.statements import as_json, numbers, rows_of
from postroom.storage.sqlite.suppression import note_suppressions
from postroom.storage.sqlite.waiting import Destination, drop_messages, drop_recipients, mark_destinations

_STANDINGS = """
SELECT json_group_array(json_array(
    r.queue_id, r.number, r.destination, r.priority, r.state, r.lease_node, r.attempts, r.lost, r.next_attempt))
FROM carray(?) AS asked CROSS JOIN recipient AS r ON r.queue_id = asked.value
"""

_UPDATE = """
UPDATE recipient SET
    state = j.value ->> 2, attempts = j.value ->> 3, next_attempt = j.value ->> 4, last_attempt = j.value ->> 5,
    last_reply = j.value ->> 6, last_peer = j.value ->> 7, delay_told = j.value ->> 8, lost = j.value ->> 9,
    lease_node = NULL
FROM json_each(?) AS j
WHERE recipient.queue_id = j.value ->> 0 AND recipient.number = j.value ->> 1
"""

# The ordinary end: the one recipient of a message has arrived, and nobody came between.
_ARRIVE = """
DELETE FROM recipient WHERE queue_id IN (SELECT value FROM carray(?1)) AND number = ?2 AND lease_node = ?3
AND NOT EXISTS (SELECT 1 FROM recipient AS other WHERE other.queue_id = recipient.queue_id AND other.number <> ?2)
"""

_ARRIVED = (RecipientState.DELIVERED, RecipientState.RELAYED)
_TAKEN_BACK = (RecipientState.HELD.value, RecipientState.REMOVED.value)
_FINAL = frozenset([state.value for state in RecipientState if state.is_final])


@dataclass(slots=True)
class _Standing:
    """A recipient's row as it stands; ``change`` is what will be written."""

    destination: Destination
    state: str
    lease_node: str | None
    attempts: int
    lost: int
    waits: bool
    change: QueuedRecipient | None = None


_Message = dict[int, _Standing]


def settle(connection: apsw.Connection, settlements: Sequence[Settlement]) -> None:
    """Apply the settlements in order, with their DSNs; their own history is left out."""
    dsns: list[Intake] = []
    others = _settle_arrived(connection, settlements)
    if others:
        dsns = _settle_others(connection, others)
    suppressions = [event for one in settlements for event in one.suppressions]
    if suppressions:
        note_suppressions(connection, suppressions)
    if dsns:
        write_intakes(connection, dsns)
        INSERT_HISTORY.run(connection, [history_row(row) for row in history_of(dsns)])


def _settle_arrived(connection: apsw.Connection, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """Settle the ordinary ones without a look at the rows; returns what is still to be applied."""
    ordinary: dict[int, Settlement] = {}
    others: list[Settlement] = []
    number, node = -1, ""
    for settlement in settlements:
        recipients = settlement.recipients
        if len(recipients) != 1 or recipients[0].state not in _ARRIVED or settlement.dsn is not None:
            others.append(settlement)
            continue
        if not ordinary:
            number, node = recipients[0].number, settlement.node
        elif recipients[0].number != number or settlement.node != node:
            others.append(settlement)
            continue
        ordinary[settlement.queue_id] = settlement
    if len(ordinary) + len(others) != len(settlements) or any(one.queue_id in ordinary for one in others):
        return settlements  # more than one of a message: their order counts
    if ordinary:
        connection.execute(_ARRIVE, (numbers(ordinary), number, node))
        all_found = connection.changes() == len(ordinary)
        drop_messages(connection, ordinary)
        if not all_found:  # what went has no rows any more: for the others, it is as if it had never been there
            return settlements
    return others


def _settle_others(connection: apsw.Connection, settlements: Sequence[Settlement]) -> list[Intake]:
    """Apply any settlements in order; returns the DSNs to take in."""
    messages = _read(connection, {settlement.queue_id for settlement in settlements})
    dsns: list[Intake] = []
    for settlement in settlements:
        applied = _apply(settlement, messages.get(settlement.queue_id, {}))
        # Where another node or the operator has taken all of it over, they tell the sender, or nobody does.
        if settlement.dsn is not None and applied:
            dsns.append(settlement.dsn)
    _write(connection, messages)
    return dsns


def _read(connection: apsw.Connection, queue_ids: Collection[int]) -> dict[int, _Message]:
    messages: dict[int, _Message] = {}
    rows = rows_of(connection, _STANDINGS, (numbers(queue_ids),)) if queue_ids else []
    for queue_id, number, destination, priority, state, node, attempts, lost, next_attempt in rows:
        waits = node is None and next_attempt is not None
        standing = _Standing((destination, priority), state, node, attempts, lost, waits)
        messages.setdefault(queue_id, {})[number] = standing
    return messages


def _apply(settlement: Settlement, message: _Message) -> bool:
    """Note what the settlement changes; whether it changes anything."""
    applied = False
    for recipient in settlement.recipients:
        standing = message.get(recipient.number)
        if standing is None or not _may_settle(standing, settlement.node, recipient.state):
            continue
        if recipient.state is RecipientState.LEASED:
            raise ValueError("a settlement ends a lease, it cannot leave the recipient leased")
        standing.change = recipient
        standing.lost = standing.lost if recipient.attempts == standing.attempts else 0  # given back without an attempt
        standing.state, standing.lease_node, standing.attempts = recipient.state.value, None, recipient.attempts
        applied = True
    return applied


def _may_settle(standing: _Standing, node: str, state: RecipientState) -> bool:
    """Whether the node may still say what became of the recipient."""
    if standing.lease_node == node:
        return True
    # Held or removed while the attempt ran: that wins, but not over mail that has arrived.
    return state in _ARRIVED and standing.lease_node is None and standing.state in _TAKEN_BACK


def _write(connection: apsw.Connection, messages: dict[int, _Message]) -> None:
    gone: list[int] = []
    changed: list[list[object]] = []
    waiting: set[Destination] = set()
    for queue_id, message in messages.items():
        if not any(standing.change for standing in message.values()):
            continue
        if all(standing.state in _FINAL for standing in message.values()):
            gone.append(queue_id)
            continue
        for number, standing in message.items():
            change = standing.change
            if change is not None:
                row, waits = _changed_row(queue_id, number, change, standing.lost)
                changed.append(row)
                if waits or standing.waits:
                    waiting.add(standing.destination)
    if changed:
        connection.execute(_UPDATE, (as_json(changed),))
        mark_destinations(connection, waiting)
    drop_recipients(connection, gone)


def _changed_row(queue_id: int, number: int, change: QueuedRecipient, lost: int) -> tuple[list[object], bool]:
    """What ``_UPDATE`` writes, and whether the recipient waits for another attempt."""
    waits = not change.state.is_final and change.state is not RecipientState.HELD
    next_attempt = change.next_attempt
    if not waits:
        next_attempt = None
    elif next_attempt is None:
        next_attempt = change.last_attempt or 0.0  # due at once
    row: list[object] = [
        queue_id, number, change.state.value, change.attempts, next_attempt, change.last_attempt,
        write_reply(change.last_reply), write_peer(change.last_peer), int(change.delay_told), lost,
    ]  # fmt: skip
    return row, waits


def _settle(connection: apsw.Connection, calls: Sequence[Sequence[Settlement]]) -> Sequence[None]:
    settle(connection, list(chain.from_iterable(calls)))
    return [None] * len(calls)


SETTLE: Kind[apsw.Connection, Sequence[Settlement], None] = Kind(
    "settle", _settle, essential=True, history=history_of, first=True
)
