"""Opens the store of the settings, for the server and for commands."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from postroom.config.model import Settings
from postroom.storage.sqlite.migrate import migrations
from postroom.storage.sqlite.store import SqliteStore, SqliteWriter


def store_path(settings: Settings) -> Path:
    """Where the embedded database is."""
    return settings.data / settings.store.file


def open_store(
    settings: Settings, writer: SqliteWriter | None = None
) -> contextlib.AbstractAsyncContextManager[SqliteStore]:
    """The store, for a command beside the server or while it is down. Entering it raises StoreUnavailable.

    ``writer``: whoever writes for it, where that is another process, which has brought the schema up to date.
    """
    migrations()  # what Python loads only on first use may be out of reach once root has been given up
    return _open_store(settings, writer)


@contextlib.asynccontextmanager
async def _open_store(settings: Settings, writer: SqliteWriter | None) -> AsyncIterator[SqliteStore]:
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = await SqliteStore.open(store_path(settings), settings=settings.store, writer=writer)
    try:
        yield store
    finally:
        await store.close()
