"""What a session is asked to carry: one message for some recipients, its content at hand or read in pieces."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient
from postroom.mail.message import Message
from postroom.mail.trouble import StoreUnavailable
from postroom.mail.value import value
from postroom.outbound.shaping.traffic import UNSHAPED, Way

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
    secured: bool = False
    note: str = ""
    way: Way = UNSHAPED

    @property
    def reverse_path(self) -> Address | None:
        """What MAIL says: the recipients' own return path (VERP, SRS), else the envelope's."""
        return self.recipients[0].return_path or self.message.envelope.reverse_path


def by_return_path(job: Job) -> Sequence[Job]:
    """The job for recipients of any return paths, as jobs of one each: a transaction has one MAIL.

    None has more recipients than the rule of the site allows.
    """
    paths: dict[Address | None, list[QueuedRecipient]] = {}
    for recipient in job.recipients:
        paths.setdefault(recipient.return_path, []).append(recipient)
    most = job.way.rule.recipients_per_message or len(job.recipients)
    if len(paths) <= 1 and len(job.recipients) <= most:
        return (job,)
    return [
        replace(job, recipients=tuple(recipients[first : first + most]))
        for recipients in paths.values()
        for first in range(0, len(recipients), most)
    ]


async def pieces_of(job: Job) -> AsyncGenerator[bytes, None]:
    """The content in pieces of bounded size."""
    if job.content is not None:
        for at in range(0, len(job.content), ONE_WRITE):
            yield job.content[at : at + ONE_WRITE]
        return
    pieces = job.read()
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
