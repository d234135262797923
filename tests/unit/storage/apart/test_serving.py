"""The end that has the store: writes are done, outcomes go back, a turn of the loop at a time."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from tests.fakes.far_store import open_far_store
from tests.fakes.letters import an_intake

from postroom.mail.trouble import StoreUnavailable
from postroom.net.apart.frames import WireError
from postroom.queue.model import QueueFilter
from postroom.storage.apart.asking import RemoteWriter
from postroom.storage.apart.serving import WriteServer
from postroom.storage.apart.written import read_answers, write_asked
from postroom.storage.batch import BatchWriter, Done, Kind, Outcome, Refused, Write
from postroom.storage.sqlite.migrate import StoreVersionError
from postroom.storage.sqlite.store import SqliteStore


def _double(_: apsw.Connection, arguments: Sequence[int]) -> Sequence[int]:
    return [2 * argument for argument in arguments]


NOTE: Kind[apsw.Connection, int, int] = Kind("note", _double)
STRANGE: Kind[apsw.Connection, int, int] = Kind("strange", _double)


class Ledger:
    """Commits without a database: what is odd is refused."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int, int]]] = []

    def commit(self, batch: Sequence[Write[apsw.Connection]]) -> Sequence[Outcome]:
        self.batches.append([(write.argument, write.weight, write.octets) for write in batch])
        return [Refused(ValueError("odd")) if write.argument % 2 else Done(2 * write.argument) for write in batch]

    def close(self) -> None:
        """Holds nothing."""


class Ends:
    """Both ends over one ledger; ``bodies`` are those of the answers."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ledger = Ledger()
        self.bodies: list[bytes] = []
        self.near: BatchWriter[apsw.Connection] = BatchWriter(self.ledger, max_batch=100)
        self.server = WriteServer(self.near, self._answer, {"note": NOTE})
        self.remote = RemoteWriter(lambda body: self._ask(loop, body))

    def _ask(self, loop: asyncio.AbstractEventLoop, body: bytes) -> None:
        loop.call_soon(self.server.asked, memoryview(body))

    def _answer(self, body: bytes) -> None:
        self.bodies.append(body)
        self.remote.answered(body)


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ends = Ends()
    yield ends
    await ends.near.close()


async def test_what_is_committed_together_is_answered_in_one_body(ends: Ends) -> None:
    futures = [ends.remote.submit(NOTE, n, weight=n, octets=10 * n) for n in range(4)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [results[0], results[2]] == [0, 4]
    assert [type(results[1]), type(results[3])] == [ValueError, ValueError]
    assert ends.ledger.batches == [[(0, 0, 0), (1, 1, 10), (2, 2, 20), (3, 3, 30)]]
    (body,) = ends.bodies
    assert read_answers(body).done == [(1, 0), (3, 4)]


async def test_one_after_the_other(ends: Ends) -> None:
    assert [await ends.remote.submit(NOTE, n) for n in (0, 2, 4)] == [0, 4, 8]
    assert len(ends.bodies) == 3


async def test_a_kind_that_is_not_known_cuts_the_link(ends: Ends) -> None:
    with pytest.raises(WireError, match="strange"):
        ends.server.asked(write_asked([(1, "note", 2, 1, 0), (2, "strange", 2, 1, 0)]))
    assert await ends.near.submit(NOTE, 4) == 8
    assert ends.ledger.batches == [[(4, 1, 0)]]  # nothing of it was done


async def test_what_is_no_writes_cuts_the_link(ends: Ends) -> None:
    with pytest.raises(WireError):
        ends.server.asked(pickle.dumps([(1,)]))


async def test_closing_the_store_is_told(ends: Ends) -> None:
    await ends.near.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await ends.remote.submit(NOTE, 2)


# With the database: what the contract suites ask is asked over a wire as well; here is what is particular.


async def test_what_is_written_far_away_is_read_at_once(tmp_path: Path) -> None:
    store = await open_far_store(tmp_path / "postroom.db")
    await asyncio.gather(*[store.queue.take_in([an_intake(n)]) for n in range(1, 4)])
    assert len(await store.queue.entries(QueueFilter(), limit=9)) == 3
    with pytest.raises(ValueError, match="octets"):
        await store.queue.take_in([replace(an_intake(4), content=b"x")])
    await store.close()


async def test_a_store_with_a_writer_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="there is no database"):
        await SqliteStore.open(tmp_path / "postroom.db", writer=RemoteWriter())
    assert list(tmp_path.iterdir()) == []


async def test_a_store_with_a_writer_does_not_bring_the_file_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "postroom.db"
    await (await SqliteStore.open(path)).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 1)
    connection.close()
    with pytest.raises(StoreVersionError):
        await SqliteStore.open(path, writer=RemoteWriter())


async def test_the_writer_stays_open_with_whoever_gave_it(tmp_path: Path) -> None:
    near = await SqliteStore.open(tmp_path / "postroom.db")
    far = await SqliteStore.open(tmp_path / "postroom.db", writer=near.writer)
    assert far.writer is near.writer
    await far.close()
    await near.queue.take_in([an_intake(1)])
    await near.close()
    with pytest.raises(StoreUnavailable):
        await near.queue.take_in([an_intake(2)])
