"""Content alone, read-only, for a process that carries mail beside the one that owns the file."""

from collections.abc import AsyncIterator
from pathlib import Path

from postroom.mail.message import QueueId
from postroom.storage.sqlite.connection import connect
from postroom.storage.sqlite.content import find_content, pieces_of
from postroom.storage.sqlite.reader import Reader


class SqliteContents:
    """See ``postroom.queue.carrier.ContentSource``. The file is opened when first something is read."""

    def __init__(self, path: Path) -> None:
        self._reader = Reader(lambda: connect(path, read_only=True, cache=1 << 20), "contents")

    async def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """The content (without prefix) in pieces. KeyError if it is gone; raises StoreUnavailable."""
        found = await self._reader.run(lambda connection: find_content(connection, queue_id))
        async for piece in pieces_of(self._reader, queue_id, found):
            yield piece

    async def close(self) -> None:
        """Answer what was asked, let go of the file."""
        await self._reader.close()
