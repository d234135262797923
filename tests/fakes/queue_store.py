"""A queue store in memory. What fails, and how often, are fields."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message, QueueId, first_id_at
from postroom.mail.trouble import StoreUnavailable
from postroom.mailbox.model import NewEntry
from postroom.queue.expansion import original_recipient
from postroom.queue.model import (
    ContentChunk,
    Intake,
    Lease,
    LeaseAnswer,
    LeasedMessage,
    LeaseQuestion,
    Orders,
    Pause,
    PauseKind,
    QueueAction,
    QueueCounts,
    QueueEntry,
    QueueFilter,
    Settlement,
)
from postroom.queue.urgency import rank
from postroom.report.history import HistoryRow

_DUE = (RecipientState.QUEUED, RecipientState.DEFERRED)
_TOUCHES = {
    QueueAction.RETRY: _DUE,
    QueueAction.RESUME: _DUE,
    QueueAction.RELEASE: (RecipientState.HELD,),
    QueueAction.REDIRECT: (*_DUE, RecipientState.HELD),
    QueueAction.HOLD: (*_DUE, RecipientState.LEASED),
    QueueAction.REMOVE: (*_DUE, RecipientState.LEASED, RecipientState.HELD),
}
_KINDS = {
    QueueAction.RETRY: "retried",
    QueueAction.RESUME: "",
    QueueAction.RELEASE: "released",
    QueueAction.REDIRECT: "redirected",
    QueueAction.HOLD: "held",
    QueueAction.REMOVE: "removed",
}


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
        self.actions: list[tuple[QueueAction, QueueFilter]] = []
        self.pauses: dict[tuple[PauseKind, str], Pause] = {}
        self.generation = 1
        self.flushes = 0
        self.recalls = 0
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
            if intake.lease is not None and one.state is not RecipientState.HELD:
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
                if one.waits_under in question.excluded:
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
        by_destination: dict[str, int] = {}
        found: dict[QueueId, list[int]] = {}
        count = 0
        for _, queue_id, number in due:
            name = self.messages[queue_id].recipients[number].waits_under
            if count >= question.limit or by_destination.get(name, 0) >= question.shares.get(
                name, question.per_destination
            ):
                continue
            count += 1
            by_destination[name] = by_destination.get(name, 0) + 1
            found.setdefault(queue_id, []).append(number)
        return self._take(found, question.lease)

    def _take(self, found: dict[QueueId, list[int]], lease: Lease) -> list[LeasedMessage]:
        answer = []
        for queue_id, numbers in found.items():
            stored = self.messages[queue_id]
            stored.lost |= {n for n in numbers if stored.recipients[n].state is RecipientState.LEASED}
            for number in numbers:
                stored.recipients[number] = replace(stored.recipients[number], state=RecipientState.LEASED)
                stored.leases[number] = lease
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

    async def recover(self, node: str, now: float, began: float | None = None) -> int:
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
        for queue_id in [one for one in self.chunks if began is None or one < first_id_at(began)]:
            del self.chunks[queue_id]
        return count

    async def entries(self, which: QueueFilter, *, limit: int, after: QueueId | None = None) -> Sequence[QueueEntry]:
        await self._enter("entries")
        return [
            QueueEntry(stored.message, tuple(stored.recipients.values()), next(iter(stored.leases.values()), None))
            for queue_id, stored in sorted(self.messages.items())
            if (after is None or queue_id > after)
            and any(_matches(which, stored.message, one) for one in stored.recipients.values())
            and queue_id % which.one_in == 0
        ][:limit]

    async def act(self, action: QueueAction, which: QueueFilter, now: float, to: Address | None = None) -> int:
        await self._enter("act")
        self.actions.append((action, which))
        count, recalled = 0, False
        for stored, one in list(self._matching(which)):
            if one.state not in _TOUCHES[action]:
                continue
            count += 1
            recalled = recalled or one.state is RecipientState.LEASED
            name, domain = str(one.recipient.address), one.recipient.address.domain
            if _KINDS[action]:
                self.history.append(HistoryRow(stored.message.queue_id, now, _KINDS[action], name, domain))
            if action is QueueAction.REMOVE:
                del stored.recipients[one.number]
                if not stored.recipients:
                    del self.messages[stored.message.queue_id]
                continue
            if stored.leases.pop(one.number, None) is not None:
                stored.lost.add(one.number)
            stored.recipients[one.number] = _acted(action, one, now, to)
        self.recalls += recalled
        self.generation += recalled
        return count

    async def claim(self, which: QueueFilter, lease: Lease, limit: int) -> Sequence[LeasedMessage]:
        await self._enter("claim")
        found: dict[QueueId, list[int]] = {}
        for stored, one in self._matching(which):
            if one.number not in stored.leases and sum(map(len, found.values())) < limit:
                found.setdefault(stored.message.queue_id, []).append(one.number)
        return self._take(found, lease)

    def _matching(self, which: QueueFilter) -> Iterator[tuple[Stored, QueuedRecipient]]:
        for _, stored in sorted(self.messages.items()):
            for one in stored.recipients.values():
                if _matches(which, stored.message, one):
                    yield stored, one

    async def orders(self, known: int) -> Orders | None:
        await self._enter("orders")
        if known == self.generation:
            return None
        pauses = tuple(self.pauses[key] for key in sorted(self.pauses, key=lambda key: (key[0].value, key[1])))
        return Orders(self.generation, self.flushes, self.recalls, pauses)

    async def pause(self, pause: Pause) -> None:
        await self._enter("pause")
        for key, old in list(self.pauses.items()):
            if old.until is not None and old.until <= pause.since:
                del self.pauses[key]
        self.pauses[pause.kind, pause.subject] = pause
        self.generation += 1

    async def resume(self, kind: PauseKind, subject: str) -> bool:
        await self._enter("resume")
        ended = self.pauses.pop((kind, subject), None) is not None
        self.generation += ended
        return ended

    async def flush(self) -> None:
        await self._enter("flush")
        self.flushes += 1
        self.generation += 1

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


def _matches(which: QueueFilter, message: Message, one: QueuedRecipient) -> bool:
    sender, address = message.envelope.reverse_path, one.recipient.address
    reply = "" if one.last_reply is None else str(one.last_reply)
    return all(
        (
            one.state in which.states if which.states else not one.state.is_final,
            not which.queue_ids or message.queue_id in which.queue_ids,
            not which.domain
            or address.domain == which.domain.lower()
            or (which.domain[0] == "." and address.domain.endswith(which.domain.lower())),
            not which.rule or f"{one.waits_under.partition(' ')[2].replace('|', '/')}/".startswith(f"{which.rule}/"),
            not which.recipient or address.key == Address.parse(which.recipient).key,
            which.sender is None or ("" if sender is None else sender.key) == which.sender.lower(),
            not which.destination or one.waits_under == which.destination,
            which.before is None or message.received_at < which.before,
            which.reply.lower() in reply.lower(),
            not which.host or one.last_peer.host.lower() == which.host.lower(),
            not which.account or message.account.lower() == which.account.lower(),
            not which.tag or which.tag in message.tags,
            which.priority is None or message.envelope.priority == which.priority,
        )
    )


def _acted(action: QueueAction, one: QueuedRecipient, now: float, to: Address | None) -> QueuedRecipient:
    waiting = RecipientState.DEFERRED if one.attempts else RecipientState.QUEUED
    if action is QueueAction.HOLD:
        return replace(one, state=RecipientState.HELD, next_attempt=None)
    if to is None:
        return replace(one, state=waiting, next_attempt=now)
    held = one.state is RecipientState.HELD
    recipient = Recipient(to, one.recipient.notify, one.recipient.orcpt or original_recipient(one.recipient.address))
    return QueuedRecipient(
        one.number,
        recipient,
        RecipientState.HELD if held else RecipientState.QUEUED,
        next_attempt=None if held else now,
        delay_told=one.delay_told,
        destination=to.domain,
        return_path=one.return_path,
    )
