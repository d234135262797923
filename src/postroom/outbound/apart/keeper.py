"""Starts the child, watches it, and starts another one when it dies; ends it in good order."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Sequence

from postroom.clock import Clock
from postroom.outbound.apart.frames import Kind
from postroom.outbound.apart.link import Link
from postroom.outbound.apart.remote import RemoteCarrier
from postroom.report.reporter import Reporter
from postroom.report.road import CarriersEnded, CarriersReady

READY_WITHIN = 60.0
"""Seconds that a child has to load itself and get ready."""

FAREWELL = 10.0
"""Seconds that a child has to say QUIT to its peers."""

FIRST_WAIT, LONGEST_WAIT = 0.1, 30.0
"""Seconds before a child that died is replaced; each further time twice as long."""

STEADY = 60.0
"""Seconds that a child must have lived for its death to count as the first."""

_OWN_WORDS = ("POSTROOM_", "LISTEN_", "NOTIFY_SOCKET")
"""What of the environment is for the node alone: settings, and its talk with the service manager."""


class Keeper:
    """One child for one ``carrier``. ``command`` gets one more argument: the descriptor of the child's end of a
    socketpair; ``setup`` is the first thing that it is told there.
    """

    def __init__(
        self, carrier: RemoteCarrier, command: Sequence[str], setup: bytes, clock: Clock, reporter: Reporter
    ) -> None:
        self._carrier = carrier
        self._command = command
        self._setup = setup
        self._clock = clock
        self._tell = reporter.tell
        self._link: Link | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[str] | None = None
        self._lost: asyncio.Future[str] | None = None
        self._watch: asyncio.Task[None] | None = None
        carrier.on_ready = self._on_ready

    async def start(self) -> None:
        """Have a child that is ready, and replace it whenever it dies. OSError, which says why, if there is none."""
        trouble = await self._begin()
        if trouble:
            await self._bury()
            raise OSError(trouble)
        self._watch = asyncio.create_task(self._replace(), name="carriers")

    async def close(self) -> None:
        """Let the child part from its peers, then end it."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        if self._link is not None and self._lost is not None and not self._lost.done():
            self._link.send(Kind.CLOSE, b"")
            await asyncio.wait({self._lost}, timeout=FAREWELL)
        await self._bury()
        self._carrier.detach()

    async def _replace(self) -> None:
        wait = FIRST_WAIT
        while True:
            began = self._clock.monotonic()
            trouble = await asyncio.shield(self._lost) if self._lost is not None else ""
            while True:
                status = await self._bury()
                under_way = self._carrier.detach()
                if self._clock.monotonic() - began >= STEADY:
                    wait = FIRST_WAIT
                self._tell(CarriersEnded(status, under_way, wait, trouble))
                await self._clock.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                trouble = await self._begin()
                if not trouble:
                    break
                self._carrier.give_up(trouble)
            self._tell(CarriersReady(self._process.pid if self._process is not None else 0))

    async def _begin(self) -> str:
        """Start a child; returns ``""`` once it is ready, else why it is not."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[str] = loop.create_future()
        lost: asyncio.Future[str] = loop.create_future()
        self._ready, self._lost = ready, lost
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, str(theirs.fileno()), pass_fds=(theirs.fileno(),), env=_environment(),
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            ours.close()
            lost.set_result(str(error))
            return f"the carriers cannot be started: {error}"
        self._link = Link(self._carrier.on_frame, self._carrier.on_room, lost.set_result)
        await self._link.open(ours)
        self._link.send(Kind.SETUP, self._setup)
        await asyncio.wait({ready, lost}, timeout=READY_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            trouble = ready.result()
        else:
            trouble = lost.result() if lost.done() else f"it was not ready within {READY_WITHIN:.0f} seconds"
            trouble = f"the carriers did not get ready: {trouble or 'the process ended'}"
        if not trouble:
            self._carrier.attach(self._link)
        return trouble

    def _on_ready(self, trouble: str) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(trouble)

    async def _bury(self) -> str:
        """See that link and process are no more; how the process ended."""
        if self._link is not None:
            self._link.abort()
            self._link = None
        process, self._process = self._process, None
        if process is None:
            return ""
        try:
            async with asyncio.timeout(1):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        code = process.returncode or 0
        return f"signal {-code}" if code < 0 else f"exit {code}"


def _environment() -> dict[str, str]:
    """The node's own, without what only the node should read; modules are found where the node finds them."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_OWN_WORDS)}
    return kept | {"PYTHONPATH": os.pathsep.join([path for path in sys.path if path])}
