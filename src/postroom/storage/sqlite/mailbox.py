"""The mailboxes' port on SQLite."""

from collections.abc import AsyncIterator, Sequence

import apsw

from postroom.mail.message import QueueId
from postroom.mailbox.model import MailboxEntry, NewEntry
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.content import FOUND, Found, pieces_of
from postroom.storage.sqlite.intake import EntryRow, count_usage, insert_entries
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.statements import numbers, rows_of
from postroom.storage.sqlite.waiting import drop_messages

_ENTRIES = """
SELECT json_group_array(json_array(entry_id, queue_id, size, received_at) ORDER BY entry_id)
FROM entry WHERE account_id = ?
"""
_OPEN = f"""
SELECT e.queue_id, e.prefix, m.prefix, {FOUND}
FROM entry AS e JOIN message AS m ON m.queue_id = e.queue_id
WHERE e.entry_id = ? AND e.account_id = ?
"""  # noqa: S608 - our own constant
_CHOSEN = """
SELECT json_group_array(json_array(entry_id, queue_id, size)) FROM entry
WHERE entry_id IN (SELECT value FROM carray(?)) AND account_id = ?
"""
_PLACED = "SELECT json_group_array(json_array(account_id, recipient)) FROM entry WHERE queue_id = ?"
_REMOVE = "DELETE FROM entry WHERE entry_id IN (SELECT value FROM carray(?))"

_Placing = tuple[QueueId, Sequence[NewEntry], float]
_Removal = tuple[int, Sequence[int]]


class SqliteMailbox:
    """See ``postroom.mailbox.store.MailboxStore``."""

    def __init__(self, writer: Writer[apsw.Connection], reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        # Who holds which mailbox is kept in memory: one file is served by one node (DESIGN §5), and a lock that dies
        # with its process needs no cleaning up.
        self._claims: dict[int, str] = {}

    async def entries(self, account_id: int) -> Sequence[MailboxEntry]:
        """The mailbox, oldest first."""
        rows = await self._reader.run(lambda connection: rows_of(connection, _ENTRIES, (account_id,)))
        return [MailboxEntry(*row) for row in rows]

    async def read(self, account_id: int, entry_id: int) -> AsyncIterator[bytes]:
        """The bytes of one entry in pieces of at most CHUNK_SIZE octets. KeyError if it is gone."""
        queue_id, head, found = await self._reader.run(lambda connection: _open(connection, account_id, entry_id))
        if head:
            yield head
        async for piece in pieces_of(self._reader, queue_id, found):
            yield piece

    async def place(self, queue_id: QueueId, entries: Sequence[NewEntry], now: float) -> None:
        """Add entries for a message that is already stored. KeyError if it is not, or an account is gone."""
        octets = sum([len(one.prefix) for one in entries])
        await self._writer.submit(_PLACE, (queue_id, entries, now), len(entries), octets)

    async def remove(self, account_id: int, entry_ids: Sequence[int]) -> None:
        """Remove the entries in one transaction; content that nothing refers to goes too. Unknown ids are ignored."""
        await self._writer.submit(_REMOVE_ENTRIES, (account_id, entry_ids), len(entry_ids))

    async def claim(self, account_id: int, session: str) -> bool:
        """Take the mailbox for one session (RFC 1939 §4); False while another holds it."""
        return self._claims.setdefault(account_id, session) == session

    async def release(self, account_id: int, session: str) -> None:
        """Give it back. Harmless if it was not held."""
        if self._claims.get(account_id) == session:
            del self._claims[account_id]


def remove_entries(connection: apsw.Connection, account_id: int, entry_ids: Sequence[int]) -> None:
    """Remove an account's entries, count it, and drop what nothing refers to any more."""
    rows = rows_of(connection, _CHOSEN, (numbers(entry_ids), account_id)) if entry_ids else []
    if rows:
        connection.execute(_REMOVE, (numbers([row[0] for row in rows]),))
        count_usage(connection, {account_id: (-sum(row[2] for row in rows), -len(rows))})
        drop_messages(connection, {row[1] for row in rows})


def _open(connection: apsw.Connection, account_id: int, entry_id: int) -> tuple[QueueId, bytes, Found]:
    row = connection.execute(_OPEN, (entry_id, account_id)).fetchone()
    if row is None:
        raise KeyError(entry_id)
    queue_id, own_prefix, prefix, *found = row
    return QueueId(queue_id), own_prefix + prefix, Found(*found)


def _place(connection: apsw.Connection, calls: Sequence[_Placing]) -> Sequence[None]:
    for queue_id, entries, now in calls:
        size = connection.execute(
            "SELECT length(prefix) + content_size FROM message WHERE queue_id = ?", (queue_id,)
        ).get
        if size is None:
            raise KeyError(queue_id)
        placed = {(account, name) for account, name in rows_of(connection, _PLACED, (queue_id,))}
        fresh = [entry for entry in entries if (entry.account_id, entry.recipient) not in placed]
        insert_entries(connection, [EntryRow.of(queue_id, entry, size, now) for entry in fresh])
    return [None] * len(calls)


def _remove(connection: apsw.Connection, calls: Sequence[_Removal]) -> Sequence[None]:
    for account_id, entry_ids in calls:
        remove_entries(connection, account_id, entry_ids)
    return [None] * len(calls)


_PLACE: Kind[apsw.Connection, _Placing, None] = Kind("place", _place)
_REMOVE_ENTRIES: Kind[apsw.Connection, _Removal, None] = Kind("remove_entries", _remove, essential=True)
