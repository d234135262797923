"""Whether the disk has room for new mail: settling must stay possible, because it is what frees space."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from postroom.storage.sqlite.connection import BUSY_TIMEOUT

_PLENTY = 1 << 30  # octets beyond the reserve that nobody writes in _ASK_EVERY
_ASK_EVERY = 0.05  # seconds
_LEAST_RESERVE = 1 << 20  # octets; less would not hold the log of a few batches of settlements
_WORTH_IT = 1 << 20  # octets of log that are worth a copy when space is short
_TRY_AGAIN = 0.5  # seconds
_READERS = 50  # milliseconds that readers get to end before the log is given back

_PAGES = """
SELECT page_size * page_count, page_size * freelist_count
FROM pragma_page_size(), pragma_page_count(), pragma_freelist_count()
"""


@dataclass(frozen=True, slots=True)
class _Room:
    """Octets: free on the disk beyond what the log will still need to be copied; unused pages inside the database."""

    spare: int
    unused: int


class Space:
    """Watches the disk of the database; used on the writer's thread. ``clock`` is monotonic seconds, ``free`` gives the
    free octets of a file's disk. Keeps ``reserve`` octets for what ends or frees mail.
    """

    def __init__(self, path: Path, *, reserve: int, clock: Callable[[], float], free: Callable[[Path], int]) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._reserve = max(reserve, _LEAST_RESERVE)
        self._clock = clock
        self._free = free
        self._ask_at = float("-inf")
        self._reclaim_at = float("-inf")

    def is_short(self, connection: apsw.Connection, octets: int) -> bool:
        """Whether there is no room for ``octets`` of new mail. Asked before every batch. Raises OSError, apsw.Error.

        While there is plenty, the system is asked once in a while only.
        """
        now = self._clock()
        if now < self._ask_at:
            return False
        if self._free(self._path) > self._reserve + _PLENTY:
            self._ask_at = now + _ASK_EVERY
            return False
        # What is written goes to the log first, and from there to the database, while the log keeps its length.
        need = self._reserve + 2 * octets
        room = self._room(connection)
        # A log that is worth it is given back before it eats the reserve. Not where its copy would fill the disk up.
        if 0 <= room.spare < need and self._log_size() > _WORTH_IT and now >= self._reclaim_at:
            self._reclaim(connection, now)
            room = self._room(connection)
        # Pages that mail has left take up new mail: the disk is needed for the log only, which can be had back.
        if room.unused >= need:
            need = self._reserve // 4 + octets
        return room.spare < need

    def is_full(self) -> bool:
        """Whether an I/O error may be the disk's being full: SQLite reports some cases of it like this."""
        try:
            return self._free(self._path) < max(self._reserve, 1 << 20)
        except OSError:
            return False

    def _room(self, connection: apsw.Connection) -> _Room:
        size, unused = connection.execute(_PAGES).get
        growth = max(0, size - self._path.stat().st_size)
        return _Room(self._free(self._path) - growth, unused)

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def _reclaim(self, connection: apsw.Connection, now: float) -> None:
        connection.set_busy_timeout(_READERS)
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:  # a reader is in the way
            self._reclaim_at = now + _TRY_AGAIN
        finally:
            connection.set_busy_timeout(BUSY_TIMEOUT)
