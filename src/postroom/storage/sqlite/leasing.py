"""Leasing: who may attempt what is due, and what becomes of leases whose holder died."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from postroom.mail.message import QueueId
from postroom.queue.model import Lease, LeaseAnswer, LeasedMessage, LeaseQuestion
from postroom.queue.urgency import HIGHEST, LOWEST, rank
from postroom.storage.batch import Kind
from postroom.storage.sqlite.rows import read_messages
from postroom.storage.sqlite.statements import as_json, numbers, rows_of
from postroom.storage.sqlite.waiting import FINAL, Destination, mark_destinations

_EXPIRED = """
SELECT json_group_array(json_array(next_attempt, queue_id, number, destination, priority)) FROM (
    SELECT next_attempt, queue_id, number, destination, priority FROM recipient
    WHERE lease_node IS NOT NULL AND next_attempt <= ?1 AND destination NOT IN (SELECT value FROM json_each(?2))
    ORDER BY next_attempt LIMIT ?3)
"""

# The lines (a destination at a priority) whose first recipient is due, longest waiting first, at each priority. The
# first `limit` recipients are among the first `limit` lines, because each of these has one that goes before any of a
# later.
_DESTINATIONS = """
SELECT json_group_array(json((
    SELECT json_group_array(json_array(next_attempt, destination, priority)) FROM (
        SELECT next_attempt, destination, priority FROM destination INDEXED BY destination_next
        WHERE priority = level.value AND next_attempt <= ?1 AND destination NOT IN (SELECT value FROM json_each(?2))
        ORDER BY next_attempt LIMIT ?3)
))) FROM json_each(?4) AS level
"""
_DUE = """
SELECT json_group_array(json((
    SELECT json_group_array(json_array(next_attempt, queue_id, number, destination, priority)) FROM (
        SELECT next_attempt, queue_id, number, destination, priority FROM recipient INDEXED BY recipient_waiting
        WHERE destination = asked.value ->> 0 AND priority = asked.value ->> 1
        AND lease_node IS NULL AND next_attempt IS NOT NULL AND next_attempt <= ?1
        ORDER BY next_attempt LIMIT ?3)
))) FROM json_each(?2) AS asked
"""
_NEXT = """
SELECT min(
    coalesce((SELECT min((
                  SELECT next_attempt FROM destination INDEXED BY destination_next
                  WHERE priority = level.value AND destination NOT IN (SELECT value FROM json_each(?1))
                  ORDER BY next_attempt LIMIT 1))
              FROM json_each(?2) AS level), 1e999),
    coalesce((SELECT next_attempt FROM recipient INDEXED BY recipient_leased
              WHERE lease_node IS NOT NULL AND destination NOT IN (SELECT value FROM json_each(?1))
              ORDER BY next_attempt LIMIT 1), 1e999))
"""
_LEASE = """
UPDATE recipient SET state = 'leased', lost = lost OR lease_node IS NOT NULL, lease_node = ?1, next_attempt = ?2
FROM json_each(?3) AS j
WHERE recipient.queue_id = j.value ->> 0 AND recipient.number = j.value ->> 1
"""
_RENEW = "UPDATE recipient SET next_attempt = ?1 WHERE queue_id IN (SELECT value FROM carray(?2)) AND lease_node = ?3"

_FAIR_SHARE = 16
"""Recipients of one line that are looked at however many lines are due: it bounds the work of one question."""

_LEVELS = as_json(list(range(HIGHEST, LOWEST - 1, -1)))

_RECOVERED = """
SELECT json_group_array(json_array(destination, priority)) FROM (
    SELECT DISTINCT destination, priority FROM recipient INDEXED BY recipient_leased
    WHERE lease_node IS NOT NULL AND lease_node = ?)
"""
_RECOVER = """
UPDATE recipient SET state = iif(attempts > 0, 'deferred', 'queued'), next_attempt = ?1, lost = 1, lease_node = NULL
WHERE lease_node IS NOT NULL AND lease_node = ?2
"""
_SWEEP = "DELETE FROM chunk WHERE queue_id NOT IN (SELECT queue_id FROM message WHERE chunks > 0)"
_SWEEP_BEFORE = f"{_SWEEP} AND queue_id < ?"

_CLAIMABLE = f"""
SELECT json_group_array(json_array(r.queue_id, r.number, r.destination, r.priority))
FROM json_each(?) AS j CROSS JOIN recipient AS r ON r.queue_id = j.value ->> 0 AND r.number = j.value ->> 1
WHERE r.lease_node IS NULL AND r.state NOT IN {FINAL}
"""  # noqa: S608 - our own constant


@dataclass(frozen=True, slots=True)
class Claim:
    """Recipients that a command wants to settle itself."""

    keys: Sequence[tuple[int, int]]
    lease: Lease


_Candidate = tuple[float, int, int, Destination]


def lease(connection: apsw.Connection, question: LeaseQuestion) -> LeaseAnswer:
    """Lease what is due, by priority and age."""
    excluded = as_json(list(question.excluded))
    chosen = _choose(question, _candidates(connection, question, excluded)) if question.limit > 0 else []
    messages: tuple[LeasedMessage, ...] = ()
    if chosen:
        keys = as_json([[queue_id, number] for _, queue_id, number, _ in chosen])
        connection.execute(_LEASE, (question.lease.node, question.lease.until, keys))
        mark_destinations(connection, {destination for _, _, _, destination in chosen})
        messages = _read_leased(connection, chosen)
    next_due = connection.execute(_NEXT, (excluded, _LEVELS)).get
    return LeaseAnswer(messages, None if next_due == float("inf") else next_due)


def _candidates(connection: apsw.Connection, question: LeaseQuestion, excluded: str) -> list[_Candidate]:
    now, limit = question.now, question.limit
    rows = rows_of(connection, _EXPIRED, (now, excluded, limit))
    levels = rows_of(connection, _DESTINATIONS, (now, excluded, limit, _LEVELS))
    lines = sorted((rank(at, priority), name, priority) for level in levels for at, name, priority in level)[:limit]
    if lines:
        share = min(question.per_destination, limit, max(_FAIR_SHARE, 4 * limit // len(lines)))
        asked = as_json([line[1:] for line in lines])
        for some in rows_of(connection, _DUE, (now, asked, share)):
            rows += some
    return [(rank(at, priority), queue_id, number, (name, priority)) for at, queue_id, number, name, priority in rows]


def _choose(question: LeaseQuestion, candidates: list[_Candidate]) -> list[_Candidate]:
    """The first, within the limits."""
    heapq.heapify(candidates)
    taken: dict[str, int] = {}
    shares = question.shares
    chosen: list[_Candidate] = []
    while candidates and len(chosen) < question.limit:
        candidate = heapq.heappop(candidates)
        destination = candidate[3][0]
        count = taken.get(destination, 0)
        if count < shares.get(destination, question.per_destination):
            taken[destination] = count + 1
            chosen.append(candidate)
    return chosen


def _read_leased(connection: apsw.Connection, chosen: Sequence[_Candidate]) -> tuple[LeasedMessage, ...]:
    """The chosen messages, in the order in which their first recipient was chosen."""
    wanted: dict[int, set[int]] = {}
    for _, queue_id, number, _ in chosen:
        wanted.setdefault(queue_id, set()).add(number)
    leased = {}
    for entry, lost in read_messages(connection, wanted):
        queue_id = entry.message.queue_id
        recipients = tuple([one for one in entry.recipients if one.number in wanted[queue_id]])
        leased[queue_id] = LeasedMessage(entry.message, recipients, lost_leases=lost & wanted[queue_id])
    return tuple([leased[QueueId(queue_id)] for queue_id in wanted])


def claim(connection: apsw.Connection, wanted: Claim) -> tuple[LeasedMessage, ...]:
    """Lease these, unless they are leased or settled meanwhile."""
    rows = rows_of(connection, _CLAIMABLE, (as_json(wanted.keys),))
    chosen = [(0.0, queue_id, number, (destination, priority)) for queue_id, number, destination, priority in rows]
    if not chosen:
        return ()
    keys = as_json([[queue_id, number] for _, queue_id, number, _ in chosen])
    connection.execute(_LEASE, (wanted.lease.node, wanted.lease.until, keys))
    mark_destinations(connection, {destination for _, _, _, destination in chosen})
    return _read_leased(connection, chosen)


def recover(connection: apsw.Connection, node: str, now: float, before: QueueId | None = None) -> int:
    """What the node had leased is due now; chunks without message go, those under a queue id below ``before``."""
    destinations = rows_of(connection, _RECOVERED, (node,))
    count = 0
    if destinations:
        connection.execute(_RECOVER, (now, node))
        count = connection.changes()
        mark_destinations(connection, destinations)
    if before is None:
        connection.execute(_SWEEP)
    else:
        connection.execute(_SWEEP_BEFORE, (before,))
    return count


def _lease(connection: apsw.Connection, calls: Sequence[LeaseQuestion]) -> Sequence[LeaseAnswer]:
    return [lease(connection, question) for question in calls]


def _claim(connection: apsw.Connection, calls: Sequence[Claim]) -> Sequence[tuple[LeasedMessage, ...]]:
    return [claim(connection, wanted) for wanted in calls]


def _renew(connection: apsw.Connection, calls: Sequence[tuple[Sequence[QueueId], Lease]]) -> Sequence[None]:
    for queue_ids, prolonged in calls:
        if queue_ids:
            connection.execute(_RENEW, (prolonged.until, numbers(queue_ids), prolonged.node))
    return [None] * len(calls)


def _recover(connection: apsw.Connection, calls: Sequence[tuple[str, float, QueueId | None]]) -> Sequence[int]:
    return [recover(connection, node, now, before) for node, now, before in calls]


LEASE: Kind[apsw.Connection, LeaseQuestion, LeaseAnswer] = Kind("lease", _lease, essential=True)
CLAIM: Kind[apsw.Connection, Claim, tuple[LeasedMessage, ...]] = Kind("claim", _claim, essential=True)
RENEW: Kind[apsw.Connection, tuple[Sequence[QueueId], Lease], None] = Kind("renew", _renew, essential=True)
RECOVER: Kind[apsw.Connection, tuple[str, float, QueueId | None], int] = Kind("recover", _recover, essential=True)
