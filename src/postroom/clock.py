"""Time as a parameter: the one place that reads the machine's clock."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Where loops learn what time it is and wait. Pure code takes ``now`` instead."""

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC. Stored and shown."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards. For timeouts and durations within one run."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of ``monotonic``; others go on meanwhile, also for 0."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed moment in the past."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait in the running event loop."""
        await asyncio.sleep(seconds)
