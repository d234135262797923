"""Opens connections to the database file, and says what their errors mean for mail."""

import os
from pathlib import Path

import apsw

from postroom.mail.trouble import StoreUnavailable

BUSY_TIMEOUT = 5000
"""Milliseconds to wait for another process that is writing (a command beside a running server)."""

PAGE_SIZE = 8192

_LARGEST_LOG = 64 << 20
"""Octets that a log which has grown beyond them is cut to."""

CACHE = 2 << 20
"""Octets of pages that a connection keeps. Little, because the system keeps the file's pages too: more made no write
faster, and a large message would fill it.
"""

_STATEMENTS = 1000
"""Places for prepared statements. apsw puts each back into the place that is next, whatever stands there: a statement
that is not used again within as many executions is lost, and batches have one for each size.
"""


def connect(path: Path, *, read_only: bool, cache: int = CACHE) -> apsw.Connection:
    """A connection to the file, which is made, readable to its owner alone, where it is missing and may be written."""
    if read_only:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=_STATEMENTS)
    else:
        # SQLite gives its log files the mode of the database file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=_STATEMENTS)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT)
        connection.pragma("cache_size", -(cache >> 10))  # negative: KiB
        connection.pragma("temp_store", "memory")
        if not read_only:
            connection.pragma("page_size", PAGE_SIZE)  # takes effect on a new file only
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full")  # in WAL mode: the log is synced at each commit
            connection.pragma("wal_autocheckpoint", 0)  # see checkpoint
            connection.pragma("journal_size_limit", _LARGEST_LOG)
    except apsw.Error:
        connection.close()
        raise
    return connection


def unavailable(error: Exception, *, full: bool = False) -> StoreUnavailable:
    """The database's error, as the mail rooms know it."""
    trouble = StoreUnavailable(f"{type(error).__name__}: {error}", full=full or isinstance(error, apsw.FullError))
    trouble.__cause__ = error
    return trouble


def free_space(path: Path) -> int:
    """Octets that this process may still write on the disk of the file. Raises OSError."""
    facts = os.statvfs(path.parent)
    return facts.f_bavail * facts.f_frsize
