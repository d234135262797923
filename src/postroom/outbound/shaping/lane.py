"""How one site stands with one source address: what may go now, and what is learned from what became of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from postroom.mail.delivery import Outcome
from postroom.mail.value import value
from postroom.outbound.shaping.block import Block
from postroom.outbound.shaping.pace import MINUTE, Pace
from postroom.outbound.shaping.pushback import Sign, read_sign
from postroom.outbound.shaping.quota import SOON, Quota
from postroom.outbound.shaping.rules import Rule
from postroom.outbound.shaping.tally import Tally, quoted
from postroom.outbound.shaping.width import Width
from postroom.queue.carrier import Grant, Wait


@value(frozen=True, slots=True, eq=False)
class Ticket(Grant):
    """A grant that knows where it belongs. All of one epoch share one: a mail path makes thousands a second."""

    lane: "Lane | None" = None
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A limit that changed. ``what``: concurrency or rate, as ``report.road.SiteShaped`` has it."""

    what: str
    before: float
    after: float
    reason: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learned from a request: limits that changed, whether it is blocked from now on, or no longer."""

    changes: tuple[Change, ...] = ()
    blocked: bool = False
    reopened: bool = False


_NOTHING = Lesson()


class Lane:
    """One source at one site. Times are monotonic seconds.

    ``calm``: nothing is to be asked but the width. ``active`` requests are under way. ``why`` is the last change.
    """

    __slots__ = (
        "_quotas",
        "active",
        "block",
        "calm",
        "dirty",
        "pace",
        "provider",
        "rule",
        "site",
        "source",
        "tally",
        "ticket",
        "told_at",
        "warming",
        "why",
        "why_at",
        "width",
    )

    def __init__(self, site: str, source: str, rule: Rule, provider: str, tally: Tally, *, warming: bool) -> None:
        self.site = site
        self.source = source
        self.rule = rule
        self.provider = provider
        self.warming = warming
        self.pace = Pace()
        self.width = Width(rule.concurrency)
        if not rule.adapt:
            self.width.value = rule.concurrency
        self.block = Block(rule.backoff, rule.longest_backoff)
        self.tally = tally
        self.active = 0
        self.why = ""
        self.why_at: float | None = None
        self.told_at = -MINUTE
        self.dirty = False
        self._quotas = tuple([Quota(rate) for rate in rule.message_rates])
        self.ticket = Ticket(source, self, 0)
        self.calm = False
        self.settle()

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return 1 if self.block.is_closed else self.width.value

    @property
    def is_in_use(self) -> bool:
        """Whether it is not to be forgotten now."""
        return bool(self.active) or self.dirty or self.block.is_closed

    def used(self, now: float, offset: float) -> tuple[float, ...]:
        """What is used up of the rates of the rule: two numbers for each, times moved by ``offset``."""
        kept = [quota.kept(now) for quota in self._quotas]
        return tuple([number for until, count in kept for number in (until + offset, count)])

    def restore_used(self, used: Sequence[float], now: float, offset: float) -> None:
        """What ``used`` gave. Ignored where the rule has another number of rates by now."""
        if len(used) == 2 * len(self._quotas):
            for quota, until, count in zip(self._quotas, used[::2], used[1::2], strict=True):
                quota.restore(until - offset, count, now)

    def settle(self) -> None:
        """After anything that may have changed what is to be asked."""
        calm = self.pace.is_free and not self._quotas and not self.warming
        self.calm = calm and not self.block.is_closed
        if self.ticket.epoch != self.pace.epoch:
            self.ticket = Ticket(self.source, self, self.pace.epoch)

    # Asking --------------------------------------------------------------------------

    def ask(self, now: float) -> Wait | None:
        """What stands in the way of one more request, warm-up apart; None: nothing does. Nothing is counted yet."""
        blocked = self.block.wait(now, self.active)
        if blocked is not None:
            return blocked
        if self.active >= self.width.value:
            return Wait(SOON, self._too_many())
        for quota in self._quotas:
            wait = quota.wait(now, self.active)
            if wait:
                return Wait(wait, f"{self.rule.name} takes {quota.rate} messages, by the rule of that name")
        if not self.pace.is_free:
            wait = self.pace.wait(now, self.active)
            if wait > 0:
                return Wait(wait, self._too_fast())
        return None

    def take(self, now: float) -> Ticket:
        """Count one request that goes out."""
        self.active += 1
        self.pace.granted(now)
        return self.ticket

    def _too_many(self) -> str:
        if self.width.ceiling is None:
            return f"{self.rule.name} takes {self.width.value} connections at once"
        return f"learned limit of {self.width.value} connections at once ({self.why})"

    def _too_fast(self) -> str:
        if self.pace.rate is None:
            return f"the site pushed back ({self.why})"
        return f"learned limit of {round(self.pace.known or 0)} messages a minute ({self.why})"

    # Learning ------------------------------------------------------------------------

    def ended(self, now: float) -> None:
        """A request is not under way any more, whatever came of it."""
        self.active -= 1
        for quota in self._quotas:
            quota.take(now)

    def taken(self, now: float) -> None:
        """The site dealt with a request. The hot path: nothing more than must be."""
        self.tally.taken += 1
        self.pace.accepted(now)
        if self.width.value < self.width.cap:
            self.width.taken(now)

    def recover(self, epoch: int) -> bool:
        """A request of this epoch was taken. True if the site was blocked until now."""
        return epoch == self.pace.epoch and self.block.taken(self.tally.taken)

    def learn(self, outcomes: Iterable[Outcome], epoch: int, now: float) -> Lesson:
        """Everything that is not simply delivered."""
        sign, by = read_sign(outcomes)
        if sign is Sign.NOTHING or by is None:
            return _NOTHING
        if sign is Sign.TAKEN:
            self.taken(now)
            return Lesson(reopened=self.recover(epoch))
        if not self.rule.adapt:
            return _NOTHING
        before = self.width.value, self.pace.known
        reason = quoted(by.reply)
        stale = epoch < self.pace.epoch
        self._narrow(sign, epoch, now)
        blocked = not stale and self._block(sign, reason, now)
        changes = self._changes(before, reason)
        if changes or not (stale or sign is Sign.BROKEN):
            self.why, self.why_at = reason, now
        return Lesson(changes, blocked)

    def _narrow(self, sign: Sign, epoch: int, now: float) -> None:
        if sign is Sign.FEWER:
            self.width.too_many(self.active, now)
        elif sign is Sign.BROKEN:
            self.width.halve()
        elif sign is not Sign.BLOCKED:  # that is no matter of how fast
            if sign is Sign.BUSY and epoch == self.pace.epoch:
                self.width.halve()
            self.pace.refused(now, epoch)

    def _block(self, sign: Sign, reason: str, now: float) -> bool:
        """True if it is blocked, and was not before."""
        was_closed = self.block.is_closed
        if not self.block.pushed_back(sign, self.pace.strikes, self.tally.taken, now, reason):
            return False
        self.pace.epoch += 1  # what is under way still says nothing about the time after
        return not was_closed

    def _changes(self, before: tuple[int, float | None], reason: str) -> tuple[Change, ...]:
        width, rate = before
        changes = []
        if self.width.value != width:
            changes.append(Change("concurrency", width, self.width.value, reason))
        if self.pace.known != rate:
            changes.append(Change("rate", rate or 0.0, self.pace.known or 0.0, reason))
        return tuple(changes)
