"""Whom a good token or a verified certificate lets in (RFC 7628 §3.2, RFC 4422 appendix A)."""

from tests.fakes.credential_house import ANNA, CredentialHouse, FakeTokens

from postroom.directory.checker import Asker, Authenticated, Refused, Unavailable

House = CredentialHouse
ASKER = Asker("192.0.2.1", "smtp")


class TestBearer:
    async def test_the_token_says_who_it_is(self) -> None:
        tokens = FakeTokens({"good": "Anna@Example.org", "afar": "zoe@example.org", "odd": "anna"})
        house = House(bearer=tokens)
        bearer = house.credentials.bearer
        for name in ("", ANNA, "ANNA@example.ORG"):
            assert await bearer("good", ASKER, name=name) == Authenticated(house.anna)
        assert await bearer("good", ASKER, name="bert@example.org") == Refused("the token is for another")
        assert await bearer("good", ASKER, name="nonsense") == Refused("the token is for another")
        assert await bearer("afar", ASKER) == Refused("the token is for nobody here")
        assert await bearer("odd", ASKER) == Refused("the token is for nobody here")
        assert await bearer("bad", ASKER, name=ANNA) == Refused("the token has expired")
        await house.change(enabled=False)
        assert await bearer("good", ASKER) == Refused("the account is disabled")
        await house.credentials.close()
        assert tokens.closed

    async def test_what_cannot_be_told_is_no_refusal(self) -> None:
        tokens = FakeTokens({"good": ANNA}, trouble="OAuth: no answer")
        house = House(bearer=tokens)
        assert await house.credentials.bearer("good", ASKER) == Unavailable("OAuth: no answer")
        tokens.trouble, house.store.unavailable = "", True
        assert isinstance(await house.credentials.bearer("good", ASKER), Unavailable)
        await house.credentials.close()

    async def test_without_an_issuer(self, house: House) -> None:
        assert await house.credentials.bearer("good", ASKER) == Refused("no tokens are taken")

    async def test_tokens_are_offered_where_they_can_be_checked(self) -> None:
        house = House(bearer=FakeTokens())
        assert {"OAUTHBEARER", "XOAUTH2"} <= set(house.credentials.mechanisms)
        await house.credentials.close()


class TestExternal:
    async def test_the_certificate_names_an_account(self, house: House) -> None:
        external = house.credentials.external
        assert await external((ANNA,), ASKER) == Authenticated(house.anna)
        assert await external(("zoe@afar.example", "ANNA@example.org", ANNA), ASKER) == Authenticated(house.anna)
        assert await external((ANNA,), ASKER, authzid="Anna@Example.org") == Authenticated(house.anna)
        for names in ((), ("zoe@example.org",), ("anna",)):
            assert isinstance(await external(names, ASKER), Refused)
        assert isinstance(await external((ANNA,), ASKER, authzid="bert@example.org"), Refused)

    async def test_several_need_a_choice(self, house: House) -> None:
        bert = house.store.add_account("bert@example.org")
        names = (ANNA, "bert@example.org")
        assert isinstance(await house.credentials.external(names, ASKER), Refused)
        assert await house.credentials.external(names, ASKER, authzid="bert@example.org") == Authenticated(bert)

    async def test_who_may_not_log_in_may_not(self, house: House) -> None:
        await house.change(enabled=False)
        assert await house.credentials.external((ANNA,), ASKER) == Refused("the account is disabled")
        house.store.unavailable = True
        house.directory.forget()
        assert isinstance(await house.credentials.external((ANNA,), ASKER), Unavailable)
