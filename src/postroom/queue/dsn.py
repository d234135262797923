"""Makes the DSN about a message into an intake of its own: reads what it returns, finds where it goes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from postroom.clock import Clock
from postroom.directory.model import Resolution, Resolved, Unknown
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient
from postroom.mail.dsn import (
    MAX_RETURNED_HEADER,
    Dsn,
    Notice,
    RecipientReport,
    compose,
    gravest,
    wants_whole,
)
from postroom.mail.message import Message, QueueId, QueueIds
from postroom.queue.carrier import ContentSource
from postroom.queue.expansion import build, expand
from postroom.queue.model import Draft, Intake
from postroom.queue.signing import Signer, signed
from postroom.queue.ways import BY_DOMAIN, Ways
from postroom.report.events import DsnMade, MessageAccepted
from postroom.report.reporter import Reporter

POSTMASTER = Address("postmaster", "")
"""Whoever is postmaster of this server (RFC 5321 §4.5.1)."""

Resolve = Callable[[Address], Awaitable[Resolution]]
"""The directory's answer to where an address leads."""


class DsnMaker:
    """Composes DSNs. ``hostname`` is the reporting MTA; content that is not at hand is read from ``contents``.

    ``ways`` say where DSNs go that leave the house, ``language`` is the one of those whose messages name none,
    ``signer`` signs them.
    """

    def __init__(
        self,
        *,
        hostname: str,
        contents: ContentSource,
        resolve: Resolve,
        ids: QueueIds,
        clock: Clock,
        reporter: Reporter,
        ways: Ways = BY_DOMAIN,
        language: str = "en",
        signer: Signer | None = None,
    ) -> None:
        self._signer = signer
        self._hostname = hostname
        self._ways = ways
        self._language = language
        self._contents = contents
        self._resolve = resolve
        self._ids = ids
        self._clock = clock
        self._reporter = reporter

    async def make(
        self,
        message: Message,
        reports: Sequence[RecipientReport],
        content: bytes | None,
        *,
        start: bytes = b"",
        tell_postmaster: bool = False,
    ) -> Intake | None:
        """The DSN to the sender of ``message``, to be committed by the caller, who then calls ``tell``.

        None where there is nobody to tell: the null sender (RFC 5321 §6.1), or an address of ours that is no more.
        ``start`` is the beginning of a content that is not in the store yet. ``tell_postmaster``: instead of the null
        sender. Raises StoreUnavailable.
        """
        sender = message.envelope.reverse_path
        if not reports or (sender is None and not tell_postmaster):
            return None
        resolution = await self._resolve(sender or POSTMASTER)
        if sender is None:
            # Placed here or nowhere: it can fail no more, so it never causes another (RFC 3461 §5.2)
            resolution = Resolved(resolution.accounts) if resolution.accounts else Unknown()
        if isinstance(resolution, Unknown):
            return None
        returned, whole = await self._returned(message, tuple(reports), content, start)
        now = self._clock.now()
        queue_id = self._ids.next()
        dsn = compose(
            Notice(
                queue_id=queue_id,
                hostname=self._hostname,
                now=now,
                message=message,
                reports=tuple(reports),
                returned=returned,
                whole=whole,
                postmaster=Address(POSTMASTER.local, self._hostname),
                language=self._language,
            )
        )
        return await self._intake(queue_id, dsn, resolution, now)

    def tell(self, intake: Intake, about: Message, reports: Sequence[RecipientReport]) -> None:
        """Report a DSN whose intake has been committed."""
        message = intake.message
        self._reporter.tell(
            DsnMade(
                message.queue_id,
                about.queue_id,
                gravest(tuple(reports)).value,
                str(message.envelope.recipients[0].address),
            )
        )
        self._reporter.tell(
            MessageAccepted(message, None, tuple(e.recipient for e in intake.entries), _names(intake.queued), 0.0)
        )

    async def _intake(self, queue_id: QueueId, dsn: Dsn, resolution: Resolution, now: float) -> Intake:
        """The DSN as an intake without lease: whoever polls next carries it."""
        draft = Draft(queue_id, now, dsn.envelope, dsn.content, message_id=dsn.message_id)
        if self._signer is not None:
            draft = await signed(draft, self._signer, (resolution,))
        return build(draft, expand(draft, (resolution,), now, self._ways), now)

    async def _returned(
        self, message: Message, reports: tuple[RecipientReport, ...], content: bytes | None, start: bytes
    ) -> tuple[bytes, bool]:
        """The part of the message that the DSN may return, and whether that is all of it."""
        if content is not None:
            return message.prefix + content, True
        if start:
            return message.prefix + start, False
        wanted = message.size if wants_whole(message, gravest(reports)) else MAX_RETURNED_HEADER
        try:
            pieces = await _read_up_to(self._contents.read_content(message.queue_id), wanted)
        except KeyError:  # the content is gone: an operator removed the message meanwhile
            return message.prefix, False
        return message.prefix + pieces, len(pieces) >= message.content_size


def _names(queued: Sequence[QueuedRecipient]) -> tuple[str, ...]:
    return tuple(str(one.recipient.address) for one in queued)


async def _read_up_to(pieces: AsyncIterator[bytes], octets: int) -> bytes:
    """The beginning of a content, a piece more than ``octets`` at most."""
    found: list[bytes] = []
    size = 0
    async for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size >= octets:
            break
    return b"".join(found)
