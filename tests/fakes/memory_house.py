"""MemoryHouse: what the commands need of the house, in memory; its failures are fields."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.fakes.directory_store import MemoryDirectoryStore
from tests.fakes.guard_store import MemoryGuardStore
from tests.fakes.mailbox_store import MemoryMailboxStore
from tests.fakes.queue_store import MemoryQueueStore, Stored
from tests.fakes.suppression_store import MemorySuppressionStore

from postroom.config.model import DnsSettings, Settings
from postroom.directory.model import Logins, NewPassword
from postroom.dns.resolver import Resolver
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.message import QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.queue.model import QueueAction, QueueEntry, QueueFilter
from postroom.report.history import HistoryRow, Tally

NOW = 1_800_000_000.0


class OperatedQueue(MemoryQueueStore):
    """A queue that answers operators: filters and actions as the port promises them."""

    async def entries(self, which: QueueFilter, *, limit: int, after: QueueId | None = None) -> Sequence[QueueEntry]:
        found = []
        for queue_id, stored in sorted(self.messages.items()):
            if (after is None or queue_id > after) and self._matching(which, queue_id, stored):
                lease = next(iter(stored.leases.values()), None)
                found.append(QueueEntry(stored.message, tuple(stored.recipients.values()), lease))
        return found[:limit]

    async def act(self, action: QueueAction, which: QueueFilter, now: float) -> int:
        met = 0
        for queue_id, stored in list(self.messages.items()):
            for one in self._matching(which, queue_id, stored):
                met += self._act(action, stored, one, now)
            if not stored.recipients:
                del self.messages[queue_id]
        return met

    def _act(self, action: QueueAction, stored: Stored, one: QueuedRecipient, now: float) -> bool:
        held = one.state is RecipientState.HELD
        match action:
            case QueueAction.REMOVE:
                del stored.recipients[one.number]
                return True
            case QueueAction.HOLD if not held:
                stored.recipients[one.number] = replace(one, state=RecipientState.HELD, next_attempt=None)
                return True
            case QueueAction.RELEASE if held:
                stored.recipients[one.number] = replace(one, state=RecipientState.QUEUED, next_attempt=now)
                return True
            case QueueAction.RETRY if not held and one.state is not RecipientState.LEASED:
                stored.recipients[one.number] = replace(one, next_attempt=now)
                return True
            case _:
                return False

    def _matching(self, which: QueueFilter, queue_id: QueueId, stored: Stored) -> list[QueuedRecipient]:
        sender = stored.message.envelope.reverse_path
        if which.queue_ids and queue_id not in which.queue_ids:
            return []
        if which.sender is not None and which.sender != ("" if sender is None else str(sender)):
            return []
        return [
            one
            for one in stored.recipients.values()
            if which.domain in ("", one.recipient.address.domain)
            and which.recipient in ("", str(one.recipient.address))
            and (not which.states or one.state in which.states)
        ]


@dataclass
class MemoryHistory:
    """History rows as a list."""

    rows: list[HistoryRow] = field(default_factory=list)

    async def of_message(self, queue_id: int) -> Sequence[HistoryRow]:
        return sorted((row for row in self.rows if row.queue_id == queue_id), key=lambda row: row.at)

    async def find(self, text: str, limit: int) -> Sequence[int]:
        found = {row.queue_id for row in self.rows if text and text in (row.recipient, row.message_id)}
        return sorted(found, reverse=True)[:limit]

    async def tallies(self, since: float) -> Sequence[Tally]:
        counts: dict[tuple[str, str], int] = {}
        for row in self.rows:
            if row.at >= since:
                counts[row.kind, row.domain] = counts.get((row.kind, row.domain), 0) + 1
        return [Tally(kind, domain, count) for (kind, domain), count in counts.items()]

    async def expire(self, before: float) -> int:
        kept = [row for row in self.rows if row.at >= before]
        gone = len(self.rows) - len(kept)
        self.rows[:] = kept
        return gone


@dataclass
class Look:
    """What a look through the store found."""

    problems: tuple[str, ...] = ()


@dataclass
class MemoryStore:
    """The open store."""

    queue: OperatedQueue = field(default_factory=OperatedQueue)
    mailbox: MemoryMailboxStore = field(default_factory=MemoryMailboxStore)
    directory: MemoryDirectoryStore = field(default_factory=MemoryDirectoryStore)
    history: MemoryHistory = field(init=False)
    guard: MemoryGuardStore = field(default_factory=MemoryGuardStore)
    suppression: MemorySuppressionStore = field(default_factory=MemorySuppressionStore)
    look: Look = field(default_factory=Look)

    def __post_init__(self) -> None:
        self.history = MemoryHistory(self.queue.history)

    async def check(self) -> Look:
        return self.look


@dataclass
class MemoryHouse:
    """``unavailable``: opening the store raises this. ``exit_code``: what ``serve`` ends with."""

    store: MemoryStore = field(default_factory=MemoryStore)
    zone: Zone = field(default_factory=Zone)
    unavailable: Exception | None = None
    exit_code: int = 0
    served: list[tuple[Settings, Path]] = field(default_factory=list)
    time: float = NOW

    def serve(self, settings: Settings, config_path: Path) -> int:
        self.served.append((settings, config_path))
        return self.exit_code

    @asynccontextmanager
    async def open_store(self, settings: Settings) -> AsyncIterator[MemoryStore]:
        if self.unavailable is not None:
            raise self.unavailable
        settings.store.file.touch()  # check looks whether it is there
        yield self.store

    def resolver(self, settings: DnsSettings) -> Resolver:
        return ZoneResolver(self.zone)

    def new_password(self, password: str, address: Address, secret: bytes, logins: Logins) -> NewPassword:
        if "\t" in password:
            raise ValueError("the password has a control character")
        return NewPassword(f"hash of {password}")

    def now(self) -> float:
        return self.time


FULL = StoreUnavailable("disk full", full=True)
