"""Binary content on its way to a mailbox becomes text, as POP3 has lines (RFC 3030 §3, RFC 1939 §3).

The structure is read while the content streams in; only what needs a change is read back from the store and written
anew, piece by piece.
"""

from collections.abc import AsyncIterator, Callable

from postroom.inbound.content import ContentSpool
from postroom.mail.downgrade.edits import Edit, Unconvertible
from postroom.mail.downgrade.splice import Splicer
from postroom.mail.downgrade.survey import Survey
from postroom.mail.downgrade.tally import Tally
from postroom.mail.envelope import Body
from postroom.mail.message import QueueId
from postroom.mailauth.content import Content
from postroom.queue.store import QueueStore


class FittingSpool:
    """A spool whose content has become lines of text once it is finished.

    ``trouble`` says then why it could not, ``""`` if it could. What was received is kept beside it until ``release``:
    signatures are of that.
    """

    __slots__ = ("_inner", "_new_spool", "_received", "_store", "_survey", "_tally", "received", "trouble")

    def __init__(self, store: QueueStore, new_spool: Callable[[], ContentSpool]) -> None:
        self._store = store
        self._new_spool = new_spool
        self._inner = new_spool()
        self._survey = Survey(Body.EIGHT_BIT, ascii_header=False)
        self._tally = Tally()
        self._received: ContentSpool | None = None  # what was received, once it was converted
        self.received: Content | None = None
        """The content as it came in, where it was converted."""
        self.trouble = ""

    @property
    def queue_id(self) -> QueueId:
        """The queue id of the message that the content belongs to; another one once it was converted."""
        return self._inner.queue_id

    @property
    def size(self) -> int:
        """Octets so far."""
        return self._inner.size

    @property
    def start(self) -> bytes:
        """The first part: all of it once ``finish`` has been called on small content."""
        return self._inner.start

    async def add(self, piece: bytes) -> None:
        """Take a piece; waits while the store is behind. Raises StoreUnavailable."""
        if self.trouble:
            return
        self._tally.add(piece)
        try:
            self._survey.feed(piece)
        except Unconvertible as error:
            self.trouble = str(error)
            return
        await self._inner.add(piece)

    async def finish(self) -> bytes | None:
        """The whole content if it is small; else None, with all of it in the store. Raises StoreUnavailable."""
        content = await self._inner.finish()
        if self.trouble:
            return content
        try:
            edits = self._survey.end()
        except Unconvertible as error:
            self.trouble = str(error)
            return content
        if edits:
            content = await self._convert(edits, content)
        self._tally.end()
        if not self._tally.fits_eight_bit:  # nothing that a reader of lines would read otherwise gets into a mailbox
            self.trouble = "there are octets in it that its structure does not account for"
        return content

    async def drop(self) -> None:
        """The message will not come: what was stored of it goes. Raises StoreUnavailable."""
        try:
            await self.release()
        finally:
            await self._inner.drop()

    async def release(self) -> None:
        """What was received is not needed any more. Raises StoreUnavailable; a sweep catches up on it then."""
        if self._received is not None:
            received, self._received = self._received, None
            self.received = None
            await received.drop()

    async def _convert(self, edits: tuple[Edit, ...], content: bytes | None) -> bytes | None:
        """The content with its edits, in a spool of its own."""
        received, whole, splicer = self._inner, content, Splicer(edits)
        converted, self._tally = self._new_spool(), Tally()
        try:
            async for piece in _pieces(self._store, received.queue_id, content):
                await self._pass_on(splicer.write(piece), converted)
            await self._pass_on(splicer.end(), converted)
            content = await converted.finish()
        except BaseException:
            await converted.drop()
            raise
        self._inner, self._received = converted, received
        self.received = stored(self._store, received.queue_id, whole)
        return content

    async def _pass_on(self, piece: bytes, converted: ContentSpool) -> None:
        if piece:
            self._tally.add(piece)
            await converted.add(piece)


def stored(store: QueueStore, queue_id: QueueId, content: bytes | None) -> Content:
    """The content of a message that has not been taken in yet, as often as somebody reads it."""
    return content if content is not None else lambda: store.read_chunks(queue_id)


async def _pieces(store: QueueStore, queue_id: QueueId, content: bytes | None) -> AsyncIterator[bytes]:
    if content is not None:
        yield content
        return
    async for chunk in store.read_chunks(queue_id):
        yield chunk
