"""The promises of DirectoryStore."""

import pytest
from tests.contract.implementations import OpenStore, Store
from tests.fakes.letters import NOON, a_local_intake

from postroom.directory.model import (
    Account,
    AddAccount,
    AddDomain,
    Alias,
    ChangeAccount,
    DirectoryChange,
    DirectoryError,
    Domain,
    PutAlias,
    RemoveAccount,
    RemoveAlias,
    RemoveDomain,
    SetCatchAll,
)
from postroom.directory.store import DirectoryStore
from postroom.mail.address import Address

ANN = Address("Ann", "ours.example")
BOB = Address("bob", "ours.example")
SALES = Address("sales", "ours.example")
AFAR = Address("rita", "remote.example")


@pytest.fixture
async def directory(store: Store) -> DirectoryStore:
    await store.directory.change(
        [
            AddDomain(Domain("ours.example", NOON, catch_all=BOB)),
            AddDomain(Domain("also.example", NOON + 1)),
            AddAccount(ANN, "argon", quota=1000, created_at=NOON + 2),
            AddAccount(BOB, "", quota=0, created_at=NOON + 3),
            PutAlias(Alias(SALES, (AFAR, ANN))),
        ]
    )
    return store.directory


async def test_what_was_put_in_is_found(directory: DirectoryStore) -> None:
    assert await directory.find_domain("ours.example") == Domain("ours.example", NOON, BOB)
    assert await directory.find_domain("also.example") == Domain("also.example", NOON + 1)
    assert await directory.find_domain("remote.example") is None
    ann, nobody, sales = await directory.find(["ann@ours.example", "nobody@ours.example", "sales@ours.example"])
    assert isinstance(ann, Account)
    assert ann == Account(ann.account_id, ANN, "argon", 1000, True, NOON + 2)
    assert nobody is None
    assert sales == Alias(SALES, (AFAR, ANN))
    assert list(await directory.find([])) == []


async def test_listings_are_ordered(directory: DirectoryStore) -> None:
    other = Address("zoe", "also.example")
    await directory.change([AddAccount(other, "", 0, NOON), PutAlias(Alias(Address("a", "also.example"), (BOB,)))])
    assert [domain.name for domain in await directory.domains()] == ["also.example", "ours.example"]
    assert [account.address for account in await directory.accounts()] == [ANN, BOB, other]
    assert [account.address for account in await directory.accounts("ours.example")] == [ANN, BOB]
    assert [str(alias.address) for alias in await directory.aliases()] == ["a@also.example", "sales@ours.example"]
    assert [str(alias.address) for alias in await directory.aliases("ours.example")] == ["sales@ours.example"]


async def test_aliases_to_a_direct_target(directory: DirectoryStore) -> None:
    await directory.change([PutAlias(Alias(Address("all", "ours.example"), (SALES, BOB)))])
    assert [alias.address for alias in await directory.aliases_to(Address("ANN", "ours.example"))] == [SALES]
    assert [str(alias.address) for alias in await directory.aliases_to(SALES)] == ["all@ours.example"]
    assert await directory.aliases_to(Address("nobody", "ours.example")) == []


@pytest.mark.parametrize(
    "change",
    [
        AddDomain(Domain("ours.example", NOON)),
        SetCatchAll("remote.example", ANN),
        RemoveDomain("ours.example"),
        RemoveDomain("remote.example", with_content=True),
        AddAccount(Address("ANN", "ours.example"), "", 0, NOON),
        AddAccount(SALES, "", 0, NOON),
        AddAccount(AFAR, "", 0, NOON),
        ChangeAccount(SALES, quota=1),
        RemoveAccount(SALES),
        PutAlias(Alias(ANN, (BOB,))),
        PutAlias(Alias(AFAR, (BOB,))),
        PutAlias(Alias(Address("new", "ours.example"), ())),
        RemoveAlias(ANN),
    ],
    ids=lambda change: type(change).__name__,
)
async def test_a_refused_change_undoes_its_batch(directory: DirectoryStore, change: DirectoryChange) -> None:
    before = await directory.generation()
    with pytest.raises(DirectoryError) as refusal:
        await directory.change([AddDomain(Domain("new.example", NOON)), change])
    assert str(refusal.value)
    assert await directory.find_domain("new.example") is None
    assert await directory.generation() == before


async def test_changing_an_account_leaves_the_rest(directory: DirectoryStore) -> None:
    await directory.change([ChangeAccount(ANN, quota=5)])
    await directory.change([ChangeAccount(ANN, enabled=False)])
    await directory.change([ChangeAccount(ANN, password="other")])
    (ann,) = await directory.find([ANN.key])
    assert isinstance(ann, Account)
    assert ann == Account(ann.account_id, ANN, "other", 5, False, NOON + 2)


async def test_an_account_id_is_never_used_again(directory: DirectoryStore) -> None:
    (_, bob) = await directory.accounts()
    await directory.change([RemoveAccount(BOB)])
    await directory.change([AddAccount(BOB, "", 0, NOON)])
    (_, again) = await directory.accounts()
    assert again.account_id > bob.account_id


async def test_an_alias_is_replaced_and_removed(directory: DirectoryStore) -> None:
    await directory.change([PutAlias(Alias(SALES, (BOB,)))])
    assert list(await directory.find([SALES.key])) == [Alias(SALES, (BOB,))]
    assert await directory.aliases_to(ANN) == []
    await directory.change([RemoveAlias(SALES)])
    assert list(await directory.find([SALES.key])) == [None]


async def test_the_catch_all_is_set_and_removed(directory: DirectoryStore) -> None:
    await directory.change([SetCatchAll("also.example", AFAR), SetCatchAll("ours.example", None)])
    assert [domain.catch_all for domain in await directory.domains()] == [AFAR, None]


async def test_a_domain_goes_with_its_content_when_asked_to(store: Store, directory: DirectoryStore) -> None:
    (ann, bob) = await directory.accounts()
    await store.queue.take_in([a_local_intake(1, [ann.account_id, bob.account_id])])
    await directory.change([RemoveDomain("ours.example", with_content=True)])
    assert [domain.name for domain in await directory.domains()] == ["also.example"]
    assert (await directory.accounts(), await directory.aliases()) == ([], [])
    assert await store.mailbox.entries(ann.account_id) == []
    await directory.change([RemoveDomain("also.example")])
    assert await directory.domains() == []


async def test_the_counter_rises_with_each_change_whoever_made_it(
    store: Store, directory: DirectoryStore, open_store: OpenStore
) -> None:
    other = await open_store()
    first = await other.directory.generation()
    assert await directory.generation() == first
    await directory.change([RemoveAlias(SALES)])
    second = await other.directory.generation()
    assert second == await directory.generation() > first
    await other.directory.change([RemoveAccount(BOB)])
    assert await directory.generation() > second


async def test_mail_does_not_raise_the_counter(store: Store, directory: DirectoryStore) -> None:
    before = await directory.generation()
    (ann, _) = await directory.accounts()
    await store.queue.take_in([a_local_intake(1, [ann.account_id])])
    assert await directory.generation() == before
