"""What operators want of running servers: pauses, and a counter that tells of a change."""

from collections.abc import Sequence

import apsw

from postroom.queue.model import Orders, Pause, PauseKind
from postroom.storage.batch import Kind
from postroom.storage.sqlite.statements import rows_of

_COUNTERS = (
    "SELECT json_group_array(json_array(name, value)) FROM counter WHERE name IN ('orders', 'flushes', 'recalls')"
)
_PAUSES = """
SELECT json_group_array(json_array(kind, subject, since, until, reason, author) ORDER BY kind, subject) FROM pause
"""
_PUT = """
INSERT INTO pause (kind, subject, since, until, reason, author) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, subject) DO UPDATE SET
    since = excluded.since, until = excluded.until, reason = excluded.reason, author = excluded.author
"""
_DROP = "DELETE FROM pause WHERE kind = ? AND subject = ?"
_DROP_ENDED = "DELETE FROM pause WHERE until <= ?"
_RAISE = "UPDATE counter SET value = value + 1 WHERE name IN ('orders', ?)"


def find_orders(connection: apsw.Connection, known: int) -> Orders | None:
    """All of them; None where nothing has changed since generation ``known``."""
    counters: dict[str, int] = dict(rows_of(connection, _COUNTERS))
    generation = 1 + counters["orders"]
    if generation == known:
        return None
    pauses = [Pause(PauseKind(kind), *rest) for kind, *rest in rows_of(connection, _PAUSES)]
    return Orders(generation, counters["flushes"], counters["recalls"], tuple(pauses))


def recall(connection: apsw.Connection) -> None:
    """Recipients were taken from servers that had them in hand."""
    connection.execute(_RAISE, ("recalls",))


def _pause(connection: apsw.Connection, calls: Sequence[Pause]) -> Sequence[None]:
    for pause in calls:
        connection.execute(_DROP_ENDED, (pause.since,))
        connection.execute(
            _PUT, (pause.kind.value, pause.subject, pause.since, pause.until, pause.reason, pause.author)
        )
        connection.execute(_RAISE, ("orders",))
    return [None] * len(calls)


def _resume(connection: apsw.Connection, calls: Sequence[tuple[PauseKind, str]]) -> Sequence[bool]:
    ended = []
    for kind, subject in calls:
        connection.execute(_DROP, (kind.value, subject))
        ended.append(connection.changes() > 0)
        if ended[-1]:
            connection.execute(_RAISE, ("orders",))
    return ended


def _flush(connection: apsw.Connection, calls: Sequence[None]) -> Sequence[None]:
    connection.execute(_RAISE, ("flushes",))
    return [None] * len(calls)


PAUSE: Kind[apsw.Connection, Pause, None] = Kind("pause", _pause, essential=True)
RESUME: Kind[apsw.Connection, tuple[PauseKind, str], bool] = Kind("resume", _resume, essential=True)
FLUSH: Kind[apsw.Connection, None, None] = Kind("flush", _flush, essential=True)
