"""The queue's port on SQLite."""

from collections.abc import AsyncIterator, Sequence

import apsw

from postroom.mail.delivery import RecipientState
from postroom.mail.message import QueueId
from postroom.queue.model import (
    ContentChunk,
    Intake,
    Lease,
    LeaseAnswer,
    LeaseQuestion,
    QueueAction,
    QueueCounts,
    QueueEntry,
    QueueFilter,
    Settlement,
)
from postroom.storage.batch import BatchWriter
from postroom.storage.sqlite.acting import ACT, Place, Slice, conditions
from postroom.storage.sqlite.content import find_content, pieces_of
from postroom.storage.sqlite.intake import DROP_CHUNKS, TAKE_IN, WRITE_CHUNKS
from postroom.storage.sqlite.leasing import LEASE, RECOVER, RENEW
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.rows import read_messages
from postroom.storage.sqlite.settling import SETTLE
from postroom.storage.sqlite.statements import rows_of

_SLICE = 5000
"""Recipients that an operator's action touches in one transaction."""

_TOP_DOMAINS = 100

_BY_STATE = """
SELECT json_group_array(json_array(state, domain, count)) FROM (
    SELECT state, domain, count(*) AS count FROM recipient INDEXED BY recipient_waiting
        WHERE lease_node IS NULL AND next_attempt IS NOT NULL GROUP BY domain, state
    UNION ALL
    SELECT 'leased', domain, count(*) FROM recipient INDEXED BY recipient_leased
        WHERE lease_node IS NOT NULL GROUP BY domain
    UNION ALL
    SELECT state, domain, count(*) FROM recipient INDEXED BY recipient_resting
        WHERE next_attempt IS NULL GROUP BY state, domain)
"""
_MESSAGES = "SELECT count(*) FROM (SELECT DISTINCT queue_id FROM recipient)"
_OLDEST = "SELECT received_at FROM message WHERE queue_id = (SELECT min(queue_id) FROM recipient)"


class SqliteQueue:
    """See ``postroom.queue.store.QueueStore``."""

    def __init__(self, writer: BatchWriter[apsw.Connection], reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def take_in(self, intakes: Sequence[Intake]) -> None:
        """On return each message is on disk, fsynced. ValueError where content and its size differ."""
        await self._writer.submit(TAKE_IN, intakes, len(intakes))

    async def write_chunks(self, chunks: Sequence[ContentChunk]) -> None:
        """Store pieces of content before their intake."""
        await self._writer.submit(WRITE_CHUNKS, chunks, len(chunks))

    async def drop_chunks(self, queue_ids: Sequence[QueueId]) -> None:
        """The intake will not come. Chunks whose message has been taken in stay."""
        await self._writer.submit(DROP_CHUNKS, queue_ids, len(queue_ids))

    async def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """The content (without prefix) in pieces of at most CHUNK_SIZE octets. KeyError if it is gone."""
        found = await self._reader.run(lambda connection: find_content(connection, queue_id))
        async for piece in pieces_of(self._reader, queue_id, found):
            yield piece

    async def lease(self, question: LeaseQuestion) -> LeaseAnswer:
        """Lease what is due, oldest first."""
        return await self._writer.submit(LEASE, question)

    async def renew(self, queue_ids: Sequence[QueueId], lease: Lease) -> None:
        """Prolong the leases that the node holds on these messages."""
        await self._writer.submit(RENEW, (queue_ids, lease), len(queue_ids))

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Record what became of attempts."""
        await self._writer.submit(SETTLE, settlements, len(settlements))

    async def recover(self, node: str, now: float) -> int:
        """At start: what the node had leased is due, marked as a lost lease; chunks without intake are swept."""
        return await self._writer.submit(RECOVER, (node, now))

    async def entries(self, which: QueueFilter, *, limit: int, after: QueueId | None = None) -> Sequence[QueueEntry]:
        """Messages in order of queue id that have a recipient that matches, with all of their recipients."""
        return await self._reader.run(lambda connection: _entries(connection, which, limit, after))

    async def act(self, action: QueueAction, which: QueueFilter, now: float) -> int:
        """Apply the action; returns how many recipients it met.

        Long queues are worked through in slices, each a transaction: after StoreUnavailable the earlier slices stand.
        """
        count, place = 0, Place()
        while True:
            acted = await self._writer.submit(ACT, Slice(action, which, now, place, _SLICE), _SLICE)
            count += acted.count
            if acted.last is None:
                return count
            place = acted.last

    async def counts(self) -> QueueCounts:
        """How full the queue is; the 100 fullest domains."""
        return await self._reader.run(_counts)


def _entries(
    connection: apsw.Connection, which: QueueFilter, limit: int, after: QueueId | None
) -> Sequence[QueueEntry]:
    where, bindings = conditions(which)
    join = "" if which.sender is None else "JOIN message AS m ON m.queue_id = r.queue_id"
    sql = f"""
        SELECT json_group_array(queue_id) FROM (
            SELECT DISTINCT r.queue_id FROM recipient AS r {join}
            WHERE r.queue_id > ? AND {where} ORDER BY r.queue_id LIMIT ?)
    """  # noqa: S608 - our own clauses, values are bound
    queue_ids = rows_of(connection, sql, (-1 if after is None else after, *bindings, limit))
    return [entry for entry, _ in read_messages(connection, queue_ids)]


def _counts(connection: apsw.Connection) -> QueueCounts:
    by_state: dict[RecipientState, int] = {}
    by_domain: dict[str, int] = {}
    with connection:  # one view of all
        for name, domain, count in rows_of(connection, _BY_STATE):
            state = RecipientState(name)
            by_state[state] = by_state.get(state, 0) + count
            if not state.is_final:
                by_domain[domain] = by_domain.get(domain, 0) + count
        messages = connection.execute(_MESSAGES).get
        oldest = connection.execute(_OLDEST).get
    fullest = sorted(by_domain.items(), key=lambda item: (-item[1], item[0]))[:_TOP_DOMAINS]
    return QueueCounts(messages=messages, by_state=by_state, by_domain=tuple(fullest), oldest=oldest)
