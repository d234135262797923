"""What every service does the same: begin a session for each connection, count them, and drain them."""

from collections.abc import Callable
from typing import Protocol

from postroom.mail.session import Client, Role
from postroom.net.stream import Stream


class Session(Protocol):
    """One connection from greeting to end."""

    async def run(self) -> None:
        """Until it is over. Raises nothing but CancelledError."""
        ...

    def drain(self) -> None:
        """End as soon as nothing is lost by it."""
        ...


class SessionService:
    """Runs the sessions of one role: a ``Service`` of a listener. ``begin`` makes a session for a connection."""

    def __init__(self, role: Role, busy_line: bytes, begin: Callable[[Stream, Client], Session]) -> None:
        self._role = role
        self._busy_line = busy_line
        self._begin = begin
        self._sessions: set[Session] = set()
        self._draining = False

    @property
    def role(self) -> Role:
        """What the port is for."""
        return self._role

    @property
    def busy_line(self) -> bytes:
        """Said to a client beyond a ceiling before it is let go."""
        return self._busy_line

    @property
    def sessions(self) -> int:
        """Sessions that are open."""
        return len(self._sessions)

    async def run(self, stream: Stream, client: Client) -> None:
        """One session, from greeting to end. Raises nothing but CancelledError."""
        session = self._begin(stream, client)
        if self._draining:
            session.drain()
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)

    def drain(self) -> None:
        """End each session as soon as nothing is lost by it: between transactions, or without marked deletions."""
        self._draining = True
        for session in tuple(self._sessions):
            session.drain()
