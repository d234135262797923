"""Accounts whose mail goes on to others: who receives, and who may send as them."""

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.directory_store import MemoryDirectoryStore

from postroom.config.model import DeliverySettings
from postroom.directory.directory import Directory
from postroom.directory.model import Account, Resolved, Unknown
from postroom.mail.address import Address

ANN, BOB = "ann@example.org", "bob@example.org"


@pytest.fixture
def store() -> MemoryDirectoryStore:
    return MemoryDirectoryStore()


def directory(store: MemoryDirectoryStore) -> Directory:
    return Directory(store, DeliverySettings(max_alias_depth=5), ManualClock())


async def who(store: MemoryDirectoryStore, address: str) -> list[str]:
    found = await directory(store).resolve(Address.parse(address))
    assert isinstance(found, Resolved), found
    return [str(account.address) for account in found.accounts] + [f"> {one}" for one in found.forwards]


async def test_a_mailbox_plus_forward(store: MemoryDirectoryStore) -> None:
    store.add_account(ANN, forwards=["ann@home.example", "a@other.example"])
    assert await who(store, ANN) == [ANN, "> a@other.example", "> ann@home.example"]
    assert await who(store, "ann+tag@example.org") == [ANN, "> a@other.example", "> ann@home.example"]


async def test_a_forward_alone(store: MemoryDirectoryStore) -> None:
    store.add_account(ANN, forwards=["ann@home.example"], keep=False)
    assert await who(store, ANN) == ["> ann@home.example"]


async def test_to_others_here(store: MemoryDirectoryStore) -> None:
    store.add_account(BOB)
    store.add_account("carl@example.org", forwards=["carl@home.example"])
    store.add_alias("team@example.org", BOB, "carl@example.org")
    store.add_account(ANN, forwards=["team@example.org"], keep=False)
    assert await who(store, ANN) == [BOB, "carl@example.org", "> carl@home.example"]


async def test_in_a_circle(store: MemoryDirectoryStore) -> None:
    store.add_account(ANN, forwards=[BOB])
    store.add_account(BOB, forwards=[ANN], keep=False)
    assert await who(store, ANN) == [ANN]
    assert await who(store, BOB) == [ANN]


async def test_whose_targets_are_gone_is_kept_rather_than_lost(store: MemoryDirectoryStore) -> None:
    store.add_account(ANN, forwards=["gone@example.org"], keep=False)
    store.add_alias("info@example.org", ANN)
    assert await who(store, ANN) == [ANN]
    assert await who(store, "info@example.org") == [ANN]
    store.add_account(BOB, forwards=[ANN], keep=False)
    store.add_account(ANN, forwards=[BOB], keep=False)
    assert set(await who(store, ANN)) == {ANN, BOB}  # to each other, and nobody keeps it


async def test_depth_is_bounded(store: MemoryDirectoryStore) -> None:
    for number in range(10):
        store.add_account(f"u{number}@example.org", forwards=[f"u{number + 1}@example.org"])
    assert isinstance(await directory(store).resolve(Address.parse("u0@example.org")), Unknown)


async def test_who_may_send(store: MemoryDirectoryStore) -> None:
    ann = store.add_account(ANN, forwards=[BOB], keep=False)
    bob = store.add_account(BOB)
    store.add_alias("info@example.org", ANN)
    house = directory(store)

    async def may(account: Account, address: str) -> bool:
        return await house.may_send_as(account, Address.parse(address))

    assert [await may(ann, address) for address in (ANN, "ann+x@example.org", "info@example.org", BOB)] == [
        True,
        True,
        True,
        False,
    ]
    # what is forwarded to Bob is read by him, and not said by him
    assert [await may(bob, address) for address in (BOB, ANN, "ann+x@example.org", "info@example.org")] == [
        True,
        False,
        False,
        False,
    ]
