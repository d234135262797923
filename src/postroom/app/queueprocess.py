"""The process that has the queue: ``python -m postroom.app.queueprocess DESCRIPTOR`` (docs/adr/0022).

Only a node starts it. It is told what it needs over the socket of the descriptor, and ends with the node. It has the
store's one writer, for the node too, and moves the mail; the node has the doors.
"""

import asyncio
import logging
import marshal
import os
import pickle
import socket
import sys
import zlib

import uvloop

from postroom.app.chores import Chores
from postroom.app.opening import open_store
from postroom.app.process import calm_collector
from postroom.app.queuewire import SECONDS, Kind, QueueSetup
from postroom.app.road import Road
from postroom.app.rooms import Rooms
from postroom.clock import SystemClock
from postroom.mail.trouble import StoreUnavailable
from postroom.net.apart.child import leave_signals_to_the_node, read_setup
from postroom.net.apart.frames import WireError
from postroom.net.apart.link import Link
from postroom.protocol.smtp.events import Etrn, EtrnKind
from postroom.queue.apart.admitting import AdmissionServer
from postroom.report.events import Report
from postroom.report.forwarding import Forwarder
from postroom.report.log import LibraryHandler, open_log_to
from postroom.report.metrics import Metrics
from postroom.report.reporter import Reporter
from postroom.report.writer import MOST_WAITING
from postroom.storage.apart.serving import WriteServer
from postroom.storage.sqlite.store import SqliteStore

REFRESH_SECONDS = 0.5
"""How often directory and keys ask whether they were changed, so that a command takes effect within a second."""


def main() -> int:
    """Serve the node at the other end of the descriptor."""
    leave_signals_to_the_node()
    end = socket.socket(fileno=int(sys.argv[1]))
    told = read_setup(end)
    if told is None:
        return 1
    setup = QueueSetup.from_bytes(told)
    factory = uvloop.new_event_loop if setup.settings.loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_serve(setup, end))


async def _serve(setup: QueueSetup, end: socket.socket) -> int:
    return await QueueProcess(setup).run(end)


class QueueProcess:
    """The rooms of this process, and its end of the wire."""

    def __init__(self, setup: QueueSetup) -> None:
        self._setup = setup
        self._clock = SystemClock()
        self._loop = asyncio.get_running_loop()
        self._link = Link(self._on_frame, _nothing, self._on_lost)
        self._log = open_log_to(setup.form, self._say_lines)
        self._metrics = Metrics()
        forwarder = Forwarder(setup.wanted, self._say_report)
        self._reporter = Reporter([self._log.tell], [self._metrics.choose, forwarder.choose])
        self._chores = Chores(self._clock, self._reporter)
        self._closing = asyncio.Event()
        self._gone = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None

    async def run(self, end: socket.socket) -> int:
        """Until the node has had enough. If it is gone, nothing is finished: another node may have begun already."""
        await self._link.open(end)
        logging.getLogger().addHandler(LibraryHandler(self._log))
        try:
            async with open_store(self._setup.settings) as store:
                await self._start(store)
                calm_collector()
                self._link.send(Kind.READY, b"")
                await self._closing.wait()
                await self._end()
        except (OSError, ValueError, StoreUnavailable) as error:
            self._link.send(Kind.READY, (str(error) or repr(error)).encode(errors="replace"))
            await self._part()
            return 1
        await self._part()
        return 0

    async def _start(self, store: SqliteStore) -> None:
        setup = self._setup
        rooms = Rooms(
            setup.settings,
            store,
            secret=await store.directory.secret(),
            number=zlib.crc32(setup.node.encode()) & 511 ^ 1,  # the node's own but one bit
            sealer=setup.sealer,
            clock=self._clock,
            reporter=self._reporter,
            metrics=self._metrics,
        )
        self._road = road = Road(rooms, node=setup.node, processes=2, began=setup.began)
        await rooms.directory.refresh()
        await rooms.trust.refresh_keys()
        await road.start()
        self._admissions = AdmissionServer(road.admission, lambda body: self._link.send(Kind.ADMITTED, body))
        self._writes = WriteServer(store.writer, lambda body: self._link.send(Kind.WRITTEN, body))
        road.begin(self._chores)
        self._chores.repeat(REFRESH_SECONDS, rooms.directory.refresh, "directory refresh")
        self._chores.repeat(REFRESH_SECONDS, rooms.trust.refresh_keys, "signing keys")

    async def _end(self) -> None:
        """As the node has it after its drain; or at once, where it has not got as far as to need one."""
        await (self._drain or self._drain_for(0))

    async def _part(self) -> None:
        """Let the node have what there still is to tell, and end the link."""
        self._log.close()
        self._link.close()
        await self._gone.wait()

    # The wire. -----------------------------------------------------------------------

    def _on_frame(self, kind: int, body: memoryview) -> None:
        match kind:
            case Kind.ADMIT:
                self._admissions.asked(body)
            case Kind.WRITES:
                self._writes.asked(body)
            case Kind.REVIVE:
                word, name = marshal.loads(body)  # noqa: S302 - our own node wrote it
                self._road.revive(Etrn(EtrnKind(word), name))
            case Kind.LEVEL:
                self._log.set_level(bytes(body).decode())
            case Kind.ASK_METRICS:
                self._link.send(Kind.METRICS, self._metrics.export())
            case Kind.DRAIN:
                (seconds,) = SECONDS.unpack(body)
                self._drain = self._loop.create_task(self._drain_for(seconds))
            case Kind.CLOSE:
                self._closing.set()
            case _:
                raise WireError(f"the node sent a frame of kind {kind}")

    async def _drain_for(self, seconds: float) -> None:
        await self._road.drain(seconds)
        await self._chores.stop()
        await self._road.close()
        self._link.send(Kind.DRAINED, b"")

    def _on_lost(self, _trouble: str) -> None:
        self._gone.set()
        if not self._closing.is_set():
            os._exit(1)

    def _say_lines(self, lines: bytes) -> None:
        if self._link.waiting > MOST_WAITING:
            raise BlockingIOError("the node does not keep up")
        self._link.send(Kind.LINES, lines)

    def _say_report(self, report: Report) -> None:
        if self._link.waiting <= MOST_WAITING:
            self._link.send(Kind.REPORT, pickle.dumps(report, protocol=5))


def _nothing() -> None:
    """Whatever is sent has been bounded by who asked for it."""


if __name__ == "__main__":
    sys.exit(main())
