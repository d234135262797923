"""The promises of DirectoryStore."""

import pytest
from tests.contract.implementations import OpenStore, Store
from tests.fakes.letters import NOON, a_local_intake

from postroom.directory.model import (
    MAX_APP_PASSWORDS,
    Account,
    AddAccount,
    AddAppPassword,
    AddDomain,
    Alias,
    AppPassword,
    ChangeAccount,
    DirectoryChange,
    DirectoryError,
    Domain,
    KeepKeys,
    Logins,
    PutAlias,
    RemoveAccount,
    RemoveAlias,
    RemoveAppPassword,
    RemoveDomain,
    ScramKey,
    SetCatchAll,
    SetForwards,
)
from postroom.directory.store import DirectoryStore
from postroom.mail.address import Address

ANN = Address("Ann", "ours.example")
BOB = Address("bob", "ours.example")
SALES = Address("sales", "ours.example")
AFAR = Address("rita", "remote.example")

KEYS = (
    ScramKey("SHA-1", b"salt\x00", 4096, b"\xff" * 20, b"server"),
    ScramKey("SHA-256", b"other", 5000, b"\x00" * 32, b"\x80"),
)
OTHER_KEYS = (ScramKey("SHA-256", b"other", 5000, b"stored", b"server"),)


def an_app_password(label: str = "phone", *protocols: str) -> AppPassword:
    return AppPassword(0, label, protocols, b"\x00digest", NOON, None, OTHER_KEYS)


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
        SetForwards(SALES, (BOB,)),
        SetForwards(AFAR, (BOB,)),
        SetForwards(ANN, (BOB, Address("ANN", "ours.example"))),
        KeepKeys(SALES, "argon", KEYS),
        KeepKeys(ANN, "another", KEYS),
        AddAppPassword(SALES, an_app_password()),
        RemoveAppPassword(ANN, "phone"),
        RemoveAppPassword(AFAR, "phone"),
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


async def test_an_account_may_forward(directory: DirectoryStore) -> None:
    quoted = Address('odd "one", 100%', "remote.example")
    before = await directory.generation()
    await directory.change([SetForwards(ANN, (AFAR, quoted), keep=False), ChangeAccount(ANN, quota=5)])
    assert await directory.generation() > before
    (ann,) = await directory.find([ANN.key])
    assert isinstance(ann, Account)
    assert ann == Account(ann.account_id, ANN, "argon", 5, True, NOON + 2, False, (AFAR, quoted), False)
    assert (await directory.accounts())[0] == ann
    await directory.change([SetForwards(ANN, keep=False)])
    (ann,) = await directory.find([ANN.key])
    assert isinstance(ann, Account)
    assert (ann.forwards, ann.keep) == ((), True)


async def test_forwards_go_with_their_account(directory: DirectoryStore) -> None:
    await directory.change([SetForwards(ANN, (AFAR,)), RemoveAccount(ANN), AddAccount(ANN, "", 0, NOON)])
    (ann,) = await directory.find([ANN.key])
    assert isinstance(ann, Account)
    assert ann.forwards == ()


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


class TestCredentials:
    async def test_keys_come_with_a_password_and_go_with_it(self, directory: DirectoryStore) -> None:
        assert await directory.logins(ANN.key) == Logins()
        cid = Address("cid", "ours.example")
        await directory.change([AddAccount(cid, "argon", 0, NOON, KEYS), ChangeAccount(ANN, password="new", keys=KEYS)])
        assert await directory.logins(cid.key) == await directory.logins(ANN.key) == Logins(KEYS)
        await directory.change([ChangeAccount(ANN, quota=5), ChangeAccount(ANN, enabled=False)])
        assert await directory.logins(ANN.key) == Logins(KEYS)
        await directory.change([ChangeAccount(ANN, password="newer", keys=OTHER_KEYS)])
        assert await directory.logins(ANN.key) == Logins(OTHER_KEYS)
        await directory.change([ChangeAccount(ANN, password="newest")])
        assert await directory.logins(ANN.key) == Logins()

    async def test_keys_are_kept_for_the_password_they_were_made_of(self, directory: DirectoryStore) -> None:
        await directory.change([KeepKeys(ANN, "argon", KEYS)])
        assert await directory.logins(ANN.key) == Logins(KEYS)
        (ann,) = await directory.find([ANN.key])
        assert isinstance(ann, Account)
        assert ann.password == "argon"

    async def test_app_passwords(self, directory: DirectoryStore) -> None:
        before = await directory.generation()
        await directory.change([AddAppPassword(ANN, an_app_password("phone", "smtp", "pop3"))])
        await directory.change([AddAppPassword(ANN, an_app_password("a table \u2603"))])
        await directory.change([AddAppPassword(BOB, an_app_password("phone"))])
        assert await directory.generation() > before
        phone, table = (await directory.logins(ANN.key)).app_passwords
        assert phone == AppPassword(
            phone.app_password_id, "phone", ("smtp", "pop3"), b"\x00digest", NOON, None, OTHER_KEYS
        )
        assert (table.label, table.protocols) == ("a table \u2603", ())
        with pytest.raises(DirectoryError, match="phone"):
            await directory.change([AddAppPassword(ANN, an_app_password("phone"))])
        await directory.change([ChangeAccount(ANN, password="new", keys=KEYS)])
        assert await directory.logins(ANN.key) == Logins(KEYS, (phone, table))
        await directory.change([RemoveAppPassword(ANN, "phone")])
        assert await directory.logins(ANN.key) == Logins(KEYS, (table,))
        assert len((await directory.logins(BOB.key)).app_passwords) == 1

    async def test_there_are_not_more_than_a_login_can_look_at(self, directory: DirectoryStore) -> None:
        await directory.change([AddAppPassword(ANN, an_app_password(str(n))) for n in range(MAX_APP_PASSWORDS)])
        with pytest.raises(DirectoryError):
            await directory.change([AddAppPassword(ANN, an_app_password("one more"))])

    async def test_their_use_is_noted(self, directory: DirectoryStore) -> None:
        await directory.change([AddAppPassword(ANN, an_app_password(label)) for label in ("phone", "table")])
        phone, table = (await directory.logins(ANN.key)).app_passwords
        before = await directory.generation()
        await directory.used([(phone.app_password_id, NOON + 5), (999_999, NOON)])
        assert [each.last_used for each in (await directory.logins(ANN.key)).app_passwords] == [NOON + 5, None]
        assert await directory.generation() == before
        assert table.app_password_id != phone.app_password_id

    async def test_they_may_be_all_that_is_taken(self, directory: DirectoryStore) -> None:
        await directory.change([ChangeAccount(ANN, app_passwords_only=True)])
        (ann,) = await directory.find([ANN.key])
        assert isinstance(ann, Account)
        assert (ann.app_passwords_only, ann.password, ann.enabled) == (True, "argon", True)
        await directory.change([ChangeAccount(ANN, app_passwords_only=False), ChangeAccount(BOB, quota=1)])
        assert not any(account.app_passwords_only for account in await directory.accounts())

    async def test_they_go_with_the_account(self, directory: DirectoryStore) -> None:
        for gone in (RemoveAccount(ANN), RemoveDomain("ours.example", with_content=True)):
            await directory.change(
                [ChangeAccount(ANN, password="x", keys=KEYS), AddAppPassword(ANN, an_app_password())]
            )
            await directory.change([gone])
            assert await directory.logins(ANN.key) == Logins()
            if isinstance(gone, RemoveAccount):
                await directory.change([AddAccount(ANN, "", 0, NOON)])
                assert await directory.logins(ANN.key) == Logins()

    async def test_nobody_has_any(self, directory: DirectoryStore) -> None:
        for key in (SALES.key, AFAR.key, "", "\0"):
            assert await directory.logins(key) == Logins()

    async def test_the_secret_is_the_stores_own_and_stays(
        self, directory: DirectoryStore, open_store: OpenStore
    ) -> None:
        secret = await directory.secret()
        assert len(secret) == 32
        assert len(set(secret)) > 8
        assert await (await open_store()).directory.secret() == secret
