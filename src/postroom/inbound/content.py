"""Content on its way to the store: small in memory, large in chunks, at most two of them at hand at a time."""

import asyncio
from collections.abc import Callable

from postroom.mail.message import QueueId
from postroom.queue.model import CHUNK_SIZE, INLINE_LIMIT, ContentChunk
from postroom.queue.store import QueueStore


class ContentSpool:
    """Takes pieces. Beyond INLINE_LIMIT they are written as chunks: one is being written while the next one fills.

    ``next_id`` gives the queue id under which the content stands; it is asked once, when it is needed.
    """

    __slots__ = ("_buffer", "_next_id", "_queue_id", "_sequence", "_store", "_writing", "size", "start")

    def __init__(self, store: QueueStore, next_id: Callable[[], QueueId]) -> None:
        self._store = store
        self._next_id = next_id
        self._queue_id: QueueId | None = None
        self._buffer = bytearray()
        self._sequence = 0
        self._writing: asyncio.Task[None] | None = None
        self.size = 0
        """Octets so far."""
        self.start = b""
        """The first part: all of it once ``finish`` has been called on small content."""

    @property
    def queue_id(self) -> QueueId:
        """The queue id of the message that the content belongs to."""
        if self._queue_id is None:
            self._queue_id = self._next_id()
        return self._queue_id

    async def add(self, piece: bytes) -> None:
        """Take a piece; waits while the store is behind. Raises StoreUnavailable."""
        self.size += len(piece)
        if not self._buffer and not self.start and len(piece) <= INLINE_LIMIT:
            self.start = piece  # as a rule this is all that there is, and it is not copied
            return
        if not self._buffer and self._sequence == 0:
            self._buffer += self.start
        self._buffer += piece
        if self._sequence == 0 and len(self._buffer) > INLINE_LIMIT:
            self.start = bytes(self._buffer[:INLINE_LIMIT])
        while len(self._buffer) >= CHUNK_SIZE:
            chunk = bytes(self._buffer[:CHUNK_SIZE])
            del self._buffer[:CHUNK_SIZE]
            await self._write(chunk)

    async def finish(self) -> bytes | None:
        """The whole content if it is small; else None, with all of it in the store. Raises StoreUnavailable."""
        if self.size <= INLINE_LIMIT:
            if self._buffer:
                self.start = bytes(self._buffer)
                self._buffer = bytearray()
            return self.start
        if self._buffer:
            await self._write(bytes(self._buffer))
            self._buffer = bytearray()
        await self._written()
        return None

    async def drop(self) -> None:
        """The message will not come: what was written goes. Raises StoreUnavailable; a sweep catches up on it then."""
        self._buffer = bytearray()
        if self._sequence:
            if self._writing is not None:
                await asyncio.gather(self._writing, return_exceptions=True)  # what failed is dropped with the rest
                self._writing = None
            await self._store.drop_chunks((self.queue_id,))

    async def _write(self, chunk: bytes) -> None:
        await self._written()
        item = ContentChunk(self.queue_id, self._sequence, chunk)
        self._sequence += 1
        self._writing = asyncio.get_running_loop().create_task(_write_one(self._store, item))

    async def _written(self) -> None:
        """Wait for the chunk that is under way."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await writing


async def _write_one(store: QueueStore, item: ContentChunk) -> None:
    await store.write_chunks((item,))
