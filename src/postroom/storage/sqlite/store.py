"""The whole store on one SQLite file: opens it, brings its schema up to date, and offers its ports over it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from postroom.config.model import StoreSettings
from postroom.mail.trouble import StoreUnavailable
from postroom.storage.batch import BatchWriter, Outcome, Refused, Write, Writer
from postroom.storage.sqlite.committer import SqliteCommitter
from postroom.storage.sqlite.connection import connect, free_space, unavailable
from postroom.storage.sqlite.directory import SqliteDirectory
from postroom.storage.sqlite.dkim import SqliteDkim
from postroom.storage.sqlite.dmarctally import SqliteDmarcTally
from postroom.storage.sqlite.dnswatch import SqliteDnsWatch
from postroom.storage.sqlite.guard import SqliteGuard
from postroom.storage.sqlite.history import SqliteHistory
from postroom.storage.sqlite.mailbox import SqliteMailbox
from postroom.storage.sqlite.migrate import Migration, check_version, migrate, migrations, version_of
from postroom.storage.sqlite.queue import SqliteQueue
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.reported import SqliteReported
from postroom.storage.sqlite.reports import SqliteReports
from postroom.storage.sqlite.returned import SqliteReturned
from postroom.storage.sqlite.sites import SqliteSites
from postroom.storage.sqlite.suppression import SqliteSuppression
from postroom.storage.sqlite.tls import SqliteTls

SqliteWriter = Writer[apsw.Connection]
"""Whoever writes for a store: the one of its own, or one at the other end of a wire."""

FRESHNESS = 0.2
"""Seconds for which the directory's counter is remembered: commands beside the server take effect within a second."""


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What ``postroom check`` tells of the store: schema version, octets of the files, free octets, what is broken."""

    version: int
    size: int
    free: int
    problems: tuple[str, ...]


class _ReadOnly:
    """The committer of a store that was opened to be looked at."""

    def commit(self, batch: Sequence[Write[apsw.Connection]]) -> Sequence[Outcome]:
        """Refuses."""
        return [Refused(StoreUnavailable("the store was opened read-only")) for _ in batch]

    def close(self) -> None:
        """Holds nothing."""


class SqliteStore:
    """All ports over one file. Made by ``open``, used on one loop, ended by ``close``."""

    def __init__(
        self, path: Path, writer: SqliteWriter, *, clock: Callable[[], float], freshness: float, owns: bool
    ) -> None:
        self._path = path
        self._writer = writer
        self._owns = owns
        # Three lanes: neither a long listing nor a large content keeps a RCPT waiting, nor the one the other.
        self._lookups = Reader(lambda: connect(path, read_only=True), "lookups")
        self._contents = Reader(lambda: connect(path, read_only=True, cache=1 << 20), "contents")
        self._listings = Reader(lambda: connect(path, read_only=True, cache=2 << 20), "listings")
        self.queue = SqliteQueue(self._writer, self._contents, self._listings)
        self.mailbox = SqliteMailbox(self._writer, self._contents)
        self.directory = SqliteDirectory(self._writer, self._lookups, clock=clock, freshness=freshness)
        self.history = SqliteHistory(self._writer, self._listings)
        self.guard = SqliteGuard(self._writer, self._lookups, self._listings)
        self.tls = SqliteTls(self._writer, self._listings)
        self.dmarc_tally = SqliteDmarcTally(self._writer, self._listings)
        self.suppression = SqliteSuppression(self._writer, self._lookups, self._listings)
        self.returned = SqliteReturned(self._writer, self._listings)
        self.reports = SqliteReports(self._writer, self._listings)
        self.reported = SqliteReported(self._writer, self._listings)
        self.sites = SqliteSites(self._writer, self._listings)
        self.dkim = SqliteDkim(self._writer, self._lookups)
        self.dns_watch = SqliteDnsWatch(self._writer, self._listings)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        settings: StoreSettings | None = None,
        read_only: bool = False,
        clock: Callable[[], float] = time.monotonic,
        freshness: float = FRESHNESS,
        writer: SqliteWriter | None = None,
    ) -> "SqliteStore":
        """Open the file; it is made where it is missing, and its schema brought up to date, unless ``read_only``.

        ``path`` wins over ``settings.file``. Raises StoreUnavailable if the file cannot be used, StoreVersionError (one
        of them) if its schema is newer than this program or, with ``read_only`` or a ``writer``, older.

        All writes go to ``writer`` where one is given: another process has the file then, and has brought it up to
        date. Whoever gave it closes it, after the store.
        """
        _prepare(path, migrations(), read_only=read_only or writer is not None)
        own = writer is None
        if writer is None:
            writer = _writer_of(path, settings or StoreSettings.model_validate({}), read_only=read_only, clock=clock)
        return cls(path, writer, clock=clock, freshness=freshness, owns=own)

    @property
    def writer(self) -> SqliteWriter:
        """Where all writes go."""
        return self._writer

    async def close(self) -> None:
        """Commit what waits, answer what was asked, let go of the file. A writer that was given stays open."""
        for reader in (self._lookups, self._contents, self._listings):
            await reader.close()
        if self._owns:
            await self._writer.close()

    async def check(self) -> StoreCheck:
        """Look through the whole file for damage. Takes as long as reading it."""
        return await self._listings.run(self._check)

    def _check(self, connection: apsw.Connection) -> StoreCheck:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)")]
        size = sum(file.stat().st_size for file in self._path.parent.glob(f"{self._path.name}*"))
        problems = () if found == ["ok"] else tuple(found)
        return StoreCheck(version_of(connection), size, free_space(self._path), problems)


def _writer_of(
    path: Path, settings: StoreSettings, *, read_only: bool, clock: Callable[[], float]
) -> BatchWriter[apsw.Connection]:
    """A writer of this process."""
    if read_only:
        return BatchWriter(_ReadOnly(), max_batch=settings.max_batch)
    committer = SqliteCommitter(
        path, reserve=settings.reserve, open_connection=lambda: connect(path, read_only=False), clock=clock
    )
    return BatchWriter(committer, max_batch=settings.max_batch)


def _prepare(path: Path, steps: tuple[Migration, ...], *, read_only: bool) -> None:
    """Before anything runs: on the caller's thread, because nothing can go on without it."""
    if read_only and not path.exists():
        raise StoreUnavailable(f"there is no database {path}")
    try:
        connection = connect(path, read_only=read_only)
        try:
            if read_only:
                check_version(connection, steps)
            else:
                migrate(connection, steps)
        finally:
            connection.close(force=True)
    except (apsw.Error, OSError) as error:
        raise unavailable(error) from error
