"""SCRAM against what the directory keeps: whole exchanges, with a client of the standard (RFC 5802, RFC 7677)."""

import asyncio
from dataclasses import replace

import pytest
from tests.fakes.credential_house import ANNA, HASH, PHONE, CredentialHouse, FakeSource

from postroom.directory.checker import Asker, Authenticated, LoginResult, Refused, Unavailable
from postroom.directory.model import ChangeAccount, KeepKeys, RemoveAccount, ScramKey
from postroom.mail.address import Address
from postroom.protocol.sasl.exchange import Around, Challenge, Disproved, KeysWanted, Password, Proved
from postroom.protocol.sasl.scram_client import ScramClient
from postroom.protocol.sasl.scram_server import ScramServer

House = CredentialHouse


async def log_in(
    house: House, password: str, *, algorithm: str = "SHA-256", name: str = ANNA, protocol: str = "smtp"
) -> LoginResult | Disproved:
    """One exchange without channel binding."""
    asker = Asker("192.0.2.1", protocol)
    server = ScramServer(algorithm, plus=False, around=Around("server-nonce"))
    client = ScramClient(algorithm, name, Password(password), "client-nonce")
    wanted = server.step(client.initial())
    assert isinstance(wanted, KeysWanted)
    keys = await house.credentials.scram_keys(wanted.name, wanted.algorithm, asker)
    if isinstance(keys, Unavailable):
        return keys
    challenge = wanted.with_keys(keys)
    assert isinstance(challenge, Challenge)
    answer = client.respond(challenge.data)
    assert isinstance(answer, bytes)
    end = server.step(answer)
    if isinstance(end, Disproved):
        return end
    assert isinstance(end, Proved)
    return await house.credentials.proved(end.name, asker, authzid=end.authzid, credential=end.credential)


class TestKeys:
    @pytest.mark.parametrize("algorithm", ["SHA-256", "SHA-1"])
    async def test_come_with_a_password_that_is_set(self, house: House, algorithm: str) -> None:
        await house.set_password("new secret")
        assert isinstance(await log_in(house, "new secret", algorithm=algorithm), Authenticated)
        assert isinstance(await log_in(house, "secret", algorithm=algorithm), Disproved)

    async def test_a_new_password_replaces_them(self, house: House) -> None:
        await house.set_password("first secret")
        await house.set_password("second secret")
        assert isinstance(await log_in(house, "first secret"), Disproved)
        assert isinstance(await log_in(house, "second secret"), Authenticated)

    async def test_the_password_is_prepared_as_the_client_prepares_it(self, house: House) -> None:
        """RFC 5802 §2.2, RFC 4013 §2: non-ASCII spaces, compatibility characters."""
        await house.set_password("se\u00a0cr\u00e8t \u2168")
        assert isinstance(await log_in(house, "se cre\u0300t IX"), Authenticated)

    async def test_are_made_at_the_next_login_where_there_are_none(self, house: House) -> None:
        assert isinstance(await log_in(house, "secret"), Disproved)
        assert isinstance(await house.check(ANNA, "wrong"), Refused)
        await house.settled()
        assert isinstance(await log_in(house, "secret"), Disproved)
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        await house.settled()
        assert isinstance(await log_in(house, "secret"), Authenticated)
        generation = await house.store.generation()
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        await house.settled()
        assert await house.store.generation() == generation

    async def test_a_failure_to_keep_them_harms_nobody(self, house: House) -> None:
        house.store.read_only = True
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        await house.settled()
        assert isinstance(await log_in(house, "secret"), Disproved)
        house.store.read_only = False
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        await house.settled()
        assert isinstance(await log_in(house, "secret"), Authenticated)

    async def test_are_not_kept_for_a_password_that_has_changed_meanwhile(self, house: House) -> None:
        assert isinstance(await house.check(ANNA, "secret"), Authenticated)
        await house.store.change([ChangeAccount(Address.parse(ANNA), password="another hash")])
        await house.settled()
        house.directory.forget()
        assert isinstance(await log_in(house, "secret"), Disproved)

    async def test_are_not_made_of_what_another_source_knows(self) -> None:
        ldap = FakeSource("ldap", {ANNA: "by ldap"})
        house = House({"sources": ["ldap", "directory"], "mechanisms": ["SCRAM-SHA-256", "PLAIN"]}, {"ldap": ldap})
        assert isinstance(await house.check(ANNA, "by ldap"), Authenticated)
        await house.settled()
        assert (await house.store.logins(ANNA)).keys == ()
        await house.credentials.close()

    async def test_do_not_pass_by_a_source_that_is_asked_first(self) -> None:
        """A password that LDAP has replaced must not live on in the directory."""
        ldap = FakeSource("ldap", {ANNA: "by ldap"})
        house = House({"sources": ["ldap", "directory"], "mechanisms": ["SCRAM-SHA-256"]}, {"ldap": ldap})
        await house.set_password("old secret")
        assert isinstance(await log_in(house, "old secret"), Disproved)
        await house.credentials.close()

    async def test_of_other_iterations_are_left_out(self, house: House) -> None:
        """One challenge has one salt and one count (RFC 5802 §5.1)."""
        await house.set_password("new secret")
        await house.add_app_password()
        logins = await house.store.logins(ANNA)
        older: tuple[ScramKey, ...] = tuple(replace(key, iterations=4096) for key in logins.keys)
        (account,) = await house.store.find([ANNA])
        assert account is not None
        await house.store.change([KeepKeys(house.anna.address, account.password, older)])  # type: ignore[union-attr]
        house.directory.forget()
        keys = await house.scram_keys(ANNA)
        assert (keys.iterations, [secret.credential for secret in keys.secrets]) == (4096, [""])


class TestStrangers:
    async def test_look_the_same_each_time_and_after_a_restart(self, house: House) -> None:
        """RFC 4422 §3.6: nobody learns who lives here."""
        again = House()
        for name in ("zoe@example.org", "ZOE@EXAMPLE.ORG", "no address", ""):
            first, second = await house.scram_keys(name), await again.scram_keys(name)
            assert (first.salt, first.iterations) == (second.salt, second.iterations)
            assert len(first.secrets) == 1
        assert (await house.scram_keys("zoe@example.org")).salt == (await house.scram_keys("ZOE@example.ORG")).salt
        await again.credentials.close()

    async def test_look_like_accounts(self, house: House) -> None:
        await house.set_password("new secret")
        known, stranger = await house.scram_keys(ANNA), await house.scram_keys("zoe@example.org")
        assert (len(known.salt), known.iterations) == (len(stranger.salt), stranger.iterations)
        assert known.salt != stranger.salt
        assert (await house.scram_keys(ANNA, "SHA-1")).salt != known.salt

    async def test_nothing_shows_when_an_account_comes_changes_and_goes(self, house: House) -> None:
        zoe, salts = "zoe@example.org", []
        salts.append((await house.scram_keys(zoe)).salt)
        house.store.add_account(zoe, password=HASH)
        house.directory.forget()
        salts.append((await house.scram_keys(zoe)).salt)
        for password in ("one secret", "two secrets"):
            await house.set_password(password, zoe)
            salts.append((await house.scram_keys(zoe)).salt)
        await house.store.change([RemoveAccount(Address.parse(zoe))])
        house.directory.forget()
        salts.append((await house.scram_keys(zoe)).salt)
        assert len(set(salts)) == 1

    async def test_cost_as_many_questions_as_accounts(self, house: House) -> None:
        await house.directory.secret()
        asked = []
        for name in (ANNA, "zoe@example.org"):
            before = house.store.questions
            await house.scram_keys(name)
            await house.scram_keys(name)
            asked.append(house.store.questions - before)
        assert asked[0] == asked[1]

    async def test_prove_nothing(self, house: House) -> None:
        assert isinstance(await log_in(house, "secret", name="zoe@example.org"), Disproved)
        assert await house.credentials.proved("zoe@example.org", Asker("192.0.2.1", "smtp")) == Refused(
            "no such account"
        )


class TestProved:
    async def test_who_may_not_log_in_may_not(self, house: House) -> None:
        await house.set_password("new secret")
        await house.change(enabled=False)
        assert await log_in(house, "new secret") == Refused("the account is disabled")
        account = await house.change(enabled=True)
        asker = Asker("192.0.2.1", "smtp")
        assert await house.credentials.proved(ANNA, asker, authzid="Anna@Example.org") == Authenticated(account)
        assert isinstance(await house.credentials.proved(ANNA, asker, authzid="bert@example.org"), Refused)

    async def test_the_store_is_down(self, house: House) -> None:
        house.store.unavailable = True
        assert isinstance(await log_in(house, "secret"), Unavailable)
        assert isinstance(await house.credentials.proved(ANNA, Asker("192.0.2.1", "smtp")), Unavailable)


class TestAppPasswords:
    @pytest.mark.parametrize("algorithm", ["SHA-256", "SHA-1"])
    async def test_each_is_proved_as_itself(self, house: House, algorithm: str) -> None:
        await house.set_password("new secret")
        await house.add_app_password()
        await house.add_app_password("another-one-for-the-tablet", "tablet")
        for password, credential in (("new secret", ""), (PHONE, "phone"), ("another-one-for-the-tablet", "tablet")):
            result = await log_in(house, password, algorithm=algorithm)
            assert isinstance(result, Authenticated)
            assert result.credential == credential
        await asyncio.sleep(0)

    async def test_without_a_password_of_its_own(self, house: House) -> None:
        await house.add_app_password()
        await house.change(password="")
        assert isinstance(await log_in(house, PHONE), Authenticated)

    async def test_for_one_protocol(self, house: House) -> None:
        await house.add_app_password(protocols=("pop3",))
        assert isinstance(await log_in(house, PHONE, protocol="pop3"), Authenticated)
        assert isinstance(await log_in(house, PHONE, protocol="smtp"), Disproved)

    async def test_one_that_is_removed_is_of_no_use_at_once(self, house: House) -> None:
        await house.add_app_password()
        await house.add_app_password("another-one-for-the-tablet", "tablet")
        await house.remove_app_password()
        assert isinstance(await log_in(house, PHONE), Disproved)
        asker = Asker("192.0.2.1", "smtp")  # it was removed between the challenge and the proof
        assert isinstance(await house.credentials.proved(ANNA, asker, credential="phone"), Refused)
        assert isinstance(await house.credentials.proved(ANNA, asker, credential="tablet"), Authenticated)

    async def test_they_alone(self, house: House) -> None:
        await house.set_password("new secret")
        await house.add_app_password()
        await house.change(app_passwords_only=True)
        assert isinstance(await log_in(house, "new secret"), Disproved)
        assert isinstance(await log_in(house, PHONE), Authenticated)
        refused = await house.credentials.proved(ANNA, Asker("192.0.2.1", "smtp"))
        assert refused == Refused("the account takes app passwords only")
