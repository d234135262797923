"""The node's end of the queue: whatever the child does, the node's own end comes."""

import asyncio
import sys
from dataclasses import dataclass

import pytest

from postroom.app.queuewire import Kind
from postroom.app.remotequeue import RemoteQueue
from postroom.clock import SystemClock
from postroom.mail.trouble import StoreUnavailable
from postroom.report.events import Report
from postroom.report.road import QueueEnded
from postroom.storage.sqlite.intake import DROP_CHUNKS

# Gets ready, and answers nothing from then on.
CHILD = f"""
import socket, sys
from postroom.net.apart.frames import frame
end = socket.socket(fileno=int(sys.argv[1]))
end.sendall(frame({Kind.READY:d}, b""))
while end.recv(65536):
    pass
"""


@dataclass
class Setup:
    """Stands in for what a child must know."""

    def to_bytes(self) -> bytes:
        return b"go"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.app.remotequeue._COMMAND", (sys.executable, "-c", CHILD))
    monkeypatch.setattr("postroom.app.remotequeue.DRAIN_GRACE", 0.05)


@pytest.mark.usefixtures("silent")
async def test_who_does_not_drain_keeps_nobody_waiting() -> None:
    told: list[Report] = []
    queue = RemoteQueue(
        Setup(),  # type: ignore[arg-type]
        clock=SystemClock(),
        tell=told.append,
        pass_on=lambda _: None,
        hear=lambda _: None,
        inherit=lambda _: None,
    )
    await queue.open()
    before = queue.writer.submit(DROP_CHUNKS, ())
    async with asyncio.timeout(60):
        await queue.drain(0)
        for write in (before, queue.writer.submit(DROP_CHUNKS, ())):
            with pytest.raises(StoreUnavailable):
                await write
        await queue.end()
    (ended,) = told
    assert isinstance(ended, QueueEnded)
    assert (ended.under_way, ended.trouble) == (1, "it did not drain in time")
