"""The node's end of a queue that has a process of its own (docs/adr/0022)."""

import asyncio
import marshal
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from postroom.app.chores import Chores
from postroom.app.queuewire import SECONDS, Kind, QueueSetup
from postroom.clock import Clock
from postroom.net.apart.frames import WireError
from postroom.net.apart.keeper import Keeper
from postroom.net.apart.link import Link
from postroom.net.apart.loading import load
from postroom.protocol.smtp.events import Etrn
from postroom.queue.admission import Admission
from postroom.queue.apart.admitting import RemoteAdmission
from postroom.report.events import Report
from postroom.report.reporter import Listener
from postroom.report.road import QueueBack, QueueEnded
from postroom.storage.apart.asking import RemoteWriter

METRICS_WITHIN = 2.0
"""Seconds that the child has to tell what it has counted; after that it is what it said last."""

DRAIN_GRACE = 15.0
"""Seconds beyond its time that the child has to drain."""

READY_WITHIN = 600.0
"""Seconds that the child has to get ready: a new version may have to change a large store first."""

_COMMAND = (sys.executable, "-P", "-m", "postroom.app.queueprocess")
"""-P: nothing is loaded from the folder that the node was started in."""


class Queue(Protocol):
    """What the node asks of the queue, wherever it stands."""

    @property
    def admission(self) -> Admission:
        """How mail gets in."""
        ...

    def revive(self, asked: Etrn) -> None:
        """What an ETRN asked for is to be tried now."""
        ...

    async def start(self) -> None:
        """Take up what an earlier process left."""
        ...

    def begin(self, chores: Chores) -> None:
        """Move mail from now on."""
        ...

    async def drain(self, seconds: float) -> None:
        """Let what is under way end, and begin nothing more."""
        ...

    async def close(self) -> None:
        """Write what has not been written."""
        ...


class RemoteQueue:
    """``writer`` is for the node's store, ``admission`` for its door. ``open`` it before the store, ``end`` it after.

    ``pass_on`` takes lines for the log, ``hear`` reports that somebody in the node has asked for by ``setup.wanted``,
    ``inherit`` what a child had counted that is no more.
    """

    def __init__(
        self,
        setup: QueueSetup,
        *,
        clock: Clock,
        tell: Listener,
        pass_on: Callable[[bytes], None],
        hear: Listener,
        inherit: Callable[[bytes], None],
    ) -> None:
        self.admission = RemoteAdmission()
        self.writer = RemoteWriter()
        self._pass_on = pass_on
        self._hear = hear
        self._link: Link | None = None
        self._inherit = inherit
        self._asked: deque[asyncio.Future[bytes]] = deque()
        self._counted = b""  # as it said last
        self._level = ""  # where it is not that of the setup any more
        self._drained: asyncio.Future[None] | None = None
        self.on_ready: Callable[[str], None] = _nothing
        self._keeper = Keeper(
            self, _COMMAND, setup.to_bytes(), clock, tell, what="the queue", ready_within=READY_WITHIN
        )

    async def open(self) -> None:
        """Have the child ready, and replace it whenever it dies. OSError, which says why, if there is none."""
        await self._keeper.start()

    async def end(self) -> None:
        """End the child; nobody writes any more."""
        await self._keeper.close()

    # What the node asks. -------------------------------------------------------------

    async def start(self) -> None:
        """The child has done that already."""

    def begin(self, chores: Chores) -> None:
        """So does the child, by itself."""

    def revive(self, asked: Etrn) -> None:
        """What an ETRN asked for is to be tried now."""
        self._send(Kind.REVIVE, marshal.dumps((asked.kind.value, asked.name)))

    def set_level(self, level: str) -> None:
        """The lowest level that is logged has changed."""
        self._level = level
        self._send(Kind.LEVEL, level.encode())

    async def metrics(self) -> list[bytes]:
        """What the child has counted, as it said last where it does not say so in time: a counter must not go back."""
        if self._link is None:
            return []
        told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked.append(told)
        self._send(Kind.ASK_METRICS, b"")
        await asyncio.wait({told}, timeout=METRICS_WITHIN)
        return [self._counted] if self._counted else []  # what a child that died had counted is inherited

    async def drain(self, seconds: float) -> None:
        """Let what is under way end for ``seconds``, give the rest back; what the node writes still gets through."""
        if self._link is None:
            return
        self._drained = asyncio.get_running_loop().create_future()
        self._send(Kind.DRAIN, SECONDS.pack(seconds))
        drained, _ = await asyncio.wait({self._drained}, timeout=seconds + DRAIN_GRACE)
        if not drained:  # it hangs: what else is to be written must not wait for it
            await self._keeper.close(0, "it did not drain in time")

    async def close(self) -> None:
        """It has written what it knows when it has drained."""

    # What the keeper asks. -----------------------------------------------------------

    def on_frame(self, kind: int, body: memoryview) -> None:
        """What the child says. WireError where that is nothing it could say."""
        match kind:
            case Kind.ADMITTED:
                self.admission.answered(body)
            case Kind.WRITTEN:
                self.writer.answered(body)
            case Kind.LINES:
                self._pass_on(bytes(body))
            case Kind.REPORT:
                self._hear(_read_report(body))
            case Kind.METRICS:
                self._counted = bytes(body)
                told = self._asked.popleft() if self._asked else None
                if told is not None and not told.done():
                    told.set_result(self._counted)
            case Kind.READY:
                self.on_ready(bytes(body).decode())
            case Kind.DRAINED:
                self._end_drain()
            case _:
                raise WireError(f"the queue sent a frame of kind {kind}")

    def on_room(self) -> None:
        """What is sent waits for an answer: nothing more to send for that."""

    def attach(self, link: Link) -> None:
        """A child is ready at the other end."""
        self._link = link
        if self._level:
            self.set_level(self._level)
        self.admission.attach(partial(link.send, Kind.ADMIT))
        self.writer.attach(partial(link.send, Kind.WRITES))

    def detach(self) -> int:
        """The child is gone."""
        self._link = None
        trouble = "the process that has the queue ended; another one is being started"
        lost = self.admission.detach(trouble) + self.writer.under_way
        self.writer.detach(trouble)
        for told in self._asked:
            told.cancel()
        self._asked.clear()
        if self._counted:
            self._inherit(self._counted)
            self._counted = b""
        self._end_drain()
        return lost

    def give_up(self, trouble: str) -> None:
        """There will be no child for a while."""
        self.admission.detach(trouble)
        self.writer.detach(trouble)

    def say_close(self, link: Link) -> None:
        """Ask the child to end in good order."""
        link.send(Kind.CLOSE, b"")

    def ended(self, status: str, under_way: int, wait: float, trouble: str) -> QueueEnded:
        """What is told of a child that ended unasked."""
        return QueueEnded(status, under_way, wait, trouble)

    def replaced(self, pid: int) -> QueueBack:
        """What is told when another one takes its work."""
        return QueueBack(pid)

    def _send(self, kind: Kind, body: bytes) -> None:
        if self._link is not None:
            self._link.send(kind, body)

    def _end_drain(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)


def _read_report(body: memoryview) -> Report:
    try:
        report: Report = load(body)
    except Exception as error:  # unpickling raises anything
        raise WireError(f"no report: {error!r}") from error
    return report


def _nothing(_: str) -> None:
    """Nobody waits for the child."""
