"""The queue's port on SQLite."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import apsw

from postroom.mail.address import Address
from postroom.mail.delivery import RecipientState
from postroom.mail.message import QueueId, first_id_at
from postroom.queue.model import (
    ContentChunk,
    Intake,
    Lease,
    LeaseAnswer,
    LeasedMessage,
    LeaseQuestion,
    Orders,
    Pause,
    PauseKind,
    QueueAction,
    QueueCounts,
    QueueEntry,
    QueueFilter,
    Settlement,
)
from postroom.storage.batch import Writer
from postroom.storage.sqlite.acting import ACT, BEFORE_ALL, Key, Slice, conditions, find_keys, join_for
from postroom.storage.sqlite.content import find_chunk, find_content, pieces_of
from postroom.storage.sqlite.intake import DROP_CHUNKS, TAKE_IN, WRITE_CHUNKS
from postroom.storage.sqlite.leasing import CLAIM, LEASE, RECOVER, RENEW, Claim
from postroom.storage.sqlite.orders import FLUSH, PAUSE, RESUME, find_orders
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.rows import read_messages
from postroom.storage.sqlite.settling import SETTLE
from postroom.storage.sqlite.statements import rows_of

_SLICE = 5000
"""Recipients that an operator's action touches in one transaction."""

_TOP_DOMAINS = 100
_ROWS = 1000  # octets that the rows of one message take, roughly

_WAITING = "FROM recipient INDEXED BY recipient_waiting WHERE lease_node IS NULL AND next_attempt IS NOT NULL"
_LEASED = "FROM recipient INDEXED BY recipient_leased WHERE lease_node IS NOT NULL"
_RESTING = "FROM recipient INDEXED BY recipient_resting WHERE next_attempt IS NULL"

# ruff: noqa: S608 - the texts above are our own
_BY_STATE = f"""
SELECT json_group_array(json_array(state, count)) FROM (
    SELECT 'queued' AS state, sum(state = 'queued') AS count {_WAITING}
    UNION ALL SELECT 'deferred', sum(state = 'deferred') {_WAITING}
    UNION ALL SELECT 'leased', count(*) {_LEASED}
    UNION ALL SELECT state, count(*) {_RESTING} GROUP BY state)
WHERE count > 0
"""
_BY_DOMAIN = f"""
SELECT json_group_array(json_array(domain, count)) FROM (
    SELECT substr(destination, 1, instr(destination || ' ', ' ') - 1) AS domain, sum(count) AS count FROM (
        SELECT destination, count(*) AS count {_WAITING} GROUP BY destination
        UNION ALL SELECT destination, count(*) {_LEASED} GROUP BY destination
        UNION ALL SELECT domain, count(*) {_RESTING} AND state = 'held' GROUP BY domain)
    GROUP BY domain ORDER BY count DESC, domain LIMIT {_TOP_DOMAINS})
"""
_MESSAGES = "SELECT count(*) FROM (SELECT DISTINCT queue_id FROM recipient)"
# Age begins with the release that the sender asked for. The first are looked at, not all: most have none.
_OLDEST = """
SELECT min(starts_at) FROM (
    SELECT max(received_at, coalesce(options ->> '$.hold[0]', 0.0)) AS starts_at FROM message
    WHERE queue_id IN (SELECT DISTINCT queue_id FROM recipient ORDER BY queue_id LIMIT 1000))
"""


class SqliteQueue:
    """See ``postroom.queue.store.QueueStore``."""

    def __init__(self, writer: Writer[apsw.Connection], contents: Reader, listings: Reader) -> None:
        self._writer = writer
        self._contents = contents
        self._listings = listings

    def take_in(self, intakes: Sequence[Intake]) -> "asyncio.Future[None]":
        """Once it is done, each message is on disk, fsynced. ValueError where content and its size differ."""
        return self._writer.submit(TAKE_IN, intakes, len(intakes), sum([_octets(intake) for intake in intakes]))

    async def write_chunks(self, chunks: Sequence[ContentChunk]) -> None:
        """Store pieces of content before their intake."""
        await self._writer.submit(WRITE_CHUNKS, chunks, len(chunks), sum([len(one.data) for one in chunks]))

    async def read_chunks(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """The chunks that were written for an intake that has not come yet, in order."""
        sequence = 0
        while chunk := await self._contents.run(lambda connection, n=sequence: find_chunk(connection, queue_id, n)):  # type: ignore[misc]
            yield chunk
            sequence += 1

    async def drop_chunks(self, queue_ids: Sequence[QueueId]) -> None:
        """The intake will not come. Chunks whose message has been taken in stay."""
        await self._writer.submit(DROP_CHUNKS, queue_ids, len(queue_ids))

    async def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """The content (without prefix) in pieces of at most CHUNK_SIZE octets. KeyError if it is gone."""
        found = await self._contents.run(lambda connection: find_content(connection, queue_id))
        async for piece in pieces_of(self._contents, queue_id, found):
            yield piece

    async def lease(self, question: LeaseQuestion) -> LeaseAnswer:
        """Lease what is due, by priority and age."""
        return await self._writer.submit(LEASE, question)

    async def renew(self, queue_ids: Sequence[QueueId], lease: Lease) -> None:
        """Prolong the leases that the node holds on these messages."""
        await self._writer.submit(RENEW, (queue_ids, lease), len(queue_ids))

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Record what became of attempts."""
        await self._writer.submit(SETTLE, settlements, len(settlements))

    async def recover(self, node: str, now: float, began: float | None = None) -> int:
        """At start: what the node had leased is due, marked as a lost lease; chunks without intake are swept."""
        before = None if began is None else first_id_at(began)
        return await self._writer.submit(RECOVER, (node, now, before))

    async def entries(self, which: QueueFilter, *, limit: int, after: QueueId | None = None) -> Sequence[QueueEntry]:
        """Messages in order of queue id that have a recipient that matches, with all of their recipients."""
        return await self._listings.run(lambda connection: _entries(connection, which, limit, after))

    async def act(self, action: QueueAction, which: QueueFilter, now: float, to: Address | None = None) -> int:
        """Apply the action; returns how many recipients it met.

        Long queues are worked through in slices, each a transaction: after StoreUnavailable the earlier slices stand.
        """
        count, after = 0, BEFORE_ALL
        while keys := await self._find_keys(which, after, _SLICE):
            count += await self._writer.submit(ACT, Slice(action, which, now, keys, to), len(keys))
            after = keys[-1]
            if len(keys) < _SLICE:
                break
        return count

    async def claim(self, which: QueueFilter, lease: Lease, limit: int) -> Sequence[LeasedMessage]:
        """Lease recipients that match, due or not, held or not, unless they are leased already."""
        after = BEFORE_ALL
        while keys := await self._find_keys(which, after, limit, unleased=True):
            claimed = await self._writer.submit(CLAIM, Claim(keys, lease), len(keys))
            if claimed:
                return claimed
            after = keys[-1]
        return ()

    def _find_keys(
        self, which: QueueFilter, after: Key, limit: int, *, unleased: bool = False
    ) -> "asyncio.Future[list[Key]]":
        return self._listings.run(lambda connection: find_keys(connection, which, after, limit, unleased=unleased))

    async def orders(self, known: int) -> Orders | None:
        """What operators want of a running server; None where nothing has changed since generation ``known``."""
        return await self._contents.run(lambda connection: find_orders(connection, known))

    async def pause(self, pause: Pause) -> None:
        """Stop mail."""
        await self._writer.submit(PAUSE, pause)

    async def resume(self, kind: PauseKind, subject: str) -> bool:
        """End a pause; False where there was none."""
        return await self._writer.submit(RESUME, (kind, subject))

    async def flush(self) -> None:
        """Tell running servers to forget what does not work and what is to rest."""
        await self._writer.submit(FLUSH, None)

    async def counts(self) -> QueueCounts:
        """How full the queue is; the 100 fullest domains."""
        return await self._listings.run(_counts)


def _octets(intake: Intake) -> int:
    """About what the intake adds to what is stored."""
    return _ROWS + (0 if intake.content is None else len(intake.content))


def _entries(
    connection: apsw.Connection, which: QueueFilter, limit: int, after: QueueId | None
) -> Sequence[QueueEntry]:
    where, bindings = conditions(which)
    sql = f"""
        SELECT json_group_array(queue_id) FROM (
            SELECT DISTINCT r.queue_id FROM recipient AS r {join_for(which)}
            WHERE r.queue_id > ? AND {where} ORDER BY r.queue_id LIMIT ?)
    """
    queue_ids = rows_of(connection, sql, (-1 if after is None else after, *bindings, limit))
    return [entry for entry, _ in read_messages(connection, queue_ids)]


def _counts(connection: apsw.Connection) -> QueueCounts:
    connection.execute("BEGIN")  # one view of all
    try:
        by_state = {RecipientState(name): count for name, count in rows_of(connection, _BY_STATE)}
        by_domain = tuple([(domain, count) for domain, count in rows_of(connection, _BY_DOMAIN)])
        messages = connection.execute(_MESSAGES).get
        oldest = connection.execute(_OLDEST).get
    finally:
        connection.execute("COMMIT")
    return QueueCounts(messages=messages, by_state=by_state, by_domain=by_domain, oldest=oldest)
