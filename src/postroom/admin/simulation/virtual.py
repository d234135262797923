"""Virtual time: an event loop that never waits. Where it has nothing to do, its time is that of the next timer."""

import asyncio
import selectors

_LONG = 5.0
"""Seconds from which on a tick does not matter."""


class _Jump(selectors.SelectSelector):
    """Waits for nothing: what would be waited for has passed at once."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again in virtual time")
        self.elapsed += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Timers alone make its time go on: nothing in it may wait for a socket, a thread or a process."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Seconds since it began."""
        return self._jump.elapsed


class VirtualClock:
    """The clock of a virtual loop that begins at ``start``, in seconds since the Unix epoch.

    Who sleeps long wakes on the next full ``tick``, so that many wake at once: what costs is how often somebody wakes.
    """

    def __init__(self, start: float, loop: VirtualLoop, tick: float = 0.0) -> None:
        self._start = start
        self._loop = loop
        self._tick = tick

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return self._start + self._loop.time()

    def monotonic(self) -> float:
        """Seconds since the loop began."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Let others go on until the loop's time has come there."""
        if self._tick and seconds >= _LONG:
            ends = self._loop.time() + seconds
            seconds += -ends % self._tick
        await asyncio.sleep(seconds)
