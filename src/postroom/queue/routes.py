"""Which site serves a destination: asks the router, a bounded number of questions at once, once for all who wait."""

import asyncio
import traceback
from collections import deque
from collections.abc import Callable

from postroom.mail.delivery import Deferred, Outcome, Site
from postroom.mail.reply import Reply
from postroom.mail.status import DIRECTORY_FAILURE, explain
from postroom.queue.carrier import Router
from postroom.report.events import InternalError
from postroom.report.reporter import Reporter

MAX_QUESTIONS = 200
"""Destinations that are looked up at once: slow name servers of some must not hold up the others."""

OnAnswer = Callable[[str, Site | Outcome], None]


class Routes:
    """Answers later, by calling ``on_answer`` with the site, or with the outcome for all recipients there."""

    def __init__(self, router: Router, reporter: Reporter, on_answer: OnAnswer) -> None:
        self._router = router
        self._reporter = reporter
        self._on_answer = on_answer
        self._asked: set[str] = set()
        self._to_ask: deque[str] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, destination: str) -> None:
        """Look the destination up, unless that is under way."""
        if destination in self._asked:
            return
        self._asked.add(destination)
        self._to_ask.append(destination)
        if len(self._tasks) < MAX_QUESTIONS:
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ask no more."""
        self._to_ask.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        while self._to_ask:
            destination = self._to_ask.popleft()
            answer = await self._question(destination)
            self._asked.discard(destination)
            self._on_answer(destination, answer)

    async def _question(self, destination: str) -> Site | Outcome:
        try:
            return await self._router.site_of(destination)
        except Exception as error:  # noqa: BLE001 - a bug in routing must not lose mail
            trace = "".join(traceback.format_exception(error))
            self._reporter.tell(InternalError("route", repr(error), trace))
            status = f"4.{DIRECTORY_FAILURE}"
            return Deferred(Reply.of(451, status, explain(status)), detail=repr(error))
