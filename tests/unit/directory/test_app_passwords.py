"""App passwords by PLAIN and LOGIN: for one program, for chosen protocols, revocable."""

import re

import pytest
from tests.fakes.credential_house import ANNA, PHONE, CredentialHouse, Verifier

from postroom.directory.apppasswords import TOUCHED, invent_app_password
from postroom.directory.checker import Authenticated, Refused

House = CredentialHouse


async def last_used(house: House) -> float | None:
    return (await house.store.logins(ANNA)).app_passwords[0].last_used


def test_are_long_and_can_be_copied() -> None:
    invented = {invent_app_password() for _ in range(200)}
    assert len(invented) == 200
    for password in invented:
        assert re.fullmatch(r"([a-km-np-z2-9]{5}-){4}[a-km-np-z2-9]{5}", password)


class TestCheck:
    async def test_logs_in_beside_the_accounts_own(self, house: House) -> None:
        await house.add_app_password()
        assert await house.check(ANNA, PHONE) == Authenticated(house.anna, "phone")
        assert await house.check(ANNA, "secret") == Authenticated(house.anna)
        assert isinstance(await house.check(ANNA, PHONE.upper()), Refused)
        await house.settled()

    async def test_is_of_its_account_alone(self, house: House) -> None:
        house.store.add_account("bert@example.org")
        await house.add_app_password()
        assert isinstance(await house.check("bert@example.org", PHONE), Refused)

    async def test_costs_no_slow_hash_and_a_wrong_one_does(self, house: House, verifier: Verifier) -> None:
        await house.add_app_password()
        assert isinstance(await house.check(ANNA, PHONE), Authenticated)
        assert verifier.calls == []
        await house.refused(ANNA, PHONE + "x")
        assert len(verifier.calls) == 1
        await house.settled()

    async def test_for_one_protocol(self, house: House) -> None:
        await house.add_app_password(protocols=("pop3",))
        assert isinstance(await house.check(ANNA, PHONE, protocol="pop3"), Authenticated)
        assert await house.refused(ANNA, PHONE) == "the app password 'phone' is not for smtp"
        await house.settled()

    async def test_one_that_is_removed_is_of_no_use_at_once(self, house: House) -> None:
        await house.add_app_password()
        assert isinstance(await house.check(ANNA, PHONE), Authenticated)
        await house.settled()
        await house.remove_app_password()
        assert await house.refused(ANNA, PHONE) == "wrong password"

    async def test_they_alone(self, house: House) -> None:
        await house.add_app_password()
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        account = await house.change(app_passwords_only=True)
        assert await house.refused(ANNA, "secret") == "the account takes app passwords only"
        assert await house.refused(ANNA, "wrong") == "wrong password"
        assert await house.check(ANNA, PHONE) == Authenticated(account, "phone")
        await house.settled()

    async def test_who_may_not_log_in_may_not(self, house: House) -> None:
        await house.add_app_password()
        assert "another" in await house.refused(ANNA, PHONE, authzid="bert@example.org")
        await house.change(enabled=False)
        assert await house.refused(ANNA, PHONE) == "the account is disabled"
        assert await last_used(house) is None

    @pytest.mark.parametrize("protocol", ["smtp", "pop3"])
    async def test_turned_off(self, protocol: str) -> None:
        house = House({"app_passwords": False})
        await house.add_app_password()
        assert await house.refused(ANNA, PHONE, protocol=protocol) == "wrong password"
        assert (await house.scram_keys(ANNA)).secrets[0].credential == ""
        await house.credentials.close()


class TestUse:
    async def test_is_noted_at_most_hourly(self, house: House) -> None:
        await house.add_app_password()
        first = house.clock.now()
        for _ in range(3):
            await house.check(ANNA, PHONE)
            await house.settled()
            await house.clock.pass_time(60)
        assert await last_used(house) == first
        await house.clock.pass_time(TOUCHED)
        await house.check(ANNA, PHONE)
        await house.settled()
        assert await last_used(house) == house.clock.now()

    async def test_a_failure_to_note_it_harms_nobody(self, house: House) -> None:
        await house.add_app_password()
        house.store.read_only = True
        assert isinstance(await house.check(ANNA, PHONE), Authenticated)
        await house.settled()
        house.store.read_only = False
        assert isinstance(await house.check(ANNA, PHONE), Authenticated)
        await house.settled()
        assert await last_used(house) == house.clock.now()
