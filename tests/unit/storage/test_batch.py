"""Group commit without a database: gathering, waking, cancelling, closing."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from postroom.mail.trouble import StoreUnavailable
from postroom.storage.batch import BatchWriter, Done, Kind, Outcome, Refused, Write


class Ledger:
    """A committer that writes down what it is given. Commits wait while ``gate`` is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.closed = False

    def commit(self, batch: Sequence[Write["Ledger"]]) -> Sequence[Outcome]:
        self.busy.set()
        self.gate.wait(10)
        self.batches.append([write.argument for write in batch])
        return [
            Refused(ValueError("odd")) if write.argument % 2 else Done(result)
            for write, result in zip(batch, NOTE.run(self, [write.argument for write in batch]), strict=True)
        ]

    def close(self) -> None:
        self.closed = True


def _double(ledger: Ledger, arguments: Sequence[int]) -> Sequence[int]:
    return [2 * argument for argument in arguments]


NOTE: Kind[Ledger, int, int] = Kind("note", _double)


async def until_busy(ledger: Ledger) -> None:
    await asyncio.to_thread(ledger.busy.wait, 10)


async def test_an_idle_writer_commits_one_at_once() -> None:
    ledger = Ledger()
    writer = BatchWriter(ledger, max_batch=10)
    assert await writer.submit(NOTE, 4) == 8
    assert ledger.batches == [[4]]
    await writer.close()
    assert ledger.closed


async def test_what_arrives_during_a_commit_is_one_batch() -> None:
    ledger = Ledger()
    ledger.gate.clear()
    writer = BatchWriter(ledger, max_batch=100)
    first = writer.submit(NOTE, 0)
    await until_busy(ledger)
    rest = [writer.submit(NOTE, number) for number in range(2, 12, 2)]
    ledger.gate.set()
    assert await asyncio.gather(first, *rest) == [0, 4, 8, 12, 16, 20]
    assert ledger.batches == [[0], [2, 4, 6, 8, 10]]
    await writer.close()


async def test_a_batch_is_bounded_by_weight() -> None:
    ledger = Ledger()
    ledger.gate.clear()
    writer = BatchWriter(ledger, max_batch=4)
    first = writer.submit(NOTE, 0)
    await until_busy(ledger)
    rest = [writer.submit(NOTE, 2), writer.submit(NOTE, 4, weight=3), writer.submit(NOTE, 6, weight=9)]
    rest.append(writer.submit(NOTE, 8))
    ledger.gate.set()
    await asyncio.gather(first, *rest)
    assert ledger.batches == [[0], [2, 4], [6], [8]]
    await writer.close()


async def test_who_fails_fails_alone() -> None:
    writer = BatchWriter(Ledger(), max_batch=10)
    results = await asyncio.gather(*[writer.submit(NOTE, number) for number in range(4)], return_exceptions=True)
    assert [results[0], results[2]] == [0, 4]
    assert isinstance(results[1], ValueError)
    assert isinstance(results[3], ValueError)
    await writer.close()


async def test_who_stopped_waiting_harms_nobody() -> None:
    ledger = Ledger()
    ledger.gate.clear()
    writer = BatchWriter(ledger, max_batch=10)
    first = writer.submit(NOTE, 0)
    await until_busy(ledger)
    impatient, patient = writer.submit(NOTE, 2), writer.submit(NOTE, 4)
    impatient.cancel()
    ledger.gate.set()
    assert await first == 0
    assert await patient == 8
    assert impatient.cancelled()
    await writer.close()


async def test_closing_commits_what_waits_and_refuses_what_comes() -> None:
    ledger = Ledger()
    ledger.gate.clear()
    writer = BatchWriter(ledger, max_batch=2)
    waiting = [writer.submit(NOTE, number) for number in range(0, 10, 2)]
    closing = asyncio.ensure_future(writer.close())
    await asyncio.sleep(0)
    late = writer.submit(NOTE, 12)
    ledger.gate.set()
    assert await asyncio.gather(*waiting) == [0, 4, 8, 12, 16]
    await closing
    await writer.close()
    with pytest.raises(StoreUnavailable):
        await late


def test_a_loop_that_is_gone_is_no_trouble_for_the_writer() -> None:
    ledger = Ledger()

    async def leave() -> BatchWriter[Ledger]:
        ledger.gate.clear()
        writer = BatchWriter(ledger, max_batch=2)
        writer.submit(NOTE, 0).cancel()
        await until_busy(ledger)
        return writer

    writer = asyncio.run(leave())
    (thread,) = [one for one in threading.enumerate() if one.name == "postroom-writer"]
    writer._waiting.put(None)
    ledger.gate.set()
    thread.join(10)
    assert ledger.batches == [[0]]
    assert ledger.closed
