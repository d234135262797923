"""Pop3House: everything that a POP3 session needs, in memory; the test plays the client."""

import asyncio
from dataclasses import dataclass, field

from tests.fakes.clock import ManualClock
from tests.fakes.directory_store import MemoryDirectoryStore
from tests.fakes.login_house import FakeChecker, FakeGuard
from tests.fakes.mailbox_store import MemoryMailboxStore
from tests.fakes.stream import MemoryStream

from postroom.access.pop3 import Pop3Service
from postroom.config.model import DeliverySettings, Pop3Settings
from postroom.directory.directory import Directory
from postroom.directory.login import LoginDesk
from postroom.directory.model import Account
from postroom.mail.session import Client, Role
from postroom.report.events import Report
from postroom.report.reporter import Reporter

NAME, PASSWORD = "anna@example.org", "two  words"


@dataclass
class Pop3House:
    """One account, ``anna@example.org``; role ``pop3s`` unless told otherwise. Close it at the end."""

    role: Role = Role.POP3S
    offers_tls: bool = True
    max_errors: int = 20
    directory_store: MemoryDirectoryStore = field(default_factory=MemoryDirectoryStore)
    guard: FakeGuard = field(default_factory=FakeGuard)
    mailboxes: MemoryMailboxStore = field(default_factory=MemoryMailboxStore)
    clock: ManualClock = field(default_factory=ManualClock)
    reports: list[Report] = field(default_factory=list)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    streams: list[MemoryStream] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.anna: Account = self.directory_store.add_account(NAME, password="set")
        directory = Directory(self.directory_store, DeliverySettings(), self.clock)
        self.checker = FakeChecker(directory, {NAME: PASSWORD})
        reporter = Reporter([self.reports.append])
        self.service = Pop3Service(
            self.role,
            settings=Pop3Settings(max_errors=self.max_errors),
            tls_timeout=30,
            offers_tls=self.offers_tls,
            desk=LoginDesk(self.checker, self.guard, reporter),
            mailboxes=self.mailboxes,
            clock=self.clock,
            reporter=reporter,
            node="here",
        )

    def add(self, *messages: bytes) -> list[int]:
        """Messages in anna's mailbox; their ids."""
        return [self.mailboxes.add(self.anna.account_id, message) for message in messages]

    def connect(self, stream: MemoryStream | None = None) -> MemoryStream:
        """A session that runs; the stream to talk to it."""
        stream = stream or MemoryStream()
        self.streams.append(stream)
        tls = stream.tls_facts if self.role is Role.POP3S else None
        stream.tls = tls is not None
        client = Client(len(self.tasks) + 1, self.role, stream.peer[0], stream.peer[1], tls=tls)
        self.tasks.append(asyncio.create_task(self.service.run(stream, client)))
        return stream

    async def log_in(self, stream: MemoryStream | None = None) -> MemoryStream:
        """A session that is logged in."""
        stream = self.connect(stream)
        stream.feed(f"USER {NAME}\r\nPASS {PASSWORD}\r\n".encode())
        for _ in range(3):
            line = await stream.read_line()
            assert line.startswith(b"+OK"), line
        return stream

    async def ended(self) -> None:
        """Wait until all sessions are over."""
        await asyncio.gather(*self.tasks)

    def told(self, *kinds: type[Report]) -> list[Report]:
        """The reports of these kinds."""
        return [report for report in self.reports if isinstance(report, kinds)]

    async def close(self) -> None:
        """End what still runs."""
        for stream in self.streams:
            stream.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
