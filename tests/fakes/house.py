"""The whole queue room in memory: a directory, a door, a settler, a scheduler, with every fake within reach."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from tests.fakes.carrier import FakeCarrier, FakeRouter, FakeShaper
from tests.fakes.clock import ManualClock
from tests.fakes.queue_store import MemoryQueueStore

from postroom.config.model import QueueSettings
from postroom.config.road import RouteSettings, ScheduleSettings
from postroom.directory.model import Account, NotLocal, Resolution, Resolved, Unknown
from postroom.mail.address import Address
from postroom.mail.delivery import RouteKind
from postroom.mail.envelope import Envelope, Notify, Recipient
from postroom.mail.message import Message, QueueIds
from postroom.queue.admission import QueueAdmission
from postroom.queue.dsn import DsnMaker
from postroom.queue.intake import IntakeDoor
from postroom.queue.model import Draft
from postroom.queue.outage import Outage
from postroom.queue.scheduler import Scheduler
from postroom.queue.schedules import Schedules
from postroom.queue.settle import Settler
from postroom.queue.ways import Ways
from postroom.report.events import Report
from postroom.report.reporter import Reporter

R = TypeVar("R")

HOST = "mx.home.example"
CONTENT = b"From: ann@home.example\r\nMessage-ID: <1@home.example>\r\nSubject: hi\r\n\r\nHello\r\n"


def account(number: int, address: str) -> Account:
    """An account of the house."""
    return Account(number, Address.parse(address), "", 0, True, 0.0)


class House:
    """home.example is ours: ann and ben have mailboxes. ``resolutions`` may add more by address."""

    def __init__(
        self, schedules: Sequence[ScheduleSettings] = (), routes: Sequence[RouteSettings] = (), **settings: object
    ) -> None:
        self.settings = QueueSettings(**{"poll": 3600.0, "retry_jitter": 0.0, **settings})
        self.clock = ManualClock()
        self.reports: list[Report] = []
        self.reporter = Reporter([self.reports.append])
        self.store = MemoryQueueStore()
        self.carrier = FakeCarrier(self.clock)
        self.router = FakeRouter()
        self.shaper = FakeShaper()
        self.resolutions: dict[str, Resolution] = {
            "ann@home.example": Resolved((account(1, "ann@home.example"),)),
            "ben@home.example": Resolved((account(2, "ben@home.example"),)),
        }
        self.ids = QueueIds(self.clock.now)
        self.outage = Outage(self.reporter)
        self.ways = Ways(self.router)
        self.dsns = DsnMaker(
            hostname=HOST,
            contents=self.store,
            resolve=self.resolve,
            ids=self.ids,
            clock=self.clock,
            reporter=self.reporter,
            ways=self.ways,
        )
        self.settler = Settler(
            settings=self.settings,
            node="one",
            store=self.store,
            dsns=self.dsns,
            clock=self.clock,
            reporter=self.reporter,
            outage=self.outage,
            chance=lambda: 0.5,
            schedules=Schedules(self.settings, schedules, routes),
        )
        self.concurrency = 500

    def open(self) -> None:
        """Build what depends on what a test has changed."""
        self.scheduler = Scheduler(
            settings=self.settings,
            concurrency=self.concurrency,
            node="one",
            store=self.store,
            router=self.router,
            shaper=self.shaper,
            carriers=dict.fromkeys(RouteKind, self.carrier),
            settler=self.settler,
            clock=self.clock,
            reporter=self.reporter,
            outage=self.outage,
        )
        self.admission = QueueAdmission(
            store=self.store, ready=self.scheduler, clock=self.clock, reporter=self.reporter, outage=self.outage
        )
        self.door = IntakeDoor(
            admission=self.admission,
            resolve=self.resolve,
            dsns=self.dsns,
            clock=self.clock,
            reporter=self.reporter,
            ways=self.ways,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["House"]:
        """With the scheduler at work."""
        self.open()
        running = asyncio.create_task(self.scheduler.run())
        await self.clock.pass_time(0)
        try:
            yield self
        finally:
            if not running.done():
                drain = asyncio.create_task(self.scheduler.drain(1.0))
                await self.clock.pass_time(5)
                await drain
                await running

    async def resolve(self, address: Address) -> Resolution:
        found = self.resolutions.get(address.key)
        if found is not None:
            return found
        return Unknown() if address.domain == "home.example" else NotLocal()

    def draft(
        self,
        *to: str | Recipient,
        sender: str | None = "ann@home.example",
        content: bytes | None = CONTENT,
        notify: Notify | None = None,
        asks: Mapping[str, object] | None = None,
        **fields: object,
    ) -> Draft:
        """A draft from Ann to whom the test names; ``asks`` are further fields of its envelope."""
        recipients = tuple(one if isinstance(one, Recipient) else Recipient(Address.parse(one), notify) for one in to)
        reverse_path = None if sender is None else Address.parse(sender)
        now = self.clock.now()
        envelope = Envelope(reverse_path, recipients, **(asks or {}))  # type: ignore[arg-type]
        return Draft(self.ids.next(), now, envelope, content, **fields)  # type: ignore[arg-type]

    async def send(self, *to: str | Recipient, **fields: object) -> Message:
        """Through the door."""
        return await self.door.accept(self.draft(*to, **fields))  # type: ignore[arg-type]

    def told(self, kind: type[R]) -> list[R]:
        """The reports of one kind so far."""
        return [report for report in self.reports if isinstance(report, kind)]

    def inbox(self, number: int) -> Sequence[bytes]:
        """The contents that stand in an account's mailbox."""
        return [content for _, _, content in self.store.entries_of.get(number, [])]
