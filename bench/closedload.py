"""So many sessions at once, each followed by the next, until all messages are sent: what closed-loop clients share."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

_PATIENCE = 300.0  # seconds for the whole run


@dataclass(frozen=True, slots=True)
class Spent:
    """``seconds`` from the first connection to the last end, ``client_cpu`` the client's share of one core."""

    failed: int
    seconds: float
    client_cpu: float


class ClosedLoad:
    """``session`` makes the protocol of message ``number``, counted from 1; it calls ``over`` when it has ended."""

    def __init__(self, port: int, messages: int, sessions: int, session: Callable[[int], asyncio.Protocol]) -> None:
        self._port = port
        self._messages = messages
        self._sessions = sessions
        self._session = session
        self._begun = self._done = self._failed = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished = asyncio.Event()

    async def run(self) -> Spent:
        """All of them. TimeoutError after some minutes."""
        cpu, begun = time.process_time(), time.monotonic()
        for _ in range(min(self._sessions, self._messages)):
            self._next()
        await asyncio.wait_for(self._finished.wait(), _PATIENCE)
        seconds = time.monotonic() - begun
        return Spent(self._failed, seconds, (time.process_time() - cpu) / seconds)

    def over(self, *, ok: bool) -> None:
        """A session ended."""
        self._done += 1
        self._failed += not ok
        if self._done == self._messages:
            self._finished.set()
        elif self._begun < self._messages:
            self._next()

    def _next(self) -> None:
        self._begun += 1
        task = asyncio.create_task(self._open(self._begun))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, number: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self._session(number), "127.0.0.1", self._port)
        except OSError:
            self.over(ok=False)
