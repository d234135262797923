"""Access tokens: got, kept, renewed; and how Google's and Microsoft's servers take and refuse them."""

import asyncio
import base64
import json
import ssl
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme
from tests.fakes.hand_clock import HandClock
from tests.fakes.peer import ALL_EXTENSIONS, Network, ScriptedPeer
from tests.unit.outbound.making import make_carrier, make_request

from postroom.config.road import SmarthostSettings
from postroom.dns.zone import Zone
from postroom.mail.delivery import Deferred, Delivered, Outcome, RouteKind, Site
from postroom.outbound.opening import SocketConnect
from postroom.outbound.tokens import PAUSE, Tokens, TokenUnavailable

SMART = Site("smarthost:smart", RouteKind.SMARTHOST, (("smart.example",),), 587, "smart")
GOOGLE = (*ALL_EXTENSIONS, "AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH")
MICROSOFT = (*ALL_EXTENSIONS, "AUTH LOGIN XOAUTH2")
# What Gmail sends to a token that it does not take, before the 535.
GOOGLE_SAYS = base64.b64encode(b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}').decode()


@dataclass
class Endpoint:
    """A token endpoint on loopback. ``answers`` are used up in order, the last one stays; ``hold``: it answers late."""

    folder: Path
    answers: list[tuple[int, Any]] = field(default_factory=list)
    hold: asyncio.Event | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.folder / "ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                form = parse_qs((await reader.readexactly(size)).decode(), strict_parsing=True)
                self.asked.append({name: values[0] for name, values in form.items()})
                if self.hold is not None:
                    await self.hold.wait()
                status, said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                body = said if isinstance(said, bytes) else json.dumps(said).encode()
                writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client has gone
        finally:
            writer.transport.abort()  # closed twice, a transport of Python 3.11.2 cannot be aborted any more


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    made = Endpoint(tmp_path)
    await made.start()
    yield made
    await made.stop()


def good(token: str, **other: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600} | other


def smarthost(endpoint: Endpoint, *, refresh: str | None = "refresh-1", **other: Any) -> SmarthostSettings:
    folder = endpoint.folder
    (folder / "secret").write_text("client-secret\n")
    if refresh is not None:
        (folder / "refresh").write_text(refresh + "\n")
    return SmarthostSettings(
        **{
            "name": "smart",
            "host": "smart.example",
            "user": "ann@example.com",
            "token_url": f"https://127.0.0.1:{endpoint.port}/token",
            "client_id": "client",
            "client_secret_file": folder / "secret",
            "refresh_token_file": None if refresh is None else folder / "refresh",
            "token_ca_file": folder / "ca.pem",
            "scope": "smtp",
        }
        | other
    )


async def test_a_token_by_refresh_token_is_kept_until_shortly_before_its_end(endpoint: Endpoint) -> None:
    endpoint.answers = [good("one"), good("two")]
    clock = HandClock()
    tokens = Tokens(smarthost(endpoint), clock)
    assert (await tokens.get()).text == "one"
    clock.advance(3500)
    assert (await tokens.get()).text == "one"
    clock.advance(50)
    assert (await tokens.get()).text == "two"
    assert endpoint.asked[0] == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-1",
        "client_id": "client",
        "client_secret": "client-secret",
        "scope": "smtp",
    }
    await tokens.close()


async def test_client_credentials(endpoint: Endpoint) -> None:
    endpoint.answers = [good("one")]
    tokens = Tokens(smarthost(endpoint, refresh=None), HandClock())
    assert (await tokens.get()).text == "one"
    assert endpoint.asked[0]["grant_type"] == "client_credentials"
    assert "refresh_token" not in endpoint.asked[0]
    await tokens.close()


@pytest.mark.parametrize(("life", "seconds"), [(None, 300), ("600", 600), (-1, 300), (True, 300), (10, 10)])
async def test_how_long_a_token_lives(endpoint: Endpoint, life: object, seconds: int) -> None:
    endpoint.answers = [good("one", expires_in=life), good("two")]
    clock = HandClock()
    tokens = Tokens(smarthost(endpoint), clock)
    await tokens.get()
    clock.advance(seconds - min(60, seconds / 2) - 1)
    assert (await tokens.get()).text == "one"
    clock.advance(1)
    assert (await tokens.get()).text == "two"
    await tokens.close()


async def test_many_who_ask_at_once_are_one_question(endpoint: Endpoint) -> None:
    endpoint.answers, endpoint.hold = [good("one")], asyncio.Event()
    tokens = Tokens(smarthost(endpoint), HandClock())
    asking = [asyncio.create_task(tokens.get()) for _ in range(20)]
    while not endpoint.asked:
        await asyncio.sleep(0)
    asking[0].cancel()  # who began it leaves: another one goes on
    endpoint.hold.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert {result.text for result in results[1:] if not isinstance(result, BaseException)} == {"one"}
    assert len(endpoint.asked) <= 2
    await tokens.close()


async def test_a_new_refresh_token_takes_the_place_of_the_old_one(endpoint: Endpoint) -> None:
    endpoint.answers = [good("one", refresh_token="refresh-2"), good("two")]
    tokens = Tokens(smarthost(endpoint), HandClock())
    tokens.reject(await tokens.get())
    file = endpoint.folder / "refresh"
    assert file.read_text() == "refresh-2\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    await tokens.get()
    assert endpoint.asked[1]["refresh_token"] == "refresh-2"
    assert not list(endpoint.folder.glob(".refresh*"))
    await tokens.close()


async def test_a_refresh_token_that_cannot_be_written_is_told_and_not_lost(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.answers = [good("one", refresh_token="refresh-2"), good("two"), good("three")]
    tokens = Tokens(smarthost(endpoint), HandClock())

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("postroom.outbound.tokens.replace_secret", refuse)
    with pytest.raises(TokenUnavailable, match="Permission denied"):
        await tokens.get()
    token = await tokens.get()
    assert token.text == "one"
    tokens.reject(token)
    with pytest.raises(TokenUnavailable, match="Permission denied"):
        await tokens.get()
    assert endpoint.asked[1]["refresh_token"] == "refresh-2"
    tokens.reject(await tokens.get())
    (endpoint.folder / "refresh").write_text("by-hand\n")  # an operator logs in anew
    monkeypatch.undo()
    await tokens.get()
    assert endpoint.asked[2]["refresh_token"] == "by-hand"
    assert (endpoint.folder / "refresh").read_text() == "by-hand\n"
    await tokens.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            (400, {"error": "invalid_grant", "error_description": "Token has been\nrevoked."}),
            "invalid_grant: Token has",
        ),
        ((401, {"error": "invalid_client", "error_description": "not client-secret"}), "401"),
        ((500, b"<html>refresh-1</html>"), "500"),
        ((200, b"no json"), "200"),
        ((200, {"token_type": "Bearer"}), "no access token"),
        ((200, {"access_token": "\u00e4"}), "no access token"),
        ((302, b""), "302"),
        ((200, b" " * 300_000), "more than"),
    ],
)
async def test_errors_say_what_the_endpoint_said_and_no_secret(
    endpoint: Endpoint, answer: tuple[int, Any], says: str
) -> None:
    endpoint.answers = [answer]
    clock = HandClock()
    tokens = Tokens(smarthost(endpoint), clock)
    with pytest.raises(TokenUnavailable, match=says) as error:
        await tokens.get()
    assert "client-secret" not in str(error.value)
    assert "refresh-1" not in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(TokenUnavailable, match=says):
        await tokens.get()
    assert len(endpoint.asked) == 1  # it is left alone for a while
    clock.advance(PAUSE)
    endpoint.answers = [good("one")]
    assert (await tokens.get()).text == "one"
    await tokens.close()


async def test_an_endpoint_that_is_not_there(endpoint: Endpoint) -> None:
    await endpoint.stop()
    tokens = Tokens(smarthost(endpoint), HandClock())
    with pytest.raises(TokenUnavailable, match="cannot be asked"):
        await tokens.get()
    await tokens.close()


async def test_an_endpoint_of_another_authority_is_not_told_the_secrets(endpoint: Endpoint) -> None:
    other = trustme.CA()
    settings = smarthost(endpoint)
    other.cert_pem.write_to_path(endpoint.folder / "ca.pem")
    tokens = Tokens(settings, HandClock())
    with pytest.raises(TokenUnavailable):
        await tokens.get()
    assert not endpoint.asked
    await tokens.close()


def test_a_file_that_is_not_there_is_told_at_once(endpoint: Endpoint) -> None:
    settings = smarthost(endpoint)
    (endpoint.folder / "refresh").unlink()
    with pytest.raises(OSError, match="refresh"):
        Tokens(settings, HandClock())


# At the smarthost.


async def deliver(peer: ScriptedPeer, settings: SmarthostSettings) -> Outcome:
    carrier = make_carrier(peer, smarthosts=[settings])
    outcomes = await carrier.deliver(make_request(site=SMART))
    await carrier.close()
    return outcomes[1]


def xoauth(token: str) -> str:
    return base64.b64encode(f"user=ann@example.com\x01auth=Bearer {token}\x01\x01".encode()).decode()


async def test_microsoft_takes_xoauth2(endpoint: Endpoint) -> None:
    endpoint.answers = [good("t" * 2500)]
    peer = ScriptedPeer(MICROSOFT, tls=True)
    assert isinstance(await deliver(peer, smarthost(endpoint)), Delivered)
    assert f"AUTH XOAUTH2 {xoauth('t' * 2500)}" in peer.commands


async def test_google_takes_oauthbearer(endpoint: Endpoint) -> None:
    endpoint.answers = [good("one")]
    peer = ScriptedPeer(GOOGLE, tls=True)
    assert isinstance(await deliver(peer, smarthost(endpoint)), Delivered)
    bearer = base64.b64encode(b"n,a=ann@example.com,\x01auth=Bearer one\x01\x01").decode()
    assert f"AUTH OAUTHBEARER {bearer}" in peer.commands


async def test_the_mechanisms_of_the_settings_go_first(endpoint: Endpoint) -> None:
    endpoint.answers = [good("one")]
    peer = ScriptedPeer(GOOGLE, tls=True)
    assert isinstance(await deliver(peer, smarthost(endpoint, mechanisms=("xoauth2",))), Delivered)
    assert f"AUTH XOAUTH2 {xoauth('one')}" in peer.commands


class RefusingPeer(ScriptedPeer):
    """Answers the empty line after its challenge as Google does."""

    def reply_to(self, line: str) -> str | None:
        return "535 5.7.8 Username and Password not accepted" if line == "" else super().reply_to(line)


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        (RefusingPeer, f"334 {GOOGLE_SAYS}"),  # Google: a challenge that says why, an empty answer, then the refusal
        (ScriptedPeer, "535 5.7.3 Authentication unsuccessful"),  # Microsoft: the refusal at once
    ],
)
async def test_a_token_that_was_revoked_is_renewed_once(
    endpoint: Endpoint, kind: type[ScriptedPeer], reply: str
) -> None:
    endpoint.answers = [good("stale"), good("fresh")]
    peer = kind(GOOGLE, {f"AUTH XOAUTH2 {xoauth('stale')}": reply}, tls=True)
    assert isinstance(await deliver(peer, smarthost(endpoint, mechanisms=("XOAUTH2",))), Delivered)
    assert peer.connections == 1
    assert f"AUTH XOAUTH2 {xoauth('fresh')}" in peer.commands
    assert len(endpoint.asked) == 2


async def test_a_token_that_is_refused_again_defers_and_says_why(endpoint: Endpoint) -> None:
    endpoint.answers = [good("one"), good("two"), good("three")]
    peer = RefusingPeer(GOOGLE, {"AUTH": f"334 {GOOGLE_SAYS}"}, tls=True)
    outcome = await deliver(peer, smarthost(endpoint, mechanisms=("XOAUTH2",)))
    assert isinstance(outcome, Deferred)
    assert outcome.reply.code == 535
    assert '"status":"400"' in outcome.detail
    assert len(endpoint.asked) == 2
    assert not any(secret in outcome.detail for secret in ("one", "two", "refresh-1"))


async def test_a_server_that_is_busy_does_not_cost_a_second_try(endpoint: Endpoint) -> None:
    endpoint.answers = [good("one")]
    peer = ScriptedPeer(MICROSOFT, {"AUTH": "454 4.7.0 Temporary authentication failure"}, tls=True)
    outcome = await deliver(peer, smarthost(endpoint))
    assert isinstance(outcome, Deferred)
    assert len([command for command in peer.commands if command.startswith("AUTH")]) == 1


async def test_without_a_token_the_mail_waits(endpoint: Endpoint) -> None:
    endpoint.answers = [(400, {"error": "invalid_grant"})]
    peer = ScriptedPeer(MICROSOFT, tls=True)
    outcome = await deliver(peer, smarthost(endpoint))
    assert isinstance(outcome, Deferred)
    assert "invalid_grant" in outcome.detail
    assert not any(command.startswith("AUTH") for command in peer.commands)


async def test_a_server_without_token_mechanisms_gets_no_empty_password(endpoint: Endpoint) -> None:
    endpoint.answers = [good("one")]
    peer = ScriptedPeer((*ALL_EXTENSIONS, "AUTH PLAIN LOGIN"), tls=True)
    outcome = await deliver(peer, smarthost(endpoint))
    assert isinstance(outcome, Deferred)
    assert not any(command.startswith("AUTH") for command in peer.commands)
    assert not endpoint.asked


# Certificates.


def certified(**other: Any) -> SmarthostSettings:
    return SmarthostSettings(
        name="smart", host="smart.example", tls="none", certificate=Path("ours.pem"), key=Path("ours.key"), **other
    )


@pytest.mark.parametrize(("mechanisms", "said"), [("EXTERNAL PLAIN", ["AUTH EXTERNAL ="]), ("PLAIN", []), ("", [])])
async def test_a_certificate_logs_in_by_external_where_that_is_offered(mechanisms: str, said: list[str]) -> None:
    peer = ScriptedPeer((*ALL_EXTENSIONS, f"AUTH {mechanisms}") if mechanisms else ALL_EXTENSIONS)
    settings = SmarthostSettings(
        name="smart", host="127.0.0.1", tls="none", certificate=Path("ours.pem"), key=Path("ours.key")
    )
    carrier = make_carrier(Network({"127.0.0.1": peer}), smarthosts=[settings])
    site = Site("smarthost:smart", RouteKind.SMARTHOST, (("127.0.0.1",),), 587, "smart")
    assert isinstance((await carrier.deliver(make_request(site=site)))[1], Delivered)
    assert [command for command in peer.commands if command.startswith("AUTH")] == said
    await carrier.close()


async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    authority = trustme.CA()
    ours = authority.issue_cert("ours@example.org")
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "ours.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    peer = ScriptedPeer()

    zone = Zone.of({"localhost": {"A": ["127.0.0.1"]}})
    async with peer.serve(context, implicit=True) as port:
        for certificate, outcome_type in ((tmp_path / "ours.pem", Delivered), (None, Deferred)):
            settings = SmarthostSettings(
                name="smart",
                host="localhost",
                port=port,
                tls="implicit",
                ca_file=tmp_path / "ca.pem",
                certificate=certificate,
                key=certificate,
            )
            carrier = make_carrier(SocketConnect(), zone=zone, smarthosts=[settings], ipv6=False)
            site = Site("smarthost:smart", RouteKind.SMARTHOST, (("localhost",),), port, "smart")
            outcomes = await carrier.deliver(make_request(site=site))
            assert isinstance(outcomes[1], outcome_type), outcomes
            await carrier.close()
