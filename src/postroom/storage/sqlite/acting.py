"""What an operator does to queued recipients, and which recipients a filter means.

Who is meant is looked up beside the writer, however long the queue is; the writer looks at those only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from postroom.mail.address import Address
from postroom.mail.delivery import RecipientState
from postroom.queue.expansion import original_recipient, to_json
from postroom.queue.model import QueueAction, QueueFilter
from postroom.storage.batch import Kind
from postroom.storage.sqlite.orders import recall
from postroom.storage.sqlite.statements import Value, as_json, rows_of
from postroom.storage.sqlite.waiting import drop_recipients, finished, mark_destinations

_UNSETTLED = tuple([state for state in RecipientState if not state.is_final])
_WAITING = (RecipientState.QUEUED, RecipientState.DEFERRED)

_HISTORY = """
INSERT INTO history (queue_id, at, day, kind, recipient, domain, message_id, detail)
SELECT r.queue_id, ?1, CAST(?1 / 86400 AS INTEGER), ?2, r.local || '@' || r.domain, r.domain, '', ?4
FROM json_each(?3) AS j CROSS JOIN recipient AS r ON r.queue_id = j.value ->> 0 AND r.number = j.value ->> 1
"""
# Who is held while an attempt runs may have got the mail: that is remembered for the next attempt.
_UPDATE = """
UPDATE recipient SET state = coalesce(?1, iif(attempts > 0, 'deferred', 'queued')), next_attempt = j.value ->> 2,
    lost = lost OR lease_node IS NOT NULL, lease_node = NULL
FROM json_each(?2) AS j
WHERE recipient.queue_id = j.value ->> 0 AND recipient.number = j.value ->> 1
"""

# The address that the sender gave stays in ORCPT (RFC 3461 §4.2); all else is as if it had just come in.
_REDIRECT = """
UPDATE recipient SET orcpt = iif(orcpt = '', j.value ->> 3, orcpt), local = ?1, domain = ?2, destination = ?2,
    state = iif(state = 'held', 'held', 'queued'), next_attempt = j.value ->> 2, attempts = 0, last_attempt = NULL,
    last_reply = NULL, last_peer = NULL, lost = 0
FROM json_each(?3) AS j
WHERE recipient.queue_id = j.value ->> 0 AND recipient.number = j.value ->> 1
"""

# RFC 4865 §4.2: when the sender wants it to go, where that is still to come. Only rows that were never attempted are
# looked up: a sweep over a long queue must not read each message.
_RELEASED_AT = """
iif(r.attempts = 0, (SELECT m.options ->> '$.hold[0]' FROM message AS m WHERE m.queue_id = r.queue_id), NULL)
"""


@dataclass(frozen=True, slots=True)
class _Effect:
    """What an action does: to which states, to which state (None: back to waiting), and what history calls it
    (``""``: nothing).

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
    QueueAction.REDIRECT: _Effect((*_WAITING, RecipientState.HELD), None, "redirected", early=_WAITING),
    QueueAction.RESUME: _Effect(_WAITING, None, "", early=()),
}


Key = tuple[int, int]
"""Queue id and number of a recipient."""

BEFORE_ALL: Key = (-1, -1)


@dataclass(frozen=True, slots=True)
class Slice:
    """One piece of an operator's action, so that mail does not wait for a million rows: these, where they still match.

    ``to`` is the new address for REDIRECT.
    """

    action: QueueAction
    which: QueueFilter
    now: float
    keys: Sequence[Key]
    to: Address | None = None


_RULE = "substr(r.destination, instr(r.destination || ' ', ' ') + 1)"
"""What stands behind the domain: the rule, with the place of a host (``/2``) or another rule (``|other``)."""


def conditions(which: QueueFilter) -> tuple[str, list[Value]]:
    """The filter as SQL over ``recipient AS r`` joined to ``message AS m``, and its bindings."""
    states = which.states or _UNSETTLED
    clauses = ["r.state IN (SELECT value FROM json_each(?))"]
    bindings: list[Value] = [as_json([state.value for state in states])]
    if which.queue_ids:
        clauses.append("r.queue_id IN (SELECT value FROM json_each(?))")
        bindings.append(as_json(which.queue_ids))
    if which.domain.startswith("."):
        clauses.append("substr(r.domain, ?) = ?")
        bindings += [-len(which.domain), which.domain.lower()]
    elif which.domain:
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
    for clause, value in _further(which):
        clauses.append(clause)
        bindings.append(value)
    return " AND ".join(clauses), bindings


def _further(which: QueueFilter) -> Iterator[tuple[str, Value]]:
    """The conditions that are asked for now and then."""
    if which.destination:
        yield "r.destination = ?", which.destination
    if which.rule:
        yield f"instr(replace({_RULE}, '|', '/') || '/', ?) = 1", f"{which.rule}/"
    if which.before is not None:
        yield "m.received_at < ?", which.before
    if which.reply:
        yield "EXISTS (SELECT 1 FROM json_each(r.last_reply) WHERE instr(lower(value), ?))", which.reply.lower()
    if which.host:
        yield "r.last_peer ->> 0 = ? COLLATE NOCASE", which.host
    if which.account:
        yield "m.account = ? COLLATE NOCASE", which.account
    if which.tag:
        yield "EXISTS (SELECT 1 FROM json_each(m.options, '$.tags') WHERE value = ?)", which.tag
    if which.priority is not None:
        yield "r.priority = ?", which.priority
    if which.one_in > 1:
        yield "r.queue_id % ? = 0", which.one_in


def join_for(which: QueueFilter) -> str:
    """What ``conditions`` needs beside the recipient."""
    needs = which.sender is not None or which.before is not None or which.account or which.tag
    return "JOIN message AS m ON m.queue_id = r.queue_id" if needs else ""


def find_keys(
    connection: apsw.Connection, which: QueueFilter, after: Key, limit: int, *, unleased: bool = False
) -> list[Key]:
    """The next recipients that match, in order."""
    where, bindings = conditions(which)
    free = "AND r.lease_node IS NULL" if unleased else ""
    sql = f"""
        SELECT json_group_array(json_array(queue_id, number)) FROM (
            SELECT r.queue_id, r.number FROM recipient AS r {join_for(which)}
            WHERE (r.queue_id, r.number) > (?, ?) AND {where} {free} ORDER BY r.queue_id, r.number LIMIT ?)
    """  # noqa: S608 - our own clauses, values are bound
    return [(queue_id, number) for queue_id, number in rows_of(connection, sql, (*after, *bindings, limit))]


def _parts(text: str) -> tuple[str, str]:
    try:
        address = Address.parse(text)
    except ValueError:  # no address: it matches nothing
        return text, ""
    return address.local, address.domain


def act(connection: apsw.Connection, piece: Slice) -> int:
    """Do one slice; how many recipients it met."""
    effect = _EFFECTS[piece.action]
    rows = _find(connection, piece, effect, named=bool(piece.which.queue_ids))
    if not rows:
        return 0
    keys = as_json(
        [
            [row[0], row[1], _due(piece, effect, row[4], row[5]), original_recipient(Address(row[6], row[7]))]
            for row in rows
        ]
    )
    if effect.kind:
        detail = "{}" if piece.to is None else to_json({"to": str(piece.to)})
        connection.execute(_HISTORY, (piece.now, effect.kind, keys, detail))
    lines = {(row[2], row[3]) for row in rows}
    if piece.to is not None:
        connection.execute(_REDIRECT, (piece.to.local, piece.to.domain, keys))
        lines |= {(piece.to.domain, priority) for _, priority in lines}
    else:
        connection.execute(_UPDATE, (None if effect.becomes is None else effect.becomes.value, keys))
    mark_destinations(connection, lines)
    if any(row[4] == RecipientState.LEASED.value for row in rows):
        recall(connection)
    if effect.becomes is RecipientState.REMOVED:
        drop_recipients(connection, finished(connection, {row[0] for row in rows}))
    return len(rows)


def _find(connection: apsw.Connection, piece: Slice, effect: _Effect, *, named: bool) -> list[list[Any]]:
    """The recipients that the slice is about, and when their senders want them to go."""
    where, bindings = conditions(piece.which)
    released_at = _RELEASED_AT if effect.early else "NULL"
    sql = f"""
        SELECT json_group_array(
            json_array(queue_id, number, destination, priority, state, released_at, local, domain)) FROM (
            SELECT r.queue_id, r.number, r.destination, r.priority, r.state, {released_at} AS released_at,
                r.local, r.domain
            FROM json_each(?) AS j
            CROSS JOIN recipient AS r ON r.queue_id = j.value ->> 0 AND r.number = j.value ->> 1
            {join_for(piece.which)}
            WHERE {where} AND iif(
                released_at > ? AND r.state <> 'held',
                r.state IN (SELECT value FROM json_each(?)),
                r.state IN (SELECT value FROM json_each(?))))
    """  # noqa: S608 - our own clauses, values are bound
    touches = as_json([state.value for state in effect.touches])
    early = as_json([state.value for state in effect.early] if named else [])
    return rows_of(connection, sql, (as_json(piece.keys), *bindings, piece.now, early, touches))


def _due(piece: Slice, effect: _Effect, state: str, released_at: float | None) -> float | None:
    """When a recipient is due after the action; None: not before another one.

    The end of an operator's hold is not the end of the sender's; a new address does not end a hold.
    """
    held = state == RecipientState.HELD.value
    if effect.becomes is not None or (held and piece.to is not None):
        return None
    if held and released_at is not None:
        return max(released_at, piece.now)
    return piece.now


def _act(connection: apsw.Connection, calls: Sequence[Slice]) -> Sequence[int]:
    return [act(connection, piece) for piece in calls]


ACT: Kind[apsw.Connection, Slice, int] = Kind("act", _act, essential=True)
