"""Copies the write-ahead log into the database beside the writer, so that no commit waits for a large copy.

SQLite starts the log anew only when a copy has caught up with it. A copy beside a busy writer never quite does, so the
writer makes the last, short one itself.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue

import apsw

from postroom.storage.sqlite.connection import PAGE_SIZE

LOG_PAGES = (32 << 20) // PAGE_SIZE
"""Pages of log from which it is copied. More would make less work of pages that change often, and take more disk."""

_SHORT = (1 << 20) // PAGE_SIZE
"""Pages that the writer may copy itself: a few milliseconds."""

_TOO_LONG = 8
"""How many times as long the log may get before the writer stops to copy: the other thread cannot keep up."""

_ROUNDS = 5
_LOOK_EVERY = 0.05  # seconds


class Checkpointer:
    """Belongs to the writer's thread, with a thread and a connection of its own. ``clock`` is monotonic seconds.

    A copy that fails is tried again later: what ails the disk meets the next write too, and is told there.
    """

    def __init__(
        self,
        open_connection: Callable[[], apsw.Connection],
        clock: Callable[[], float],
        *,
        log_pages: int = LOG_PAGES,
    ) -> None:
        self._open = open_connection
        self._clock = clock
        self._log_pages = log_pages
        self._looked_at = float("-inf")
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_copying = False
        self._is_close = False

    def tend(self, connection: apsw.Connection) -> None:
        """Called by the writer between batches, outside of a transaction."""
        try:
            if self._is_close:
                self._is_close = False
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                return
            now = self._clock()
            if now - self._looked_at < _LOOK_EVERY or self._is_copying:
                return
            self._looked_at = now
            pages, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
            if pages > _TOO_LONG * self._log_pages:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            elif pages > self._log_pages and pages > copied:
                self._ask()
        except apsw.Error:
            return

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._asked.put(False)
            self._thread.join()
            self._thread = None

    def _ask(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="postroom-checkpointer", daemon=True)
            self._thread.start()
        self._is_copying = True
        self._asked.put(True)

    def _work(self) -> None:
        connection: apsw.Connection | None = None
        while self._asked.get():
            try:
                if connection is None:
                    connection = self._open()
                self._is_close = _copy(connection)
            except (apsw.Error, OSError):
                if connection is not None:
                    connection.close(force=True)
                    connection = None
            self._is_copying = False
        if connection is not None:
            connection.close(force=True)


def _copy(connection: apsw.Connection) -> bool:
    """Copy until little is left; whether that was reached."""
    for _ in range(_ROUNDS):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        pages, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        if pages - copied <= _SHORT:
            return True
    return False
