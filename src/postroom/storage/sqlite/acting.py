"""What an operator does to queued recipients, and which recipients a filter means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from postroom.mail.address import Address
from postroom.mail.delivery import RecipientState
from postroom.queue.model import QueueAction, QueueFilter
from postroom.storage.batch import Kind
from postroom.storage.sqlite.statements import Value, as_json, rows_of
from postroom.storage.sqlite.waiting import drop_recipients, finished, mark_destinations

_UNSETTLED = tuple([state for state in RecipientState if not state.is_final])
_WAITING = (RecipientState.QUEUED, RecipientState.DEFERRED)

_HISTORY = """
INSERT INTO history (queue_id, at, day, kind, recipient, domain, message_id, detail)
SELECT r.queue_id, ?1, CAST(?1 / 86400 AS INTEGER), ?2, r.local || '@' || r.domain, r.domain, '', '{}'
FROM json_each(?3) AS j CROSS JOIN recipient AS r ON r.queue_id = j.value ->> 0 AND r.number = j.value ->> 1
"""
# Who is held while an attempt runs may have got the mail: that is remembered for the next attempt.
_UPDATE = """
UPDATE recipient SET state = coalesce(?1, iif(attempts > 0, 'deferred', 'queued')), next_attempt = j.value ->> 2,
    lost = lost OR lease_node IS NOT NULL, lease_node = NULL
FROM json_each(?2) AS j
WHERE recipient.queue_id = j.value ->> 0 AND recipient.number = j.value ->> 1
"""

# RFC 4865 §4.2: when the sender wants it to go, where that is still to come. Only rows that were never attempted are
# looked up: a sweep over a long queue must not read each message.
_RELEASED_AT = """
iif(r.attempts = 0, (SELECT m.options ->> '$.hold[0]' FROM message AS m WHERE m.queue_id = r.queue_id), NULL)
"""


@dataclass(frozen=True, slots=True)
class _Effect:
    """What an action does: to which states, to which state (None: back to waiting), and what history calls it.

    ``early``: states that it touches before the release that the sender asked for, where the message is named.
    """

    touches: tuple[RecipientState, ...]
    becomes: RecipientState | None
    kind: str
    early: tuple[RecipientState, ...] = ()


_EFFECTS = {
    QueueAction.RETRY: _Effect(_WAITING, None, "retried", early=_WAITING),
    QueueAction.HOLD: _Effect((*_WAITING, RecipientState.LEASED), RecipientState.HELD, "held"),
    QueueAction.RELEASE: _Effect((RecipientState.HELD,), None, "released", early=_WAITING),
    QueueAction.REMOVE: _Effect(_UNSETTLED, RecipientState.REMOVED, "removed"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk through the queue stands: after this recipient."""

    queue_id: int = -1
    number: int = -1


@dataclass(frozen=True, slots=True)
class Slice:
    """One piece of an operator's action, so that mail does not wait for a million rows."""

    action: QueueAction
    which: QueueFilter
    now: float
    after: Place
    limit: int


@dataclass(frozen=True, slots=True)
class Acted:
    """How many recipients a slice met, and where the next begins (None: there is none)."""

    count: int
    last: Place | None


def conditions(which: QueueFilter) -> tuple[str, list[Value]]:
    """The filter as SQL over ``recipient AS r`` joined to ``message AS m``, and its bindings."""
    states = which.states or _UNSETTLED
    clauses = ["r.state IN (SELECT value FROM json_each(?))"]
    bindings: list[Value] = [as_json([state.value for state in states])]
    if which.queue_ids:
        clauses.append("r.queue_id IN (SELECT value FROM json_each(?))")
        bindings.append(as_json(which.queue_ids))
    if which.domain:
        clauses.append("r.domain = ?")
        bindings.append(which.domain.lower())
    if which.recipient:
        local, domain = _parts(which.recipient)
        clauses.append("r.local = ? COLLATE NOCASE AND r.domain = ?")
        bindings += [local, domain]
    if which.sender == "":
        clauses.append("m.sender_domain IS NULL")
    elif which.sender is not None:
        local, domain = _parts(which.sender)
        clauses.append("m.sender_local = ? COLLATE NOCASE AND m.sender_domain = ?")
        bindings += [local, domain]
    if which.one_in > 1:
        clauses.append("r.queue_id % ? = 0")
        bindings.append(which.one_in)
    return " AND ".join(clauses), bindings


def _parts(text: str) -> tuple[str, str]:
    try:
        address = Address.parse(text)
    except ValueError:  # no address: it matches nothing
        return text, ""
    return address.local, address.domain


def act(connection: apsw.Connection, piece: Slice) -> Acted:
    """Do one slice."""
    effect = _EFFECTS[piece.action]
    named = bool(piece.which.queue_ids)
    rows = _find(connection, piece, effect, named=named)
    if not rows:
        return Acted(0, None)
    keys = as_json(
        [
            [queue_id, number, _due(effect, state, released_at, piece.now)]
            for queue_id, number, _, _, state, released_at in rows
        ]
    )
    connection.execute(_HISTORY, (piece.now, effect.kind, keys))
    connection.execute(_UPDATE, (None if effect.becomes is None else effect.becomes.value, keys))
    mark_destinations(connection, {(domain, priority) for _, _, domain, priority, _, _ in rows})
    if effect.becomes is RecipientState.REMOVED:
        drop_recipients(connection, finished(connection, {row[0] for row in rows}))
    last = Place(rows[-1][0], rows[-1][1]) if len(rows) == piece.limit else None
    return Acted(len(rows), last)


def _find(connection: apsw.Connection, piece: Slice, effect: _Effect, *, named: bool) -> list[list[Any]]:
    """The recipients that the slice is about, and when their senders want them to go."""
    where, bindings = conditions(piece.which)
    join = "" if piece.which.sender is None else "JOIN message AS m ON m.queue_id = r.queue_id"
    released_at = _RELEASED_AT if effect.early else "NULL"
    sql = f"""
        SELECT json_group_array(json_array(queue_id, number, domain, priority, state, released_at)) FROM (
            SELECT r.queue_id, r.number, r.domain, r.priority, r.state, {released_at} AS released_at
            FROM recipient AS r {join}
            WHERE (r.queue_id, r.number) > (?, ?) AND {where} AND iif(
                released_at > ? AND r.state <> 'held',
                r.state IN (SELECT value FROM json_each(?)),
                r.state IN (SELECT value FROM json_each(?)))
            ORDER BY r.queue_id, r.number LIMIT ?)
    """  # noqa: S608 - our own clauses, values are bound
    touches = as_json([state.value for state in effect.touches])
    early = as_json([state.value for state in effect.early] if named else [])
    after = piece.after
    return rows_of(connection, sql, (after.queue_id, after.number, *bindings, piece.now, early, touches, piece.limit))


def _due(effect: _Effect, state: str, released_at: float | None, now: float) -> float | None:
    """When a recipient is due after the action; None: not before another one.

    The end of an operator's hold is not the end of the sender's.
    """
    if effect.becomes is not None:
        return None
    if state == RecipientState.HELD.value and released_at is not None:
        return max(released_at, now)
    return now


def _act(connection: apsw.Connection, calls: Sequence[Slice]) -> Sequence[Acted]:
    return [act(connection, piece) for piece in calls]


ACT: Kind[apsw.Connection, Slice, Acted] = Kind("act", _act, essential=True)
