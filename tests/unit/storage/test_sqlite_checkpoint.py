"""Copying the log beside the writer."""

import itertools
import threading
import time
from pathlib import Path

import apsw
import pytest

from postroom.storage.sqlite.checkpoint import Checkpointer
from postroom.storage.sqlite.connection import connect

PAGES = 40
BIG = bytes(8000)


class Opener:
    """Opens connections, or fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault: apsw.Error | None = None
        self.asked = threading.Event()

    def __call__(self) -> apsw.Connection:
        self.asked.set()
        if self.fault is not None:
            raise self.fault
        return connect(self.path, read_only=False)


@pytest.fixture
def opener(tmp_path: Path) -> Opener:
    return Opener(tmp_path / "some.db")


@pytest.fixture
def connection(opener: Opener) -> apsw.Connection:
    connection = connect(opener.path, read_only=False)
    connection.execute("CREATE TABLE t (x)")
    return connection


def log_size(opener: Opener) -> int:
    return opener.path.with_name("some.db-wal").stat().st_size


def remaining(connection: apsw.Connection) -> int:
    pages, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    return pages - copied


def write(connection: apsw.Connection, checkpointer: Checkpointer, times: int) -> None:
    for _ in range(times):
        checkpointer.tend(connection)
        connection.execute("INSERT INTO t VALUES (?)", (BIG,))


def test_the_log_of_a_busy_writer_stays_short(opener: Opener, connection: apsw.Connection) -> None:
    ticks = itertools.count()
    checkpointer = Checkpointer(opener, lambda: next(ticks), log_pages=PAGES)
    written = 0
    deadline = time.monotonic() + 60
    while not (opener.asked.is_set() and written > 4 * log_size(opener)):  # the log began anew, several times
        assert time.monotonic() < deadline
        write(connection, checkpointer, 10)
        written += 10 * len(BIG)
    checkpointer.close()
    assert connection.execute("SELECT count(*) FROM t").get == written // len(BIG)


def test_a_short_log_is_left_alone(opener: Opener, connection: apsw.Connection) -> None:
    checkpointer = Checkpointer(opener, lambda: 0.0, log_pages=1000)
    write(connection, checkpointer, 10)
    checkpointer.close()
    assert not opener.asked.is_set()
    assert remaining(connection) > 10


def test_the_writer_copies_when_the_log_is_far_too_long(opener: Opener, connection: apsw.Connection) -> None:
    checkpointer = Checkpointer(opener, time.monotonic, log_pages=1)
    for _ in range(20):
        connection.execute("INSERT INTO t VALUES (?)", (BIG,))
    checkpointer.tend(connection)
    assert remaining(connection) == 0
    assert not opener.asked.is_set()
    checkpointer.close()


def test_a_copy_that_fails_is_tried_again(opener: Opener, connection: apsw.Connection) -> None:
    now = 0.0
    checkpointer = Checkpointer(opener, lambda: now, log_pages=PAGES)
    opener.fault = apsw.CantOpenError("no")
    deadline = time.monotonic() + 60
    write(connection, checkpointer, 2 * PAGES)
    for fault in (apsw.CantOpenError("no"), None):
        opener.fault = fault
        opener.asked.clear()
        while not opener.asked.is_set():
            assert time.monotonic() < deadline
            now += 1
            checkpointer.tend(connection)
    while remaining(connection):
        assert time.monotonic() < deadline
        checkpointer.tend(connection)
    checkpointer.close()


def test_trouble_with_the_log_is_not_the_writers(opener: Opener, connection: apsw.Connection) -> None:
    checkpointer = Checkpointer(opener, time.monotonic, log_pages=PAGES)
    connection.close()
    checkpointer.tend(connection)
    checkpointer.close()
    assert not opener.asked.is_set()
