"""Keeps open sessions by site for the next message, and bounds their number."""

import asyncio
from collections import deque

from postroom.clock import Clock
from postroom.config.road import OutboundSettings
from postroom.outbound.session import Session


class Pool:
    """Idle sessions, the one used last is taken first. Whoever opens a session reserves a place for it before.

    A place is given back by ``release`` or ``retire``. Where all places are taken the session idle longest makes room.
    """

    def __init__(self, settings: OutboundSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._idle: dict[str, list[Session]] = {}
        self._since: dict[Session, float] = {}  # the idle ones in the order in which they became idle
        self._places = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._leaving: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def places(self) -> int:
        """Places that are taken: sessions in use, idle, or being opened."""
        return self._places

    @property
    def idle(self) -> int:
        """Sessions that wait for a message."""
        return len(self._since)

    def take(self, key: str) -> Session | None:
        """An idle session of the site."""
        while sessions := self._idle.get(key):
            session = sessions.pop()
            if not sessions:
                del self._idle[key]
            del self._since[session]
            if not session.is_stale:
                return session
            session.usable = False
            self.retire(session)
        return None

    async def reserve(self) -> None:
        """A place for a new session; waits while there is none. First come, first served."""
        if self._places < self._settings.concurrency:
            self._places += 1
            return
        if self._since:
            self._dismiss(self._remove_oldest())  # its place changes hands
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._waiting.remove(place)
            else:
                self.release()  # it had just been handed over
            raise

    def release(self) -> None:
        """A place is free: its session was never opened, or is gone. Who waits gets it."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._places -= 1

    def give_back(self, session: Session) -> None:
        """The session has done its message and may take another, if it can."""
        if not session.usable or session.is_spent or self._closed:
            self.retire(session)
        elif self._waiting:
            self.retire(session)  # another site waits for the place
        else:
            self._idle.setdefault(session.key, []).append(session)
            self._since[session] = self._clock.monotonic()
            if self._timer is None:
                self._start_timer()

    def retire(self, session: Session) -> None:
        """The session is over: QUIT, without anybody waiting for it. Its place is free."""
        self._dismiss(session)
        self.release()

    def sweep(self) -> None:
        """Retire the sessions that have been idle for too long."""
        limit = self._clock.monotonic() - self._settings.idle_timeout
        while self._since and next(iter(self._since.values())) <= limit:
            self.retire(self._remove_oldest())

    async def close(self) -> None:
        """Retire all idle sessions and wait for their farewell. Sessions in use retire when they come back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._since:
            self.retire(self._remove_oldest())
        while self._leaving:
            await asyncio.gather(*self._leaving)

    def _dismiss(self, session: Session) -> None:
        if not session.usable:
            session.abort()
            return
        task = asyncio.get_running_loop().create_task(session.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _remove_oldest(self) -> Session:
        session = next(iter(self._since))
        del self._since[session]
        sessions = self._idle[session.key]
        sessions.remove(session)
        if not sessions:
            del self._idle[session.key]
        return session

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(self._settings.idle_timeout, 0.01), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.sweep()
        if self._since:
            self._start_timer()
