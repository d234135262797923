"""Whether a site takes anything from a source at all: pauses that double, and one request to find out after each."""

from postroom.outbound.shaping.pushback import Sign
from postroom.queue.carrier import Wait

BLOCKED_AFTER = 2
"""Requests one after the other that were told that we are blocked. One may be about its message."""

STRIKES = 5
"""Pushbacks one after the other, with growing pauses and nothing taken between them, after which it is a block too."""

SOON = 1.0
_PAST = 1e-9
FORGIVEN_AFTER = 100
"""Requests that must be taken before the next pause is a short one again."""


class Block:
    """The block of one source at one site. Times are monotonic seconds. ``until`` is 0 while there is none."""

    __slots__ = ("_first", "_longest", "_opened_at", "_told", "_told_at", "pause", "reason", "trial", "until")

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = max(first, longest)
        self._told = 0
        self._told_at = 0  # requests that had been taken by then
        self._opened_at = 0  # likewise
        self.pause = 0.0
        self.until = 0.0
        self.reason = ""
        self.trial = False
        """The pause is over, and nothing was taken yet."""

    @property
    def is_closed(self) -> bool:
        """Whether at most one request may go, to find out."""
        return self.until > 0.0

    def wait(self, now: float, active: int) -> Wait | None:
        """What stands in the way of a request."""
        if not self.until:
            return None
        if now < self.until:
            return Wait(self.until - now, f"the site has blocked us ({self.reason})")
        self.trial = True
        if active:
            return Wait(SOON, f"the site had blocked us, one message finds out ({self.reason})")
        return None

    def taken(self, taken: int) -> bool:
        """The site took a request, and so many with it so far. True if it was blocked before."""
        if not self.trial:
            return False
        self.until, self.reason, self.trial = 0.0, "", False
        self._opened_at = taken
        return True

    def try_now(self) -> None:
        """Let one request find out without waiting for the end of the pause."""
        if self.until:
            self.until = _PAST

    def pushed_back(self, sign: Sign, strikes: int, taken: int, now: float, reason: str) -> bool:
        """The site pushed back, after so many that were taken. True if it is blocked from now on, or for longer."""
        if self.until and not self.trial:
            return False
        if sign is Sign.BROKEN:
            if self.trial:  # whether it is still blocked is not known
                self.restore(now + (self.pause or self._first), self.pause, self.reason)
            return self.until > 0.0
        if taken != self._told_at:
            self._told, self._told_at = 0, taken
        if sign is Sign.BLOCKED:
            self._told += 1
        if not self.trial and self._told < BLOCKED_AFTER and strikes < STRIKES:
            return False
        if not self.trial and taken - self._opened_at >= FORGIVEN_AFTER:
            self.pause = 0.0
        self.pause = min(self.pause * 2 or self._first, self._longest)
        self.restore(now + self.pause, self.pause, reason)
        return True

    def restore(self, until: float, pause: float, reason: str) -> None:
        """Blocked until then."""
        self.until, self.pause, self.reason = max(until, _PAST), pause, reason
        self.trial = False
        self._told = 0
