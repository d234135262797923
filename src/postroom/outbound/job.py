"""What a session is asked to carry: one message for some recipients, its content at hand or read in pieces."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient
from postroom.mail.message import Message
from postroom.mail.trouble import StoreUnavailable
from postroom.mail.value import value
from postroom.outbound.shaping.traffic import Way

ONE_WRITE = 256 * 1024
"""Octets of content that are read at once and leave in one write; the socket's buffer takes them soon."""


@value(frozen=True, slots=True)
class Job:
    """One message for some recipients, all of one return path. ``content`` where it is at hand, else ``read`` gives it
    in pieces.

    ``way`` is how it travels. ``secured``: it goes only where REQUIRETLS can be asked for (RFC 8689 §4.2.1). ``note``
    goes with the outcomes.
    """

    message: Message
    recipients: tuple[QueuedRecipient, ...]
    content: bytes | None
    read: Callable[[], AsyncIterator[bytes]]
    way: Way
    secured: bool = False
    note: str = ""

    @property
    def reverse_path(self) -> Address | None:
        """What MAIL says: the recipients' own return path (VERP, SRS), else the envelope's."""
        return self.recipients[0].return_path or self.message.envelope.reverse_path


def by_return_path(job: Job) -> Sequence[Job]:
    """The job for recipients of any return paths, as jobs of one each: a transaction has one MAIL."""
    paths: dict[Address | None, list[QueuedRecipient]] = {}
    for recipient in job.recipients:
        paths.setdefault(recipient.return_path, []).append(recipient)
    if len(paths) <= 1:
        return (job,)
    return [replace(job, recipients=tuple(recipients)) for recipients in paths.values()]


def pieces_of(job: Job) -> AsyncGenerator[bytes, None]:
    """The content in pieces of bounded size."""
    return in_pieces(job.content, job.read)


async def in_pieces(content: bytes | None, read: Callable[[], AsyncIterator[bytes]]) -> AsyncGenerator[bytes, None]:
    """A content that is at hand, or that ``read`` gives, in pieces of bounded size."""
    if content is not None:
        for at in range(0, len(content), ONE_WRITE):
            yield content[at : at + ONE_WRITE]
        return
    pieces = read()
    if isinstance(pieces, AsyncGenerator):
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
        return
    async for piece in pieces:
        yield piece


def check_size(size: int, message: Message) -> None:
    """StoreUnavailable unless the store gave all of the content: half a message must not pass for a whole one."""
    if size != message.content_size:
        raise StoreUnavailable(f"the store gave {size} of {message.content_size} octets")
