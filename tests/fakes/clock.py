"""A clock that a test moves: five days pass in milliseconds."""

import asyncio
import heapq
import itertools

MOST_ROUNDS = 1000
"""Turns of the loop after which whoever is still busy is taken to be so for ever."""


class ManualClock:
    """Stands still until ``pass_time``. Sleepers wake in the order of their times, each at its own moment."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), woken))
        await woken

    async def pass_time(self, seconds: float) -> None:
        """Let ``seconds`` pass, and let everybody do what they do meanwhile."""
        end = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, woken = heapq.heappop(self._sleepers)
            if woken.done():  # the sleeper was cancelled
                continue
            self._elapsed = max(self._elapsed, at)
            woken.set_result(None)
            await settle()
        self._elapsed = end
        await settle()


async def settle(rounds: int = 30) -> None:
    """Give every task that can go on the chance to do so: so many turns of the loop, and more while it is busy."""
    # Nothing else says that a loop is idle; uvloop does not say it at all.
    ready = getattr(asyncio.get_running_loop(), "_ready", ())
    for turn in range(MOST_ROUNDS):
        if turn >= rounds and not ready:
            break
        await asyncio.sleep(0)
