"""One rate of a rule: so many messages in any window of so many seconds, however the site counts them.

A bucket that fills evenly would let twice the rate through around a pause: what had been saved up, and what comes in
meanwhile. The site that has published its rate counts by the clock or by its last seconds, and both must be kept.

The site counts a message at some moment between its grant and its end, which may lie seconds apart. So all that are
under way count, and each counts from its end on: then no window of the site's own has more.
"""

from postroom.config.section import Rate
from postroom.outbound.shaping.window import Window

SOON = 0.2
"""Seconds after which it is worth asking again where nothing but the end of a request is waited for."""

PIECES = 60
"""A window is counted in so many pieces, and one more to be sure: bounded, and at most so much too careful."""


class Quota:
    """``rate`` and what is used up of it. Times are monotonic seconds."""

    __slots__ = ("_last", "_window", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._window = Window(rate.window / PIECES, PIECES + 1)
        self._last = 0.0

    def wait(self, now: float, under_way: int = 0) -> float:
        """Seconds until there may be room for one more beside those ``under_way``, 0 where there is."""
        room = self.rate.count - 1 - under_way
        return SOON if room < 0 else self._window.falls_to(room, now)

    def take(self, now: float) -> None:
        """One that was under way has come to its end."""
        self._window.add(now)
        self._last = now

    def kept(self, now: float) -> tuple[float, float]:
        """To be remembered: when the last one leaves the window, and how many are in it."""
        return self._last + self.rate.window, float(self._window.count(now))

    def restore(self, until: float, count: float, now: float) -> None:
        """What ``kept`` gave: all count as if they had come last."""
        if until > now and count > 0:
            self._last = until - self.rate.window
            self._window.add(self._last, int(count))
