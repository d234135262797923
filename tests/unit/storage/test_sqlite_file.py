"""The database file: made, migrated, refused, shared, checked."""

import asyncio
import importlib.resources
import stat
from pathlib import Path

import apsw
import pytest
from tests.fakes.letters import NOON, an_intake, queue_id

from postroom.config.model import StoreSettings
from postroom.directory.model import AddDomain, Domain
from postroom.mail.trouble import StoreUnavailable
from postroom.queue.model import QueueFilter
from postroom.storage.sqlite.connection import connect
from postroom.storage.sqlite.migrate import Migration, StoreVersionError, migrate, migrations, version_of
from postroom.storage.sqlite.store import SqliteStore

ALL = QueueFilter()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "postroom.db"


async def test_only_the_owner_may_read_the_files(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.queue.take_in([an_intake(1)])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.close()
    assert set(modes) == {"postroom.db", "postroom.db-wal", "postroom.db-shm"}
    assert set(modes.values()) == {0o600}


async def test_what_was_kept_is_there_after_a_restart(path: Path) -> None:
    first = await SqliteStore.open(path)
    await first.queue.take_in([an_intake(1)])
    await first.close()
    second = await SqliteStore.open(path)
    assert len(await second.queue.entries(ALL, limit=9)) == 1
    await second.close()


async def test_the_settings_bound_a_batch(path: Path) -> None:
    store = await SqliteStore.open(path, settings=StoreSettings(max_batch=2, reserve=0))
    await asyncio.gather(*[store.queue.take_in([an_intake(n)]) for n in range(9)])
    assert (await store.queue.counts()).messages == 9
    await store.close()


async def test_migrations_are_numbered_without_gaps() -> None:
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))
    folder = importlib.resources.files("postroom.storage.migrations").joinpath("sqlite")
    assert {step.name for step in migrations()} == {
        file.name for file in folder.iterdir() if file.name.endswith(".sql")
    }


def test_steps_are_applied_once_and_in_order(path: Path) -> None:
    connection = connect(path, read_only=False)
    steps = (Migration(1, "0001", "CREATE TABLE a (x)"), Migration(2, "0002", "ALTER TABLE a ADD COLUMN y"))
    assert migrate(connection, steps[:1]) == 1
    assert migrate(connection, steps) == 1
    assert migrate(connection, steps) == 0
    assert version_of(connection) == 2
    connection.close()


def test_a_step_that_fails_leaves_the_version_before_it(path: Path) -> None:
    connection = connect(path, read_only=False)
    steps = (Migration(1, "0001", "CREATE TABLE a (x)"), Migration(2, "0002", "CREATE TABLE b (x); CREATE TABLE a (x)"))
    with pytest.raises(apsw.SQLError):
        migrate(connection, steps)
    assert version_of(connection) == 1
    assert [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")] == ["a"]
    connection.close()


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_newer_database_is_refused(path: Path, read_only: bool) -> None:
    await (await SqliteStore.open(path)).close()
    connection = connect(path, read_only=False)
    connection.pragma("user_version", 4711)
    connection.close()
    with pytest.raises(StoreVersionError, match=r"4711.*newer Postroom"):
        await SqliteStore.open(path, read_only=read_only)


async def test_an_older_database_is_not_looked_at_but_migrated_by_the_server(path: Path) -> None:
    connect(path, read_only=False).close()
    with pytest.raises(StoreVersionError, match="start the server"):
        await SqliteStore.open(path, read_only=True)
    await (await SqliteStore.open(path)).close()
    await (await SqliteStore.open(path, read_only=True)).close()


async def test_another_programs_database_is_refused_untouched(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreVersionError, match="not one of Postroom"):
        await SqliteStore.open(path)
    connection = apsw.Connection(str(path))
    assert [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")] == ["theirs"]
    connection.close()


async def test_no_database_at_all(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(StoreUnavailable):
        await SqliteStore.open(path)
    with pytest.raises(StoreUnavailable, match="no database"):
        await SqliteStore.open(path.with_name("missing.db"), read_only=True)
    with pytest.raises(StoreUnavailable):
        await SqliteStore.open(path.parent / "missing" / "postroom.db")


async def test_read_only_reads_and_refuses_to_write(path: Path) -> None:
    server = await SqliteStore.open(path)
    await server.queue.take_in([an_intake(1)])
    looking = await SqliteStore.open(path, read_only=True)
    assert len(await looking.queue.entries(ALL, limit=9)) == 1
    with pytest.raises(StoreUnavailable, match="read-only"):
        await looking.queue.take_in([an_intake(2)])
    await looking.close()
    await server.close()


async def test_a_closed_store_says_so(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.queue.take_in([an_intake(1)])
    with pytest.raises(StoreUnavailable):
        await store.queue.counts()


async def test_two_stores_on_one_file_see_each_other(path: Path) -> None:
    server, command = await SqliteStore.open(path), await SqliteStore.open(path)
    await asyncio.gather(
        *[
            store.queue.take_in([an_intake(n + base)])
            for n in range(50)
            for store, base in ((server, 0), (command, 100))
        ]
    )
    assert len(await server.queue.entries(ALL, limit=999)) == 100
    await command.close()
    await server.queue.take_in([an_intake(999)])
    await server.close()


async def test_the_counter_is_asked_for_once_in_a_while_only(path: Path) -> None:
    now = 0.0
    server = await SqliteStore.open(path, clock=lambda: now, freshness=0.5)
    command = await SqliteStore.open(path)
    before = await server.directory.generation()
    await command.directory.change([AddDomain(Domain("a.example", NOON))])
    assert await server.directory.generation() == before
    now = 0.5
    assert await server.directory.generation() == before + 1
    await server.directory.change([AddDomain(Domain("b.example", NOON))])
    assert await server.directory.generation() == before + 2  # one's own changes show at once
    await command.close()
    await server.close()


async def test_check_finds_a_sound_store_sound(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.queue.take_in([an_intake(1)])
    check = await store.check()
    await store.close()
    assert check.version == len(migrations())
    assert check.problems == ()
    assert check.size > 10_000
    assert check.free > 0


async def test_check_finds_damage(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.queue.take_in([an_intake(n) for n in range(1000)])
    await store.close()
    data = bytearray(path.read_bytes())
    last = len(data) // 8192
    for page in range(last - 20, last):  # rows: where the schema is damaged the store does not even open
        data[page * 8192 + 200 : page * 8192 + 1000] = b"\xff" * 800
    path.write_bytes(data)
    store = await SqliteStore.open(path)
    try:
        problems = (await store.check()).problems
    except StoreUnavailable as error:
        problems = (str(error),)
    await store.close()
    assert problems


async def test_the_reader_opens_anew_after_trouble(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.queue.take_in([an_intake(1)])
    with pytest.raises(StoreUnavailable):
        await store._listings.run(lambda connection: connection.execute("SELECT nonsense"))
    assert [entry.message.queue_id for entry in await store.queue.entries(ALL, limit=1)] == [queue_id(1)]
    await store.close()
