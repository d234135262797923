"""Taking in: content, message, recipients and mailbox entries of many messages in a handful of statements."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import apsw

from postroom.mail.message import Message, QueueId
from postroom.mailbox.model import NewEntry
from postroom.queue.model import ContentChunk, Intake, Settlement
from postroom.queue.reportmodel import ReportNote
from postroom.report.history import HistoryRow
from postroom.storage.batch import Kind
from postroom.storage.sqlite.rows import (
    INSERT_MESSAGES,
    INSERT_RECIPIENTS,
    Row,
    message_row,
    recipient_row,
)
from postroom.storage.sqlite.statements import Insert, as_json, numbers
from postroom.storage.sqlite.waiting import Destination, mark_destinations

_INSERT_RETURNED = Insert("returned", ("queue_id", "at", "recipients", "null_sender", "content"))
_INSERT_REPORTED = Insert("reported", ("queue_id", "at", "recipients", "author", "content"))
_INSERT_CHUNKS = Insert("chunk", ("queue_id", "sequence", "data"))

_CHUNKS = "SELECT count(*), coalesce(sum(length(data)), 0), coalesce(max(sequence), -1) FROM chunk WHERE queue_id = ?"
_COUNT = """
UPDATE account SET octets = octets + (j.value ->> 1), messages = messages + (j.value ->> 2)
FROM json_each(?) AS j WHERE account.account_id = j.value ->> 0
"""
_DROP_CHUNKS = """
DELETE FROM chunk WHERE queue_id IN (SELECT value FROM carray(?))
AND NOT EXISTS (SELECT 1 FROM message WHERE message.queue_id = chunk.queue_id)
"""


class EntryRow(NamedTuple):
    """A row of ``entry``."""

    account_id: int
    queue_id: int
    recipient: str
    size: int
    received_at: float
    prefix: bytes

    @classmethod
    def of(cls, queue_id: QueueId, entry: NewEntry, message_size: int, received_at: float) -> "EntryRow":
        """The row of a new entry; ``message_size`` is prefix and content of its message."""
        size = len(entry.prefix) + message_size
        return cls(entry.account_id, queue_id, entry.recipient, size, received_at, entry.prefix)


_INSERT_ENTRIES = Insert("entry", EntryRow._fields)


def write_intakes(connection: apsw.Connection, intakes: Sequence[Intake]) -> None:
    """Everything that the intakes write but their history. Raises ValueError where content and its size differ."""
    messages: list[Row] = []
    recipients: list[Row] = []
    entries: list[EntryRow] = []
    waiting: set[Destination] = set()
    for intake in intakes:
        message, content, lease = intake.message, intake.content, intake.lease
        if content is None:
            chunks = _count_chunks(connection, message.queue_id, message.content_size)
        elif len(content) != message.content_size:
            raise ValueError(f"the content has {len(content)} octets, not {message.content_size}")
        else:
            chunks = 0
        is_read = intake.reported is not None and content is None  # large: it stays until it was read
        if not intake.queued and not intake.entries and not is_read:  # nobody receives it: only its history stays
            if chunks:
                drop_chunks(connection, [message.queue_id])
            continue
        messages.append(message_row(message, intake.queued, chunks, content))
        for queued in intake.queued:
            recipients.append(recipient_row(message, queued, lease))
            if lease is None:
                waiting.add((queued.waits_under, message.envelope.priority))
        if intake.entries:
            size, at = message.size, message.received_at
            entries += [EntryRow.of(message.queue_id, entry, size, at) for entry in intake.entries]
    if messages:
        INSERT_MESSAGES.run(connection, messages)
    if recipients:
        INSERT_RECIPIENTS.run(connection, recipients)
    mark_destinations(connection, waiting)
    insert_entries(connection, entries)
    _note_to_be_read(connection, intakes)


def _note_to_be_read(connection: apsw.Connection, intakes: Sequence[Intake]) -> None:
    returned = [intake for intake in intakes if intake.returned]
    if returned:
        _INSERT_RETURNED.run(connection, [_returned_row(intake) for intake in returned])
    reported = [_reported_row(intake.message, note, intake.content) for intake in intakes if (note := intake.reported)]
    if reported:
        _INSERT_REPORTED.run(connection, reported)


def _returned_row(intake: Intake) -> Row:
    message = intake.message
    null_sender = message.envelope.reverse_path is None
    content = None if intake.entries else intake.content
    return message.queue_id, message.received_at, as_json(intake.returned), int(null_sender), content


def _reported_row(message: Message, note: ReportNote, content: bytes | None) -> Row:
    return message.queue_id, message.received_at, as_json(note.recipients), note.author, content


def insert_entries(connection: apsw.Connection, entries: Sequence[EntryRow]) -> None:
    """Add mailbox entries and count them. Raises KeyError if an account is gone."""
    if not entries:
        return
    added: dict[int, tuple[int, int]] = {}
    for entry in entries:
        octets, count = added.get(entry.account_id, (0, 0))
        added[entry.account_id] = octets + entry.size, count + 1
    _INSERT_ENTRIES.run(connection, entries)
    count_usage(connection, added)


def count_usage(connection: apsw.Connection, added: dict[int, tuple[int, int]]) -> None:
    """Add octets and messages to what accounts hold. Raises KeyError if an account is gone."""
    rows = [(account_id, octets, messages) for account_id, (octets, messages) in added.items()]
    connection.execute(_COUNT, (as_json(rows),))
    if connection.changes() != len(rows):
        raise KeyError(f"an account is gone, one of {', '.join(map(str, added))}")


def drop_chunks(connection: apsw.Connection, queue_ids: Sequence[QueueId]) -> None:
    """Remove chunks of uploads that will not become messages."""
    if queue_ids:
        connection.execute(_DROP_CHUNKS, (numbers(queue_ids),))


def _count_chunks(connection: apsw.Connection, queue_id: QueueId, size: int) -> int:
    found = connection.execute(_CHUNKS, (queue_id,)).get
    count, octets, last = found
    if octets != size or last != count - 1:
        raise ValueError(f"the chunks have {octets} octets in {count} pieces up to {last}, not {size} octets")
    return int(count)


def history_of(writings: Sequence[Intake | Settlement]) -> list[HistoryRow]:
    """The rows that these add to the history."""
    return [row for one in writings for row in one.history]


def _take_in(connection: apsw.Connection, calls: Sequence[Sequence[Intake]]) -> Sequence[None]:
    write_intakes(connection, list(chain.from_iterable(calls)))
    return [None] * len(calls)


def _write_chunks(connection: apsw.Connection, calls: Sequence[Sequence[ContentChunk]]) -> Sequence[None]:
    chunks = chain.from_iterable(calls)
    _INSERT_CHUNKS.run(connection, [(chunk.queue_id, chunk.sequence, chunk.data) for chunk in chunks])
    return [None] * len(calls)


def _drop_chunks(connection: apsw.Connection, calls: Sequence[Sequence[QueueId]]) -> Sequence[None]:
    drop_chunks(connection, list(chain.from_iterable(calls)))
    return [None] * len(calls)


TAKE_IN: Kind[apsw.Connection, Sequence[Intake], None] = Kind("take_in", _take_in, history=history_of)
WRITE_CHUNKS: Kind[apsw.Connection, Sequence[ContentChunk], None] = Kind("write_chunks", _write_chunks)
DROP_CHUNKS: Kind[apsw.Connection, Sequence[QueueId], None] = Kind("drop_chunks", _drop_chunks, essential=True)
