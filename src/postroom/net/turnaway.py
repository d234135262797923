"""Turns clients away at little cost: a line that arrives, and reports that tell of a flood without being one."""

import asyncio
import math
import socket
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from postroom.net.gate import Refusal, address_key
from postroom.report.events import SessionRefused
from postroom.report.reporter import Reporter

LINGERING = 128
"""Sockets at most that wait for their client to read why. In a flood each has the less time."""

LINGER = 1.0
"""Seconds that a client has to read it."""

FIRST = 3
"""Refusals of one client that are told one by one, before they are told once in INTERVAL with their count."""

INTERVAL = 1.0
"""Seconds."""

MOST_ADDRESSES = 1000
"""Clients whose refusals are told apart; those of others within INTERVAL are told together, without an address."""


class Farewells:
    """Says a line to a client and closes, so that the line arrives even where the client has spoken already.

    A socket that is closed with something unread is reset, and the other side may lose what it has not read yet. So our
    side is shut, and the socket is closed a little later. No task and no look at the socket is spent on it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lingering: deque[tuple[float, socket.socket]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._lingering)

    def say(self, connection: socket.socket, line: bytes) -> None:
        """Say ``line``, if any, and close ``connection`` soon."""
        try:
            connection.setblocking(False)
            if not line:
                connection.close()
                return
            connection.send(line)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # it left
            connection.close()
            return
        if len(self._lingering) >= LINGERING:
            _close(self._lingering.popleft()[1])
        self._lingering.append((self._loop.time() + LINGER, connection))
        if self._timer is None:
            self._timer = self._loop.call_later(LINGER, self._close_due)

    def stop(self) -> None:
        """Close what is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._lingering:
            _close(self._lingering.popleft()[1])

    def _close_due(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._lingering and self._lingering[0][0] <= now:
            _close(self._lingering.popleft()[1])
        if self._lingering:
            self._timer = self._loop.call_later(LINGER / 2, self._close_due)


def _close(connection: socket.socket) -> None:
    with connection, suppress(OSError):  # it is gone, or said nothing
        connection.recv(65536)


@dataclass(slots=True)
class _Flood:
    """What one client was refused lately."""

    address: str
    told: int = 0
    held: int = 0
    detail: str = ""


class Refusals:
    """Tells of refused connections of one role: each count is told in the end, but few reports are made of many."""

    def __init__(self, role: str, reporter: Reporter, loop: asyncio.AbstractEventLoop) -> None:
        self._role = role
        self._reporter = reporter
        self._loop = loop
        self._floods: dict[tuple[str | bytes, str], _Flood] = {}
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, address: str, reason: str, detail: str = "") -> None:
        """One more connection was refused."""
        key = address_key(address), reason
        if key not in self._floods and len(self._floods) >= MOST_ADDRESSES:
            key, address, detail = ("", reason), "", ""
        flood = self._floods.get(key)
        if flood is None:
            flood = self._floods[key] = _Flood(address)
        flood.address, flood.detail = address, detail
        if flood.told < FIRST:
            flood.told += 1
            self._reporter.tell(SessionRefused(self._role, address, reason, detail=detail))
        else:
            flood.held += 1
        if self._timer is None:
            self._timer = self._loop.call_later(INTERVAL, self._tell_held)

    @property
    def watching(self) -> int:
        """Clients whose refusals may still be counted together."""
        return len(self._floods)

    def stop(self) -> None:
        """Tell what is held."""
        if self._timer is not None:
            self._timer.cancel()
            self._tell_held()
        self._floods.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell_held(self) -> None:
        self._timer = None
        for key, flood in tuple(self._floods.items()):
            if flood.held:
                held, flood.held = flood.held, 0
                self._reporter.tell(SessionRefused(self._role, flood.address, key[1], held, flood.detail))
            else:
                del self._floods[key]
        if self._floods:
            self._timer = self._loop.call_later(INTERVAL, self._tell_held)


def busy_line(line: bytes, refusal: Refusal) -> bytes:
    """What a service says to those whom it turns away, with the time when to come back where that is known."""
    if refusal.wait is None:
        return line
    return line.removesuffix(b"\r\n") + b", in " + _duration(refusal.wait).encode() + b"\r\n"


def _duration(seconds: float) -> str:
    for size, name in ((3600, "hours"), (60, "minutes")):
        if seconds > 2 * size:
            return f"{math.ceil(seconds / size)} {name}"
    return f"{max(1, math.ceil(seconds))} seconds"
