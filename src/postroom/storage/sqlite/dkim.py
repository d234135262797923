"""The port of stored signing keys on SQLite."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from postroom.mailauth.keys.model import GONE, WAITING, By, KeyName, KeyPair, KeyState, Order
from postroom.mailauth.keys.store import NewKey
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader

# ruff: noqa: S608 - the names are our own, values are bound
_COLUMNS = (
    "domain, selector, algorithm, record, made_at, state, published_at, seen_since, sights, active_at, retired_at, "
    "withdrawn_at, told_at, put_by, ordered, trouble, version"
)
_SELECT = f"SELECT {_COLUMNS} FROM dkim_key WHERE ? IN ('', domain) ORDER BY domain, made_at, selector"
_SECRET = "SELECT secret FROM dkim_key WHERE domain = ? AND selector = ?"  # noqa: S105 - a statement
_GENERATION = "SELECT value FROM counter WHERE name = 'dkim'"
_RAISE = "UPDATE counter SET value = value + 1 WHERE name = 'dkim'"
_INSERT = f"INSERT OR IGNORE INTO dkim_key ({_COLUMNS}, secret) VALUES ({', '.join('?' * 18)})"
_WAITS = """
SELECT EXISTS (SELECT 1 FROM dkim_key WHERE domain = ? AND algorithm = ? AND state IN ('made', 'published', 'seen'))
"""
_UPDATE = """
UPDATE dkim_key SET state = ?, published_at = ?, seen_since = ?, sights = ?, active_at = ?, retired_at = ?,
    withdrawn_at = ?, told_at = ?, put_by = ?, ordered = ?, trouble = ?, version = version + 1,
    secret = iif(?, NULL, secret)
WHERE domain = ? AND selector = ? AND version = ?
"""
_RESEAL = "UPDATE dkim_key SET secret = ? WHERE domain = ? AND selector = ? AND secret IS NOT NULL"
assert {state.value for state in WAITING} == {"made", "published", "seen"}  # noqa: S101 - what _WAITS names


class SqliteDkim:
    """See ``postroom.mailauth.keys.store.DkimKeyStore``."""

    def __init__(self, writer: Writer[apsw.Connection], lookups: Reader) -> None:
        self._writer = writer
        self._lookups = lookups

    async def generation(self) -> int:
        """A counter that every change raises."""
        return await self._lookups.run(lambda connection: int(connection.execute(_GENERATION).get))

    async def keys(self, domain: str = "") -> Sequence[KeyPair]:
        """All key pairs, or those of one domain."""
        return await self._lookups.run(
            lambda connection: [_read(row) for row in connection.execute(_SELECT, (domain,))]
        )

    async def secrets(self, names: Sequence[KeyName]) -> Sequence[bytes | None]:
        """The private halves, in order."""

        def read(connection: apsw.Connection) -> list[bytes | None]:
            return [connection.execute(_SECRET, name).get for name in names]

        return await self._lookups.run(read)

    async def begin(self, new: NewKey) -> bool:
        """Keep a key whose life begins, unless another waits."""
        return await self._writer.submit(_BEGIN_KIND, new)

    async def bring(self, new: NewKey) -> bool:
        """Keep a key from elsewhere."""
        return await self._writer.submit(_BRING_KIND, new)

    async def save(self, pairs: Sequence[KeyPair]) -> Sequence[bool]:
        """Replace what is stored of each where it still is of the same version."""
        return await self._writer.submit(_SAVE_KIND, pairs, len(pairs)) if pairs else ()

    async def reseal(self, secrets: Sequence[tuple[KeyName, bytes]]) -> None:
        """Put other private halves in the place of those that are there."""
        if secrets:
            await self._writer.submit(_RESEAL_KIND, secrets, len(secrets))


def _read(row: Sequence[Any]) -> KeyPair:
    domain, selector, algorithm, record, made_at, state, published_at, seen_since, sights, *rest = row
    active_at, retired_at, withdrawn_at, told_at, by, order, trouble, version = rest
    return KeyPair(
        domain, selector, algorithm, record, made_at, KeyState(state), published_at, seen_since, sights, active_at,
        retired_at, withdrawn_at, told_at, By(by), Order(order), trouble, version,
    )  # fmt: skip


def _insert(connection: apsw.Connection, new: NewKey) -> bool:
    pair = new.pair
    row = (
        pair.domain, pair.selector, pair.algorithm, pair.record, pair.made_at, pair.state.value, pair.published_at,
        pair.seen_since, pair.sights, pair.active_at, pair.retired_at, pair.withdrawn_at, pair.told_at, pair.by.value,
        pair.order.value, pair.trouble, pair.version, new.secret,
    )  # fmt: skip
    connection.execute(_INSERT, row)
    if not connection.changes():
        return False
    connection.execute(_RAISE)
    return True


def _begin(connection: apsw.Connection, calls: Sequence[NewKey]) -> Sequence[bool]:
    kept = []
    for new in calls:
        waits = connection.execute(_WAITS, (new.pair.domain, new.pair.algorithm)).get
        kept.append(not waits and _insert(connection, new))
    return kept


def _bring(connection: apsw.Connection, calls: Sequence[NewKey]) -> Sequence[bool]:
    return [_insert(connection, new) for new in calls]


def _save(connection: apsw.Connection, calls: Sequence[Sequence[KeyPair]]) -> Sequence[Sequence[bool]]:
    with _erasing(connection):
        return _save_all(connection, calls)


def _save_all(connection: apsw.Connection, calls: Sequence[Sequence[KeyPair]]) -> Sequence[Sequence[bool]]:
    answers = []
    for pairs in calls:
        saved = []
        for pair in pairs:
            bindings = (
                pair.state.value, pair.published_at, pair.seen_since, pair.sights, pair.active_at, pair.retired_at,
                pair.withdrawn_at, pair.told_at, pair.by.value, pair.order.value, pair.trouble, pair.state in GONE,
                pair.domain, pair.selector, pair.version,
            )  # fmt: skip
            connection.execute(_UPDATE, bindings)
            saved.append(connection.changes() > 0)
        if any(saved):
            connection.execute(_RAISE)
        answers.append(saved)
    return answers


@contextmanager
def _erasing(connection: apsw.Connection) -> Iterator[None]:
    """What is overwritten or deleted meanwhile does not stay in the file: private keys are gone when they go."""
    connection.pragma("secure_delete", True)
    try:
        yield
    finally:
        connection.pragma("secure_delete", False)


def _reseal(connection: apsw.Connection, calls: Sequence[Sequence[tuple[KeyName, bytes]]]) -> Sequence[None]:
    with _erasing(connection):
        for secrets in calls:
            connection.executemany(_RESEAL, [(secret, *name) for name, secret in secrets])
            connection.execute(_RAISE)
    return [None] * len(calls)


_BEGIN_KIND: Kind[apsw.Connection, NewKey, bool] = Kind("begin DKIM key", _begin)
_BRING_KIND: Kind[apsw.Connection, NewKey, bool] = Kind("bring DKIM key", _bring)
_SAVE_KIND: Kind[apsw.Connection, Sequence[KeyPair], Sequence[bool]] = Kind("save DKIM keys", _save, essential=True)
_RESEAL_KIND: Kind[apsw.Connection, Sequence[tuple[KeyName, bytes]], None] = Kind("reseal DKIM keys", _reseal)
