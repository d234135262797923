"""Timeouts by sweeping: one timer looks at all open streams, instead of one timer for each wait."""

import asyncio
from typing import Protocol

INTERVAL = 1.0
"""Seconds between two sweeps; a wait of minutes may last so much longer."""


class Sweepable(Protocol):
    """Something that may be overdue."""

    def sweep(self, now: float) -> None:
        """Act if a deadline has passed at ``now`` (the loop's time, seconds)."""
        ...


class Sweeper:
    """Looks at each of its members once in ``interval`` seconds, and at an exact moment where a deadline is short.

    Its timer runs only while it has members. One belongs to each service; its methods are called in the loop.
    """

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._members: set[Sweepable] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Sweepable) -> None:
        """Look at ``member`` from now on."""
        self._members.add(member)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._sweep)

    def discard(self, member: Sweepable) -> None:
        """No longer. The timer ends by itself when nobody is left."""
        self._members.discard(member)

    def hurry(self, member: Sweepable, seconds: float) -> None:
        """Look at ``member`` in ``seconds`` too, if that is sooner than the next sweep is sure to come."""
        if seconds < self._interval:
            loop = asyncio.get_running_loop()
            loop.call_later(seconds, self._look_at, member, loop.time() + seconds)

    def stop(self) -> None:
        """Sweep no more: the service is over."""
        self._members.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for member in tuple(self._members):
            member.sweep(now)
        if self._members:
            self._timer = loop.call_later(self._interval, self._sweep)

    def _look_at(self, member: Sweepable, due: float) -> None:
        if member in self._members:
            member.sweep(max(asyncio.get_running_loop().time(), due))  # a timer of uvloop may fire a millisecond early
