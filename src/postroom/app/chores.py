"""What a node does again and again, beside the mail."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine

from postroom.clock import Clock
from postroom.mail.trouble import StoreUnavailable
from postroom.report.events import InternalError, StoreTrouble
from postroom.report.reporter import Reporter


class Chores:
    """Tasks that survive their own failures, until ``stop``."""

    def __init__(self, clock: Clock, reporter: Reporter) -> None:
        self._clock = clock
        self._reporter = reporter
        self._tasks: list[asyncio.Task[None]] = []

    def repeat(self, seconds: float, act: Callable[[], Awaitable[object]], what: str) -> None:
        """Do something every ``seconds``; a failure is told, and tried again the next time."""
        self._tasks.append(asyncio.create_task(self._again(seconds, act, what), name=what))

    def run(self, work: Coroutine[object, object, None], what: str) -> None:
        """Let something go on beside the mail that sees to its own failures."""
        self._tasks.append(asyncio.create_task(work, name=what))

    async def _again(self, seconds: float, act: Callable[[], Awaitable[object]], what: str) -> None:
        while True:
            try:
                await act()
            except StoreUnavailable as error:
                self._reporter.tell(StoreTrouble(f"{what}: {error}"))
            except Exception as error:  # noqa: BLE001 - housekeeping must survive its own bugs
                trace = "".join(traceback.format_exception(error))
                self._reporter.tell(InternalError(what, repr(error), trace))
            await self._clock.sleep(seconds)

    async def stop(self) -> None:
        """End them all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
