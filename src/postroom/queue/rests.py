"""Wakes lines that rest, each at its time: one timer for all of them."""

import asyncio
import heapq
import math
from collections.abc import Callable
from itertools import count

from postroom.clock import Clock
from postroom.queue.lines import Line


class Rests:
    """The lines that rest, in the order of their times. However many they are, they cost nothing meanwhile."""

    def __init__(self, clock: Clock, wake: Callable[[Line], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._heap: list[tuple[float, int, Line]] = []
        self._order = count()
        self._rings_at = math.inf
        self._timer: asyncio.Task[None] | None = None

    def add(self, line: Line) -> None:
        """``wake`` is called for the line at its ``rests_until``, unless that has been changed meanwhile."""
        heapq.heappush(self._heap, (line.rests_until, next(self._order), line))
        if line.rests_until < self._rings_at:
            self.close()
            self._rings_at = line.rests_until
            self._timer = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._rings_at = math.inf

    async def _watch(self) -> None:
        heap = self._heap
        while heap:
            self._rings_at = heap[0][0]
            await self._clock.sleep(self._rings_at - self._clock.monotonic())
            now = self._clock.monotonic()
            self._rings_at = now  # whoever is added by those who wake is seen by this loop
            while heap and heap[0][0] <= now:
                until, _, line = heapq.heappop(heap)
                if line.rests_until == until:
                    self._wake(line)
        self._timer = None
        self._rings_at = math.inf
