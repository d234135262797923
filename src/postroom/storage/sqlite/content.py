"""Reads content in pieces of bounded size, wherever it stands: in the message's row or in chunk rows."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import apsw

from postroom.mail.message import QueueId
from postroom.queue.model import CHUNK_SIZE
from postroom.storage.sqlite.reader import Reader

FOUND = f"m.chunks, m.content_size, CASE WHEN m.chunks = 0 AND m.content_size <= {CHUNK_SIZE} THEN m.content END"
"""The columns of ``Found``, for SQL over ``message AS m``."""

_FIND = f"SELECT {FOUND} FROM message AS m WHERE m.queue_id = ?"  # noqa: S608 - our own constant
_CHUNK = "SELECT data FROM chunk WHERE queue_id = ? AND sequence = ?"


@dataclass(frozen=True, slots=True)
class Found:
    """Where content stands; ``data`` is all of it where it is small."""

    chunks: int
    size: int
    data: bytes | None


def find_content(connection: apsw.Connection, queue_id: int) -> Found:
    """Raises KeyError if there is no such message."""
    row = connection.execute(_FIND, (queue_id,)).fetchone()
    if row is None:
        raise KeyError(queue_id)
    return Found(*row)


def find_chunk(connection: apsw.Connection, queue_id: int, sequence: int) -> bytes:
    """One chunk, ``b""`` if there is none."""
    data = connection.execute(_CHUNK, (queue_id, sequence)).get
    return data if isinstance(data, bytes) else b""


async def pieces_of(reader: Reader, queue_id: QueueId, found: Found) -> AsyncIterator[bytes]:
    """The content in pieces of at most CHUNK_SIZE octets. Raises KeyError if it goes meanwhile."""
    if found.data is not None:
        if found.data:
            yield found.data
        return
    if not found.chunks:
        for offset in range(0, found.size, CHUNK_SIZE):
            start = offset  # each question has its own
            yield await reader.run(lambda connection, start=start: _inline_piece(connection, queue_id, start))  # type: ignore[misc]
        return
    for sequence in range(found.chunks):
        chunk = await reader.run(lambda connection, number=sequence: _chunk(connection, queue_id, number))  # type: ignore[misc]
        for offset in range(0, len(chunk), CHUNK_SIZE):
            yield chunk[offset : offset + CHUNK_SIZE]


def _inline_piece(connection: apsw.Connection, queue_id: int, offset: int) -> bytes:
    try:
        blob = connection.blob_open("main", "message", "content", queue_id, False)
    except apsw.SQLError as error:  # "no such rowid"
        raise KeyError(queue_id) from error
    try:
        blob.seek(offset)
        return blob.read(CHUNK_SIZE)
    finally:
        blob.close()


def _chunk(connection: apsw.Connection, queue_id: int, sequence: int) -> bytes:
    data = find_chunk(connection, queue_id, sequence)
    if not data:
        raise KeyError(queue_id)
    return data
