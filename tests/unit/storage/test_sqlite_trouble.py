"""SQLite in trouble: full, short of space, busy, broken, and well again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.letters import NOON, an_intake, queue_id, relayed, settled

from postroom.mail.trouble import StoreUnavailable
from postroom.queue.model import ContentChunk, Lease, LeaseQuestion, QueueFilter
from postroom.storage.batch import BatchWriter
from postroom.storage.sqlite.committer import SqliteCommitter
from postroom.storage.sqlite.connection import connect
from postroom.storage.sqlite.migrate import migrate, migrations
from postroom.storage.sqlite.queue import SqliteQueue
from postroom.storage.sqlite.reader import Reader

RESERVE = 4 << 20
LEASE = Lease("node-1", NOON + 900)
BIG = bytes(range(256)) * 200


@dataclass
class Disk:
    """A database on a disk whose troubles are fields."""

    path: Path
    max_pages: int = 0
    """0: no limit."""
    free: int = 1 << 40
    capacity: int = 0
    """If not 0: what is free depends on what the files take."""
    fault: Exception | None = None
    opened: list[apsw.Connection] = field(default_factory=list)

    def open(self) -> apsw.Connection:
        if self.fault is not None:
            raise self.fault
        connection = connect(self.path, read_only=False)
        connection.set_busy_timeout(20)
        self.opened.append(connection)
        self.limit()
        return connection

    def free_space(self, path: Path) -> int:
        if self.fault is not None:
            raise self.fault
        return self.capacity - self.used() if self.capacity else self.free

    def used(self) -> int:
        return sum(file.stat().st_size for file in self.path.parent.iterdir())

    def limit(self) -> None:
        """Apply ``max_pages`` to the connection in use."""
        self.opened[-1].pragma("max_page_count", self.max_pages or 0xFFFFFFFE)

    def pages(self) -> int:
        connection = connect(self.path, read_only=True)
        try:
            return int(connection.pragma("page_count"))
        finally:
            connection.close()


Queue = tuple[SqliteQueue, Disk, HandClock]


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    disk = Disk(tmp_path / "postroom.db")
    migrate(connect(disk.path, read_only=False), migrations())
    clock = HandClock()
    committer = SqliteCommitter(
        disk.path, reserve=RESERVE, open_connection=disk.open, clock=clock.monotonic, free=disk.free_space
    )
    writer = BatchWriter(committer, max_batch=500)
    reader = Reader(lambda: connect(disk.path, read_only=True), "test")
    yield SqliteQueue(writer, reader, reader), disk, clock
    await writer.close()
    await reader.close()


async def ids(queue: SqliteQueue) -> list[int]:
    return [entry.message.queue_id - queue_id(0) for entry in await queue.entries(QueueFilter(), limit=10_000)]


async def outcome(write: Awaitable[None]) -> Exception | None:
    try:
        await write
    except StoreUnavailable as error:
        return error
    return None


async def test_a_full_database_takes_what_fits_loses_nothing_and_recovers(queue: Queue) -> None:
    store, disk, _ = queue
    await store.take_in([an_intake(1, content=BIG, lease=LEASE)])
    disk.max_pages = disk.pages() + 40
    disk.limit()
    results = await asyncio.gather(
        *[outcome(store.take_in([an_intake(n, content=BIG, lease=LEASE)])) for n in range(2, 30)]
    )
    refused = [n for n, result in enumerate(results, 2) if result is not None]
    assert refused
    assert all(isinstance(result, StoreUnavailable) and result.full for result in results if result is not None)
    kept = [n for n in range(1, 30) if n not in refused]
    assert await ids(store) == kept
    # Settling frees space, and the space is used again.
    await store.settle([settled(n, "node-1", relayed(an_intake(n).queued[0])) for n in kept])
    assert await ids(store) == []
    await store.take_in([an_intake(refused[0], content=BIG, lease=LEASE)])
    assert await ids(store) == [refused[0]]


async def test_within_the_reserve_only_essential_writes_are_done(queue: Queue) -> None:
    store, disk, clock = queue
    await store.take_in([an_intake(1, lease=LEASE), an_intake(2)])
    disk.free = RESERVE - 1
    clock.advance(60)
    results = await asyncio.gather(
        outcome(store.take_in([an_intake(3)])),
        outcome(store.settle([settled(1, "node-1", relayed(an_intake(1).queued[0]))])),
        outcome(store.write_chunks([ContentChunk(queue_id(4), 0, b"x")])),
        outcome(store.renew([queue_id(2)], LEASE)),
    )
    for refused in (results[0], results[2]):
        assert isinstance(refused, StoreUnavailable)
        assert refused.full
    assert results[1] is results[3] is None
    answer = await store.lease(LeaseQuestion(NOON, LEASE, 10, 10))
    assert [message.message.queue_id for message in answer.messages] == [queue_id(2)]
    disk.free = RESERVE + (1 << 20)
    clock.advance(60)
    await store.take_in([an_intake(3)])
    assert await ids(store) == [2, 3]


async def test_a_disk_that_cannot_be_asked(queue: Queue) -> None:
    store, disk, clock = queue
    disk.fault = OSError("no such device")
    clock.advance(60)
    with pytest.raises(StoreUnavailable):
        await store.take_in([an_intake(1)])
    disk.fault = None
    clock.advance(60)
    await store.take_in([an_intake(1)])
    assert await ids(store) == [1]


async def test_a_database_that_cannot_be_opened_is_tried_again(queue: Queue) -> None:
    store, disk, _ = queue
    disk.fault = apsw.CantOpenError("unable to open database file")
    with pytest.raises(StoreUnavailable) as refusal:
        await store.take_in([an_intake(1)])
    assert not refusal.value.full
    disk.fault = None
    await store.take_in([an_intake(1)])
    assert await ids(store) == [1]


async def test_another_writer_only_delays(queue: Queue) -> None:
    store, disk, _ = queue
    other = connect(disk.path, read_only=False)
    other.execute("BEGIN IMMEDIATE")
    results = await asyncio.gather(*[outcome(store.take_in([an_intake(n)])) for n in range(3)])
    assert all(isinstance(result, StoreUnavailable) and not result.full for result in results)
    other.execute("COMMIT")
    other.close()
    await store.take_in([an_intake(1)])
    assert await ids(store) == [1]


Break = Callable[[apsw.Connection], None]


class _Fault:
    """Makes the engine's commits fail the way a failing disk does."""

    def __init__(self, error: type[apsw.Error], times: int) -> None:
        self.error = error
        self.left = times

    def __call__(self) -> bool:
        if self.left:
            self.left -= 1
            raise self.error("disk I/O error")
        return False


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_commit_that_fails_is_tried_again_on_a_fresh_connection(queue: Queue, times: int) -> None:
    store, disk, _ = queue
    await store.take_in([an_intake(0)])
    disk.opened[-1].set_commit_hook(_Fault(apsw.IOError, times))
    results = await asyncio.gather(*[outcome(store.take_in([an_intake(n)])) for n in range(1, 6)])
    refused = [n for n, result in enumerate(results, 1) if result is not None]
    assert await ids(store) == [n for n in range(6) if n not in refused]
    await store.take_in([an_intake(9)])
    assert (await ids(store))[-1] == 9
    assert len(disk.opened) >= (2 if refused else 1)


async def test_one_bad_item_in_a_batch_of_kinds(queue: Queue) -> None:
    store, _, _ = queue
    await store.take_in([an_intake(1, lease=LEASE), an_intake(2, lease=LEASE)])
    results = await asyncio.gather(
        outcome(store.take_in([an_intake(1)])),  # the id is taken
        outcome(store.take_in([an_intake(3)])),
        outcome(store.settle([settled(1, "node-1", relayed(an_intake(1).queued[0]))])),
        outcome(store.settle([settled(2, "node-1", relayed(an_intake(2).queued[0]), dsn=an_intake(3))])),
    )
    assert [result is None for result in results] == [False, True, True, False]
    assert await ids(store) == [2, 3]


async def test_the_log_gives_its_space_back_when_the_disk_is_short(queue: Queue) -> None:
    store, disk, clock = queue
    for number in range(20):
        await store.take_in([an_intake(number, content=BIG)])
    log = disk.path.with_name("postroom.db-wal")
    assert log.stat().st_size > 1_000_000
    disk.free = RESERVE - 1
    clock.advance(60)
    with pytest.raises(StoreUnavailable):
        await store.take_in([an_intake(99)])
    assert log.stat().st_size == 0
    assert len(await ids(store)) == 20


@pytest.mark.parametrize("capacity", [12 << 20, 20 << 20])
async def test_a_disk_that_fills_up_never_overflows_and_settling_goes_on(queue: Queue, capacity: int) -> None:
    store, disk, clock = queue
    disk.capacity = capacity
    clock.advance(60)
    kept: list[int] = []

    async def offer(numbers: range) -> int:
        results = await asyncio.gather(
            *[outcome(store.take_in([an_intake(n, content=BIG, lease=LEASE)])) for n in numbers]
        )
        kept.extend(n for n, result in zip(numbers, results, strict=True) if result is None)
        assert disk.used() <= capacity
        clock.advance(1)
        return results.count(None)

    taken = [await offer(range(n, n + 10)) for n in range(0, 500, 10)]
    assert taken[0] == 10
    assert taken[-1] == 0
    while len(kept) > 20:
        number = kept.pop()
        await store.settle([settled(number, "node-1", relayed(an_intake(number).queued[0]))])
        assert disk.used() <= capacity
    assert await ids(store) == sorted(kept)
    assert await offer(range(1000, 1010)) == 10
    assert await ids(store) == sorted(kept)
