"""Keeps open sessions by site for the next message, and bounds their number."""

import asyncio
import math
from collections import Counter, deque

from postroom.clock import Clock
from postroom.config.road import OutboundSettings
from postroom.outbound.session import Session

NOTICED = 0.1
"""Seconds after the end of a connection that a host may take to count it no more: some count their processes."""


class Pool:
    """Idle sessions, the one used last is taken first. Whoever opens a session reserves a place for it before.

    How long a session may be idle is said when it is given back. A session that says QUIT counts at its site until it
    is gone: a host that takes three connections does not take a fourth before one of them is closed.
    A place is given back by ``release`` or ``retire``. Where all places are taken the session idle longest makes room.
    """

    def __init__(self, settings: OutboundSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._idle: dict[str, list[Session]] = {}
        self._until: dict[Session, float] = {}  # the idle ones in the order in which they became idle
        self._places = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._leaving: dict[asyncio.Task[None], str] = {}
        self._open: Counter[str] = Counter()  # by the session's key, those included that are on their way out
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf
        self._closed = False

    @property
    def places(self) -> int:
        """Places that are taken: sessions in use, idle, or being opened."""
        return self._places

    @property
    def idle(self) -> int:
        """Sessions that wait for a message."""
        return len(self._until)

    def take(self, key: str) -> Session | None:
        """An idle session of the site."""
        while sessions := self._idle.get(key):
            session = sessions.pop()
            if not sessions:
                del self._idle[key]
            del self._until[session]
            if not session.is_stale:
                return session
            session.usable = False
            self.retire(session)
        return None

    async def reserve(self, key: str = "", most: int = 0) -> None:
        """A place for a new session; waits while there is none. First come, first served.

        Where there are ``most`` sessions of that key already, it waits for those that are on their way out.
        """
        while most and self._open[key] >= most:
            leaving = [task for task, of in self._leaving.items() if of == key]
            if not leaving:
                break
            await asyncio.wait(leaving, return_when=asyncio.FIRST_COMPLETED)
        self._open[key] += 1
        if self._places < self._settings.concurrency:
            self._places += 1
            return
        if self._until:
            self._dismiss(self._remove_oldest())  # its place changes hands
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._waiting.remove(place)
                self._forget(key)
            else:
                self.release(key)  # it had just been handed over
            raise

    def release(self, key: str = "") -> None:
        """A place is free: its session was never opened. Who waits gets it."""
        self._forget(key)
        self._hand_on()

    def _hand_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._places -= 1

    def _forget(self, key: str) -> None:
        self._open[key] -= 1
        if self._open[key] <= 0:
            del self._open[key]

    def give_back(self, session: Session, idle_timeout: float | None = None) -> None:
        """The session has done its message and may take another, if it can, within the seconds of ``idle_timeout``."""
        if not session.usable or session.is_spent or self._closed:
            self.retire(session)
        elif self._waiting:
            self.retire(session)  # another site waits for the place
        else:
            self._idle.setdefault(session.key, []).append(session)
            until = self._clock.monotonic() + (self._settings.idle_timeout if idle_timeout is None else idle_timeout)
            self._until[session] = until
            if until < self._rings_at:
                self._start_timer(until)

    def retire(self, session: Session) -> None:
        """The session is over: QUIT, without anybody waiting for it. Its place is free."""
        self._dismiss(session)
        self._hand_on()

    def sweep(self) -> None:
        """Retire the sessions that have been idle for too long."""
        now = self._clock.monotonic()
        for session in [session for session, until in self._until.items() if until <= now]:
            self.retire(self._remove(session))

    async def close(self) -> None:
        """Retire all idle sessions and wait for their farewell. Sessions in use retire when they come back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._until:
            self.retire(self._remove_oldest())
        while self._leaving:
            await asyncio.gather(*self._leaving)

    def _dismiss(self, session: Session) -> None:
        if not session.usable:
            session.abort()
            self._forget(session.key)
            return
        task = asyncio.get_running_loop().create_task(self._leave(session))
        self._leaving[task] = session.key
        task.add_done_callback(self._gone)

    async def _leave(self, session: Session) -> None:
        await session.quit()
        if not self._closed:
            await asyncio.sleep(NOTICED)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._forget(self._leaving.pop(task))

    def _remove_oldest(self) -> Session:
        return self._remove(next(iter(self._until)))

    def _remove(self, session: Session) -> Session:
        del self._until[session]
        sessions = self._idle[session.key]
        sessions.remove(session)
        if not sessions:
            del self._idle[session.key]
        return session

    def _start_timer(self, until: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = until
        seconds = max(until - self._clock.monotonic(), 0.01)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._rings_at = math.inf
        self.sweep()
        if self._until:
            self._start_timer(min(self._until.values()))
