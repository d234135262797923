"""A queue store in memory. What fails, and how often, are fields."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.message import Message, QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.mailbox.model import NewEntry
from postroom.queue.model import (
    ContentChunk,
    Intake,
    Lease,
    LeaseAnswer,
    LeasedMessage,
    LeaseQuestion,
    QueueAction,
    QueueCounts,
    QueueEntry,
    QueueFilter,
    Settlement,
)
from postroom.queue.urgency import rank
from postroom.report.history import HistoryRow

_DUE = (RecipientState.QUEUED, RecipientState.DEFERRED)


@dataclass
class Stored:
    """One message: recipients and leases by number."""

    message: Message
    content: bytes
    recipients: dict[int, QueuedRecipient]
    leases: dict[int, Lease] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)


class MemoryQueueStore:
    """Keeps everything that is written. A method named in ``failing`` raises StoreUnavailable until it is taken out."""

    def __init__(self) -> None:
        self.messages: dict[QueueId, Stored] = {}
        self.entries_of: dict[int, list[tuple[NewEntry, Message, bytes]]] = {}
        self.history: list[HistoryRow] = []
        self.chunks: dict[QueueId, list[bytes]] = {}
        self.intakes: list[Intake] = []
        self.settlements: list[Settlement] = []
        self.questions: list[LeaseQuestion] = []
        self.renewals: list[tuple[tuple[QueueId, ...], Lease]] = []
        self.failing: set[str] = set()
        self.poisoned: set[QueueId] = set()
        """Messages whose settlement raises an error that nobody expects."""
        self.blocked: dict[str, asyncio.Event] = {}
        """A method waits for its event before it does anything."""

    async def _enter(self, method: str) -> None:
        if method in self.blocked:
            await self.blocked[method].wait()
        await asyncio.sleep(0)
        if method in self.failing:
            raise StoreUnavailable(f"{method} fails, as asked", full=True)

    async def take_in(self, intakes: Sequence[Intake]) -> None:
        await self._enter("take_in")
        for intake in intakes:
            self._take_in(intake)

    def _take_in(self, intake: Intake) -> None:
        self.intakes.append(intake)
        self.history += intake.history
        queue_id = intake.message.queue_id
        content = intake.content if intake.content is not None else b"".join(self.chunks.pop(queue_id))
        for entry in intake.entries:
            self.entries_of.setdefault(entry.account_id, []).append((entry, intake.message, content))
        if not intake.queued:
            return
        stored = Stored(intake.message, content, {})
        for one in intake.queued:
            if intake.lease is not None:
                stored.leases[one.number] = intake.lease
                one = replace(one, state=RecipientState.LEASED)  # noqa: PLW2901 - the stored form of the same thing
            stored.recipients[one.number] = one
        self.messages[queue_id] = stored

    async def write_chunks(self, chunks: Sequence[ContentChunk]) -> None:
        await self._enter("write_chunks")
        for chunk in chunks:
            self.chunks.setdefault(chunk.queue_id, []).append(chunk.data)

    async def read_chunks(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        await self._enter("read_chunks")
        for chunk in self.chunks.get(queue_id, ()):
            yield chunk

    async def drop_chunks(self, queue_ids: Sequence[QueueId]) -> None:
        await self._enter("drop_chunks")
        for queue_id in queue_ids:
            self.chunks.pop(queue_id, None)

    async def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        await self._enter("read_content")
        content = self.messages[queue_id].content
        for at in range(0, len(content), 16 * 1024):
            yield content[at : at + 16 * 1024]

    async def lease(self, question: LeaseQuestion) -> LeaseAnswer:
        await self._enter("lease")
        self.questions.append(question)
        due: list[tuple[float, QueueId, int]] = []  # by rank
        next_due: float | None = None
        for queue_id, stored in self.messages.items():
            for number, one in stored.recipients.items():
                if one.recipient.address.domain in question.excluded:
                    continue
                if one.state is RecipientState.LEASED:
                    at = stored.leases[number].until
                elif one.state in _DUE:
                    at = one.next_attempt or 0.0
                else:
                    continue
                if at > question.now:
                    next_due = at if next_due is None else min(next_due, at)
                else:
                    due.append((rank(at, stored.message.envelope.priority), queue_id, number))
        return LeaseAnswer(tuple(self._lease(sorted(due), question)), next_due)

    def _lease(self, due: list[tuple[float, QueueId, int]], question: LeaseQuestion) -> list[LeasedMessage]:
        by_domain: dict[str, int] = {}
        found: dict[QueueId, list[int]] = {}
        count = 0
        for _, queue_id, number in due:
            domain = self.messages[queue_id].recipients[number].recipient.address.domain
            if count >= question.limit or by_domain.get(domain, 0) >= question.per_destination:
                continue
            count += 1
            by_domain[domain] = by_domain.get(domain, 0) + 1
            found.setdefault(queue_id, []).append(number)
        answer = []
        for queue_id, numbers in found.items():
            stored = self.messages[queue_id]
            stored.lost |= {n for n in numbers if stored.recipients[n].state is RecipientState.LEASED}
            for number in numbers:
                stored.recipients[number] = replace(stored.recipients[number], state=RecipientState.LEASED)
                stored.leases[number] = question.lease
            recipients = tuple(stored.recipients[number] for number in sorted(numbers))
            lost = frozenset(stored.lost & set(numbers))
            stored.lost -= lost
            answer.append(LeasedMessage(stored.message, recipients, None, lost))
        return answer

    async def renew(self, queue_ids: Sequence[QueueId], lease: Lease) -> None:
        await self._enter("renew")
        self.renewals.append((tuple(queue_ids), lease))
        for queue_id in queue_ids:
            stored = self.messages.get(queue_id)
            for number, held in list(stored.leases.items()) if stored is not None else ():
                if stored is not None and held.node == lease.node:
                    stored.leases[number] = lease

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self._enter("settle")
        for settlement in settlements:
            if settlement.queue_id in self.poisoned:
                raise RuntimeError("poisoned, as asked")
        for settlement in settlements:
            self._settle(settlement)

    def _settle(self, settlement: Settlement) -> None:
        self.settlements.append(settlement)
        self.history += settlement.history
        if settlement.dsn is not None:
            self._take_in(settlement.dsn)
        stored = self.messages.get(settlement.queue_id)
        if stored is None:
            return
        for one in settlement.recipients:
            held = stored.leases.get(one.number)
            if held is None or held.node != settlement.node:
                continue
            del stored.leases[one.number]
            if one.state.is_final:
                del stored.recipients[one.number]
            else:
                stored.recipients[one.number] = one
        if not stored.recipients:
            del self.messages[settlement.queue_id]

    async def recover(self, node: str, now: float) -> int:
        await self._enter("recover")
        count = 0
        for stored in self.messages.values():
            for number, held in list(stored.leases.items()):
                if held.node == node:
                    count += 1
                    stored.lost.add(number)
                    del stored.leases[number]
                    one = stored.recipients[number]
                    stored.recipients[number] = replace(one, state=RecipientState.QUEUED, next_attempt=now)
        return count

    async def entries(self, which: QueueFilter, *, limit: int, after: QueueId | None = None) -> Sequence[QueueEntry]:
        await self._enter("entries")
        return [
            QueueEntry(stored.message, tuple(stored.recipients.values()))
            for queue_id, stored in sorted(self.messages.items())
            if (after is None or queue_id > after)
            and (not which.queue_ids or queue_id in which.queue_ids)
            and queue_id % which.one_in == 0
        ][:limit]

    async def act(self, action: QueueAction, which: QueueFilter, now: float) -> int:
        raise NotImplementedError("operators are no concern of the tests that use this store")

    async def counts(self) -> QueueCounts:
        await self._enter("counts")
        by_state: dict[RecipientState, int] = {}
        by_domain: dict[str, int] = {}
        for one in self.recipients():
            by_state[one.state] = by_state.get(one.state, 0) + 1
            domain = one.recipient.address.domain
            by_domain[domain] = by_domain.get(domain, 0) + 1
        fullest = sorted(by_domain.items(), key=lambda item: (-item[1], item[0]))
        return QueueCounts(len(self.messages), by_state, tuple(fullest[:100]))

    # What tests look at

    def recipients(self) -> list[QueuedRecipient]:
        """Every recipient that is in the queue still."""
        return [one for stored in self.messages.values() for one in stored.recipients.values()]

    def kinds(self, queue_id: int | None = None) -> list[str]:
        """The kinds of the history rows, of one message or of all."""
        return [row.kind for row in self.history if queue_id is None or row.queue_id == queue_id]
