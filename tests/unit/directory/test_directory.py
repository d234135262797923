"""Who receives, who may send, who is over quota (RFC 5321 §4.5.1, RFC 6409 §6.1)."""

from collections.abc import Sequence

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.directory_store import MemoryDirectoryStore

from postroom.config.model import DeliverySettings
from postroom.directory.directory import Directory
from postroom.directory.model import Domain, Entry, NotLocal, Resolution, Resolved, Unknown, Usage
from postroom.mail.address import Address
from postroom.mail.trouble import StoreUnavailable


class OvertakenStore(MemoryDirectoryStore):
    """While it answers, a refresh elsewhere learns of a change."""

    house: Directory | None = None

    async def find_domain(self, name: str) -> Domain | None:
        found = await super().find_domain(name)
        if self.house is not None:
            self.house.forget()
        return found

    async def find(self, keys: Sequence[str]) -> Sequence[Entry | None]:
        found = await super().find(keys)
        if self.house is not None:
            self.house.forget()
        return found


@pytest.fixture
def store() -> MemoryDirectoryStore:
    store = MemoryDirectoryStore()
    store.add_domain("example.org")
    return store


def directory(store: MemoryDirectoryStore, **settings: object) -> Directory:
    return Directory(store, DeliverySettings.model_validate(settings), ManualClock())


def names(resolution: Resolution) -> list[str]:
    assert isinstance(resolution, Resolved), resolution
    return [str(account.address) for account in resolution.accounts] + [
        f"> {address}" for address in resolution.forwards
    ]


async def who(store: MemoryDirectoryStore, address: str, **settings: object) -> list[str]:
    return names(await directory(store, **settings).resolve(Address.parse(address)))


async def unknown(store: MemoryDirectoryStore, address: str, **settings: object) -> str:
    resolution = await directory(store, **settings).resolve(Address.parse(address))
    assert isinstance(resolution, Unknown), resolution
    return resolution.reason


class TestLookup:
    async def test_account(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        assert await who(store, "anna@example.org") == ["anna@example.org"]

    async def test_case_and_composition_do_not_matter(self, store: MemoryDirectoryStore) -> None:
        store.add_account("jürgen@example.org")
        assert await who(store, "JU\u0308RGEN@Example.ORG") == ["jürgen@example.org"]

    async def test_quoting_does_not_matter(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        assert await who(store, '"anna"@example.org') == ["anna@example.org"]

    async def test_unknown(self, store: MemoryDirectoryStore) -> None:
        assert await unknown(store, "nobody@example.org") == "no such account or alias"

    async def test_not_local(self, store: MemoryDirectoryStore) -> None:
        assert await directory(store).resolve(Address.parse("anna@example.net")) == NotLocal()
        assert await directory(store).resolve(Address.parse("postmaster@example.net")) == NotLocal()

    async def test_disabled_accounts_receive(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org", enabled=False)
        assert await who(store, "anna@example.org") == ["anna@example.org"]

    async def test_is_local(self, store: MemoryDirectoryStore) -> None:
        house = directory(store)
        assert await house.is_local("example.org")
        assert await house.is_local("")
        assert not await house.is_local("example.net")
        asked = store.questions
        assert await house.is_local("example.org")
        assert not await house.is_local("example.net")
        assert store.questions == asked


class TestPlus:
    async def test_tag_is_left_out(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        assert await who(store, "Anna+lists+more@example.org") == ["anna@example.org"]

    async def test_exact_comes_first(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        store.add_account("anna+work@example.org")
        assert await who(store, "anna+work@example.org") == ["anna+work@example.org"]

    async def test_aliases_too(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        store.add_alias("info@example.org", "anna@example.org")
        assert await who(store, "info+x@example.org") == ["anna@example.org"]

    async def test_comes_before_catch_all(self, store: MemoryDirectoryStore) -> None:
        store.add_domain("example.org", catch_all="rest@example.org")
        store.add_account("anna@example.org")
        store.add_account("rest@example.org")
        assert await who(store, "anna+x@example.org") == ["anna@example.org"]

    async def test_a_leading_separator_is_no_tag(self, store: MemoryDirectoryStore) -> None:
        assert await unknown(store, "+x@example.org")

    async def test_another_separator_or_none(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        assert await who(store, "anna-x@example.org", plus_separator="-") == ["anna@example.org"]
        assert await unknown(store, "anna+x@example.org", plus_separator="")


class TestAliases:
    async def test_one_to_many_sorted_without_duplicates(self, store: MemoryDirectoryStore) -> None:
        for name in ("dora", "anna", "bert"):
            store.add_account(f"{name}@example.org")
        store.add_alias(
            "team@example.org",
            "dora@example.org",
            "z@example.net",
            "anna@example.org",
            "ANNA@example.org",
            "a@example.net",
        )
        assert await who(store, "team@example.org") == [
            "anna@example.org",
            "dora@example.org",
            "> a@example.net",
            "> z@example.net",
        ]

    async def test_nested(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        store.add_account("bert@example.com")
        store.add_alias("all@example.org", "some@example.com", "anna+all@example.org")
        store.add_alias("some@example.com", "bert@example.com", "anna@example.org", "out@example.net")
        assert await who(store, "all@example.org") == ["anna@example.org", "bert@example.com", "> out@example.net"]

    async def test_loops_end(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        store.add_alias("a@example.org", "b@example.org", "a@example.org")
        store.add_alias("b@example.org", "a@example.org", "anna@example.org")
        assert await who(store, "a@example.org") == ["anna@example.org"]

    async def test_a_loop_without_way_out_is_unknown(self, store: MemoryDirectoryStore) -> None:
        store.add_alias("a@example.org", "b@example.org")
        store.add_alias("b@example.org", "a@example.org")
        assert await unknown(store, "a@example.org") == "its alias leads nowhere"

    async def test_a_dangling_target_is_left_out(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        store.add_alias("team@example.org", "gone@example.org", "anna@example.org")
        assert await who(store, "team@example.org") == ["anna@example.org"]

    async def test_depth_is_bounded(self, store: MemoryDirectoryStore) -> None:
        store.add_account("a4@example.org")
        for level in range(4):
            store.add_alias(f"a{level}@example.org", f"a{level + 1}@example.org")
        assert await who(store, "a0@example.org", max_alias_depth=4) == ["a4@example.org"]
        assert await who(store, "a1@example.org", max_alias_depth=3) == ["a4@example.org"]
        assert "deeper than 3" in await unknown(store, "a0@example.org", max_alias_depth=3)

    async def test_expansion_is_bounded(self, store: MemoryDirectoryStore) -> None:
        store.add_alias("all@example.org", *[f"u{number}@example.net" for number in range(6)])
        assert len(await who(store, "all@example.org", max_alias_targets=6)) == 6
        assert "more than 5" in await unknown(store, "all@example.org", max_alias_targets=5)

    async def test_wide_and_nested_is_bounded_before_it_is_looked_up(self, store: MemoryDirectoryStore) -> None:
        for level in range(5):
            store.add_alias(
                f"a{level}@example.org", *[f"a{level + 1}@example.org"], *[f"x{i}@example.org" for i in range(99)]
            )
        assert await unknown(store, "a0@example.org", max_alias_targets=50)


class TestCatchAll:
    async def test_receives_what_nobody_else_does(self, store: MemoryDirectoryStore) -> None:
        store.add_domain("example.org", catch_all="anna@example.org")
        store.add_account("anna@example.org")
        store.add_account("bert@example.org")
        assert await who(store, "anything@example.org") == ["anna@example.org"]
        assert await who(store, "bert@example.org") == ["bert@example.org"]

    async def test_may_be_elsewhere(self, store: MemoryDirectoryStore) -> None:
        store.add_domain("example.org", catch_all="rest@example.net")
        assert await who(store, "anything@example.org") == ["> rest@example.net"]

    async def test_that_is_missing_itself(self, store: MemoryDirectoryStore) -> None:
        store.add_domain("example.org", catch_all="gone@example.org")
        assert await unknown(store, "anything@example.org") == "its alias leads nowhere"


class TestPostmaster:
    async def test_own_account_comes_first(self, store: MemoryDirectoryStore) -> None:
        store.add_account("postmaster@example.org")
        store.add_account("anna@example.org")
        assert await who(store, "PostMaster@example.org", postmaster="anna@example.org") == ["postmaster@example.org"]

    async def test_then_the_settings(self, store: MemoryDirectoryStore) -> None:
        store.add_domain("example.org", catch_all="bert@example.org")
        store.add_account("bert@example.org")
        store.add_account("anna@example.com")
        for written in ("postmaster", "POSTMASTER@example.org"):
            assert await who(store, written, postmaster="anna@example.com") == ["anna@example.com"]
            assert await who(store, written, postmaster="ops@example.net") == ["> ops@example.net"]

    async def test_then_the_catch_all(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        store.add_account("bert@example.org")
        store.add_domain("example.org", catch_all="bert@example.org")
        assert await who(store, "postmaster@example.org") == ["bert@example.org"]
        settings = {"postmaster": "postmaster@example.org"}  # names itself, which nobody has
        assert await who(store, "postmaster@example.org", **settings) == ["bert@example.org"]

    async def test_then_the_oldest_enabled_account_of_the_domain(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.com", created_at=1)
        store.add_account("bert@example.org", created_at=2, enabled=False)
        store.add_account("emil@example.org", created_at=4)
        store.add_account("dora@example.org", created_at=3)
        assert await who(store, "postmaster@example.org") == ["dora@example.org"]
        assert await who(store, "postmaster") == ["anna@example.com"]

    async def test_then_the_oldest_account_of_all(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.com", created_at=1)
        assert await who(store, "postmaster@example.org") == ["anna@example.com"]

    async def test_stand_in_for_one_who_is_gone(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        assert await who(store, "postmaster", postmaster="gone@example.org") == ["anna@example.org"]
        assert await who(store, "postmaster@example.org", postmaster="gone@example.org") == ["anna@example.org"]

    async def test_reached_through_an_alias(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        store.add_alias("abuse@example.org", "postmaster@example.org")
        assert await who(store, "abuse@example.org") == ["anna@example.org"]

    async def test_a_house_without_accounts_has_none(self, store: MemoryDirectoryStore) -> None:
        assert await unknown(store, "postmaster")
        assert await unknown(store, "postmaster@example.org")

    def test_of_the_settings_must_be_a_full_address(self, store: MemoryDirectoryStore) -> None:
        for wrong in ("postmaster", "no address"):
            with pytest.raises(ValueError, match="address"):
                directory(store, postmaster=wrong)


class TestAccount:
    async def test_by_its_address_in_any_writing(self, store: MemoryDirectoryStore) -> None:
        anna = store.add_account("anna@example.org")
        house = directory(store)
        assert await house.account("Anna@EXAMPLE.org") == anna
        asked = store.questions
        assert await house.account("anna@example.org") == anna
        assert store.questions == asked

    async def test_nothing_else_is_one(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        store.add_alias("info@example.org", "anna@example.org")
        house = directory(store)
        for name in ("info@example.org", "anna+x@example.org", "anna", "", "bert@example.org", "bert@example.org"):
            assert await house.account(name) is None


class TestSender:
    async def test_who_may_send_as_what(self, store: MemoryDirectoryStore) -> None:
        anna = store.add_account("anna@example.org")
        bert = store.add_account("bert@example.org")
        store.add_account("anna+hr@example.org")
        store.add_domain("example.com", catch_all="bert@example.org")
        store.add_alias("team@example.org", "inner@example.org")
        store.add_alias("inner@example.org", "anna@example.org", "x@example.net")
        house = directory(store)

        async def may(address: str) -> tuple[bool, bool]:
            parsed = Address.parse(address)
            return await house.may_send_as(anna, parsed), await house.may_send_as(bert, parsed)

        assert await may("anna@example.org") == (True, False)
        assert await may("ANNA@example.org") == (True, False)
        assert await may("anna+x@example.org") == (True, False)
        assert await may("anna+hr@example.org") == (False, False)
        assert await may("team@example.org") == (True, False)
        assert await may("team+x@example.org") == (True, False)
        assert await may("inner@example.org") == (True, False)
        assert await may("whatever@example.com") == (False, True)
        assert await may("nobody@example.org") == (False, False)
        assert await may("x@example.net") == (False, False)
        assert await may("postmaster") == (False, False)


class TestQuota:
    async def test_none(self, store: MemoryDirectoryStore) -> None:
        anna = store.add_account("anna@example.org", quota=0)
        assert not await directory(store).over_quota(anna, 1 << 40)
        assert store.questions == 0

    async def test_what_fits_exactly_fits(self, store: MemoryDirectoryStore) -> None:
        anna = store.add_account("anna@example.org", quota=1000)
        store.usages[anna.account_id] = Usage(900, 3)
        house = directory(store)
        assert not await house.over_quota(anna, 100)
        assert await house.over_quota(anna, 101)
        assert not await house.over_quota(anna, 0)

    async def test_a_full_mailbox_is_full_for_a_size_not_known_yet(self, store: MemoryDirectoryStore) -> None:
        anna = store.add_account("anna@example.org", quota=1000)
        store.usages[anna.account_id] = Usage(1000, 3)
        assert await directory(store).over_quota(anna, 0)

    async def test_is_known_to_two_seconds(self, store: MemoryDirectoryStore) -> None:
        clock = ManualClock()
        anna = store.add_account("anna@example.org", quota=1000)
        house = Directory(store, DeliverySettings(), clock)
        assert not await house.over_quota(anna, 10)
        store.usages[anna.account_id] = Usage(1000, 3)
        asked = store.questions
        await clock.pass_time(1.9)
        assert not await house.over_quota(anna, 10)
        assert store.questions == asked
        await clock.pass_time(0.2)
        assert await house.over_quota(anna, 10)


class TestMemory:
    async def test_what_is_known_is_not_asked_again(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        house = directory(store)
        first = await house.resolve(Address.parse("anna@example.org"))
        asked = store.questions
        assert await house.resolve(Address.parse("anna@example.org")) is first
        assert store.questions == asked

    async def test_an_answer_that_is_known_does_not_wait(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        house = directory(store)
        anna = Address.parse("anna@example.org")
        await house.resolve(anna)
        with pytest.raises(StopIteration):  # the coroutine ends in its first step
            house.resolve(anna).send(None)

    async def test_a_change_is_seen_after_refresh(self, store: MemoryDirectoryStore) -> None:
        house = directory(store)
        await house.refresh()
        anna = Address.parse("anna@example.org")
        assert isinstance(await house.resolve(anna), Unknown)
        assert not await house.is_local("example.com")
        assert await house.account("anna@example.org") is None
        store.add_account("anna@example.org")
        store.add_domain("example.com")
        assert isinstance(await house.resolve(anna), Unknown)
        assert await house.refresh()
        assert isinstance(await house.resolve(anna), Resolved)
        assert await house.is_local("example.com")
        assert await house.account("anna@example.org") is not None

    async def test_without_a_change_nothing_is_forgotten(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        house = directory(store)
        await house.refresh()
        await house.resolve(Address.parse("anna@example.org"))
        assert not await house.refresh()
        asked = store.questions
        await house.resolve(Address.parse("anna@example.org"))
        assert store.questions == asked

    async def test_an_answer_that_a_change_overtook_is_not_kept(self) -> None:
        store = OvertakenStore()
        house = directory(store)
        store.house = house
        store.add_domain("example.org")
        anna = Address.parse("anna@example.org")
        assert isinstance(await house.resolve(anna), Unknown)
        assert await house.account("anna@example.org") is None
        assert not await house.is_local("example.com")
        store.house = None
        store.add_account("anna@example.org")
        store.add_domain("example.com")
        assert isinstance(await house.resolve(anna), Resolved)
        assert await house.account("anna@example.org") is not None
        assert await house.is_local("example.com")

    async def test_trouble_of_the_store_is_told_and_not_kept(self, store: MemoryDirectoryStore) -> None:
        store.add_account("anna@example.org")
        house = directory(store)
        await house.refresh()
        known, new = Address.parse("anna@example.org"), Address.parse("anna+x@example.org")
        await house.resolve(known)
        store.unavailable = True
        assert isinstance(await house.resolve(known), Resolved)
        with pytest.raises(StoreUnavailable):
            await house.resolve(new)
        with pytest.raises(StoreUnavailable):
            await house.refresh()
        assert isinstance(await house.resolve(known), Resolved)
        store.unavailable = False
        assert isinstance(await house.resolve(new), Resolved)
