"""Takes a bounded sample of the queue: all of it where it is short, else so much that each one stands for several.

A long queue is not read through. Queue ids are in order of time, so that a page can be read anywhere: the stretch of
time that holds most is halved again and again, and each page stands for its stretch. What the store has counted sets
the totals right.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.message import Message, QueueId, QueueIds
from postroom.queue.model import QueueCounts, QueueEntry, QueueFilter
from postroom.queue.store import QueueStore

_READ_WHOLE = 4000  # messages up to which the queue is read through
_PAGE = 500
_GLANCE = 50  # messages of a page that stands for a stretch
_STRETCHES = 120

Key = tuple[QueueId, int]
"""A recipient: its message and its number."""


@dataclass(frozen=True, slots=True)
class Sample:
    """``entries`` stand for ``recipients`` in the queue, each recipient for as many as ``weights`` says; ``held`` wait
    for an operator and are left out.
    """

    entries: tuple[QueueEntry, ...]
    weights: Mapping[Key, float]
    recipients: int
    held: int

    @property
    def is_whole(self) -> bool:
        """Nothing was left out."""
        return all(weight == 1.0 for weight in self.weights.values())


@dataclass(slots=True)
class _Weighed:
    """One recipient of the queue, and how many it stands for."""

    message: Message
    one: QueuedRecipient
    weight: float


async def take_sample(store: QueueStore, which: QueueFilter, limit: int, now: float) -> Sample:
    """At most ``limit`` recipients for all that match. Raises StoreUnavailable."""
    found = await _read_whole(store, which)
    if found is None:
        counts = await store.counts()
        found = await _read_stretches(store, which, now)
        _set_right(found, counts, which)
    held = sum(each.weight for each in found if each.one.state is RecipientState.HELD)
    waiting = [each for each in found if each.one.state is not RecipientState.HELD]
    total = sum(each.weight for each in waiting)
    chosen = waiting if len(waiting) <= limit else _thin_out(waiting, limit)
    return Sample(_entries(chosen, now), _weights(chosen), round(total), round(held))


async def _read_whole(store: QueueStore, which: QueueFilter) -> list[_Weighed] | None:
    """Everything; None where it is too much."""
    found: list[_Weighed] = []
    after: QueueId | None = None
    for _ in range(_READ_WHOLE // _PAGE):
        page = await store.entries(which, limit=_PAGE, after=after)
        found += _matching(page, which, 1.0)
        if len(page) < _PAGE:
            return found
        after = page[-1].message.queue_id
    return None


@dataclass(slots=True)
class _Stretch:
    """The ids from ``first`` up to ``last``, and the page that was read at its beginning."""

    first: int
    last: int
    page: list[QueueEntry]

    @property
    def messages(self) -> float:
        """How many it holds, as far as the page tells."""
        if len(self.page) < _GLANCE:
            return len(self.page)
        span = max(self.page[-1].message.queue_id - self.first, 1)
        return len(self.page) * (self.last - self.first) / span


async def _read_stretches(store: QueueStore, which: QueueFilter, now: float) -> list[_Weighed]:
    """Pages from all over the queue, most where it is fullest."""

    async def look(first: int, last: int) -> _Stretch:
        page = await store.entries(which, limit=_GLANCE, after=QueueId(first - 1))
        return _Stretch(first, last, [entry for entry in page if entry.message.queue_id < last])

    oldest = await store.entries(which, limit=1)
    first = oldest[0].message.queue_id if oldest else 0
    last = QueueIds(lambda: now + 1).next()
    stretches: list[tuple[float, int, _Stretch]] = []
    whole = await look(first, max(last, first + 1))
    heapq.heappush(stretches, (-whole.messages, first, whole))
    for _ in range(_STRETCHES):
        fullest = stretches[0][2]
        if len(fullest.page) < _GLANCE or fullest.last - fullest.first < 2:
            break  # all of it is known
        heapq.heappop(stretches)
        middle = (fullest.first + fullest.last) // 2
        left = _Stretch(fullest.first, middle, [e for e in fullest.page if e.message.queue_id < middle])
        for half in (left, await look(middle, fullest.last)):
            heapq.heappush(stretches, (-half.messages, half.first, half))
    found: list[_Weighed] = []
    for _, _, stretch in stretches:
        if stretch.page:
            found += _matching(stretch.page, which, stretch.messages / len(stretch.page))
    return found


def _matching(page: Iterable[QueueEntry], which: QueueFilter, weight: float) -> list[_Weighed]:
    """The recipients that were asked for: a message is listed with all of its own."""
    return [
        _Weighed(entry.message, one, weight)
        for entry in page
        for one in entry.recipients
        if not which.domain or one.recipient.address.domain == which.domain
    ]


def _set_right(found: list[_Weighed], counts: QueueCounts, which: QueueFilter) -> None:
    """Make the weights add up to what the store has counted: for the fullest destinations, and for all others."""
    by_name: dict[str, list[_Weighed]] = {}
    for each in found:
        by_name.setdefault(each.one.waits_under, []).append(each)
    known = {name: count for name, count in counts.by_domain if name in by_name}
    for name, count in known.items():
        _scale(by_name[name], count)
    if not which.domain and not which.queue_ids:
        total = sum(count for state, count in counts.by_state.items() if not state.is_final)
        others = [each for name, some in by_name.items() if name not in known for each in some]
        _scale(others, max(total - sum(known.values()), len(others)))


def _scale(some: list[_Weighed], count: int) -> None:
    total = sum(each.weight for each in some)
    for each in some:
        each.weight *= count / total


def _thin_out(waiting: list[_Weighed], limit: int) -> list[_Weighed]:
    """Every so-manyth, in an order in which neighbours have the same fate; no full destination is missed."""
    by_name: dict[str, list[_Weighed]] = {}
    for each in waiting:
        by_name.setdefault(each.one.waits_under, []).append(each)
    total = sum(each.weight for each in waiting)
    sizes = sorted(((sum(each.weight for each in some), name) for name, some in by_name.items()), reverse=True)
    chosen: list[_Weighed] = []
    rest: list[_Weighed] = []
    for place, (size, name) in enumerate(sizes):
        some = sorted(by_name[name], key=_fate)
        share = int(limit * size / total)
        if place < limit // 2:
            chosen += _evenly(some, max(share, 1))
        else:
            rest += some
    return chosen + (_evenly(rest, max(limit - len(chosen), 1)) if rest else [])


def _fate(each: _Weighed) -> tuple[float, int, float]:
    return (each.one.next_attempt or 0.0, each.one.attempts, each.message.received_at)


def _evenly(some: Sequence[_Weighed], count: int) -> list[_Weighed]:
    """``count`` of them, each from the middle of its part and standing for all of it."""
    if count >= len(some):
        return list(some)
    chosen = []
    for number in range(count):
        part = some[number * len(some) // count : (number + 1) * len(some) // count]
        middle = part[len(part) // 2]
        chosen.append(_Weighed(middle.message, middle.one, sum(each.weight for each in part)))
    return chosen


def _weights(chosen: Iterable[_Weighed]) -> dict[Key, float]:
    return {(each.message.queue_id, each.one.number): each.weight for each in chosen}


def _entries(chosen: Iterable[_Weighed], now: float) -> tuple[QueueEntry, ...]:
    """What was chosen, by message. What somebody attempts at this moment is due now."""
    messages: dict[QueueId, tuple[Message, list[QueuedRecipient]]] = {}
    for each in chosen:
        one = each.one
        if one.state is RecipientState.LEASED:
            state = RecipientState.DEFERRED if one.attempts else RecipientState.QUEUED
            one = replace(one, state=state, next_attempt=now)
        messages.setdefault(each.message.queue_id, (each.message, []))[1].append(one)
    return tuple([QueueEntry(message, tuple(some)) for message, some in messages.values()])
