"""TLS and AUTH on the way out: what is offered, required, broken, in memory and on real sockets."""

import ssl
from pathlib import Path
from typing import Any, Literal

import pytest
import trustme
from tests.fakes.hand_clock import HandClock
from tests.fakes.peer import ALL_EXTENSIONS, Network, ScriptedPeer, broken_tls
from tests.unit.outbound.making import SITE, make_carrier, make_request

from postroom.config.road import OutboundSettings, SmarthostSettings
from postroom.dns.zone import Zone
from postroom.mail.delivery import Deferred, Delivered, Outcome, RouteKind, Site
from postroom.outbound.opening import SocketConnect
from postroom.outbound.tlspolicy import MAX_REMEMBERED, PLAIN_FOR, TlsNeed, TlsPolicy

WITH_AUTH = (*ALL_EXTENSIONS, "AUTH PLAIN LOGIN")
SMART = Site("smarthost:smart", RouteKind.SMARTHOST, (("smart.example",),), 587, "smart")
Tls = Literal["none", "opportunistic", "required", "implicit"]


def smarthost(tls: Tls = "required", **fields: Any) -> SmarthostSettings:
    return SmarthostSettings(name="smart", host="smart.example", tls=tls, **fields)


async def deliver(peer: ScriptedPeer, settings: SmarthostSettings | None = None, **options: Any) -> Outcome:
    smarthosts = () if settings is None else (settings,)
    carrier = make_carrier(Network({"192.0.2.1": peer, "192.0.2.9": peer}), smarthosts=smarthosts, **options)
    outcome = (await carrier.deliver(make_request(site=SITE if settings is None else SMART)))[1]
    await carrier.close()
    assert peer.open == 0
    assert carrier.pool.places == 0
    return outcome


# TLS.


async def test_starttls_is_used_where_it_is_offered() -> None:
    peer = ScriptedPeer(tls=True)
    outcome = await deliver(peer)
    assert isinstance(outcome, Delivered)
    assert outcome.peer.tls == "TLSv1.3 TLS_AES_256_GCM_SHA384"
    assert peer.taken[0].tls
    assert [command.split()[0] for command in peer.commands[:3]] == ["EHLO", "STARTTLS", "EHLO"]


async def test_starttls_can_be_turned_off() -> None:
    peer = ScriptedPeer(tls=True)
    assert isinstance(await deliver(peer, tls=False), Delivered)
    assert not peer.taken[0].tls


@pytest.mark.parametrize("reply", ["454 4.7.0 not now", "502 5.5.1 what?"])
async def test_a_refused_starttls_does_no_harm_where_tls_is_not_required(reply: str) -> None:
    peer = ScriptedPeer(tls=True, replies={"STARTTLS": reply})
    assert isinstance(await deliver(peer), Delivered)
    assert peer.connections == 1


@pytest.mark.parametrize("error", [broken_tls(), TimeoutError("slow"), ConnectionResetError("gone")])
async def test_a_broken_handshake_is_followed_by_a_connection_in_the_clear(error: OSError) -> None:
    peer = ScriptedPeer(tls=True, tls_error=error)
    assert isinstance(await deliver(peer), Delivered)
    assert peer.connections == 2
    assert not peer.taken[0].tls


async def test_a_broken_handshake_is_remembered_for_a_while() -> None:
    peer, clock = ScriptedPeer(tls=True, tls_error=broken_tls()), HandClock()
    carrier = make_carrier(peer, clock=clock, messages_per_connection=1)
    for _ in range(2):
        assert isinstance((await carrier.deliver(make_request()))[1], Delivered)
    assert peer.commands.count("STARTTLS") == 1
    peer.tls_error = None
    clock.advance(PLAIN_FOR)
    assert isinstance((await carrier.deliver(make_request()))[1], Delivered)
    assert peer.taken[-1].tls
    await carrier.close()


async def test_what_fails_in_the_clear_too_is_deferred() -> None:
    peer = ScriptedPeer(tls=True, tls_error=broken_tls(), replies={"MAIL": "421 4.3.2 no"})
    assert isinstance(await deliver(peer), Deferred)


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        (ScriptedPeer(), "4.7.4"),
        (ScriptedPeer(tls=True, replies={"STARTTLS": "454 4.7.0 not now"}), "4.7.0"),
        (ScriptedPeer(tls=True, replies={"STARTTLS": "502 5.5.1 what?"}), "5.5.1"),
        (ScriptedPeer(tls=True, tls_error=broken_tls()), "4.7.5"),
    ],
)
async def test_where_tls_is_required_nothing_goes_in_the_clear(peer: ScriptedPeer, status: str) -> None:
    outcome = await deliver(peer, smarthost("required"))
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == status
    assert not any(command.startswith("MAIL") for command in peer.commands)


async def test_implicit_tls_comes_first() -> None:
    peer = ScriptedPeer()
    outcome = await deliver(peer, smarthost("implicit"))
    assert isinstance(outcome, Delivered)
    assert outcome.peer.tls
    assert peer.taken[0].tls
    outcome = await deliver(ScriptedPeer(tls_error=broken_tls()), smarthost("implicit"))
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.7.5"


async def test_authorities_that_cannot_be_read_are_our_fault(tmp_path: Path) -> None:
    outcome = await deliver(ScriptedPeer(tls=True), smarthost(ca_file=tmp_path / "missing.pem"))
    assert isinstance(outcome, Deferred)
    assert "cannot be read" in outcome.detail


def test_only_so_many_hosts_are_remembered() -> None:
    policy = TlsPolicy(OutboundSettings(), (), HandClock())
    for number in range(MAX_REMEMBERED + 1):
        policy.handshake_failed(f"h{number}.example")
    assert policy.plan(SITE, "h0.example").need is TlsNeed.OPPORTUNISTIC
    assert policy.plan(SITE, "h1.example").need is TlsNeed.NONE


# AUTH.


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        ("AUTH PLAIN LOGIN", ["AUTH PLAIN AHVzZXIAc2VjcmV0"]),
        ("AUTH LOGIN", ["AUTH LOGIN", "dXNlcg==", "c2VjcmV0"]),
        ("AUTH CRAM-MD5 plain", ["AUTH PLAIN AHVzZXIAc2VjcmV0"]),
    ],
)
@pytest.mark.parametrize("by_file", [True, False])
async def test_a_smarthost_may_ask_who_we_are(offered: str, said: list[str], by_file: bool, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\nnot this\n")
    fields = {"password_file": tmp_path / "password"} if by_file else {"password": "secret"}
    peer = ScriptedPeer((*ALL_EXTENSIONS, offered), tls=True)
    outcome = await deliver(peer, smarthost(user="user", **fields))
    assert isinstance(outcome, Delivered)
    at = peer.commands.index(said[0])
    assert peer.commands[at : at + len(said)] == said
    assert at == 3  # EHLO, STARTTLS, EHLO


@pytest.mark.parametrize("user", ["user", ""])
async def test_whoever_is_logged_in_says_that_it_does_not_know_the_submitter(user: str) -> None:
    # RFC 4954 §5: to a server to which it has authenticated, and to no other
    peer = ScriptedPeer(WITH_AUTH, tls=True)
    outcome = await deliver(peer, smarthost(user=user, password="secret" if user else ""))
    assert isinstance(outcome, Delivered)
    assert (" AUTH=<>" in peer.taken[0].mail) == bool(user)


def test_a_password_file_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="password"):
        make_carrier(Network(), smarthosts=[smarthost(user="user", password_file=tmp_path / "password")])


@pytest.mark.parametrize(
    ("extensions", "replies"),
    [
        (WITH_AUTH, {"AUTH": "535 5.7.8 wrong password"}),
        (WITH_AUTH, {"AUTH": "454 4.7.0 later"}),
        (WITH_AUTH, {"AUTH": "334 !!!"}),
        (WITH_AUTH, {"AUTH": "334 bW9yZQ=="}),
        (WITH_AUTH, {"AUTH": "250 odd"}),
        ((*ALL_EXTENSIONS, "AUTH LOGIN"), {"c2VjcmV0": "334 bW9yZQ=="}),
        ((*ALL_EXTENSIONS, "AUTH GSSAPI"), {}),
        ((*ALL_EXTENSIONS, "AUTH SCRAM-SHA-256"), {}),  # RFC 5802 §3: a server that proves nothing is not believed
        (ALL_EXTENSIONS, {}),
    ],
)
async def test_a_login_that_fails_never_fails_the_mail(
    extensions: tuple[str, ...], replies: dict[str, str | list[str]]
) -> None:
    peer = ScriptedPeer(extensions, replies, tls=True)
    outcome = await deliver(peer, smarthost(user="user", password="secret"))
    assert isinstance(outcome, Deferred)
    assert not any(command.startswith("MAIL") for command in peer.commands)
    assert "secret" not in repr(outcome)


@pytest.mark.parametrize("tls", ["none", "opportunistic"])
async def test_no_password_in_the_clear(tls: Tls) -> None:
    peer = ScriptedPeer(WITH_AUTH)
    outcome = await deliver(peer, smarthost(tls, user="user", password="secret"))
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.7.0"
    assert not any("AUTH" in command for command in peer.commands)


async def test_on_loopback_there_is_nobody_to_listen() -> None:
    peer = ScriptedPeer(WITH_AUTH)
    zone = Zone.of({"smart.example": {"A": ["127.0.0.1"]}})
    carrier = make_carrier(
        Network({"127.0.0.1": peer}), zone=zone, smarthosts=[smarthost("none", user="user", password="secret")]
    )
    assert isinstance((await carrier.deliver(make_request(site=SMART)))[1], Delivered)
    await carrier.close()


# Real sockets, real TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("smart.example").configure_cert(context)
    return context


async def deliver_over_sockets(
    peer: ScriptedPeer, context: ssl.SSLContext | None, tls: Tls, ca_file: Path | None, messages: int = 2
) -> list[Outcome]:
    zone = Zone.of({"smart.example": {"A": ["127.0.0.1"]}})
    settings = smarthost(tls, ca_file=ca_file)
    async with peer.serve(context, implicit=tls == "implicit") as port:
        carrier = make_carrier(SocketConnect(), zone=zone, smarthosts=[settings], ipv6=False)
        site = Site("smarthost:smart", RouteKind.SMARTHOST, (("smart.example",),), port, "smart")
        outcomes = [(await carrier.deliver(make_request(site=site)))[1] for _ in range(messages)]
        await carrier.close()
    return outcomes


@pytest.mark.parametrize("tls", ["none", "opportunistic", "required", "implicit"])
async def test_messages_over_real_connections(
    tls: Tls, authority: trustme.CA, server_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    peer = ScriptedPeer()
    outcomes = await deliver_over_sockets(peer, None if tls == "none" else server_tls, tls, tmp_path / "ca.pem")
    assert [type(outcome) for outcome in outcomes] == [Delivered, Delivered]
    assert [taken.tls for taken in peer.taken] == [tls != "none"] * 2
    assert peer.connections == 1


@pytest.mark.parametrize("tls", ["required", "implicit"])
async def test_a_certificate_that_nobody_vouches_for_is_refused(tls: Tls, server_tls: ssl.SSLContext) -> None:
    peer = ScriptedPeer()
    (outcome,) = await deliver_over_sockets(peer, server_tls, tls, None, 1)
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.7.5"
    assert "certificate" in outcome.detail
    assert not peer.taken


async def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    (outcome,) = await deliver_over_sockets(ScriptedPeer(), context, "required", tmp_path / "ca.pem", 1)
    assert isinstance(outcome, Deferred)


async def test_a_port_where_nobody_listens() -> None:
    async with ScriptedPeer().serve() as port:
        pass
    zone = Zone.of({"smart.example": {"A": ["127.0.0.1"]}})
    carrier = make_carrier(SocketConnect(), zone=zone, smarthosts=[smarthost("none")], ipv6=False)
    site = Site("smarthost:smart", RouteKind.SMARTHOST, (("smart.example",),), port, "smart")
    outcome = (await carrier.deliver(make_request(site=site)))[1]
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.4.1"
