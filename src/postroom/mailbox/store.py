"""The port to stored mailboxes."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from postroom.mail.message import QueueId
from postroom.mailbox.model import MailboxEntry, NewEntry


class MailboxStore(Protocol):
    """Any method may raise ``StoreUnavailable``."""

    async def entries(self, account_id: int) -> Sequence[MailboxEntry]:
        """The mailbox, oldest first."""
        ...

    def read(self, account_id: int, entry_id: int) -> AsyncIterator[bytes]:
        """The bytes of one entry in bounded pieces: entry prefix, message prefix, content. KeyError if it is gone."""
        ...

    async def place(self, queue_id: QueueId, entries: Sequence[NewEntry], now: float) -> None:
        """Add entries for a message that is already stored (a queued message whose domain became ours).

        What an account has already for the same recipient is not added again: an attempt may have died after it.
        """
        ...

    async def remove(self, account_id: int, entry_ids: Sequence[int]) -> None:
        """Remove the entries in one transaction; content that nothing refers to goes too. Unknown ids are ignored."""
        ...

    async def claim(self, account_id: int, session: str) -> bool:
        """Take the mailbox for one session (RFC 1939 §4); False while another holds it."""
        ...

    async def release(self, account_id: int, session: str) -> None:
        """Give it back. Harmless if it was not held."""
        ...
