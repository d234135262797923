"""Every suite here runs on each implementation."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.implementations import IMPLEMENTATIONS, Implementation, OpenStore, Store
from tests.fakes.letters import NOON

from postroom.directory.model import Account, AddAccount, AddDomain, Domain
from postroom.mail.address import Address
from postroom.queue.store import QueueStore


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def implementation(request: pytest.FixtureRequest, tmp_path: Path) -> Implementation:
    return IMPLEMENTATIONS[request.param](tmp_path)


@pytest.fixture
async def open_store(implementation: Implementation) -> AsyncIterator[OpenStore]:
    """Opens the data any number of times; all are closed at the end."""
    opened: list[Store] = []

    async def open_it() -> Store:
        opened.append(await implementation.open())
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    return await open_store()


@pytest.fixture
async def queue(store: Store) -> QueueStore:
    return store.queue


@pytest.fixture
async def accounts(store: Store) -> list[Account]:
    """Three accounts of the domain ours.example."""
    names = [Address.parse(f"{name}@ours.example") for name in ("ann", "bob", "cid")]
    await store.directory.change(
        [
            AddDomain(Domain("ours.example", NOON)),
            *[AddAccount(name, "hash", quota=10_000_000, created_at=NOON) for name in names],
        ]
    )
    return list(await store.directory.accounts())
