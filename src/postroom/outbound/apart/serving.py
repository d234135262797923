"""The child's end: carries what the node asks for, and tells it what came of it, each turn of the loop in one frame."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable

from postroom.mail.delivery import DeliveryRequest, Outcome
from postroom.net.apart.frames import WireError
from postroom.net.apart.link import Link
from postroom.outbound.apart.events import (
    Answered,
    Event,
    Faulted,
    Met,
    Plain,
    Ready,
    Said,
    write_event,
    write_events,
)
from postroom.outbound.apart.kinds import Kind
from postroom.outbound.apart.requests import RequestReader, read_numbers
from postroom.outbound.shaping.rules import Rule
from postroom.outbound.tlsmet import TlsMet

MAX_TRACE = 8000
"""Characters of a trace that cross the wire."""

Carry = Callable[[DeliveryRequest, Rule], Awaitable[dict[int, Outcome]]]


class Serving:
    """Serves one link until the node says that it is enough, or is gone.

    ``carry`` carries one request by a rule. ``ended`` is set at the end: True on the node's word.
    """

    def __init__(self, carry: Carry) -> None:
        self._carry = carry
        self._reader = RequestReader()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._events: list[Plain] = []
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[bool] = self._loop.create_future()
        self._gone = asyncio.Event()
        self.link = Link(self._on_frame, self._flush, self._on_lost)

    def tell(self, event: Event) -> None:
        """Let the node know, soon."""
        self._events.append(write_event(event))
        if len(self._events) == 1:
            self._loop.call_soon(self._flush)

    def note_tls(self, met: TlsMet) -> None:
        """What came of TLS with a host (``tlsmet.NoteTls``)."""
        self.tell(Met(met))

    def ready(self) -> None:
        """Requests may come."""
        self.tell(Ready())
        self._flush()

    async def close(self) -> None:
        """Let the node have what there still is to tell, and end the link."""
        await self.stop()
        self.link.close()
        await self._gone.wait()

    async def stop(self) -> None:
        """Cut off what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flush()

    def _on_frame(self, kind: int, body: memoryview) -> None:
        match kind:
            case Kind.REQUESTS:
                for number, request, rule in self._reader.read(body):
                    self._tasks[number] = self._loop.create_task(self._work(number, request, rule))
            case Kind.CANCELLED:
                for number in read_numbers(body):
                    task = self._tasks.get(number)
                    if task is not None:
                        task.cancel()
            case Kind.CLOSE:
                if not self.ended.done():
                    self.ended.set_result(True)
            case _:
                raise WireError(f"the node sent a frame of kind {kind}")

    def _on_lost(self, _trouble: str) -> None:
        self._gone.set()
        if not self.ended.done():
            self.ended.set_result(False)

    async def _work(self, number: int, request: DeliveryRequest, rule: Rule) -> None:
        try:
            self.tell(Answered(number, await self._carry(request, rule)))
        except Exception as error:  # noqa: BLE001 - the node tells it, as it does for a carrier of its own
            trace = "".join(traceback.format_exception(error))[-MAX_TRACE:]
            self.tell(Faulted(number, repr(error)[:MAX_TRACE], trace))
        finally:
            del self._tasks[number]

    def _flush(self) -> None:
        if self._events and not self.link.is_full:
            events, self._events = self._events, []
            self.link.send(Kind.EVENTS, write_events(events))


class WireHandler(logging.Handler):
    """Brings what libraries say through ``logging`` to the node's log."""

    def __init__(self, serving: Serving) -> None:
        super().__init__(logging.WARNING)
        self._serving = serving
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record on; from any thread."""
        text = self.format(record)[:MAX_TRACE]
        said = Said(record.name, record.levelno, text)
        self._loop.call_soon_threadsafe(self._serving.tell, said)
