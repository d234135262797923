"""Pauses that a session makes on purpose: for a time, which a drain cuts short, and for others to have their turn."""

import asyncio
import time
from collections.abc import Callable

from postroom.clock import Clock


class Pause:
    """At most one pause is under way at a time; after ``end`` there are none.

    ``before`` is called before each: what is ready to be sent must not wait for it.
    """

    __slots__ = ("_before", "_clock", "_over", "_sleep")

    def __init__(self, clock: Clock, before: Callable[[], None] | None = None) -> None:
        self._clock = clock
        self._before = before
        self._sleep: asyncio.Future[None] | None = None
        self._over = False

    async def hold(self, seconds: float) -> None:
        """Wait for ``seconds``, or until ``end``."""
        if seconds <= 0 or self._over:
            return
        if self._before is not None:
            self._before()
        sleep = self._sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait([sleep])  # not cancelled with the sleep, only with the session
        finally:
            sleep.cancel()
            self._sleep = None

    def end(self) -> None:
        """Whoever holds goes on, and nobody holds from now on. Lets go of ``before``."""
        self._over, self._before = True, None
        if self._sleep is not None:
            self._sleep.cancel()


async def give_way() -> None:
    """Let other sessions have their turn, and other threads.

    A thread that waits for the interpreter is given it after 5 ms at the latest, but each commit of the store waits for
    it some hundred times: while sessions keep the loop busy, a message would take half a second. Freely given, it takes
    one of the turns (measured: 550 ms and 25 ms).
    """
    time.sleep(0)  # noqa: ASYNC251 - it sleeps for no time, and lets go of the interpreter
    await asyncio.sleep(0)
