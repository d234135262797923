"""Signed tokens and introspection, against an issuer with real keys and real TLS (RFC 7519, RFC 7662, RFC 8725)."""

import asyncio
import base64
import hmac
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey
from pydantic import SecretStr
from tests.fakes.clock import ManualClock
from tests.fakes.issuer import (
    AUDIENCE,
    CLIENT,
    CLIENT_SECRET,
    ISSUER,
    Issuer,
    claims,
    key_set,
    make_keys,
    sign,
)

from postroom.config.identity import OauthSettings
from postroom.directory.sources.introspection import BELIEVED, Introspection
from postroom.directory.sources.jwks import AGAIN, KEPT
from postroom.directory.sources.opening import open_token_checker
from postroom.directory.sources.source import Bearing, SourceUnavailable
from postroom.directory.sources.tokens import SignedTokens

ANNA = Bearing("anna@example.org")
KEYS = make_keys()


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    issuer = await Issuer(tmp_path, keys=key_set(*KEYS.values())).start()
    yield issuer
    await issuer.stop()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def settings(issuer: Issuer, **other: Any) -> OauthSettings:
    values = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": f"{issuer.url}/keys", "ca_file": issuer.authority}
    return OauthSettings.model_validate(values | other)


@pytest.fixture
async def tokens(issuer: Issuer, clock: ManualClock) -> AsyncIterator[SignedTokens]:
    tokens = SignedTokens(settings(issuer), clock)
    yield tokens
    await tokens.close()


class TestSigned:
    @pytest.mark.parametrize(
        ("kid", "algorithm"),
        [("rsa", "RS256"), ("rsa", "PS256"), ("rsa", "RS512"), ("ec", "ES256"), ("okp", "EdDSA"), ("okp", "Ed25519")],
    )
    @pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # of the signing side
    async def test_good_ones(self, tokens: SignedTokens, clock: ManualClock, kid: str, algorithm: str) -> None:
        assert await tokens.verify(sign(KEYS[kid], claims(clock.now()), algorithm)) == ANNA
        assert await tokens.verify(sign(KEYS[kid], claims(clock.now()), algorithm, kid=None)) == ANNA

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ({"iss": "https://other.example"}, "issuer"),
            ({"iss": None}, "issuer"),
            ({"aud": "another"}, "audience"),
            ({"aud": ["another", "third"]}, "audience"),
            ({"aud": None}, "audience"),
            ({"exp": None}, "when it ends"),
            ({"exp": "tomorrow"}, "when it ends"),
            ({"exp": True}, "when it ends"),
            ({"exp": 1}, "expired"),
            ({"nbf": 99999999999}, "not valid yet"),
            ({"nbf": "soon"}, "not valid yet"),
            ({"email": None}, "no claim"),
            ({"email": ["anna@example.org"]}, "no claim"),
            ({"email": ""}, "no claim"),
            ({"email_verified": False}, "not been verified"),
        ],
    )
    async def test_what_they_must_say(
        self, tokens: SignedTokens, clock: ManualClock, said: dict[str, Any], reason: str
    ) -> None:
        result = await tokens.verify(sign(KEYS["ec"], claims(clock.now(), **said)))
        assert isinstance(result, str)
        assert reason in result

    async def test_a_clock_that_differs_a_little(self, tokens: SignedTokens, clock: ManualClock) -> None:
        now = clock.now()
        for said in ({"exp": now - 20}, {"nbf": now + 20}, {"aud": ["x", AUDIENCE]}, {"email_verified": True}):
            assert await tokens.verify(sign(KEYS["ec"], claims(now, **said))) == ANNA
        assert isinstance(await tokens.verify(sign(KEYS["ec"], claims(now, exp=now - 60))), str)
        assert isinstance(await tokens.verify(sign(KEYS["ec"], claims(now, nbf=now + 60))), str)

    async def test_a_scope(self, issuer: Issuer, clock: ManualClock) -> None:
        tokens = SignedTokens(settings(issuer, scope="mail", claim="upn"), clock)
        having: list[dict[str, Any]] = [{"scope": "openid mail"}, {"scp": ["mail"]}, {"scp": "mail"}]
        for said in having:
            token = sign(KEYS["ec"], claims(clock.now(), upn="bert@example.org", **said))
            assert await tokens.verify(token) == Bearing("bert@example.org")
        lacking: list[dict[str, Any]] = [{}, {"scope": "email"}, {"scope": 7}]
        for said in lacking:
            assert "scope" in str(await tokens.verify(sign(KEYS["ec"], claims(clock.now(), upn="b@x", **said))))
        await tokens.close()

    async def test_others_signatures(self, tokens: SignedTokens, clock: ManualClock) -> None:
        """RFC 8725 §2.1, §3.1: neither another's key, nor none, nor our public key as a shared secret."""
        said = claims(clock.now())
        stranger = ECKey.generate_key("P-256", {"kid": "ec"})
        assert await tokens.verify(sign(stranger, said)) == "the token is not signed by its issuer"
        good = sign(KEYS["ec"], said)
        header, payload, signature = good.split(".")
        none, shared = "eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiIsImtpZCI6InJzYSJ9"
        mac = hmac.digest(KEYS["rsa"].as_pem(private=False), f"{shared}.{payload}".encode(), "sha256")
        by_public_key = f"{shared}.{payload}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
        for forged in (
            by_public_key,
            f"{none}.{payload}.",
            f"{none}.{payload}.{signature}",
            f"{header}.{payload}.",
            good[:-4] + "AAAA",
        ):
            assert isinstance(await tokens.verify(forged), str)
        assert await tokens.verify(good) == ANNA

    @pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "e30.e30.e30", "\u00e9", "W10.W10.W10", "x" * 9000])
    async def test_what_is_no_token(self, tokens: SignedTokens, token: str) -> None:
        result = await tokens.verify(token)
        assert isinstance(result, str)
        assert not token or len(token) < 3 or token not in result

    async def test_headers_that_nobody_knows(self, tokens: SignedTokens, clock: ManualClock) -> None:
        """RFC 7515 §4: they are passed over, but not those that are critical (§4.1.11)."""
        said = claims(clock.now())
        assert await tokens.verify(sign(KEYS["rsa"], said, "RS256", typ="at+jwt", x5t="x" * 600)) == ANNA

    async def test_nothing_is_logged(
        self, tokens: SignedTokens, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        token = sign(KEYS["ec"], claims(clock.now()))
        await tokens.verify(token)
        await tokens.verify(token[:-4] + "AAAA")
        assert token[:20] not in caplog.text


class TestKeys:
    async def test_are_fetched_once(self, issuer: Issuer, tokens: SignedTokens, clock: ManualClock) -> None:
        token = sign(KEYS["ec"], claims(clock.now() + KEPT))
        results = await asyncio.gather(*[tokens.verify(token) for _ in range(20)])
        assert results == [ANNA] * 20
        assert issuer.requests == ["/keys"]
        await clock.pass_time(KEPT)
        assert await tokens.verify(token) == ANNA
        assert len(issuer.requests) == 2

    async def test_a_new_key_is_found_at_its_first_use(
        self, issuer: Issuer, tokens: SignedTokens, clock: ManualClock
    ) -> None:
        assert await tokens.verify(sign(KEYS["ec"], claims(clock.now()))) == ANNA
        fresh = ECKey.generate_key("P-256", {"kid": "fresh"})
        issuer.keys = key_set(fresh)
        await clock.pass_time(AGAIN)
        assert await tokens.verify(sign(fresh, claims(clock.now()))) == ANNA
        assert isinstance(await tokens.verify(sign(KEYS["ec"], claims(clock.now()))), str)

    async def test_invented_key_ids_do_not_flood_the_issuer(
        self, issuer: Issuer, tokens: SignedTokens, clock: ManualClock
    ) -> None:
        for number in range(50):
            assert isinstance(await tokens.verify(sign(KEYS["ec"], claims(clock.now()), kid=str(number))), str)
        assert len(issuer.requests) == 1
        await clock.pass_time(AGAIN)
        for number in range(50):
            await tokens.verify(sign(KEYS["ec"], claims(clock.now()), kid=str(number)))
        assert len(issuer.requests) == 2

    async def test_an_issuer_that_is_down_is_believed_for_longer(
        self, issuer: Issuer, tokens: SignedTokens, clock: ManualClock
    ) -> None:
        token = sign(KEYS["ec"], claims(clock.now() + 3 * KEPT))
        assert await tokens.verify(token) == ANNA
        issuer.status = 503
        await clock.pass_time(2 * KEPT)
        assert await tokens.verify(token) == ANNA
        assert len(issuer.requests) == 2

    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 500},
            {"status": 302},
            {"body": b"<html>"},
            {"body": b"[]"},
            {"body": b'{"keys": 7}'},
            {"body": b'{"keys": []}'},
            {"body": b'{"keys": [{"kty": "EC"}]}'},
            {"body": b'{"keys": ["x"]}'},
            {"body": json.dumps({"keys": [OctKey.generate_key(256).as_dict(private=True)]}).encode()},
            {"body": b" " * (2 << 20)},
            {"silent": True},
        ],
        ids=[
            "status-500",
            "status-302",
            "html",
            "a-list",
            "a-number",
            "none",
            "half-a-key",
            "a-text",
            "symmetric",
            "huge",
            "silent",
        ],
    )
    async def test_without_any_nobody_can_tell(self, issuer: Issuer, clock: ManualClock, fault: dict[str, Any]) -> None:
        for name, value in fault.items():
            setattr(issuer, name, value)
        tokens = SignedTokens(settings(issuer, timeout=0.2), clock)
        with pytest.raises(SourceUnavailable, match="OAuth"):
            await tokens.verify(sign(KEYS["ec"], claims(clock.now())))
        with pytest.raises(SourceUnavailable, match="OAuth"):
            await tokens.try_out()
        assert set(issuer.requests) == {"/keys"}
        await tokens.close()

    async def test_the_issuer_must_be_whom_it_says(self, issuer: Issuer, clock: ManualClock) -> None:
        tokens = SignedTokens(settings(issuer, ca_file=None), clock)
        with pytest.raises(SourceUnavailable):
            await tokens.verify(sign(KEYS["ec"], claims(clock.now())))
        assert issuer.requests == []
        await tokens.close()

    async def test_in_a_file(self, issuer: Issuer, clock: ManualClock, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        tokens = open_token_checker(settings(issuer, jwks_url="", jwks_file=path), clock)
        with pytest.raises(SourceUnavailable, match="cannot be used"):
            await tokens.verify(sign(KEYS["ec"], claims(clock.now())))
        path.write_text(json.dumps(key_set(KEYS["ec"])))
        assert await tokens.verify(sign(KEYS["ec"], claims(clock.now()))) == ANNA
        await tokens.try_out()
        other = RSAKey.generate_key(2048, {"kid": "other"})
        path.write_text(json.dumps(key_set(KEYS["ec"], other)))
        assert await tokens.verify(sign(other, claims(clock.now()), "RS256")) == ANNA
        path.write_text("broken")
        assert await tokens.verify(sign(other, claims(clock.now()), "RS256")) == ANNA
        with pytest.raises(SourceUnavailable, match="JSON"):
            await tokens.try_out()
        await tokens.close()


class TestIntrospection:
    def make(self, issuer: Issuer, clock: ManualClock, **other: Any) -> Introspection:
        values = {
            "jwks_url": "",
            "introspection_url": f"{issuer.url}/introspect",
            "client_id": CLIENT,
            "client_secret": SecretStr(CLIENT_SECRET),
        }
        checker = open_token_checker(settings(issuer, **(values | other)), clock)
        assert isinstance(checker, Introspection)
        return checker

    async def test_the_issuer_tells(self, issuer: Issuer, clock: ManualClock) -> None:
        checker = self.make(issuer, clock)
        issuer.active = {
            "good": claims(clock.now()),
            "brief": claims(clock.now(), exp=None, iss=None),
            "late": claims(clock.now(), exp=1),
            "other": claims(clock.now(), aud="another"),
            "foreign": claims(clock.now(), iss="https://other.example"),
            "false": claims(clock.now(), active=False),
            "odd": claims(clock.now(), active="true"),
        }
        assert await checker.verify("good") == ANNA
        assert await checker.verify("brief") == ANNA
        for token in ("late", "other", "foreign", "false", "odd", "unknown"):
            assert isinstance(await checker.verify(token), str)
        await checker.try_out()
        await checker.close()

    async def test_a_good_answer_is_believed_for_a_minute(self, issuer: Issuer, clock: ManualClock) -> None:
        checker = self.make(issuer, clock)
        issuer.active = {"good": claims(clock.now()), "ends": claims(clock.now(), exp=int(clock.now()) + 5)}
        for token in ("good", "good", "ends", "ends", "bad", "bad"):
            await checker.verify(token)
        assert len(issuer.requests) == 4
        await clock.pass_time(6)
        issuer.active.clear()
        assert await checker.verify("good") == ANNA
        assert isinstance(await checker.verify("ends"), str)
        await clock.pass_time(BELIEVED)
        assert isinstance(await checker.verify("good"), str)
        await checker.close()

    async def test_who_asks_must_be_known(self, issuer: Issuer, clock: ManualClock, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text(f"{CLIENT_SECRET}\nmore\n")
        issuer.active = {"good": claims(clock.now())}
        by_file = self.make(issuer, clock, client_secret=SecretStr(""), client_secret_file=secret)
        assert await by_file.verify("good") == ANNA
        for other in ({"client_secret": SecretStr("wrong")}, {"client_id": ""}):
            checker = self.make(issuer, clock, **other)
            with pytest.raises(SourceUnavailable, match="401"):
                await checker.verify("good")
            await checker.close()
        await by_file.close()
        with pytest.raises(ValueError, match="client_secret_file"):
            self.make(issuer, clock, client_secret_file=tmp_path / "missing")
        with pytest.raises(ValueError, match="ca_file"):
            self.make(issuer, clock, ca_file=tmp_path / "missing")

    async def test_trouble_is_no_refusal(self, issuer: Issuer, clock: ManualClock) -> None:
        checker = self.make(issuer, clock, timeout=0.2)
        issuer.silent = True
        with pytest.raises(SourceUnavailable, match="in time"):
            await checker.verify("good")
        issuer.silent, issuer.status = False, 500
        with pytest.raises(SourceUnavailable, match="500"):
            await checker.verify("good")
        await issuer.stop()
        with pytest.raises(SourceUnavailable):
            await checker.verify("good")
        await checker.close()
