"""Takes a bounded sample of the queue: all of it where it is short, else so much that each one stands for several.

A long queue is not read through: the store gives every so-manyth message, and what it has counted makes the
totals right.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.message import Message, QueueId
from postroom.queue.model import Orders, QueueCounts, QueueEntry, QueueFilter
from postroom.queue.store import QueueStore

_READ_WHOLE = 8000  # recipients up to which the queue is read through; of a longer one about half as many are read
_PAGE = 500  # recipients of a page, as far as can be told before
_FIRST_PAGE = 20  # messages
_ROUND = 60_000  # milliseconds, which queue ids count

Key = tuple[QueueId, int]
"""A recipient: its message and its number."""


@dataclass(frozen=True, slots=True)
class Sample:
    """``entries`` stand for ``recipients`` in the queue, each recipient for as many as ``weights`` says; ``held`` wait
    for an operator and are left out. ``orders`` are the pauses that are in force.
    """

    entries: tuple[QueueEntry, ...]
    orders: Orders
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
    counts = await store.counts()
    total = _count(counts, which)
    one_in = 1 if total <= _READ_WHOLE else _spreading(total * 2 // _READ_WHOLE)
    found = await _read(store, replace(which, one_in=one_in), 2 * _READ_WHOLE)
    if one_in > 1:
        _set_right(found, counts, total)
    held = sum(each.weight for each in found if each.one.state is RecipientState.HELD)
    waiting = [each for each in found if each.one.state is not RecipientState.HELD]
    recipients = sum(each.weight for each in waiting)
    chosen = waiting if len(waiting) <= limit else _thin_out(waiting, limit)
    orders = await store.orders(-1) or Orders(1, 0)
    return Sample(_entries(chosen, now), orders, _weights(chosen), round(recipients), round(held))


def _spreading(number: int) -> int:
    """The next number that has no factor in common with spans of time: mail that comes by the clock is met evenly."""
    while gcd(number, _ROUND) > 1:
        number += 1
    return number


def _count(counts: QueueCounts, which: QueueFilter) -> int:
    """How many match, as far as the store has counted them: of a domain that is not one of the fullest, at most."""
    total = sum(count for state, count in counts.by_state.items() if not state.is_final)
    if not which.domain:
        return total
    known = dict(counts.by_domain)
    return known.get(which.domain, min(known.values(), default=0))


async def _read(store: QueueStore, which: QueueFilter, limit: int) -> list[_Weighed]:
    """What matches, up to about ``limit`` recipients: a queue of few messages with many each does not spread well."""
    found: list[_Weighed] = []
    after: QueueId | None = None
    size = _FIRST_PAGE
    messages = recipients = 0
    while recipients < limit:
        page = await store.entries(which, limit=size, after=after)
        found += _matching(page, which)
        if len(page) < size:
            break
        after = page[-1].message.queue_id
        messages += len(page)
        recipients += sum(len(entry.recipients) for entry in page)
        size = max(int(_PAGE * messages / recipients), 2)  # so that a page costs the same anywhere
    return found


def _matching(page: Iterable[QueueEntry], which: QueueFilter) -> list[_Weighed]:
    """The recipients that were asked for: a message is listed with all of its own."""
    return [
        _Weighed(entry.message, one, 1.0)
        for entry in page
        for one in entry.recipients
        if not which.domain or one.recipient.address.domain == which.domain
    ]


def _set_right(found: list[_Weighed], counts: QueueCounts, total: int) -> None:
    """Make the weights add up to what the store has counted: for the fullest domains, and for all others."""
    by_name: dict[str, list[_Weighed]] = {}
    for each in found:
        by_name.setdefault(each.one.waits_under.partition(" ")[0], []).append(each)
    known = {name: count for name, count in counts.by_domain if name in by_name}
    for name, count in known.items():
        _scale(by_name[name], count)
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
    surely = min(len(sizes), limit // 2)  # destinations that have one at least
    spare = limit - surely - int(surely < len(sizes))
    chosen: list[_Weighed] = []
    rest: list[_Weighed] = []
    for place, (size, name) in enumerate(sizes):
        some = sorted(by_name[name], key=_fate)
        if place < surely:
            chosen += _evenly(some, 1 + int(spare * size / total))
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
