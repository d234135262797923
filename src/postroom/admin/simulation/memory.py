"""A queue in memory that forgets what is done: as much of the store's port as the scheduler and the settler use.

It holds what the simulation was given and grows by nothing: DSNs are counted, not kept.
"""

import heapq
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.message import Message, QueueId
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

_NOTHING: tuple[bytes, ...] = ()
_NOBODY: dict[int, QueuedRecipient] = {}
_Place = tuple[float, QueueId, int]
"""When something is due, and whose it is."""


class SimulatedQueue:
    """Recipients by message and number; those that are due by time, those of excluded destinations aside."""

    def __init__(self, entries: Sequence[QueueEntry], orders: Orders, now: float) -> None:
        self._orders = orders
        self._messages: dict[QueueId, Message] = {}
        self._recipients: dict[QueueId, dict[int, QueuedRecipient]] = {}
        self._due: list[_Place] = []
        self._times: dict[tuple[QueueId, int], float] = {}
        self._aside: dict[str, list[_Place]] = {}
        for entry in entries:
            queue_id = entry.message.queue_id
            self._messages[queue_id] = entry.message
            self._recipients[queue_id] = {one.number: one for one in entry.recipients}
            for one in entry.recipients:
                if one.state is not RecipientState.HELD:
                    self._put(queue_id, one, now)

    def _put(self, queue_id: QueueId, one: QueuedRecipient, now: float) -> None:
        at = now if one.next_attempt is None else one.next_attempt
        self._times[queue_id, one.number] = at
        heapq.heappush(self._due, (at, queue_id, one.number))

    async def take_in(self, intakes: Sequence[Intake]) -> None:
        """Nothing new comes in."""

    async def write_chunks(self, chunks: Sequence[ContentChunk]) -> None:
        """Nothing new comes in."""

    async def read_chunks(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """There is none."""
        for chunk in _NOTHING:
            yield chunk

    async def drop_chunks(self, queue_ids: Sequence[QueueId]) -> None:
        """There is none."""

    async def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        """An empty header: what messages say does not matter here."""
        yield b"\r\n"

    async def lease(self, question: LeaseQuestion) -> LeaseAnswer:
        """As the port has it: by rank, bounded in total and by destination."""
        for destination in [name for name in self._aside if name not in question.excluded]:
            for place in self._aside.pop(destination):
                heapq.heappush(self._due, place)
        ready: list[tuple[float, _Place]] = []
        while self._due and self._due[0][0] <= question.now:
            place = heapq.heappop(self._due)
            if self._is_current(place) and not self._put_aside(place, question):
                ready.append((rank(place[0], self._messages[place[1]].envelope.priority), place))
        while self._due and (not self._is_current(self._due[0]) or self._put_aside(self._due[0], question)):
            heapq.heappop(self._due)
        next_due = self._due[0][0] if self._due else None
        return LeaseAnswer(self._choose(sorted(ready), question), next_due)

    def _choose(self, ready: list[tuple[float, _Place]], question: LeaseQuestion) -> tuple[LeasedMessage, ...]:
        """Lease the first of them; the rest stays due."""
        counts: dict[str, int] = {}
        found: dict[QueueId, list[QueuedRecipient]] = {}
        total = 0
        for _, place in ready:
            one = self._recipients[place[1]][place[2]]
            if one.state is RecipientState.LEASED:
                continue  # it was there twice for the same time
            name = one.waits_under
            if total >= question.limit or counts.get(name, 0) >= question.per_destination:
                heapq.heappush(self._due, place)
                continue
            total += 1
            counts[name] = counts.get(name, 0) + 1
            leased = self._recipients[place[1]][place[2]] = replace(one, state=RecipientState.LEASED)
            found.setdefault(place[1], []).append(leased)
        return tuple([LeasedMessage(self._messages[key], tuple(some)) for key, some in found.items()])

    def _is_current(self, place: _Place) -> bool:
        """Whether it waits still, and for that time: what was moved to another time is there twice."""
        one = self._recipients.get(place[1], _NOBODY).get(place[2])
        return one is not None and one.state is not RecipientState.LEASED and self._times.get(place[1:]) == place[0]

    def _put_aside(self, place: _Place, question: LeaseQuestion) -> bool:
        """Whether nobody asks for that destination: then it waits until somebody does."""
        name = self._recipients[place[1]][place[2]].waits_under
        if name not in question.excluded:
            return False
        self._aside.setdefault(name, []).append(place)
        return True

    async def renew(self, queue_ids: Sequence[QueueId], lease: Lease) -> None:
        """Leases do not end here."""

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Done ones go, others are due when they say."""
        for settlement in settlements:
            recipients = self._recipients.get(settlement.queue_id)
            if recipients is None:
                continue
            for one in settlement.recipients:
                if one.state.is_final:
                    recipients.pop(one.number, None)
                else:
                    recipients[one.number] = one
                    self._put(settlement.queue_id, one, 0.0)
            if not recipients:
                del self._recipients[settlement.queue_id], self._messages[settlement.queue_id]

    async def recover(self, node: str, now: float, began: float | None = None) -> int:
        """Nothing was lost."""
        return 0

    async def entries(self, which: QueueFilter, *, limit: int, after: QueueId | None = None) -> Sequence[QueueEntry]:
        """What is left."""
        return [
            QueueEntry(self._messages[key], tuple(recipients.values()))
            for key, recipients in sorted(self._recipients.items())
            if after is None or key > after
        ][:limit]

    async def act(self, action: QueueAction, which: QueueFilter, now: float, to: Address | None = None) -> int:
        """Nobody acts but the scheduler itself: where a pause ends, what was put off for it is due."""
        count = 0
        for queue_id, recipients in self._recipients.items():
            for one in recipients.values():
                if one.last_reply is not None and which.reply and which.reply in one.last_reply.text:
                    recipients[one.number] = replace(one, next_attempt=now)
                    self._put(queue_id, recipients[one.number], now)
                    count += 1
        return count

    async def claim(self, which: QueueFilter, lease: Lease, limit: int) -> Sequence[LeasedMessage]:
        """Nobody claims."""
        return ()

    async def orders(self, known: int) -> Orders | None:
        """As they were when it began."""
        return None if known == self._orders.generation else self._orders

    async def pause(self, pause: Pause) -> None:
        """Nobody stops anything."""

    async def resume(self, kind: PauseKind, subject: str) -> bool:
        """Nobody does; pauses end when their time has come."""
        return False

    async def flush(self) -> None:
        """Nobody does."""

    async def counts(self) -> QueueCounts:
        """How much is left."""
        return QueueCounts(len(self._messages))
