"""A pause that a session makes on purpose, and that a drain cuts short."""

import asyncio
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
