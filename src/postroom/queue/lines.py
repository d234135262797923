"""The scheduler's memory: messages held under a lease, and the line of those that wait for one site."""

import math
from collections.abc import Iterable
from dataclasses import replace

from postroom.mail.delivery import Deferred, Outcome, QueuedRecipient, Site
from postroom.queue.deadlines import must_arrive_by
from postroom.queue.model import LeasedMessage
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

    __slots__ = ("_answers", "by_domain", "held")

    def __init__(self, held: Held, by_domain: dict[str, list[QueuedRecipient]]) -> None:
        self.held = held
        self.by_domain = by_domain
        self._answers: dict[str, Site | Outcome] = {}

    def answer(self, domain: str, answer: Site | Outcome) -> bool:
        """Note where a domain's mail goes. True when that was the last."""
        self._answers[domain] = answer
        return len(self._answers) == len(self.by_domain)

    def by_site(self) -> list[tuple[Site, list[QueuedRecipient]]]:
        """The recipients of each site, whatever their domains."""
        found: dict[str, tuple[Site, list[QueuedRecipient]]] = {}
        for domain, answer in self._answers.items():
            if isinstance(answer, Site):
                found.setdefault(answer.key, (answer, []))[1].extend(self.by_domain[domain])
        return list(found.values())

    def without_site(self) -> list[tuple[Outcome, list[QueuedRecipient]]]:
        """The recipients of each domain to which there is no way, with what that means for them."""
        return [
            (answer, self.by_domain[domain]) for domain, answer in self._answers.items() if not isinstance(answer, Site)
        ]


class Line:
    """Those who wait for one site, how many are being served, and how the site is doing.

    ``waiting`` counts recipients, ``active`` requests under way, ``limit`` how many may be. ``domains`` lead here.
    """

    def __init__(self, site: Site, limit: int, monotonic: float) -> None:
        self.site = site
        self.limit = limit
        self.used_at = monotonic
        self.items: PriorityLine[Item] = PriorityLine()
        self.timed: set[Item] = set()
        self.waiting = 0
        self.active = 0
        self.domains: set[str] = set()
        self.queued: int | None = None  # the line itself waits for one of all connections, at this priority
        self.starved = False  # the store was not asked for this site's mail, because there was enough of it
        self.failures = 0
        self.trouble: Deferred | None = None
        self.dead_until = 0.0
        self.sweep_at = 0.0
        self._pause = 0.0

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
    def may_start(self) -> bool:
        """Whether one more request may be under way. A site that was dead is tried with one until it answers."""
        return bool(self.items) and self.active < (self.limit if self.failures < DEAD_AFTER else 1)

    @property
    def may_continue(self) -> bool:
        """Whether a worker of this line may take the next."""
        return bool(self.items) and self.active <= (self.limit if self.failures < DEAD_AFTER else 1)

    def is_dead(self, monotonic: float) -> bool:
        """Whether nobody is to be sent there now."""
        return monotonic < self.dead_until

    def is_idle(self, monotonic: float) -> bool:
        """Whether nothing would be lost by forgetting it."""
        if self.items or self.active or self.queued is not None:
            return False
        return monotonic > self.used_at + (FORGOTTEN_AFTER if self.failures < DEAD_AFTER else REMEMBERED)

    def note(self, outcomes: Iterable[Outcome], monotonic: float, first_pause: float, longest_pause: float) -> bool:
        """Learn from an attempt; True if the site has turned out dead just now."""
        trouble = site_trouble(outcomes)
        if trouble is None:
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


def site_trouble(outcomes: Iterable[Outcome]) -> Deferred | None:
    """The trouble if the whole site failed rather than a message or a recipient: all deferred, for a reason of the
    network (X.4.z, RFC 3463 §3.5) or with 421 (RFC 5321 §3.8), and surely not delivered.
    """
    first: Deferred | None = None
    for outcome in outcomes:
        if not isinstance(outcome, Deferred) or outcome.ambiguous:
            return None
        if outcome.reply.code != 421 and outcome.reply.status[1:3] != ".4":
            return None
        first = first or outcome
    return first
