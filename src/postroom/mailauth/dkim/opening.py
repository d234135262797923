"""Content opened: its header taken apart, its body ready to be read on (RFC 5322 §2.1)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from postroom.mail.headers import MAX_FIELDS, Header, split_header
from postroom.mailauth.content import Content
from postroom.mailauth.dkim.body import BodyHasher
from postroom.mailauth.dkim.header import SignedHeader

MAX_HEADER = 256 * 1024
"""Octets of a header that is looked at; what is larger is neither verified nor signed."""
INLINE = 64 * 1024
"""Octets of a piece that are hashed at once; what is larger goes to a thread, and others go on meanwhile."""


class Opened:
    """The header of some content, and its body, which can be read once.

    ``complete``: this is the whole header. Otherwise it is too long, and the body is not to be read.
    """

    def __init__(self, start: bytes, header: Header, rest: AsyncIterator[bytes] | None, *, complete: bool) -> None:
        self.header = header
        self.fields = SignedHeader(start, header.fields)
        self.complete = complete
        self.start = start
        self._rest = rest

    async def feed(self, hasher: BodyHasher) -> None:
        """The body into the hasher, and its end. Raises StoreUnavailable."""
        await _feed(hasher, self.start[self.header.body :])
        if self._rest is not None:
            async for piece in self._rest:
                await _feed(hasher, piece)
        hasher.finish()


@asynccontextmanager
async def opened(content: Content, prefix: bytes = b"") -> AsyncIterator[Opened]:
    """Content whose header has been read, with the fields of ``prefix`` in front. Raises StoreUnavailable where its
    pieces do.
    """
    if isinstance(content, bytes):
        yield _open(prefix + content if prefix else content, None)
        return
    pieces = content()
    try:
        start = await _start(prefix, pieces)
        yield _open(start, pieces)
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _open(start: bytes, rest: AsyncIterator[bytes] | None) -> Opened:
    looked_at = start[:MAX_HEADER]
    header = split_header(looked_at)
    # A header ends at its empty line or at a line that is no field; one that goes on to where we stop looking does not.
    cut = header.end == len(looked_at) and len(start) > MAX_HEADER
    return Opened(start, header, rest, complete=not cut and len(header.fields) < MAX_FIELDS)


async def _start(prefix: bytes, pieces: AsyncIterator[bytes]) -> bytes:
    """The prefix and the pieces that have the header, and whatever of the body is in them."""
    start = bytearray(prefix)
    async for piece in pieces:
        seen = max(0, len(start) - 3)
        start += piece
        if start.startswith(b"\r\n") or start.find(b"\r\n\r\n", seen) >= 0 or len(start) > MAX_HEADER:
            break
    return bytes(start)


async def _feed(hasher: BodyHasher, piece: bytes) -> None:
    if len(piece) <= INLINE:
        hasher.feed(piece)
    else:
        await asyncio.to_thread(hasher.feed, piece)
