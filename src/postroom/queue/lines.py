"""The scheduler's memory: messages held under a lease, and the line of those that wait for one site."""

import math
from collections.abc import Iterable
from dataclasses import replace

from postroom.mail.address import Address
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Outcome, QueuedRecipient, Site
from postroom.queue.deadlines import must_arrive_by
from postroom.queue.model import LeasedMessage, Pause
from postroom.queue.putoff import paused, rested
from postroom.queue.urgency import PriorityLine
from postroom.report.history import HistoryRow

DEAD_AFTER = 5
"""Attempts in a row that failed for the site as a whole, after which nobody else in line is sent to find out again."""

SWEEP_PAUSE = 10.0
"""Seconds between leases of what has become due meanwhile for a dead site: it is deferred without an attempt, so that
its attempts, warnings and expiry go on, and at a pace that leaves the store to others."""

FORGOTTEN_AFTER = 60.0
"""Seconds after which a site that nobody wants to go to is forgotten."""

REMEMBERED = 5 * 3600.0
"""The same for a site that was dead: longer than the longest wait for the next attempt there."""

PATIENCE = 120.0
"""Seconds of rest for which mail stays in line under its lease; for a longer one it goes back to the store."""

_FEWEST, _MOST = 10, 500  # recipients that stand in a line which rests now and then

RECIPIENTS_AT_ONCE = 100
"""Recipients of one request: what every server must take in one transaction (RFC 5321 §4.5.3.1.8)."""


class Held:
    """A message with leased recipients in memory. ``open`` are the numbers of those that have not been settled yet,
    ``until`` is when an attempt may begin at the latest, ``since`` when it came here on the same scale, ``deadline``
    when it is given up by the wish of its sender.
    """

    __slots__ = ("content", "deadline", "history", "message", "octets", "open", "since", "until")

    def __init__(self, leased: LeasedMessage, until: float) -> None:
        self.message = leased.message
        self.since = until
        self.deadline = None if leased.message.envelope.deliver_by is None else must_arrive_by(leased.message)
        self.content = leased.content
        self.octets = len(leased.content or b"")
        self.open = {one.number for one in leased.recipients}
        self.until = until
        self.history: tuple[HistoryRow, ...] = ()

    def take_history(self) -> tuple[HistoryRow, ...]:
        """Rows to write with the first settlement, once."""
        rows, self.history = self.history, ()
        return rows


class Item:
    """Some recipients of one held message that go to one place together."""

    __slots__ = ("held", "recipients")

    def __init__(self, held: Held, recipients: tuple[QueuedRecipient, ...]) -> None:
        self.held = held
        self.recipients = recipients


class Unrouted:
    """A held message whose recipients' ways are being looked up; they go on together once all are known."""

    __slots__ = ("_answers", "by_destination", "held")

    def __init__(self, held: Held, by_destination: dict[str, list[QueuedRecipient]]) -> None:
        self.held = held
        self.by_destination = by_destination
        self._answers: dict[str, Site | Outcome] = {}

    def answer(self, destination: str, answer: Site | Outcome) -> bool:
        """Note where a destination's mail goes. True when that was the last."""
        self._answers[destination] = answer
        return len(self._answers) == len(self.by_destination)

    def by_line(self) -> list[tuple[Site, list[QueuedRecipient]]]:
        """The recipients who can go together: in one line, whatever their destinations, and with one return path.

        A transaction has one MAIL, and limits of sites count transactions.
        """
        found: dict[tuple[str, Address | None], tuple[Site, list[QueuedRecipient]]] = {}
        for destination, answer in self._answers.items():
            if isinstance(answer, Site):
                line = answer.line
                for one in self.by_destination[destination]:
                    found.setdefault((line, one.return_path), (answer, []))[1].append(one)
        return list(found.values())

    def without_site(self) -> list[tuple[str, Outcome, list[QueuedRecipient]]]:
        """Each destination to which there is no way, what that means for its recipients, and who they are."""
        return [
            (destination, answer, self.by_destination[destination])
            for destination, answer in self._answers.items()
            if not isinstance(answer, Site)
        ]


class Berths:
    """What lines to one site from one pool of addresses share: ``active`` requests are under way, ``limit`` may be."""

    __slots__ = ("active", "limit", "lines")

    def __init__(self, limit: int) -> None:
        self.active = 0
        self.limit = limit
        self.lines: list[Line] = []  # in the order of their turns

    def take_turn(self, line: "Line") -> None:
        """The line is served: the others come first the next time."""
        if len(self.lines) > 1:
            self.lines.remove(line)
            self.lines.append(line)

    def must_share(self, line: "Line") -> bool:
        """Whether another line waits for what this one has."""
        if len(self.lines) == 1 or self.active < self.limit:
            return False
        return any(other.items and not other.rests_until for other in self.lines if other is not line)


class Line:
    """Those who wait for one site, how many are being served, and how the site is doing.

    ``waiting`` counts recipients, ``active`` requests under way. ``destinations`` lead here; under ``aliases`` wait
    some that would be decided otherwise today. ``share`` is how many recipients are to stand in line at most.
    """

    def __init__(self, site: Site, berths: Berths, monotonic: float, share: int) -> None:
        self.site = site
        self.berths = berths
        self.used_at = monotonic
        self.items: PriorityLine[Item] = PriorityLine()
        self.timed: set[Item] = set()
        self.waiting = 0
        self.active = 0
        self.destinations: set[str] = set()
        self.aliases: set[str] = set()
        self.queued: int | None = None  # the line itself waits for one of all connections, at this priority
        self.starved = False  # the store was not asked for this site's mail, because there was enough of it
        self.failures = 0
        self.trouble: Deferred | None = None
        self.dead_until = 0.0
        self.sweep_at = 0.0
        self.rests_until = 0.0  # 0.0 while nothing holds it back
        self.rests_long = False
        self.reason = ""
        self.pause: Pause | None = None
        self._pause = 0.0
        self._most = share
        self._share = share

    def push(self, item: Item) -> None:
        """Stand at the end of the line, or before those of lower priority."""
        held = item.held
        self.items.push(item, held.message.envelope.priority, held.since)
        self.waiting += len(item.recipients)
        if held.deadline is not None:
            self.timed.add(item)

    def pop(self) -> Item:
        """Serve the first in line."""
        item = self.items.pop()
        self.waiting -= len(item.recipients)
        if self.timed:
            self.timed.discard(item)
        return item

    def put_back(self, item: Item) -> None:
        """Stand in front again: it may not go yet."""
        held = item.held
        self.items.put_back(item, held.message.envelope.priority, held.since)
        self.waiting += len(item.recipients)
        if held.deadline is not None:
            self.timed.add(item)

    def drain(self) -> list[Item]:
        """Send all who wait away."""
        items = self.items.drain()
        self.timed.clear()
        self.waiting = 0
        return items

    def take_late(self, now: float) -> list[Item]:
        """Take those out of the line whose time is up, wherever they stand."""
        items = [item for item in self.timed if item.held.deadline is not None and item.held.deadline <= now]
        for item in items:
            self.timed.discard(item)
            self.items.remove(item, item.held.message.envelope.priority)
            self.waiting -= len(item.recipients)
        return items

    @property
    def first_deadline(self) -> float:
        """When the time of someone in line is up; infinite where nobody's ever is."""
        return min((item.held.deadline for item in self.timed if item.held.deadline is not None), default=math.inf)

    @property
    def share(self) -> int:
        """Recipients that are to stand in this line at most: few where they cannot go on soon."""
        return self._share

    @property
    def is_slow(self) -> bool:
        """Whether it has had to rest, so that fewer are wanted of the store."""
        return self._share < self._most

    @property
    def may_start(self) -> bool:
        """Whether one more request may be under way. A site that was dead is tried with one until it answers."""
        if not self.waiting or self.rests_until:
            return False
        return self.berths.active < self.berths.limit and (self.failures < DEAD_AFTER or self.active < 1)

    @property
    def may_continue(self) -> bool:
        """Whether a worker of this line may take the next."""
        if not self.waiting or self.rests_until:
            return False
        return self.berths.active <= self.berths.limit and (self.failures < DEAD_AFTER or self.active <= 1)

    def rest(self, until: float, seconds: float, reason: str) -> None:
        """Nobody goes on before ``until`` (monotonic), which is in ``seconds``."""
        self.rests_until = until
        self.rests_long = seconds > PATIENCE
        self.reason = reason
        self._share = min(self._most, max(_FEWEST, min(_MOST, int(PATIENCE / seconds))))
        if self.rests_long:
            self.sweep_at = until - seconds + SWEEP_PAUSE

    def wake(self) -> None:
        """The rest is over."""
        self.rests_until, self.rests_long, self.reason = 0.0, False, ""

    def forgive(self) -> None:
        """Forget what went wrong, and go on now."""
        self.wake()
        self._share = self._most
        self.failures, self._pause, self.dead_until, self.trouble = 0, 0.0, 0.0, None

    def is_dead(self, monotonic: float) -> bool:
        """Whether nobody is to be sent there now because the site does not work."""
        return monotonic < self.dead_until

    def is_shut(self, monotonic: float) -> bool:
        """Whether nobody is to stand in line: the site does not work, is paused, or is to rest for long."""
        return monotonic < self.dead_until or self.rests_long or self.pause is not None

    def opens_at(self) -> float:
        """When a line that is shut is to be looked at again (monotonic)."""
        if self.pause is not None:
            return self.sweep_at
        return min(self.sweep_at, self.rests_until if self.rests_long else self.dead_until)

    def refusal(self, monotonic: float, now: float) -> Deferred | None:
        """What becomes of those who come while the line is shut; None: it is open."""
        if self.pause is not None:
            return paused(self.pause, now)
        if self.rests_long:
            return rested(self.reason, now + max(self.rests_until - monotonic, 0.0))
        return self.trouble if monotonic < self.dead_until else None

    def is_idle(self, monotonic: float) -> bool:
        """Whether nothing would be lost by forgetting it."""
        if self.items or self.active or self.queued is not None or self.rests_until:
            return False
        return monotonic > self.used_at + (FORGOTTEN_AFTER if self.failures < DEAD_AFTER else REMEMBERED)

    def note(self, outcomes: Iterable[Outcome], monotonic: float, first_pause: float, longest_pause: float) -> bool:
        """Learn from an attempt; True if the site has turned out dead just now."""
        trouble = site_trouble(outcomes)
        if trouble is None:
            if self.failures and any(map(_asks_for_less, outcomes)):
                return False  # it is the shaper's to go slower; whether the site works is still to be seen
            if self.failures:
                self.failures, self._pause, self.dead_until, self.trouble = 0, 0.0, 0.0, None
            return False
        self.failures += 1
        self.trouble = replace(trouble, detail=f"not attempted: {self.failures} attempts in a row failed like this")
        if self.failures < DEAD_AFTER or self.is_dead(monotonic):
            return False
        self._pause = min(self._pause * 2 or first_pause, longest_pause)
        self.dead_until = monotonic + self._pause
        self.sweep_at = monotonic + min(SWEEP_PAUSE, self._pause)
        return True


_OF_THE_SITE = frozenset({Cause.CONNECTION, Cause.DNS})


def site_trouble(outcomes: Iterable[Outcome]) -> Deferred | None:
    """The trouble if the whole site failed rather than a message or a recipient: all deferred, for a reason of the
    network (X.4.z, RFC 3463 §3.5) or with 421 (RFC 5321 §3.8), and surely not delivered. To be asked for less is none.
    """
    first: Deferred | None = None
    for outcome in outcomes:
        if not isinstance(outcome, Deferred) or outcome.ambiguous:
            return None
        if outcome.cause is Cause.RATE_LIMIT:
            return None
        if outcome.reply.code != 421 and outcome.reply.status[1:3] != ".4" and outcome.cause not in _OF_THE_SITE:
            return None
        first = first or outcome
    return first


def _asks_for_less(outcome: Outcome) -> bool:
    return isinstance(outcome, Deferred) and outcome.cause is Cause.RATE_LIMIT
