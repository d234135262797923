"""What SMTP services ask: real directory and policy over stores in memory, and a door that keeps what it is given."""

from dataclasses import dataclass, field
from typing import TypeVar

from tests.fakes.directory_store import MemoryDirectoryStore
from tests.fakes.hand_clock import HandClock
from tests.fakes.login_house import FakeChecker, FakeGuard
from tests.fakes.memory_house import MemoryHistory
from tests.fakes.queue_store import MemoryQueueStore
from tests.fakes.suppression_store import MemorySuppressionStore

from postroom.config.guard import FloodSettings
from postroom.config.model import DeliverySettings, SmtpSettings
from postroom.config.road import ReturnsSettings, SuppressionSettings
from postroom.directory.directory import Directory
from postroom.inbound.service import House
from postroom.mail.message import Message, QueueIds
from postroom.mail.returnpath import ReturnPaths
from postroom.queue.model import Draft
from postroom.queue.returning import Returns
from postroom.report.events import Report
from postroom.report.reporter import Reporter
from postroom.reputation.listing import SuppressionList

R = TypeVar("R", bound=Report)

SECRET = b"r" * 32
"""What return paths are made with."""

NOW = 1_800_000_000.0
"""Friday, 15 January 2027, 08:00:00 UTC."""


@dataclass
class KeepingDoor:
    """``drafts`` is what came in; ``error`` is raised instead of taking the next one in."""

    drafts: list[Draft] = field(default_factory=list)
    error: BaseException | None = None

    async def accept(self, draft: Draft) -> Message:
        if self.error is not None:
            raise self.error
        self.drafts.append(draft)
        return Message(draft.queue_id, draft.received_at, draft.envelope, draft.prefix, draft.content_size)


class SmtpHouse:
    """Everything that a session asks, with handles for the test."""

    def __init__(
        self,
        settings: SmtpSettings | None = None,
        *,
        flood: FloodSettings | None = None,
        hostname: str = "mx.example.org",
        offers_tls: bool = True,
        tls_timeout: float = 30,
    ) -> None:
        self.clock = HandClock(NOW)
        self.reports: list[Report] = []
        self.people = MemoryDirectoryStore()
        self.directory = Directory(self.people, DeliverySettings(), self.clock)
        self.checker = FakeChecker(self.directory)
        self.guard = FakeGuard()
        self.door = KeepingDoor()
        self.store = MemoryQueueStore()
        self.suppressed = MemorySuppressionStore()
        self.returns = Returns(
            settings=ReturnsSettings(),
            paths=ReturnPaths(SECRET, 14 * 86400),
            resolve=self.directory.resolve,
            is_local=self.directory.is_local,
            history=MemoryHistory(self.store.history),
            clock=self.clock,
        )
        self.house = House(
            hostname=hostname,
            settings=settings or SmtpSettings(),
            flood=flood or FloodSettings(pregreet=False, tarpit=0),
            tls_timeout=tls_timeout,
            offers_tls=offers_tls,
            directory=self.directory,
            checker=self.checker,
            guard=self.guard,
            door=self.door,
            store=self.store,
            queue_ids=QueueIds(self.clock.now),
            clock=self.clock,
            reporter=Reporter([self.reports.append]),
            resolver=self.returns,
            suppressions=SuppressionList(self.suppressed, SuppressionSettings()),
        )

    def told(self, kind: type[R]) -> list[R]:
        """The reports of one kind."""
        return [report for report in self.reports if isinstance(report, kind)]
