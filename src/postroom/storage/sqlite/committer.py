"""Commits batches to SQLite: all at once; if that fails, write by write, so that what fails goes alone (DESIGN §5)."""

from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from postroom.mail.trouble import StoreUnavailable
from postroom.storage.batch import Done, Outcome, Refused, Write
from postroom.storage.sqlite.checkpoint import Checkpointer
from postroom.storage.sqlite.connection import free_space, unavailable
from postroom.storage.sqlite.rows import INSERT_HISTORY, history_row
from postroom.storage.sqlite.space import Space

SqliteWrite = Write[apsw.Connection]

# After these the connection may know a state that the file has not: it is opened anew.
_BROKEN = (
    apsw.IOError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.InternalError,
    apsw.MisuseError,
)


class SqliteCommitter:
    """Owns the writing connection, on the writer's thread. ``clock`` is monotonic seconds, ``free`` gives a disk's
    free octets. While it has less than ``reserve`` octets to spare, only essential writes are done.
    """

    def __init__(
        self,
        path: Path,
        *,
        reserve: int,
        open_connection: Callable[[], apsw.Connection],
        clock: Callable[[], float],
        free: Callable[[Path], int] = free_space,
    ) -> None:
        self._path = path
        self._reserve = reserve
        self._open = open_connection
        self._connection: apsw.Connection | None = None
        self._checkpointer = Checkpointer(open_connection, clock)
        self._space = Space(path, reserve=reserve, clock=clock, free=free)

    def commit(self, batch: Sequence[SqliteWrite]) -> Sequence[Outcome]:
        """An outcome for each write; what is Done is on disk."""
        try:
            connection = self._connected()
            self._checkpointer.tend(connection)
            octets = sum([write.octets for write in batch])
            short = self._space.is_short(connection, octets)
        except (apsw.Error, OSError, StoreUnavailable) as error:
            self._drop_connection()
            return [Refused(_as_trouble(error)) for _ in batch]
        if not short:
            return self._commit(connection, batch)
        admitted = [write for write in batch if write.kind.essential]
        outcomes = iter(self._commit(connection, admitted) if admitted else ())
        return [next(outcomes) if write.kind.essential else Refused(self._too_full()) for write in batch]

    def close(self) -> None:
        """Close the connection; the last one to close copies the log into the database."""
        self._checkpointer.close()
        self._drop_connection()

    def _commit(self, connection: apsw.Connection, batch: Sequence[SqliteWrite]) -> Sequence[Outcome]:
        try:
            return self._all_at_once(connection, batch)
        except Exception as error:  # noqa: BLE001 - whatever one write raises is found out write by write
            _roll_back(connection)
            if isinstance(error, apsw.BusyError):  # another process writes for longer than BUSY_TIMEOUT
                return [Refused(unavailable(error)) for _ in batch]
            if len(batch) == 1:
                return [self._refusal(error)]
        outcomes = self._by_savepoints(connection, batch)
        return outcomes if outcomes is not None else self._one_by_one(batch)

    def _all_at_once(self, connection: apsw.Connection, batch: Sequence[SqliteWrite]) -> Sequence[Outcome]:
        """One transaction for all; raises what any write raises."""
        connection.execute("BEGIN IMMEDIATE")
        if len(batch) == 1:
            results = batch[0].kind.run(connection, [batch[0].argument])
            _write_history(connection, batch)
            connection.execute("COMMIT")
            return [Done(results[0])]
        outcomes: list[Outcome | None] = [None] * len(batch)
        for indices in _by_kind(batch):
            results = batch[indices[0]].kind.run(connection, [batch[index].argument for index in indices])
            for index, result in zip(indices, results, strict=True):
                outcomes[index] = Done(result)
        _write_history(connection, batch)
        connection.execute("COMMIT")
        return [outcome for outcome in outcomes if outcome is not None]

    def _by_savepoints(self, connection: apsw.Connection, batch: Sequence[SqliteWrite]) -> Sequence[Outcome] | None:
        """One transaction, a savepoint around each write; None if the transaction itself was lost (disk full, I/O)."""
        outcomes: list[Outcome] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in batch:
                outcome = _in_savepoint(connection, write)
                if outcome is None:
                    return None
                outcomes.append(outcome)
            connection.execute("COMMIT")
        except apsw.Error:
            _roll_back(connection)
            return None
        return outcomes

    def _one_by_one(self, batch: Sequence[SqliteWrite]) -> Sequence[Outcome]:
        """A transaction for each write; once the disk is full only essential writes are tried."""
        outcomes: list[Outcome] = []
        full = False
        for write in batch:
            if full and not write.kind.essential:
                outcomes.append(Refused(self._too_full()))
                continue
            try:
                connection = self._connected()
            except (apsw.Error, OSError) as error:
                outcomes.append(Refused(self._as_full(error)))
                continue
            try:
                outcomes.extend(self._all_at_once(connection, [write]))
            except Exception as error:  # noqa: BLE001 - it goes to the one who asked for the write
                _roll_back(connection)
                refusal = self._refusal(error)
                full = full or (isinstance(refusal.error, StoreUnavailable) and refusal.error.full)
                outcomes.append(refusal)
        return outcomes

    def _refusal(self, error: Exception) -> Refused:
        """What the one who asked is told; a connection that may be broken is dropped."""
        if isinstance(error, _BROKEN):
            self._drop_connection()
        return Refused(self._as_full(error) if isinstance(error, (apsw.Error, OSError)) else error)

    def _as_full(self, error: Exception) -> StoreUnavailable:
        return unavailable(error, full=isinstance(error, apsw.IOError) and self._space.is_full())

    def _too_full(self) -> StoreUnavailable:
        return StoreUnavailable(f"less than {self._reserve} octets are free on the disk of {self._path}", full=True)

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(force=True)


def _by_kind(batch: Sequence[SqliteWrite]) -> list[list[int]]:
    """The places of the writes of each kind: kinds that go first, then the others in order of their first write."""
    groups: dict[int, list[int]] = {}
    for index, write in enumerate(batch):
        groups.setdefault(id(write.kind), []).append(index)
    return sorted(groups.values(), key=lambda indices: not batch[indices[0]].kind.first)


def _write_history(connection: apsw.Connection, batch: Sequence[SqliteWrite]) -> None:
    rows = [history_row(row) for write in batch if (of := write.kind.history) is not None for row in of(write.argument)]
    if rows:
        INSERT_HISTORY.run(connection, rows)


def _in_savepoint(connection: apsw.Connection, write: SqliteWrite) -> Outcome | None:
    """The outcome of a write inside its own savepoint; None if it took the whole transaction down."""
    connection.execute("SAVEPOINT one")
    try:
        result = write.kind.run(connection, [write.argument])[0]
        _write_history(connection, [write])
    except Exception as error:  # noqa: BLE001 - it goes to the one who asked for the write
        if not connection.in_transaction:
            return None
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        if isinstance(error, (apsw.FullError, *_BROKEN)):
            connection.execute("ROLLBACK")
            return None
        return Refused(_as_trouble(error))
    connection.execute("RELEASE one")
    return Done(result)


def _roll_back(connection: apsw.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except apsw.Error:  # SQLite rolled back by itself, or the connection is broken and about to be dropped
            return


def _as_trouble(error: Exception) -> Exception:
    return unavailable(error) if isinstance(error, (apsw.Error, OSError)) else error
