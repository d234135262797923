"""How many messages a minute a site takes: found out by its pushbacks, as few of them as can be.

Nothing is limited until the site pushes back. Then the pace is what it took in the last minute, a little less, evenly
spread. Two numbers are remembered: the pace, which is known to pass, and the ceiling, a pace that was pushed back.

- Far below the ceiling, or where there is none, the pace climbs a step for each quiet minute in which it was used up.
- Near the ceiling it stays. Whether the limit has gone up meanwhile is probed with twice the ceiling, and only when
  enough was accepted to pay for a pushback (``EARNED``), which keeps them well under one in a hundred.
- A probe has passed when more got through than a site can have saved up in a minute: then there is no ceiling any more.

After a pushback nothing is sent until the own count of the last minute has fallen to the new pace: whether the site
counts by calendar minute, by the last sixty seconds or by a bucket of tokens, it has room again then.
"""

from enum import Enum

from postroom.outbound.shaping.window import Window

MINUTE = 60.0
EARNED = 1 / 150
"""What each accepted message pays for the next pushback that is risked."""

MOST_CREDIT = 2.0
MOST_DEBT = -4.0
"""In pushbacks: neither a long quiet time nor one bad minute decides for long."""

BELOW = 0.9
"""The pace in parts of what the site took in a minute."""

BACK = 0.86
"""The pace in parts of one that was pushed back in the long run."""

MEASURED = 10
"""Messages between two pushbacks from which on their number tells the rate."""

NEAR = 0.8
"""From here on, in parts of the ceiling, the pace stays."""

STEPS = (1.25, 1.6, 2.0)
"""How the pace climbs without a ceiling, quiet minute by quiet minute; the last one is repeated."""

QUIET = 45.0
"""How long a step is held before the next one."""

STEP = 1.2
"""The same below a ceiling."""

PASSED = 1.1
"""A probe has passed when it got so many ceilings' worth more through than the ceiling allows."""

PROBE_LIMIT = 180.0
"""Seconds after which a probe ends that has shown nothing: there was not enough mail for it."""

PROBE_PAUSES = (60.0, 120.0, 240.0)
"""Quiet time before a probe, by how many have failed one after the other."""

STRIKE_PAUSE = 10.0
LONGEST_PAUSE = 300.0
"""The pause, doubling up to the longest, after pushbacks with nothing taken between them."""

SLOWEST = 1.0
"""The slowest pace. What takes less than that is a block."""

CAUTION = 0.2
"""How soon to ask again where the answer to one under way is awaited."""

SLACK = 0.25
"""Seconds' worth that may come at once: waiting is not exact."""


class Phase(Enum):
    """What the pace is doing."""

    HOLD = "hold"
    STEP = "step"
    """It has been raised a little below the ceiling, and that is not proven yet."""
    PROBE = "probe"


class Pace:
    """The pace of one source address at one site. Times are monotonic seconds, rates messages a minute.

    Each request is ``granted`` and ends with ``accepted`` or ``refused``, or with neither.
    """

    __slots__ = (
        "_credit",
        "_cut_at",
        "_failed",
        "_held",
        "_next",
        "_resume",
        "_since",
        "_since_cut",
        "_steps",
        "_struck",
        "_used",
        "_whole_at",
        "ceiling",
        "epoch",
        "phase",
        "rate",
        "strikes",
        "window",
    )

    def __init__(self) -> None:
        self.rate: float | None = None
        self.ceiling: float | None = None
        self.phase = Phase.HOLD
        self.epoch = 0
        self.window = Window(1.0, 60)
        self._next = 0.0
        self._resume = 0.0
        self._since = 0.0  # when the phase, or the step of a climb, began
        self._used = 0  # accepted since then
        self._held = 0.0  # the pace before the probe
        self._credit = 1.0
        self._cut_at = 0.0
        self._since_cut = 0
        self._steps = 0
        self.strikes = 0
        """Pushbacks one after the other, with nothing taken between them."""
        self._struck = False
        self._failed = 0
        self._whole_at = 0.0  # from when on the window has seen a minute

    @property
    def is_free(self) -> bool:
        """Nothing is limited."""
        return self.rate is None and self._resume == 0.0

    @property
    def known(self) -> float | None:
        """The pace that is known to pass, also while another one is probed."""
        return self.rate if self.phase is Phase.HOLD else self._held

    def restore(self, rate: float, ceiling: float | None, now: float) -> None:
        """Go on with what an earlier process learned."""
        self.rate = max(rate, SLOWEST)
        self.ceiling = ceiling
        self._held = self.rate
        self._since = self._next = now
        self._whole_at = now + MINUTE

    def wait(self, now: float, flying: int) -> float:
        """Seconds until the next message may go, with so many under way. What is asked for in vain climbs."""
        if now < self._resume:
            return self._resume - now
        if self.rate is None:
            return CAUTION if flying and self._resume else 0.0
        if self.phase is Phase.PROBE and self.ceiling is not None:
            self._look_at_probe(now, self.ceiling)
        spacing = MINUTE / self.rate
        early = self._next - now - max(SLACK - spacing, 0.0)
        if early > 0:
            if self.phase is not Phase.PROBE:
                self._consider(now)
            return early
        return self._caution(now, flying)

    def granted(self, now: float) -> None:
        """A message goes out. It belongs to the ``epoch`` of this moment, given back with what became of it."""
        if self.rate is not None:
            self._next = max(self._next, now) + MINUTE / self.rate

    def accepted(self, now: float) -> None:
        """The site took it."""
        self.window.add(now)
        self._since_cut += 1
        self._used += 1
        if self.rate is not None:
            self.strikes = 0
            self._credit = min(self._credit + EARNED, MOST_CREDIT)
        elif self._resume and now >= self._resume:
            self._resume, self.strikes = 0.0, 0

    def refused(self, now: float, epoch: int) -> bool:
        """The site pushed back. True if the pace is another one now: not for those that were under way meanwhile."""
        if epoch:  # the first time costs nothing: nobody could know
            self._credit = max(self._credit - 1, MOST_DEBT)
        if epoch < self.epoch:
            return False
        self.epoch += 1
        count = self.window.count(now)
        if self.rate is None:
            if count < 2:
                self._strike(now)
                return True
            self.rate, self.ceiling, self._steps = BELOW * count, None, 0
        elif self.phase is Phase.PROBE:
            self._failed += 1
            self.rate = self._held if count >= NEAR * self._held else max(BELOW * count, self._held / 2)
        elif self._since_cut < 3:
            self.rate *= 0.5 if self.strikes > 2 else BELOW
            self._strike(now)
        else:
            self._narrow(now, count, self.rate)
        self._pause(now, max(self.rate, SLOWEST))
        return True

    # Down ----------------------------------------------------------------------------

    def _narrow(self, now: float, count: int, rate: float) -> None:
        self.ceiling = rate
        gap = now - self._cut_at
        soon = now - self._resume < QUIET  # where it comes later the pace is just a little too fast
        if self._cut_at and gap < 1.5 * MINUTE and soon:
            # Whatever the site had saved up was gone at the last pushback: this is what it takes, and no more.
            measured = self._since_cut * MINUTE / gap
            self.rate = min(max(0.95 * measured, rate / 2), BACK * rate)
            if self._since_cut >= MEASURED and not self._struck:
                self.ceiling = min(rate, 1.15 * measured)
        elif now < self._whole_at:
            self.rate = BACK * rate
        else:
            self.rate = min(BELOW * count, BACK * rate)
        self._struck = False

    def _strike(self, now: float) -> None:
        """Nothing got through since the last time: longer pauses."""
        self._resume = now + min(STRIKE_PAUSE * 2.0**self.strikes, LONGEST_PAUSE)
        self.strikes += 1
        self._struck = True

    def _pause(self, now: float, rate: float) -> None:
        self.rate = rate
        self.phase = Phase.HOLD
        self._resume = max(self._resume, now + self.window.falls_to(rate, now))
        self._next = self._resume
        self._cut_at = now
        self._since_cut = 0
        self._begin(self._resume)

    # Up ------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        self._since = now
        self._used = 0

    def _consider(self, now: float) -> None:
        """A message waits for the pace alone: perhaps it may be faster."""
        rate, ceiling = self.rate, self.ceiling
        if rate is None or now - self._since < QUIET or self._used < 0.7 * rate * (now - self._since) / MINUTE:
            if now - self._since > 2 * MINUTE:
                self._begin(now)  # it was not used up: the count begins anew
            return
        self.phase = Phase.HOLD
        if ceiling is None:
            self._go(now, rate * STEPS[min(self._steps, len(STEPS) - 1)])
            self._steps += 1
        elif rate < NEAR * ceiling:
            self._held = rate
            self.phase = Phase.STEP
            self._go(now, min(rate * STEP, BELOW * ceiling))
        elif self._credit >= 1 and now - self._since >= PROBE_PAUSES[min(self._failed, len(PROBE_PAUSES) - 1)]:
            self._held = rate
            self.phase = Phase.PROBE
            self._go(now, 2 * ceiling)

    def _go(self, now: float, rate: float) -> None:
        self.rate = rate
        self._next = min(self._next, now + MINUTE / rate)
        self._begin(now)

    def _look_at_probe(self, now: float, ceiling: float) -> None:
        gone = now - self._since
        if self._used - ceiling * gone / MINUTE >= PASSED * ceiling:
            self.ceiling = None
            self.phase = Phase.HOLD
            self._steps = len(STEPS)
            self._failed = 0
            self._go(now, 4 * ceiling)
        elif gone > PROBE_LIMIT:
            self.phase = Phase.HOLD
            self._go(now, self._held)

    def _caution(self, now: float, flying: int) -> float:
        """Where the next one may be one too many, few are under way at once: all of them would be pushed back."""
        if flying and not self._since_cut and self.epoch:
            return CAUTION
        if self.phase is Phase.PROBE and self.ceiling is not None and self.rate is not None:
            known = NEAR * self.ceiling
            trusted = max(1.0, self.ceiling / 50) + (now - self._since) / 20
            if flying >= trusted and self.window.count(now) + flying >= known:
                return CAUTION
        return 0.0
