"""One HTTP connection of a web port, bounded in time: uvicorn itself waits for a client's request as long as it likes.

The port shares its process, and the number of files that it may have open, with the mail server: whoever connects and
says nothing must not take them from mail.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

CLIENT_SECONDS = 15.0
"""Seconds that a client has for the head of a request, for the next piece of its body, or to take what is answered;
twice as many where the time began just after a look.
"""

MOST_CONNECTIONS = 200
"""Connections of a port; more are dropped at once."""


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol with an eye on who waits for whom."""

    seconds = CLIENT_SECONDS
    most = MOST_CONNECTIONS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._octets = 0
        self._waited_for: tuple[str, object] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to look."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._waited_for = self._waits_for()
        self._timer = self.loop.call_later(self.seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nothing more to look at."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The client has said something."""
        self._octets += len(data)
        super().data_received(data)

    def _look(self) -> None:
        """End it where the client owes the very same as at the last look."""
        waits_for = self._waits_for()
        if waits_for is not None and waits_for == self._waited_for:
            self.transport.abort()
            return
        self._waited_for = waits_for
        self._timer = self.loop.call_later(self.seconds, self._look)

    def _waits_for(self) -> tuple[str, object] | None:
        """What the client owes, and how far it has come with that; None where it is our turn."""
        if self.transport.is_closing():
            return "to take the end", 0
        if self.flow.write_paused:
            return "to take the answer", self.transport.get_write_buffer_size()
        if self.cycle is None or self.cycle.response_complete:
            return "a request", self.cycle  # octet by octet is not fast enough
        if self.cycle.more_body and not self.flow.read_paused:
            return "the body", self._octets
        return None
