"""The header of a submitted message, kept until it is complete: its Bcc is taken out, as nobody else does it any more.

RFC 5322 §3.6.3 lets the field be removed before the message is sent; content is not changed otherwise (docs/adr/0012).
"""

import re
from typing import Protocol

from postroom.mail.headers import Header, find_body, split_header
from postroom.mail.message import QueueId

MAX_HEADER = 256 * 1024
"""Octets of a submitted message's header: a thousand recipients in To fit."""

_BLANK_LINE = b"\r\n\r\n"
_BCC = re.compile(rb"^(?:Resent-)?Bcc[ \t]*:[^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*", re.IGNORECASE | re.MULTILINE)
_ORIGIN = re.compile(rb"^(?:From|Sender)[ \t]*:", re.IGNORECASE | re.MULTILINE)


class Spool(Protocol):
    """Where content goes: ``content.ContentSpool`` and what stands in front of it."""

    @property
    def queue_id(self) -> QueueId:
        """The queue id of the message that the content belongs to."""
        ...

    @property
    def size(self) -> int:
        """Octets so far."""
        ...

    @property
    def start(self) -> bytes:
        """The first part: all of it once ``finish`` has been called on small content."""
        ...

    async def add(self, piece: bytes) -> None:
        """Take a piece. Raises StoreUnavailable."""
        ...

    async def finish(self) -> bytes | None:
        """The whole content if it is small; else None, with all of it in the store. Raises StoreUnavailable."""
        ...

    async def drop(self) -> None:
        """The message will not come. Raises StoreUnavailable."""
        ...


class SubmittedSpool:
    """A spool that knows the header, and passes the content on without Bcc. ``header`` is whole after ``finish``."""

    __slots__ = ("_held", "_inner", "has_hidden_origin", "header", "is_too_long")

    def __init__(self, inner: Spool) -> None:
        self._inner = inner
        self._held: bytearray | None = bytearray()  # the header so far; None once it has gone on
        self.header = Header((), 0, 0)
        self.has_hidden_origin = False
        """A From or Sender stands behind a line that is no field: readers differ in whether they see it."""
        self.is_too_long = False
        """The header is longer than MAX_HEADER; what was passed on is not the message."""

    @property
    def queue_id(self) -> QueueId:
        """The queue id of the message that the content belongs to."""
        return self._inner.queue_id

    @property
    def size(self) -> int:
        """Octets so far, without what was taken out."""
        return self._inner.size

    @property
    def start(self) -> bytes:
        """The first part: all of it once ``finish`` has been called on small content."""
        return self._inner.start

    async def add(self, piece: bytes) -> None:
        """Take a piece; waits while the store is behind. Raises StoreUnavailable."""
        if self._held is None:
            await self._inner.add(piece)
            return
        if self.is_too_long:
            return
        if not self._held and (_BLANK_LINE in piece or piece.startswith(b"\r\n")):  # as a rule it comes at once
            await self._pass_on(piece)
            return
        searched = max(len(self._held) - 3, 0)
        self._held += piece
        if self._held.find(_BLANK_LINE, searched) >= 0 or self._held.startswith(b"\r\n"):
            await self._pass_on(bytes(self._held))
        else:
            self.is_too_long = len(self._held) > MAX_HEADER

    async def finish(self) -> bytes | None:
        """The whole content if it is small; else None, with all of it in the store. Raises StoreUnavailable."""
        if self._held is not None and not self.is_too_long:
            await self._pass_on(bytes(self._held))
        return await self._inner.finish()

    async def drop(self) -> None:
        """The message will not come. Raises StoreUnavailable."""
        await self._inner.drop()

    async def _pass_on(self, held: bytes) -> None:
        self._held = None
        end, _ = find_body(held)
        self.is_too_long = end > MAX_HEADER
        if self.is_too_long:
            return
        self.header = split_header(held)
        self.has_hidden_origin = _ORIGIN.search(held, self.header.end, end) is not None
        if _BCC.search(held, 0, end) is not None:
            held = _BCC.sub(b"", held[:end]) + held[end:]
        if held:
            await self._inner.add(held)
