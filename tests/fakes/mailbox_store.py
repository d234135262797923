"""MemoryMailboxStore: the mailboxes' port over dictionaries, its failures as fields."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from postroom.mail.message import QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.mailbox.model import MailboxEntry, NewEntry


@dataclass
class MemoryMailboxStore:
    """``unavailable``: names of methods that raise StoreUnavailable (``full``: that they are full).

    ``breaks_after``: ``read`` raises StoreUnavailable after so many pieces. ``piece``: octets of a piece.
    ``virtual``: entries whose content is made while it is read: line and how often.
    """

    unavailable: set[str] = field(default_factory=set)
    full: bool = False
    breaks_after: int | None = None
    piece: int = 64 * 1024
    gone_accounts: set[int] = field(default_factory=set)

    contents: dict[int, bytes] = field(default_factory=dict)
    """By entry."""
    virtual: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    mailboxes: dict[int, list[MailboxEntry]] = field(default_factory=dict)
    """By account."""
    claims: dict[int, str] = field(default_factory=dict)
    placed: list[tuple[QueueId, tuple[NewEntry, ...], float]] = field(default_factory=list)
    pieces_read: int = 0
    _last: int = 100

    # Setting the scene.

    def add(self, account_id: int, content: bytes) -> int:
        """A message in the account's mailbox; returns its entry's id."""
        self._last += 1
        self.contents[self._last] = content
        self._enter(account_id, len(content))
        return self._last

    def add_virtual(self, account_id: int, line: bytes, times: int) -> int:
        """A message of any size that is nowhere whole."""
        self._last += 1
        self.virtual[self._last] = (line, times)
        self._enter(account_id, len(line) * times)
        return self._last

    def ids(self, account_id: int) -> list[int]:
        """What the mailbox holds."""
        return [entry.entry_id for entry in self.mailboxes.get(account_id, [])]

    def _enter(self, account_id: int, size: int) -> None:
        entry = MailboxEntry(self._last, QueueId(self._last), size, 0.0)
        self.mailboxes.setdefault(account_id, []).append(entry)

    # The port.

    async def entries(self, account_id: int) -> Sequence[MailboxEntry]:
        """The mailbox, oldest first."""
        self._ask("entries")
        return tuple(self.mailboxes.get(account_id, ()))

    async def read(self, account_id: int, entry_id: int) -> AsyncIterator[bytes]:
        """The bytes of one entry."""
        self._ask("read")
        if entry_id not in self.ids(account_id):
            raise KeyError(entry_id)
        if entry_id in self.virtual:
            line, times = self.virtual[entry_id]
            per_piece = max(1, self.piece // len(line))
            for start in range(0, times, per_piece):
                self._count_piece()
                yield line * min(per_piece, times - start)
            return
        content = self.contents[entry_id]
        for start in range(0, len(content), self.piece):
            self._count_piece()
            yield content[start : start + self.piece]

    async def place(self, queue_id: QueueId, entries: Sequence[NewEntry], now: float) -> None:
        """Add entries for a message that is already stored."""
        self._ask("place")
        for entry in entries:
            if entry.account_id in self.gone_accounts:
                raise KeyError(entry.account_id)
        self.placed.append((queue_id, tuple(entries), now))

    async def remove(self, account_id: int, entry_ids: Sequence[int]) -> None:
        """Remove the entries."""
        self._ask("remove")
        kept = [entry for entry in self.mailboxes.get(account_id, []) if entry.entry_id not in set(entry_ids)]
        self.mailboxes[account_id] = kept

    async def claim(self, account_id: int, session: str) -> bool:
        """Take the mailbox for one session."""
        self._ask("claim")
        return self.claims.setdefault(account_id, session) == session

    async def release(self, account_id: int, session: str) -> None:
        """Give it back."""
        self._ask("release")
        if self.claims.get(account_id) == session:
            del self.claims[account_id]

    def _count_piece(self) -> None:
        if self.breaks_after is not None and self.pieces_read >= self.breaks_after:
            raise StoreUnavailable("the fake store broke off")
        self.pieces_read += 1

    def _ask(self, method: str) -> None:
        if method in self.unavailable:
            raise StoreUnavailable(f"the fake store cannot {method}", full=self.full)
