"""Keeps ``destination`` true, and removes messages that nothing refers to: how every change of recipients ends."""

from collections.abc import Collection

import apsw

from postroom.mail.delivery import RecipientState
from postroom.storage.sqlite.statements import as_json, numbers, rows_of

FINAL = "('delivered', 'relayed', 'failed', 'expired', 'removed')"
"""The final states, for SQL."""

_FINAL_STATES = tuple(state.value for state in RecipientState if state.is_final)

Destination = tuple[str, int]
"""A line of the queue: the waiting recipients of one destination and priority."""

_MARK = """
INSERT INTO destination (destination, priority, next_attempt)
SELECT value ->> 0, value ->> 1, (
    SELECT min(next_attempt) FROM recipient INDEXED BY recipient_waiting
    WHERE destination = value ->> 0 AND priority = value ->> 1 AND lease_node IS NULL AND next_attempt IS NOT NULL
) FROM json_each(?) WHERE true
ON CONFLICT (destination, priority) DO UPDATE SET next_attempt = excluded.next_attempt
    WHERE next_attempt IS NOT excluded.next_attempt
"""
_UNMARK = """
DELETE FROM destination
WHERE (destination, priority) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?)) AND next_attempt IS NULL
"""

_FINISHED = f"""
SELECT json_group_array(value) FROM carray(?)
WHERE NOT EXISTS (SELECT 1 FROM recipient WHERE queue_id = value AND state NOT IN {FINAL})
"""  # noqa: S608 - our own constant
_DROP_RECIPIENTS = "DELETE FROM recipient WHERE queue_id IN (SELECT value FROM carray(?))"
_DROP_MESSAGES = """
DELETE FROM message WHERE queue_id IN (
    SELECT value FROM carray(?)
    WHERE NOT EXISTS (SELECT 1 FROM entry WHERE entry.queue_id = value)
    AND NOT EXISTS (SELECT 1 FROM recipient WHERE recipient.queue_id = value)
    AND NOT EXISTS (SELECT 1 FROM reported WHERE reported.queue_id = value AND reported.content IS NULL)
)
"""


def mark_destinations(connection: apsw.Connection, destinations: Collection[Destination]) -> None:
    """Waiting recipients of these were added, changed or removed."""
    if destinations:
        names = as_json(list(destinations))
        connection.execute(_MARK, (names,))
        connection.execute(_UNMARK, (names,))


def finished(connection: apsw.Connection, queue_ids: Collection[int]) -> list[int]:
    """Which of the messages have no recipient left that is not final."""
    return rows_of(connection, _FINISHED, (numbers(queue_ids),)) if queue_ids else []


def drop_recipients(connection: apsw.Connection, queue_ids: Collection[int]) -> None:
    """The messages leave the queue; they go altogether unless a mailbox refers to them."""
    if queue_ids:
        connection.execute(_DROP_RECIPIENTS, (numbers(queue_ids),))
        drop_messages(connection, queue_ids)


def drop_messages(connection: apsw.Connection, queue_ids: Collection[int]) -> None:
    """Remove those of the messages, content and all, to which neither a recipient nor a mailbox entry refers, nor a
    report that is still to be read.
    """
    if queue_ids:
        connection.execute(_DROP_MESSAGES, (numbers(queue_ids),))
