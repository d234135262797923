"""The reading threads."""

import asyncio
import threading
from pathlib import Path

import apsw
import pytest

from postroom.mail.trouble import StoreUnavailable
from postroom.storage.sqlite.connection import connect
from postroom.storage.sqlite.reader import Reader


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "some.db"
    connection = connect(path, read_only=False)
    connection.execute("CREATE TABLE t (x); INSERT INTO t VALUES (7)")
    connection.close()
    return path


def ask(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT x FROM t").get)


def write(connection: apsw.Connection) -> None:
    connection.execute("DELETE FROM t")


async def test_many_questions_are_answered_in_order(path: Path) -> None:
    reader = Reader(lambda: connect(path, read_only=True), "test")
    order: list[int] = []

    def numbered(number: int) -> int:
        order.append(number)
        return number

    futures = [reader.run(lambda _, n=number: numbered(n)) for number in range(100)]  # type: ignore[misc]
    assert await asyncio.gather(*futures) == order == list(range(100))
    await reader.close()


async def test_a_reader_cannot_write(path: Path) -> None:
    reader = Reader(lambda: connect(path, read_only=True), "test")
    with pytest.raises(StoreUnavailable):
        await reader.run(write)
    assert await reader.run(ask) == 7
    await reader.close()


async def test_what_a_question_raises_reaches_who_asked(path: Path) -> None:
    reader = Reader(lambda: connect(path, read_only=True), "test")

    def raises(connection: apsw.Connection) -> None:
        raise KeyError(5)

    with pytest.raises(KeyError):
        await reader.run(raises)
    await reader.close()


async def test_who_stopped_waiting_is_not_answered(path: Path) -> None:
    reader = Reader(lambda: connect(path, read_only=True), "test")
    gate, busy = threading.Event(), threading.Event()

    def wait(connection: apsw.Connection) -> None:
        busy.set()
        gate.wait(10)

    first, second, last = reader.run(wait), reader.run(ask), reader.run(ask)
    await asyncio.to_thread(busy.wait, 10)
    first.cancel()
    second.cancel()
    gate.set()
    assert await last == 7
    await reader.close()


async def test_closing_answers_what_waits(path: Path) -> None:
    reader = Reader(lambda: connect(path, read_only=True), "test")
    waiting = [reader.run(ask) for _ in range(40)]
    await reader.close()
    await reader.close()
    assert await asyncio.gather(*waiting) == [7] * 40
    with pytest.raises(StoreUnavailable):
        await reader.run(ask)


async def test_a_file_that_cannot_be_opened_is_tried_again(path: Path) -> None:
    fault: list[Exception] = [OSError("gone"), apsw.CantOpenError("gone")]

    def open_it() -> apsw.Connection:
        if fault:
            raise fault.pop()
        return connect(path, read_only=True)

    reader = Reader(open_it, "test")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await reader.run(ask)
    assert await reader.run(ask) == 7
    await reader.close()


def test_a_loop_that_is_gone_is_no_trouble(path: Path) -> None:
    gate = threading.Event()

    def wait(connection: apsw.Connection) -> None:
        gate.wait(10)

    async def leave() -> Reader:
        reader = Reader(lambda: connect(path, read_only=True), "left")
        reader.run(wait).cancel()
        return reader

    reader = asyncio.run(leave())
    (thread,) = [one for one in threading.enumerate() if one.name == "postroom-left"]
    reader._waiting.put(None)
    gate.set()
    thread.join(10)
    assert not thread.is_alive()
