"""Names and passwords (RFC 4616 §2, RFC 8265 §4.2)."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.directory_store import MemoryDirectoryStore

from postroom.config.model import DeliverySettings
from postroom.directory import credentials as module
from postroom.directory.credentials import (
    REMEMBERED,
    Authenticated,
    Credentials,
    LoginResult,
    Refused,
    Unavailable,
    hash_password,
)
from postroom.directory.directory import Directory
from postroom.directory.passwords import NOBODYS_HASH, HashTrouble, prepare_password, verify_password
from postroom.mail.address import Address
from postroom.protocol.sasl.exchange import Password

HASH = hash_password("secret")
OTHER_HASH = hash_password("other")
ADDRESS = "192.0.2.1"


class House:
    """Credentials over a store and a clock in hand."""

    def __init__(self, **bounds: int) -> None:
        self.store = MemoryDirectoryStore()
        self.anna = self.store.add_account("anna@example.org", password=HASH)
        self.clock = ManualClock()
        self.directory = Directory(self.store, DeliverySettings(), self.clock)
        self.credentials = Credentials(self.directory, self.clock, threads=2, **bounds)

    async def check(self, name: str, password: str, address: str = ADDRESS, authzid: str = "") -> LoginResult:
        return await self.credentials.check(name, Password(password), address, authzid=authzid)

    async def refused(self, name: str, password: str, address: str = ADDRESS, authzid: str = "") -> Refused:
        result = await self.check(name, password, address, authzid)
        assert isinstance(result, Refused)
        return result


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.credentials.close()


class Verifier:
    """Stands where argon2 stands: counts, and holds on until it is let go."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []
        self.go = threading.Event()
        self.go.set()
        self.trouble: Exception | None = None

    def __call__(self, stored: str, prepared: bytes) -> bool:
        self.calls.append((stored, prepared))
        self.go.wait(10)
        if self.trouble is not None:
            raise self.trouble
        return (stored, prepared) in {(HASH, b"secret"), (OTHER_HASH, b"other")}


@pytest.fixture
def verifier(monkeypatch: pytest.MonkeyPatch) -> Verifier:
    verifier = Verifier()
    monkeypatch.setattr(module, "verify_password", verifier)
    return verifier


class TestPasswords:
    def test_hash_and_verify(self) -> None:
        assert HASH.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert hash_password("secret") != HASH
        assert verify_password(HASH, b"secret")
        assert not verify_password(HASH, b"Secret")
        assert not verify_password(NOBODYS_HASH, b"secret")

    def test_a_damaged_hash_is_our_trouble(self) -> None:
        for damaged in ("", "secret", "$argon2id$v=19$m=19456,t=2,p=1$xx"):
            with pytest.raises(HashTrouble):
                verify_password(damaged, b"secret")

    def test_one_form_however_it_was_typed(self) -> None:
        assert prepare_password("pa\u0308ss\u00a0word") == prepare_password("p\u00e4ss word")
        assert prepare_password("Pass Word ") == b"Pass Word "

    @pytest.mark.parametrize("text", ["", "a\0b", "a\nb", "\x85", "x" * 1025, "\u00fc" * 513, "\udc80"])
    def test_what_cannot_be_one(self, text: str) -> None:
        with pytest.raises(ValueError, match="the password"):
            hash_password(text)


class TestCheck:
    async def test_the_right_one(self, house: House) -> None:
        assert await house.check("anna@example.org", "secret") == Authenticated(house.anna)
        assert await house.check("ANNA@Example.ORG", "secret") == Authenticated(house.anna)

    async def test_a_wrong_one_and_a_stranger_look_the_same(self, house: House) -> None:
        wrong = await house.refused("anna@example.org", "wrong", "192.0.2.1")
        stranger = await house.refused("bert@example.org", "wrong", "192.0.2.2")
        assert replace(wrong, reason="") == replace(stranger, reason="")
        assert wrong.reason == "wrong password"
        assert stranger.reason == "no such account"

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
            assert (await house.refused(name, "secret")).reason == "no such account"

    async def test_no_password_no_login(self, house: House) -> None:
        house.store.add_account("bert@example.org", password="")
        assert (await house.refused("bert@example.org", "")).reason == "the account has no password"

    async def test_disabled(self, house: House) -> None:
        house.store.add_account("bert@example.org", password=HASH, enabled=False)
        assert (await house.refused("bert@example.org", "secret")).reason == "the account is disabled"
        assert (await house.refused("bert@example.org", "wrong")).reason == "wrong password"

    async def test_acting_as_oneself_only(self, house: House) -> None:
        assert await house.check("anna@example.org", "secret", authzid="Anna@example.org") == Authenticated(house.anna)
        for other in ("bert@example.org", "anna", "no address"):
            assert "another" in (await house.refused("anna@example.org", "secret", authzid=other)).reason

    async def test_nothing_shows_the_password(self, house: House) -> None:
        shown = repr(await house.check("anna@example.org", "topsecret")) + repr(vars(house.credentials))
        assert "topsecret" not in shown


class TestTrouble:
    async def test_the_store_is_down(self, house: House) -> None:
        house.store.unavailable = True
        assert isinstance(await house.check("anna@example.org", "secret"), Unavailable)

    async def test_what_cannot_be_verified_is_no_refusal(self, house: House, verifier: Verifier) -> None:
        verifier.trouble = HashTrouble("no memory")
        assert await house.check("anna@example.org", "secret") == Unavailable("no memory")
        verifier.trouble = None
        assert isinstance(await house.check("anna@example.org", "secret"), Authenticated)

    async def test_too_many_at_once(self, verifier: Verifier) -> None:
        house = House(waiting=3)
        verifier.go.clear()
        asked = [asyncio.create_task(house.check(f"u{i}@example.org", "x", f"192.0.2.{i}")) for i in range(3)]
        await asyncio.sleep(0)
        assert isinstance(await house.check("anna@example.org", "secret"), Unavailable)
        verifier.go.set()
        assert all(isinstance(result, Refused) for result in await asyncio.gather(*asked))
        assert isinstance(await house.check("anna@example.org", "secret"), Authenticated)
        house.credentials.close()

    async def test_one_address_leaves_room_for_others(self, verifier: Verifier) -> None:
        house = House(waiting=10, waiting_per_address=2)
        verifier.go.clear()
        asked = [asyncio.create_task(house.check(f"u{i}@example.org", "x", "2001:db8::1")) for i in range(2)]
        await asyncio.sleep(0)
        assert isinstance(await house.check("anna@example.org", "secret", "2001:db8::2"), Unavailable)
        other = asyncio.create_task(house.check("anna@example.org", "secret", "192.0.2.1"))
        await asyncio.sleep(0)
        verifier.go.set()
        await asyncio.gather(*asked)
        assert isinstance(await other, Authenticated)
        assert isinstance(await house.check("anna@example.org", "secret", "2001:db8::2"), Authenticated)
        house.credentials.close()

    async def test_the_same_question_is_answered_once(self, house: House, verifier: Verifier) -> None:
        verifier.go.clear()
        asked = [asyncio.create_task(house.check("anna@example.org", "secret")) for _ in range(20)]
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
            assert isinstance(await house.check("anna@example.org", "secret"), Authenticated)
        assert len(verifier.calls) == 1
        await house.clock.pass_time(REMEMBERED)
        assert isinstance(await house.check("anna@example.org", "secret"), Authenticated)
        assert len(verifier.calls) == 2

    async def test_a_wrong_one_is(self, house: House, verifier: Verifier) -> None:
        await house.check("anna@example.org", "secret")
        await house.refused("anna@example.org", "wrong")
        await house.refused("anna@example.org", "wrong")
        assert len(verifier.calls) == 3

    async def test_a_changed_password_counts_at_once(self, house: House, verifier: Verifier) -> None:
        assert isinstance(await house.check("anna@example.org", "secret"), Authenticated)
        changed = replace(house.anna, password=OTHER_HASH)
        house.store._entries[Address.parse("anna@example.org").key] = changed
        house.directory.forget()
        assert isinstance(await house.check("anna@example.org", "secret"), Refused)
        assert await house.check("anna@example.org", "other") == Authenticated(changed)

    async def test_a_disabled_account_is_out_at_once(self, house: House) -> None:
        assert isinstance(await house.check("anna@example.org", "secret"), Authenticated)
        house.store._entries["anna@example.org"] = replace(house.anna, enabled=False)
        house.directory.forget()
        assert isinstance(await house.check("anna@example.org", "secret"), Refused)


class TestFailures:
    async def test_are_counted_by_address_and_by_account(self, house: House, verifier: Verifier) -> None:
        async def counts(name: str, address: str) -> tuple[int, int]:
            refused = await house.refused(name, "wrong", address)
            return refused.failures_from_address, refused.failures_for_account

        assert await counts("anna@example.org", "192.0.2.1") == (1, 1)
        assert await counts("ANNA@example.org", "192.0.2.1") == (2, 2)
        assert await counts("anna@example.org", "192.0.2.2") == (1, 3)
        assert await counts("bert@example.org", "192.0.2.1") == (3, 1)
        assert await counts("Bert@example.org", "192.0.2.1") == (4, 2)
        assert await counts("x", "2001:db8::1") == (1, 1)
        assert await counts("x", "2001:db8::ffff") == (2, 2)
        assert await counts("x", "2001:db8:0:1::1") == (1, 3)

    async def test_success_is_none(self, house: House, verifier: Verifier) -> None:
        await house.check("anna@example.org", "secret")
        assert (await house.refused("anna@example.org", "wrong")).failures_from_address == 1
