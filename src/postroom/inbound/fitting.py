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
from postroom.queue.store import QueueStore


class FittingSpool:
    """A spool whose content has become lines of text once it is finished.

    ``trouble`` says then why it could not, ``""`` if it could.
    """

    __slots__ = ("_inner", "_new_spool", "_store", "_survey", "_tally", "trouble")

    def __init__(self, store: QueueStore, new_spool: Callable[[], ContentSpool]) -> None:
        self._store = store
        self._new_spool = new_spool
        self._inner = new_spool()
        self._survey = Survey(Body.EIGHT_BIT, ascii_header=False)
        self._tally = Tally()
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
        await self._inner.drop()

    async def _convert(self, edits: tuple[Edit, ...], content: bytes | None) -> bytes | None:
        """The content with its edits, in a spool of its own; the one as received goes."""
        received, splicer = self._inner, Splicer(edits)
        converted, self._tally = self._new_spool(), Tally()
        try:
            async for piece in _pieces(self._store, received.queue_id, content):
                await self._pass_on(splicer.write(piece), converted)
            await self._pass_on(splicer.end(), converted)
            content = await converted.finish()
        except BaseException:
            await converted.drop()
            raise
        self._inner = converted
        await received.drop()
        return content

    async def _pass_on(self, piece: bytes, converted: ContentSpool) -> None:
        if piece:
            self._tally.add(piece)
            await converted.add(piece)


async def _pieces(store: QueueStore, queue_id: QueueId, content: bytes | None) -> AsyncIterator[bytes]:
    if content is not None:
        yield content
        return
    async for chunk in store.read_chunks(queue_id):
        yield chunk
