"""A store whose writes another one does over a wire, both in one loop: what the node and its queue process are."""

import asyncio
from pathlib import Path

from postroom.storage.apart.asking import RemoteWriter
from postroom.storage.apart.serving import WriteServer
from postroom.storage.sqlite.store import SqliteStore


class FarStore(SqliteStore):
    """Has its writes done by ``near``, which has the file, and ends it with itself."""

    near: SqliteStore

    async def close(self) -> None:
        await super().close()
        await self.writer.close()
        await self.near.close()


async def open_far_store(path: Path) -> FarStore:
    """Both ends; the body of each turn of the loop arrives in the next."""
    near = await SqliteStore.open(path, freshness=0)
    loop = asyncio.get_running_loop()
    remote = RemoteWriter(lambda body: void(loop.call_soon(server.asked, body)))
    server = WriteServer(near.writer, lambda body: void(loop.call_soon(remote.answered, memoryview(body))))
    far = await FarStore.open(path, freshness=0, writer=remote)
    assert isinstance(far, FarStore)
    far.near = near
    return far


def void(_: object) -> None:
    """Nothing of it is wanted."""
