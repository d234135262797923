"""One end of the socketpair between node and child: frames in, frames out, and when there is room for more."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from postroom.net.apart.frames import FrameReader, WireError, head

HIGH_WATER = 512 << 10
"""Octets that wait for the other end before ``is_full``."""

OnFrame = Callable[[int, memoryview], None]
"""Takes one frame, of which nothing is good after the call. WireError: it is none of ours, and the link is cut."""


class Link(asyncio.Protocol):
    """Calls ``on_frame`` for each frame, ``on_room`` when it is not full any more, ``on_lost`` once, at its end."""

    def __init__(self, on_frame: OnFrame, on_room: Callable[[], None], on_lost: Callable[[str], None]) -> None:
        self._on_frame = on_frame
        self._on_room = on_room
        self._on_lost = on_lost
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._trouble = ""
        self.is_full = False

    async def open(self, end: socket.socket) -> None:
        """Use one end of the pair; it is the link's from now on."""
        end.setblocking(False)
        end.set_inheritable(False)  # or a program that the child starts keeps the link alive after it
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=end)

    def send(self, kind: int, body: bytes) -> None:
        """One frame. Without effect at the end of the link."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines((head(kind, body), body))

    @property
    def waiting(self) -> int:
        """Octets that the other end has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def close(self) -> None:
        """End it, after what waits to be sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The link is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        try:
            for kind, body in self._reader.feed(data):
                self._on_frame(kind, body)
        except WireError as error:
            self._trouble = str(error)
            self.abort()

    def pause_writing(self) -> None:
        """The other end is slow."""
        self.is_full = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self.is_full = False
        self._on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._on_lost(self._trouble or ("" if exc is None else str(exc)))
