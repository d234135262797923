"""Starts the child, watches it, and starts another one when it dies; ends it in good order."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from postroom.clock import Clock
from postroom.net.apart.frames import SETUP
from postroom.net.apart.link import Link
from postroom.report.events import Report

READY_WITHIN = 60.0
"""Seconds that a child has to load itself and get ready."""

FAREWELL = 10.0
"""Seconds that a child has to end in good order."""

FIRST_WAIT, LONGEST_WAIT = 0.1, 30.0
"""Seconds before a child that died is replaced; each further time twice as long."""

STEADY = 60.0
"""Seconds that a child must have lived for its death to count as the first."""

_OWN_WORDS = ("POSTROOM_", "LISTEN_", "NOTIFY_SOCKET")
"""What of the environment is for the node alone: settings, and its talk with the service manager."""


class Kept(Protocol):
    """Whoever has work done by a child: the node's end of its wire."""

    on_ready: Callable[[str], None]
    """To be called with what keeps the child from work, ``""`` for nothing."""

    def on_frame(self, kind: int, body: memoryview) -> None:
        """What the child says. WireError where that is nothing it could say."""
        ...

    def on_room(self) -> None:
        """The link takes more."""
        ...

    def attach(self, link: Link) -> None:
        """A child is ready at the other end."""
        ...

    def detach(self) -> int:
        """The child is gone. Returns how much that was under way is lost."""
        ...

    def give_up(self, trouble: str) -> None:
        """There will be no child for a while."""
        ...

    def say_close(self, link: Link) -> None:
        """Ask the child to end in good order."""
        ...

    def ended(self, status: str, under_way: int, wait: float, trouble: str) -> Report:
        """What is told of a child that ended unasked; ``trouble`` is what it did wrong."""
        ...

    def replaced(self, pid: int) -> Report:
        """What is told when another one takes its work."""
        ...


class Keeper:
    """One child for one ``kept``. ``command`` gets one more argument: the descriptor of the child's end of a
    socketpair; ``setup`` is the first thing that it is told there. ``what`` is its name in sentences,
    ``farewell`` how many seconds it has to end in good order.
    """

    def __init__(
        self,
        kept: Kept,
        command: Sequence[str],
        setup: bytes,
        clock: Clock,
        tell: Callable[[Report], None],
        *,
        what: str,
        ready_within: float = READY_WITHIN,
        farewell: float = FAREWELL,
    ) -> None:
        self._kept = kept
        self._command = command
        self._setup = setup
        self._clock = clock
        self._tell = tell
        self._what = what
        self._ready_within = ready_within
        self._farewell = farewell
        self._link: Link | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[str] | None = None
        self._lost: asyncio.Future[str] | None = None
        self._watch: asyncio.Task[None] | None = None
        kept.on_ready = self._on_ready

    async def start(self) -> None:
        """Have a child that is ready, and replace it whenever it dies. OSError, which says why, if there is none."""
        trouble = await self._begin()
        if trouble:
            await self._bury()
            raise OSError(trouble)
        self._watch = asyncio.create_task(self._replace(), name=self._what)

    async def close(self, farewell: float | None = None, trouble: str = "it did not end when it was asked to") -> None:
        """Let the child end in good order within ``farewell`` seconds, or end it and tell the ``trouble``."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        if self._link is not None and self._lost is not None and not self._lost.done():
            self._kept.say_close(self._link)
            await asyncio.wait({self._lost}, timeout=self._farewell if farewell is None else farewell)
            if not self._lost.done():
                status = await self._bury()
                self._tell(self._kept.ended(status, self._kept.detach(), 0.0, trouble))
        await self._bury()
        self._kept.detach()

    async def _replace(self) -> None:
        wait = FIRST_WAIT
        while True:
            began = self._clock.monotonic()
            trouble = await asyncio.shield(self._lost) if self._lost is not None else ""
            while True:
                status = await self._bury()
                under_way = self._kept.detach()
                if self._clock.monotonic() - began >= STEADY:
                    wait = FIRST_WAIT
                self._tell(self._kept.ended(status, under_way, wait, trouble))
                await self._clock.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                trouble = await self._begin()
                if not trouble:
                    break
                self._kept.give_up(trouble)
            self._tell(self._kept.replaced(self._process.pid if self._process is not None else 0))

    async def _begin(self) -> str:
        """Start a child; returns ``""`` once it is ready, else why it is not."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[str] = loop.create_future()
        lost: asyncio.Future[str] = loop.create_future()
        self._ready, self._lost = ready, lost
        ours: socket.socket | None = None
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, str(theirs.fileno()), pass_fds=(theirs.fileno(),), env=_environment(),
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            if ours is not None:
                ours.close()
            lost.set_result(str(error))
            return f"{self._what} cannot be started: {self._command[0]}: {error.strerror}"
        self._link = Link(self._kept.on_frame, self._kept.on_room, lost.set_result)
        await self._link.open(ours)
        self._link.send(SETUP, self._setup)
        await asyncio.wait({ready, lost}, timeout=self._ready_within, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            trouble = ready.result()
        else:
            trouble = lost.result() if lost.done() else f"it was not ready within {self._ready_within:.0f} seconds"
            trouble = f"{self._what} did not get ready: {trouble or 'the process ended'}"
        if not trouble:
            self._kept.attach(self._link)
        return trouble

    def _on_ready(self, trouble: str) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(trouble)

    async def _bury(self) -> str:
        """See that link and process are no more; how the process ended."""
        if self._link is not None:
            self._link.abort()
            self._link = None
        process = self._process
        if process is None:
            return ""
        try:
            async with asyncio.timeout(1):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._process = None  # not before: whoever waits here may be cancelled, and the next one sees to it
        code = process.returncode or 0
        return f"signal {-code}" if code < 0 else f"exit {code}"


def _environment() -> dict[str, str]:
    """The node's own, without what only the node should read; modules are found where the node finds them."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_OWN_WORDS)}
    return kept | {"PYTHONPATH": os.pathsep.join([path for path in sys.path if path])}
