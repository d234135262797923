"""What one batch does, in which order, and what of it stands when one of its writes fails."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.letters import NOON

from postroom.report.history import HistoryRow
from postroom.storage.batch import Done, Kind, Refused, Write
from postroom.storage.sqlite.committer import SqliteCommitter
from postroom.storage.sqlite.connection import connect
from postroom.storage.sqlite.migrate import migrate, migrations

ran: list[str] = []


def _run(connection: apsw.Connection, words: Sequence[str]) -> Sequence[str]:
    if "bad" in words:
        raise ValueError("bad")
    ran.extend(words)
    return words


def _history(word: str) -> Sequence[HistoryRow]:
    return [HistoryRow(len(word), NOON, word)]


FILL: Kind[apsw.Connection, str, str] = Kind("fill", _run, history=_history)
NOTE: Kind[apsw.Connection, str, str] = Kind("note", _run)
FREE: Kind[apsw.Connection, str, str] = Kind("free", _run, history=_history, first=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "postroom.db"
    connection = connect(path, read_only=False)
    migrate(connection, migrations())
    connection.close()
    return path


@pytest.fixture
def committer(path: Path) -> Iterator[SqliteCommitter]:
    ran.clear()
    committer = SqliteCommitter(
        path, reserve=0, open_connection=lambda: connect(path, read_only=False), clock=HandClock().monotonic
    )
    yield committer
    committer.close()


def write(kind: Kind[apsw.Connection, str, str], word: str) -> Write[apsw.Connection]:
    return Write(kind, word, 1, 0, asyncio.get_running_loop().create_future())


def kept(path: Path) -> list[str]:
    connection = connect(path, read_only=True)
    rows = connection.execute("SELECT kind FROM history ORDER BY history_id").fetchall()
    connection.close()
    return [str(kind) for (kind,) in rows]


async def test_what_frees_goes_first_and_the_answers_keep_their_order(committer: SqliteCommitter, path: Path) -> None:
    batch = [write(FILL, "a"), write(NOTE, "b"), write(FREE, "c"), write(FILL, "d"), write(FREE, "e")]
    outcomes = committer.commit(batch)
    assert outcomes == [Done("a"), Done("b"), Done("c"), Done("d"), Done("e")]
    assert ran == ["c", "e", "a", "d", "b"]
    assert kept(path) == ["a", "c", "d", "e"]


async def test_what_fails_leaves_no_history(committer: SqliteCommitter, path: Path) -> None:
    good, bad, other = committer.commit([write(FILL, "a"), write(FILL, "bad"), write(FREE, "c")])
    assert (good, other) == (Done("a"), Done("c"))
    assert isinstance(bad, Refused)
    assert kept(path) == ["a", "c"]


async def test_a_write_alone_leaves_its_history(committer: SqliteCommitter, path: Path) -> None:
    assert committer.commit([write(FILL, "a")]) == [Done("a")]
    assert isinstance(committer.commit([write(FILL, "bad")])[0], Refused)
    assert committer.commit([write(NOTE, "b")]) == [Done("b")]
    assert kept(path) == ["a"]
