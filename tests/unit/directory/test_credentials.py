"""Names and passwords (RFC 4616 §2)."""

import asyncio

import pytest
from tests.fakes.credential_house import ANNA, HASH, OTHER_HASH, CredentialHouse, FakeSource, Verifier

from postroom.directory.checker import Authenticated, Refused, Unavailable
from postroom.directory.model import RemoveAccount
from postroom.directory.passwords import HashTrouble
from postroom.directory.verifying import REMEMBERED

House = CredentialHouse


class TestCheck:
    async def test_the_right_one(self, house: House) -> None:
        assert await house.check("anna@example.org", "secret") == Authenticated(house.anna)
        assert await house.check("ANNA@Example.ORG", "secret") == Authenticated(house.anna)

    async def test_a_wrong_one_and_a_stranger(self, house: House) -> None:
        assert await house.refused("anna@example.org", "wrong") == "wrong password"
        assert await house.refused("bert@example.org", "wrong") == "no such account"

    async def test_they_take_the_same_work(self, house: House, verifier: Verifier) -> None:
        house.store.add_account("nopass@example.org", password="")
        for name in ("anna@example.org", "bert@example.org", "nopass@example.org", "not an address", ""):
            before = len(verifier.calls)
            await house.refused(name, "wrong")
            assert len(verifier.calls) == before + 1
        await house.refused("anna@example.org", "bad\npassword")
        assert len(verifier.calls) == before + 2

    async def test_only_accounts_log_in(self, house: House) -> None:
        house.store.add_alias("info@example.org", "anna@example.org")
        for name in ("info@example.org", "anna+x@example.org", "anna"):
            assert await house.refused(name, "secret") == "no such account"

    async def test_no_password_no_login(self, house: House) -> None:
        house.store.add_account("bert@example.org", password="")
        assert isinstance(await house.check("bert@example.org", ""), Refused)
        assert await house.refused("bert@example.org", "some") == "the account has no password"

    async def test_disabled(self, house: House) -> None:
        house.store.add_account("bert@example.org", password=HASH, enabled=False)
        assert await house.refused("bert@example.org", "secret") == "the account is disabled"
        assert await house.refused("bert@example.org", "wrong") == "wrong password"

    async def test_acting_as_oneself_only(self, house: House) -> None:
        assert await house.check(ANNA, "secret", authzid="Anna@example.org") == Authenticated(house.anna)
        for other in ("bert@example.org", "anna", "no address"):
            assert "another" in await house.refused(ANNA, "secret", authzid=other)

    async def test_nothing_shows_the_password(self, house: House) -> None:
        shown = repr(await house.check(ANNA, "topsecret")) + repr(vars(house.credentials))
        assert "topsecret" not in shown


class TestTrouble:
    async def test_the_store_is_down(self, house: House) -> None:
        house.store.unavailable = True
        assert isinstance(await house.check(ANNA, "secret"), Unavailable)

    async def test_what_cannot_be_verified_is_no_refusal(self, house: House, verifier: Verifier) -> None:
        verifier.trouble = HashTrouble("no memory")
        assert await house.check(ANNA, "secret") == Unavailable("no memory")
        verifier.trouble = None
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)

    async def test_too_many_at_once(self, verifier: Verifier) -> None:
        house = House(waiting=3)
        verifier.go.clear()
        asked = [asyncio.create_task(house.check(f"u{i}@example.org", "x", f"192.0.2.{i}")) for i in range(3)]
        while len(house.credentials._verifying._running) < 3:
            await asyncio.sleep(0)
        assert isinstance(await house.check(ANNA, "secret"), Unavailable)
        verifier.go.set()
        assert all(isinstance(result, Refused) for result in await asyncio.gather(*asked))
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        await house.credentials.close()

    async def test_one_address_leaves_room_for_others(self, verifier: Verifier) -> None:
        house = House(waiting=10, waiting_per_address=2)
        verifier.go.clear()
        asked = [asyncio.create_task(house.check(f"u{i}@example.org", "x", "2001:db8::1")) for i in range(2)]
        while len(house.credentials._verifying._running) < 2:
            await asyncio.sleep(0)
        assert isinstance(await house.check(ANNA, "secret", "2001:db8::2"), Unavailable)
        other = asyncio.create_task(house.check(ANNA, "secret", "192.0.2.1"))
        await asyncio.sleep(0)
        verifier.go.set()
        await asyncio.gather(*asked)
        assert isinstance(await other, Authenticated)
        assert isinstance(await house.check(ANNA, "secret", "2001:db8::2"), Authenticated)
        await house.credentials.close()

    async def test_the_same_question_is_answered_once(self, house: House, verifier: Verifier) -> None:
        verifier.go.clear()
        asked = [asyncio.create_task(house.check(ANNA, "secret")) for _ in range(20)]
        while not verifier.calls:
            await asyncio.sleep(0)
        asked[0].cancel()
        await asyncio.sleep(0)
        verifier.go.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert results.count(Authenticated(house.anna)) == 19
        assert len(verifier.calls) == 1


class TestMemory:
    async def test_a_verified_password_is_not_verified_again(self, house: House, verifier: Verifier) -> None:
        for _ in range(3):
            assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        assert len(verifier.calls) == 1
        await house.clock.pass_time(REMEMBERED)
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        assert len(verifier.calls) == 2

    async def test_a_wrong_one_is(self, house: House, verifier: Verifier) -> None:
        await house.check(ANNA, "secret")
        await house.refused(ANNA, "wrong")
        await house.refused(ANNA, "wrong")
        assert len(verifier.calls) == 3

    async def test_a_changed_password_counts_at_once(self, house: House, verifier: Verifier) -> None:
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        changed = await house.change(password=OTHER_HASH)
        assert isinstance(await house.check(ANNA, "secret"), Refused)
        assert await house.check(ANNA, "other") == Authenticated(changed)

    async def test_who_is_disabled_or_removed_is_out_at_once(self, house: House) -> None:
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        await house.change(enabled=False)
        assert isinstance(await house.check(ANNA, "secret"), Refused)
        await house.store.change([RemoveAccount(house.anna.address)])
        house.directory.forget()
        assert await house.refused(ANNA, "secret") == "no such account"


class TestSources:
    """``auth.sources``: who is asked, in order."""

    async def test_the_first_who_knows_the_account_decides(self) -> None:
        ldap = FakeSource("ldap", {"anna@example.org": "by ldap", "bert@example.org": "by ldap"})
        house = House({"sources": ["directory", "ldap"]}, {"ldap": ldap})
        bert = house.store.add_account("bert@example.org")
        assert await house.check("bert@example.org", "by ldap") == Authenticated(bert)
        assert await house.refused("bert@example.org", "wrong") == "wrong password"
        assert await house.refused(ANNA, "by ldap") == "wrong password"
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        await house.credentials.close()
        assert ldap.closed

    async def test_an_account_is_always_the_directorys(self) -> None:
        ldap = FakeSource("ldap", {"zoe@example.org": "by ldap"})
        house = House({"sources": ["ldap"]}, {"ldap": ldap})
        assert await house.refused("zoe@example.org", "by ldap") == "no such account"
        assert ldap.claims == []
        assert [str(claim.address) for claim in ldap.imitations] == ["zoe@example.org"]
        await house.credentials.close()

    async def test_what_cannot_be_told_is_no_refusal(self) -> None:
        ldap = FakeSource("ldap", trouble="LDAP: no answer in time")
        house = House({"sources": ["ldap", "directory"]}, {"ldap": ldap})
        assert await house.check(ANNA, "secret") == Unavailable("LDAP: no answer in time")
        ldap.trouble = ""
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        await house.credentials.close()

    async def test_what_others_say_is_not_remembered(self) -> None:
        ldap = FakeSource("ldap", {"anna@example.org": "by ldap"})
        house = House({"sources": ["ldap", "directory"]}, {"ldap": ldap})
        assert isinstance(await house.check(ANNA, "by ldap"), Authenticated)
        ldap.passwords.clear()
        assert isinstance(await house.check(ANNA, "by ldap"), Refused)
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        ldap.passwords[ANNA] = "new"
        assert isinstance(await house.check(ANNA, "secret"), Refused)
        await house.credentials.close()

    @pytest.mark.parametrize("password", ["", "\x00", "a\nb", "x" * 2000])
    async def test_what_is_no_password_is_shown_to_nobody(self, password: str) -> None:
        ldap = FakeSource("ldap", {ANNA: password})
        house = House({"sources": ["ldap"]}, {"ldap": ldap})
        assert await house.refused(ANNA, password) == "wrong password"
        assert ldap.claims == []
        assert [claim.password.text for claim in ldap.imitations] == [" "]
        await house.credentials.close()

    async def test_strangers_always_look_like_those_of_the_same_source(self, verifier: Verifier) -> None:
        ldap = FakeSource("ldap")
        house = House({"sources": ["directory", "ldap"]}, {"ldap": ldap})
        seen = set()
        for name in [f"stranger{number}@example.org" for number in range(20)]:
            ways = set()
            for _ in range(3):
                before = (len(verifier.calls), len(ldap.imitations))
                await house.refused(name, "x")
                ways.add((len(verifier.calls) - before[0], len(ldap.imitations) - before[1]))
            assert len(ways) == 1
            seen |= ways
        assert seen == {(1, 0), (0, 1)}
        await house.credentials.close()


SCRAM = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")


class TestMechanisms:
    @pytest.mark.parametrize(
        ("settings", "certificates", "offered"),
        [
            ({}, False, (*SCRAM, "PLAIN", "LOGIN")),
            ({}, True, (*SCRAM, "EXTERNAL", "PLAIN", "LOGIN")),
            ({"sources": ["ldap"]}, False, ("PLAIN", "LOGIN")),
            # A client that has the choice takes SCRAM, and would fail with a password that only LDAP knows.
            ({"sources": ["directory", "ldap"]}, False, ("PLAIN", "LOGIN")),
            (
                {"sources": ["directory", "ldap"], "mechanisms": ["scram-sha-256", "PLAIN"]},
                False,
                ("SCRAM-SHA-256", "PLAIN"),
            ),
            ({"mechanisms": ["LOGIN", "PLAIN", "LOGIN"]}, False, ("LOGIN", "PLAIN")),
            ({"mechanisms": ["EXTERNAL", "OAUTHBEARER", "PLAIN"]}, False, ("PLAIN",)),
        ],
    )
    async def test_what_can_be_checked(
        self, settings: dict[str, object], certificates: bool, offered: tuple[str, ...]
    ) -> None:
        house = House(settings, {"ldap": FakeSource("ldap")}, certificates=certificates)
        assert house.credentials.mechanisms == offered
        await house.credentials.close()
