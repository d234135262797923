"""Several smarthosts for one rule: host after host, each with its own port, TLS and login; sockets of this machine."""

import asyncio
from pathlib import Path

from pydantic import SecretStr
from tests.fakes.peer import ALL_EXTENSIONS, Network, ScriptedPeer
from tests.unit.outbound.making import make_carrier, make_request

from postroom.config.road import SmarthostSettings
from postroom.dns.zone import Zone
from postroom.mail.delivery import Deferred, Delivered, RouteKind, Site
from postroom.outbound.opening import SocketConnect

ZONE = Zone.of({"one.example": {"A": ["192.0.2.21"]}, "two.example": {"A": ["192.0.2.22"]}})
ONE = SmarthostSettings(name="one", host="one.example", port=587, user="first", password=SecretStr("secret-1"))
TWO = SmarthostSettings(name="two", host="two.example", port=2525, tls="none")
BOTH = Site("smarthost:one+two", RouteKind.SMARTHOST, (("one.example",), ("two.example",)), 587, "one", ("one", "two"))


async def test_the_next_one_takes_what_the_first_does_not() -> None:
    one = ScriptedPeer((*ALL_EXTENSIONS, "AUTH PLAIN"), {"greeting": "421 4.3.2 closed for today"}, tls=True)
    two = ScriptedPeer((*ALL_EXTENSIONS, "AUTH PLAIN"))
    network = Network({"192.0.2.21": one, "192.0.2.22": two})
    carrier = make_carrier(network, zone=ZONE, smarthosts=[ONE, TWO])
    outcome = (await carrier.deliver(make_request(site=BOTH)))[1]
    assert isinstance(outcome, Delivered)
    assert (outcome.peer.host, outcome.peer.port) == ("two.example", 2525)
    assert not any("AUTH PLAIN" in command for command in two.commands)  # the login is the other one's
    await carrier.close()


async def test_each_has_its_own_port_tls_and_login() -> None:
    one = ScriptedPeer((*ALL_EXTENSIONS, "AUTH PLAIN"), tls=True)
    carrier = make_carrier(Network({"192.0.2.21": one}), zone=ZONE, smarthosts=[ONE, TWO])
    outcome = (await carrier.deliver(make_request(site=BOTH)))[1]
    assert isinstance(outcome, Delivered)
    assert outcome.peer.port == 587
    assert outcome.peer.tls
    assert "AUTH PLAIN AGZpcnN0AHNlY3JldC0x" in one.commands
    await carrier.close()


async def test_the_order_of_the_site_is_obeyed() -> None:
    peers = {"192.0.2.21": ScriptedPeer(tls=True), "192.0.2.22": ScriptedPeer()}
    network = Network(dict(peers))
    carrier = make_carrier(network, zone=ZONE, smarthosts=[TWO, ONE])
    other = Site("smarthost:two+one", RouteKind.SMARTHOST, (*reversed(BOTH.hosts),), 2525, "two", ("two", "one"))
    for _ in range(10):
        assert isinstance((await carrier.deliver(make_request(site=other)))[1], Delivered)
    assert set(network.tried) == {"192.0.2.22"}
    await carrier.close()


async def test_lmtp_over_a_socket_of_this_machine(tmp_path: Path) -> None:
    path = str(tmp_path / "lmtp")
    peer = ScriptedPeer(lmtp=True)
    settings = SmarthostSettings(name="store", host=path, protocol="lmtp", tls="required")
    site = Site("lmtp:store", RouteKind.LMTP, ((path,),), 24, "store")
    carrier = make_carrier(SocketConnect(), smarthosts=[settings])
    missing = (await carrier.deliver(make_request(site=site)))[1]
    assert isinstance(missing, Deferred)
    assert missing.reply.status == "4.4.1"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer._serve(reader, writer, None, False)
        writer.close()

    server = await asyncio.start_unix_server(handle, path)
    outcomes = await carrier.deliver(make_request("a@example.org", "b@example.org", site=site))
    assert [type(outcome) for outcome in outcomes.values()] == [Delivered, Delivered]
    assert outcomes[1].peer.host == path
    assert peer.taken[0].content
    await carrier.close()
    server.close()
    await server.wait_closed()
