"""Reading reports once they are safe: what is kept and told of them, whatever they are, and in which bounds."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from tests.fakes import reported_mail as samples
from tests.fakes.hand_clock import HandClock
from tests.fakes.reported_mail import mail, zipped
from tests.fakes.reported_store import MemoryReportedStore

from postroom.config.reports import ReportsSettings
from postroom.mail.message import QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.reports.model import Report as Read
from postroom.mailauth.reports.model import ReportKind
from postroom.mailauth.reports.unpack import MOST_CONTENT, Breathe, read_message
from postroom.queue.reported import MOST_AT_ONCE, ReadReports, ReportDesk
from postroom.queue.reportmodel import ReportedMail, ReportNote
from postroom.report.events import InternalError, Report
from postroom.report.received import ReportReceived, ReportUnread
from postroom.report.reporter import Reporter

NOW = 1_800_000_000.0
SOUND = mail(zipped(samples.PLAIN_FORM.encode()))


class World:
    """A desk and what it is given."""

    def __init__(self, read: ReadReports = read_message, **settings: object) -> None:
        self.clock = HandClock(NOW)
        self.store = MemoryReportedStore()
        self.told: list[Report] = []
        self.pieces: dict[int, list[bytes]] = {}
        self.fetched = 0
        self.desk = ReportDesk(
            store=self.store,
            contents=self,
            read=read,
            settings=ReportsSettings.model_validate(settings),
            clock=self.clock,
            reporter=Reporter([self.told.append]),
            rest=0.0,
        )

    async def read_content(self, queue_id: QueueId) -> AsyncIterator[bytes]:
        for piece in self.pieces[queue_id]:
            self.fetched += len(piece)
            yield piece

    def note(self, content: bytes | None, number: int = 1, author: str | None = None, domain: str = "ours") -> None:
        note = ReportNote((f"dmarc-reports@{domain}.example",), author)
        self.store.noted.append(ReportedMail(QueueId(number), NOW, note, content))

    @property
    def kinds(self) -> list[ReportKind]:
        return [one.kind for one in self.store.reports.kept]


async def test_a_report_is_kept_and_told() -> None:
    world = World()
    world.note(SOUND, 7, "big.example")
    assert await world.desk.work() == 1
    (kept,) = world.store.reports.kept
    assert (kept.kind, kept.domain, kept.came_to, kept.author, kept.queue_id) == (
        ReportKind.DMARC, "example.org", "ours.example", "big.example", 7,
    )  # fmt: skip
    assert world.told == [
        ReportReceived(
            QueueId(7), "dmarc", "example.org", "big.example", "4711081547110815", 120, 3, "big.example", "new"
        )
    ]
    (row,) = world.store.history
    assert (row.kind, row.recipient) == ("reported", "dmarc-reports@ours.example")
    assert await world.desk.work() == 0


async def test_what_is_known_or_too_much_is_told_as_that() -> None:
    world = World(max_per_day=1)
    world.note(SOUND, 1)
    world.note(SOUND, 2)
    world.note(mail(samples.TERSE_FORM.encode(), "text/xml", name="a.xml"), 3)
    await world.desk.work()
    assert [told.outcome for told in world.told if isinstance(told, ReportReceived)] == ["new", "known", "too many"]


@pytest.mark.parametrize("content", [b"", b"Subject: buy\r\n\r\nnow", SOUND[:700], mail(b"PK\x03\x04nothing")])
async def test_what_cannot_be_read_is_noted_with_its_reason(content: bytes) -> None:
    world = World()
    world.note(content)
    await world.desk.work()
    assert world.kinds == [ReportKind.UNREADABLE]
    (told,) = world.told
    assert isinstance(told, ReportUnread)
    assert told.domain == "ours.example"
    assert told.reason in world.store.history[0].detail
    assert world.store.noted == []


async def test_large_content_is_fetched_and_no_more_of_it_than_need_be() -> None:
    world = World()
    world.pieces[1] = [SOUND[:500], SOUND[500:]]
    world.note(None, 1)
    world.pieces[2] = [b"x" * (1 << 20)] * 1000
    world.note(None, 2)
    await world.desk.work()
    assert world.kinds == [ReportKind.DMARC, ReportKind.UNREADABLE]
    assert world.fetched <= MOST_CONTENT + (2 << 20)


async def test_content_that_is_gone() -> None:
    world = World()
    world.note(None, 3)
    await world.desk.work()
    assert world.kinds == [ReportKind.UNREADABLE]


async def test_a_fault_of_ours_stops_nothing() -> None:
    def read(content: bytes, breathe: Breathe) -> tuple[Read, ...]:
        if content == b"bad":
            raise ZeroDivisionError("nobody foresaw it")
        return read_message(content, breathe)

    world = World(read)
    world.note(b"bad", 1)
    world.note(SOUND, 2)
    await world.desk.work()
    assert world.kinds == [ReportKind.UNREADABLE, ReportKind.DMARC]
    assert isinstance(world.told[0], InternalError)


async def test_who_comes_second_says_nothing() -> None:
    world = World()
    world.note(SOUND, 1)
    world.store.taken = {QueueId(1)}
    await world.desk.work()
    assert world.told == []


async def test_while_the_store_is_away_it_stays_noted() -> None:
    world = World()
    world.note(SOUND)
    world.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        await world.desk.work()
    world.store.unavailable = False
    await world.desk.work()
    assert world.kinds == [ReportKind.DMARC]


async def test_a_flood_is_not_even_opened_and_ends_with_the_day() -> None:
    opened = 0

    def read(content: bytes, breathe: Breathe) -> tuple[Read, ...]:
        nonlocal opened
        opened += 1
        return read_message(content, breathe)

    world = World(read, max_per_day=5)
    for number in range(100):
        world.note(b"Subject: %d\r\n\r\n" % number, number + 1)
    world.note(SOUND, 200, domain="quiet")
    await world.desk.work()
    assert opened == 20 + 1
    assert world.kinds.count(ReportKind.UNREADABLE) == 5
    world.clock.advance(86400)
    world.note(SOUND, 300)
    await world.desk.work()
    assert opened == 22


async def test_so_many_at_once_and_no_more() -> None:
    world = World()
    for number in range(MOST_AT_ONCE + 50):
        world.note(b"", number + 1)
    assert await world.desk.work() == MOST_AT_ONCE
    assert await world.desk.work() == 50


async def test_a_stop_ends_what_is_being_read_and_it_is_read_again() -> None:
    begun, ended = threading.Event(), threading.Event()

    def read(_: bytes, breathe: Breathe) -> tuple[Read, ...]:
        begun.set()
        try:
            while True:
                breathe()
        finally:
            ended.set()

    world = World(read)
    world.note(SOUND)
    task = asyncio.create_task(world.desk.work())
    assert await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 30)
    assert len(world.store.noted) == 1
