"""The header of a message on its way in, kept until it is complete: what must not come in is taken out.

That is Bcc of submitted mail, and Authentication-Results fields in our name (docs/adr/0012, docs/adr/0019).
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from postroom.mail.headers import find_body
from postroom.mail.message import QueueId
from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.mailauth.content import Content
from postroom.policy.verdict import Refuse

MAX_HEADER = 256 * 1024
"""Octets of a header that is looked at: a thousand recipients in To fit. A longer one is refused."""

TOO_LONG = Refuse(
    # RFC 3463 §3.4: X.3.4, too big for this system
    Reply.of(552, "5.3.4", f"The header is longer than {MAX_HEADER} octets"),
    "the header is longer than is looked at",
)
"""What is said of one that is: nothing could be found in it, or taken out of it."""

_BLANK_LINE = b"\r\n\r\n"

Edit = Callable[[bytes], bytes]
"""Takes out of a header, whole fields with their CRLFs, what must not come in."""


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


def unchanged(header: bytes) -> bytes:
    """Nothing is taken out."""
    return header


def is_nobody(_: Client) -> bool:
    """Nobody's mail is checked."""
    return False


class HeaderSpool:
    """A spool that knows the header, and passes the content on as ``edit`` leaves it.

    ``original`` is the header as it came, whole after ``finish``.
    """

    __slots__ = ("_edit", "_held", "_inner", "_kept", "is_too_long", "original")

    def __init__(self, inner: Spool, edit: Edit = unchanged) -> None:
        self._inner = inner
        self._edit = edit
        self._held: bytearray | None = bytearray()  # the header so far; None once it has gone on
        self._kept = 0  # octets of the header that were passed on
        self.original = b""
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

    def as_it_came(self, passed_on: Content) -> Content:
        """The content before anything was taken out. ``passed_on`` is what is left of it."""
        original, kept = self.original, self._kept
        if kept == len(original):
            return passed_on
        if isinstance(passed_on, bytes):
            return original + passed_on[kept:]

        async def pieces() -> AsyncIterator[bytes]:
            yield original
            left = kept  # octets that the original stands for
            async for piece in passed_on():
                if left < len(piece):
                    yield piece[left:] if left else piece
                left = max(left - len(piece), 0)

        return pieces

    def edited(self, header: bytes) -> bytes:
        """What is left of the header, when it is complete."""
        return self._edit(header)

    async def _pass_on(self, held: bytes) -> None:
        self._held = None
        end, _ = find_body(held)
        self.is_too_long = end > MAX_HEADER
        if self.is_too_long:
            return
        self.original = held if end == len(held) else held[:end]
        header = self.edited(self.original)
        self._kept = len(header)
        if len(header) != end:
            held = header + held[end:]
        if held:
            await self._inner.add(held)
