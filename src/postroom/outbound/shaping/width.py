"""How many requests may be under way at a site at once: Postfix's feedback, with a memory of where it was too many.

It starts low and grows by one for each request that the site takes, so that it doubles with each round. Where the site
says that there are too many it falls to the number of those that are still under way. From then on it takes a step up
only when enough was taken to pay for a pushback; steps double while they succeed.
"""

INITIAL = 5
EARNED = 200
"""Requests that must be taken before one more is tried."""

MOST_EARNED = 1600
QUIET = 60.0


class Width:
    """The width of one source address at one site, between 1 and ``cap``."""

    __slots__ = ("_cut_at", "_failed", "_step", "_taken", "cap", "ceiling", "value")

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.value = min(INITIAL, cap)
        self.ceiling: int | None = None
        """How many were too many, at the last count."""
        self._taken = 0
        self._step = 1
        self._failed = 0
        self._cut_at = 0.0

    def restore(self, ceiling: int, now: float) -> None:
        """Go on with what an earlier process learned."""
        self.ceiling = ceiling
        self.value = max(1, min(ceiling - 1, self.cap))
        self._cut_at = now

    def taken(self, now: float) -> None:
        """The site took a request."""
        if self.value >= self.cap:
            return
        if self.ceiling is None or self.value < self.ceiling - 1:
            self.value += 1
            return
        self._taken += 1
        if self._taken >= min(EARNED << self._failed, MOST_EARNED) and now - self._cut_at >= QUIET:
            if self._step > 1:
                self._failed = 0  # the last step has held for all this time
            self.value = min(self.value + self._step, self.cap)
            self.ceiling = self.value + 1
            self._step *= 2
            self._taken = 0

    def too_many(self, active: int, now: float) -> None:
        """The site does not want so many: ``active`` are under way besides."""
        if active >= self.value:
            return  # one from before the last cut
        self.value = max(1, active)
        self.ceiling = self.value + 1
        if self._step > 1:
            self._failed = min(self._failed + 1, 3)
        self._taken = 0
        self._step = 1
        self._cut_at = now

    def halve(self) -> None:
        """The site is in trouble, of whatever kind; it grows again as it recovers."""
        self.value = max(1, self.value // 2)
