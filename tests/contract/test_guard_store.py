"""The promises of GuardStore; the fake keeps them too, so that tests on it prove something."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore, Store
from tests.fakes.guard_store import MemoryGuardStore
from tests.fakes.letters import NOON

from postroom.config.section import read_rate
from postroom.directory.model import Account, AddAccount, RemoveAccount
from postroom.policy.store import (
    ACQUAINTED,
    REMEMBERED,
    AccountLimits,
    Acquaintance,
    Ban,
    Failures,
    GuardRecord,
    GuardStore,
    Standing,
)

ANN = "ann@ours.example"
RECORD = GuardRecord(
    (
        Standing("account_messages", ANN, "60/1m", NOON + 30.123456),
        Standing("account_messages", ANN, "1000/1h", NOON + 100),
        Standing("address_messages", "192.0.2.1", "600/1m", NOON + 20),
    ),
    (Failures("login_address", "192.0.2.9", NOON - 100, 4, 2, NOON + 1700),),
    (Ban("address", "192.0.2.9", NOON - 1.0000001, NOON + 900, "10 failed logins", 10, 1),),
    (Acquaintance(ANN, "192.0.2.7", NOON - 5),),
)
Reopen = Callable[[], Awaitable[GuardStore]]


@pytest.fixture(params=["stored", "fake"])
async def reopen(request: pytest.FixtureRequest, open_store: OpenStore) -> Reopen:
    """Opens the same data, as another process would."""
    fake = MemoryGuardStore()

    async def again() -> GuardStore:
        return fake if request.param == "fake" else (await open_store()).guard

    return again


@pytest.fixture
async def guard(reopen: Reopen) -> GuardStore:
    return await reopen()


def in_order(record: GuardRecord) -> tuple[set[object], ...]:
    return set(record.standings), set(record.failures), set(record.bans), set(record.acquaintances)


async def test_what_was_saved_is_there_after_a_restart(guard: GuardStore, reopen: Reopen) -> None:
    assert len(await guard.load(NOON)) == 0
    await guard.save(RECORD)
    assert in_order(await (await reopen()).load(NOON)) == in_order(RECORD)


async def test_a_save_replaces_what_is_there_of_the_same_subject_and_raises_nothing(guard: GuardStore) -> None:
    before = await guard.generation()
    await guard.save(RECORD)
    later = Standing("account_messages", ANN, "60/1m", NOON + 55)
    await guard.save(GuardRecord((later,), failures=(replace(RECORD.failures[0], now=9),)))
    found = await guard.load(NOON)
    assert later in found.standings
    assert len(found.standings) == 3
    assert found.failures[0].now == 9
    assert await guard.generation() == before


async def test_what_counts_no_more_is_not_loaded_and_is_forgotten(guard: GuardStore) -> None:
    await guard.save(RECORD)
    assert len(await guard.load(NOON + 50)) == 4
    assert await guard.forget(NOON + 50) == 2
    assert await guard.forget(NOON + 50) == 0
    # A ban that is over is kept for a day, an acquaintance for long.
    assert in_order(await guard.load(NOON + 900 + REMEMBERED - 1)) == (set(), set(), *in_order(RECORD)[2:])
    assert len(await guard.load(NOON + 901 + REMEMBERED)) == 1
    assert await guard.forget(NOON + ACQUAINTED) == 4


async def test_the_standing_of_one_account_is_found(guard: GuardStore) -> None:
    await guard.save(RECORD)
    assert set(await guard.standings(ANN)) == set(RECORD.standings[:2])
    assert list(await guard.standings("nobody@ours.example")) == []


async def test_an_operator_bans_and_lifts(guard: GuardStore, reopen: Reopen) -> None:
    await guard.save(RECORD)
    other = await reopen()
    generation = await other.generation()
    added = Ban("address", "198.51.100.0/24", NOON, NOON + 3600, "spam", author="ann")
    await guard.ban([added])
    assert await other.generation() > generation
    assert set(await other.bans(NOON)) == {added, *RECORD.bans}

    generation = await other.generation()
    keys = [("address", "192.0.2.9"), ("address", "192.0.2.10")]
    assert list(await guard.lift(keys, "ann", NOON + 1)) == [True, False]
    assert await other.generation() > generation
    (lifted,) = [ban for ban in await other.bans(NOON + 1) if ban.subject == "192.0.2.9"]
    assert lifted.lifted_by == "ann"
    assert not lifted.holds(NOON + 1)
    assert (await other.load(NOON)).failures == ()
    assert list(await guard.lift(keys, "ann", NOON + 2)) == [False, False]


async def test_limits_of_single_accounts(guard: GuardStore, reopen: Reopen) -> None:
    other = await reopen()
    generation = await other.generation()
    special = AccountLimits(ANN, (read_rate("200/1h"), read_rate("2000/1d")), ())
    await guard.limit([special, AccountLimits("bob@ours.example", None, (read_rate("7/90s"),))])
    assert await other.generation() > generation
    found = await other.account_limits()
    assert list(found) == [special, AccountLimits("bob@ours.example", None, (read_rate("7/90s"),))]
    await guard.limit([AccountLimits(ANN), AccountLimits("nobody@ours.example")])
    assert [one.account for one in await other.account_limits()] == ["bob@ours.example"]


async def test_what_was_said_of_an_account_goes_with_it(store: Store, accounts: list[Account]) -> None:
    await store.guard.limit([AccountLimits(ANN, ())])
    await store.guard.save(RECORD)
    generation = await store.guard.generation()
    ann = next(account for account in accounts if account.address.key == ANN)
    await store.directory.change([RemoveAccount(ann.address)])
    assert list(await store.guard.account_limits()) == []
    assert (await store.guard.load(NOON)).acquaintances == ()
    assert await store.guard.generation() > generation
    await store.directory.change([AddAccount(ann.address, "hash", 0, NOON)])
    assert list(await store.guard.account_limits()) == []
