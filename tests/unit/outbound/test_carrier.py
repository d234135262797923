"""The carrier goes from host to host, keeps connections, and ends with an outcome for everybody."""

import asyncio
import errno
from typing import Any

import pytest
from tests.fakes.hand_clock import HandClock
from tests.fakes.peer import Network, ScriptedPeer
from tests.unit.outbound.making import CONTENT, SITE, StoredContent, make_carrier, make_request, make_zone

from postroom.dns.zone import Zone
from postroom.mail.delivery import Deferred, Delivered, Failed, Outcome, RouteKind, Site

TWO = Site("two", RouteKind.MX, (("mx.example.org",), ("b.example.org",)))
THREE = Site("three", RouteKind.MX, (("mx.example.org",), ("b.example.org",), ("c.example.org",)))


async def one(network: Network | ScriptedPeer, site: Site = TWO, zone: Zone | None = None, **settings: Any) -> Outcome:
    carrier = make_carrier(network, zone=zone, **settings)
    outcome = (await carrier.deliver(make_request(site=site)))[1]
    await carrier.close()
    assert carrier.pool.places == 0
    return outcome


# Host after host.


@pytest.mark.parametrize(
    "first",
    [
        None,
        ScriptedPeer(refuse=TimeoutError("slow")),
        ScriptedPeer(refuse=OSError(errno.EHOSTUNREACH, "no route to host")),
        ScriptedPeer(replies={"greeting": "554 5.7.1 no service"}),
        ScriptedPeer(replies={"greeting": "521 no mail"}),
        ScriptedPeer(replies={"greeting": "421 busy"}),
        ScriptedPeer(replies={"EHLO": "450 later"}),
        ScriptedPeer(replies={"MAIL": "421 4.3.2 going"}),
        ScriptedPeer(close_at="greeting"),
        ScriptedPeer(close_at="MAIL"),
        ScriptedPeer(garbage_at="EHLO"),
        ScriptedPeer(silent_at="DATA"),
    ],
    ids=lambda peer: "refused" if peer is None else repr({k: v for k, v in vars(peer).items() if v})[15:70],
)
async def test_trouble_with_one_host_leads_to_the_next(first: ScriptedPeer | None) -> None:
    network = Network({"192.0.2.2": ScriptedPeer()})
    if first is not None:
        network.peers["192.0.2.1"] = first
    outcome = await one(network)
    assert isinstance(outcome, Delivered)
    assert outcome.peer.host == "b.example.org"
    assert network.tried == ["192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize("replies", [{"MAIL": "450 4.7.1 greylisted"}, {"RCPT": "550 5.1.1 nobody"}, {"DATA": "451 x"}])
async def test_an_answer_about_the_message_is_final_for_this_attempt(replies: dict[str, str | list[str]]) -> None:
    network = Network({"192.0.2.1": ScriptedPeer(replies=replies), "192.0.2.2": ScriptedPeer()})
    assert not isinstance(await one(network), Delivered)
    assert network.tried == ["192.0.2.1"]


async def test_no_other_host_is_tried_after_the_final_dot() -> None:
    network = Network({"192.0.2.1": ScriptedPeer(close_at="."), "192.0.2.2": ScriptedPeer()})
    outcome = await one(network)
    assert isinstance(outcome, Deferred)
    assert outcome.ambiguous
    assert network.tried == ["192.0.2.1"]


async def test_with_no_host_up_the_mail_is_deferred_and_says_why() -> None:
    outcome = await one(Network())
    assert isinstance(outcome, Deferred)
    assert str(outcome.reply) == "451 4.4.1 b.example.org[192.0.2.2] could not be reached while connecting"
    assert "refused" in outcome.detail
    assert (outcome.peer.host, outcome.peer.address) == ("b.example.org", "192.0.2.2")


async def test_running_out_of_descriptors_is_our_fault_and_no_hosts() -> None:
    network = Network({"192.0.2.1": ScriptedPeer(refuse=OSError(errno.EMFILE, "too many open files"))})
    outcome = await one(network)
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.3.0"
    assert network.tried == ["192.0.2.1"]


async def test_the_mail_fails_only_if_every_host_says_so() -> None:
    def shut() -> ScriptedPeer:
        return ScriptedPeer(replies={"greeting": "554 5.3.2 no service"})

    assert isinstance(await one(Network({"192.0.2.1": shut()})), Deferred)
    assert isinstance(await one(Network({"192.0.2.2": shut()})), Deferred)
    outcome = await one(Network({"192.0.2.1": shut(), "192.0.2.2": shut()}))
    assert isinstance(outcome, Failed)
    assert str(outcome.reply) == "554 5.3.2 no service"


async def test_of_many_troubles_the_one_that_came_furthest_is_told() -> None:
    network = Network({"192.0.2.1": ScriptedPeer(replies={"EHLO": "450 4.3.2 not now"})})
    outcome = await one(network)
    assert str(outcome.reply) == "450 4.3.2 not now"


async def test_at_most_max_hosts_addresses_are_tried() -> None:
    network = Network()
    await one(network, THREE, max_hosts=2)
    assert network.tried == ["192.0.2.1", "192.0.2.2"]


async def test_ipv6_and_ipv4_in_turns_ipv6_first() -> None:
    zone = Zone.of({"mx.example.org": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": ["2001:db8::1"]}})
    network = Network()
    await one(network, SITE, zone, source_addresses=("192.0.2.77",))
    assert network.tried[0] == "2001:db8::1"
    assert set(network.tried[1:]) == {"192.0.2.1", "192.0.2.2"}
    assert network.sources == [None, "192.0.2.77", "192.0.2.77"]
    network = Network()
    await one(network, SITE, zone, ipv6=False)
    assert "2001:db8::1" not in network.tried


async def test_equal_preferences_are_shuffled_and_keep_their_rank() -> None:
    site = Site("x", RouteKind.MX, (("mx.example.org", "b.example.org"), ("c.example.org",)))
    firsts = set()
    for _ in range(50):
        network = Network()
        await one(network, site)
        assert network.tried[2] == "192.0.2.3"
        firsts.add(network.tried[0])
    assert firsts == {"192.0.2.1", "192.0.2.2"}


async def test_an_unreachable_address_is_tried_last_for_a_while() -> None:
    network, clock = Network({"192.0.2.2": ScriptedPeer(closes_idle=True)}), HandClock()
    carrier = make_carrier(network, clock=clock, messages_per_connection=1)
    for _ in range(2):
        assert isinstance((await carrier.deliver(make_request(site=TWO)))[1], Delivered)
    assert network.tried == ["192.0.2.1", "192.0.2.2", "192.0.2.2"]
    clock.advance(3600)
    await carrier.deliver(make_request(site=TWO))
    assert network.tried[3:] == ["192.0.2.1", "192.0.2.2"]
    await carrier.close()


# Addresses.


async def test_hosts_without_address_fail_if_all_are_so() -> None:
    site = Site("x", RouteKind.MX, (("gone.example",), ("gone2.example",)))
    outcome = await one(Network(), site)
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == "5.4.4"
    site = Site("x", RouteKind.MX, (("gone.example",), ("mx.example.org",)))
    assert isinstance(await one(Network(), site), Deferred)
    assert isinstance(await one(ScriptedPeer(), site), Delivered)


async def test_a_dns_that_does_not_answer_for_a_host_defers() -> None:
    zone = make_zone()
    zone.servfail.add("mx.example.org")
    outcome = await one(Network(), SITE, zone)
    assert isinstance(outcome, Deferred)
    assert outcome.reply.status == "4.4.3"
    assert isinstance(await one(Network({"192.0.2.2": ScriptedPeer()}), TWO, zone), Delivered)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"])
async def test_mx_hosts_on_loopback_lead_back_to_us(address: str) -> None:
    zone = Zone.of({"mx.example.org": {"AAAA" if ":" in address else "A": [address]}})
    network = Network({address: ScriptedPeer()})
    outcome = await one(network, SITE, zone)
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == "5.4.6"
    assert not network.tried
    assert isinstance(await one(network, SITE, zone, allow_loopback=True), Delivered)
    smarthost = Site("smarthost:x", RouteKind.SMARTHOST, (("mx.example.org",),))
    assert isinstance(await one(network, smarthost, zone), Delivered)


async def test_address_literals_need_no_dns() -> None:
    site = Site("192.0.2.1", RouteKind.MX, (("192.0.2.1",),))
    assert isinstance(await one(ScriptedPeer(), site), Delivered)


# What is not carried by SMTP.


async def test_discard_takes_everything() -> None:
    network = Network()
    carrier = make_carrier(network)
    outcomes = await carrier.deliver(make_request("a@x.example", "b@x.example", site=Site("d", RouteKind.DISCARD)))
    assert {type(outcome) for outcome in outcomes.values()} == {Delivered}
    assert len(outcomes) == 2
    assert not network.tried


async def test_a_mailbox_is_not_outbound() -> None:
    outcome = await one(Network(), Site("mailbox", RouteKind.MAILBOX))
    assert isinstance(outcome, Deferred)


async def test_a_site_without_hosts_or_settings_is_deferred() -> None:
    assert isinstance(await one(Network(), Site("x", RouteKind.MX)), Deferred)
    gone = Site("smarthost:gone", RouteKind.SMARTHOST, (("mx.example.org",),), 25, "gone")
    outcome = await one(Network(), gone)
    assert isinstance(outcome, Deferred)
    assert "gone" in outcome.detail


async def test_content_comes_from_the_store_where_it_is_not_at_hand() -> None:
    peer, source = ScriptedPeer(), StoredContent([CONTENT[:10], CONTENT[10:]])
    carrier = make_carrier(peer, source=source)
    outcome = (await carrier.deliver(make_request(content=None, size=len(CONTENT))))[1]
    assert isinstance(outcome, Delivered)
    assert peer.taken[0].content.endswith(CONTENT)
    outcome = (await carrier.deliver(make_request(content=None, size=len(CONTENT) + 1)))[1]
    assert isinstance(outcome, Deferred)  # half a message is none
    assert len(peer.taken) == 1
    await carrier.close()


async def test_who_reports_success_is_known() -> None:
    with_dsn = await one(ScriptedPeer(), SITE)
    without = await one(ScriptedPeer(("PIPELINING",)), SITE)
    assert isinstance(with_dsn, Delivered)
    assert isinstance(without, Delivered)
    assert (with_dsn.notifies, without.notifies) == (True, False)


# Connections are kept.


async def test_a_connection_is_reused_for_the_same_site_only() -> None:
    peer = ScriptedPeer()
    carrier = make_carrier(peer)
    for _ in range(3):
        await carrier.deliver(make_request())
    assert peer.connections == 1
    await carrier.deliver(make_request(site=Site("other", RouteKind.MX, SITE.hosts)))
    assert peer.connections == 2
    await carrier.close()
    assert peer.open == 0


async def test_a_connection_carries_so_many_messages_and_no_more() -> None:
    peer = ScriptedPeer()
    carrier = make_carrier(peer, messages_per_connection=2)
    for _ in range(4):
        await carrier.deliver(make_request())
    assert peer.connections == 2
    await carrier.close()


@pytest.mark.parametrize(
    "fault",
    [
        {"closes_idle": True},
        {"replies": {"MAIL": ["250 ok", "421 4.4.2 idle for too long"]}},
    ],
)
async def test_a_stale_connection_costs_nothing(fault: dict[str, object]) -> None:
    peer = ScriptedPeer(**fault)  # type: ignore[arg-type]
    network = Network({"192.0.2.1": peer})
    carrier = make_carrier(network)
    for _ in range(2):
        assert isinstance((await carrier.deliver(make_request()))[1], Delivered)
    assert len(network.tried) == 2
    await carrier.close()


async def test_a_reused_connection_that_breaks_after_the_final_dot_is_ambiguous() -> None:
    peer = ScriptedPeer()
    carrier = make_carrier(peer)
    await carrier.deliver(make_request())
    peer.close_at = "."
    outcome = (await carrier.deliver(make_request()))[1]
    assert isinstance(outcome, Deferred)
    assert outcome.ambiguous
    assert peer.connections == 1


async def test_cancelling_leaves_no_place_taken() -> None:
    peer = ScriptedPeer(gate=asyncio.Event())
    carrier = make_carrier(peer)
    task = asyncio.create_task(carrier.deliver(make_request()))
    while not peer.connections:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert peer.open == 0
    assert carrier.pool.places == 0
    peer.gate = None
    await carrier.deliver(make_request())
    peer.gate = asyncio.Event()
    task = asyncio.create_task(carrier.deliver(make_request()))
    while len([command for command in peer.commands if command.startswith("MAIL")]) < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert peer.open == 0
    assert carrier.pool.places == 0


async def test_connections_are_bounded_in_total_and_nobody_starves() -> None:
    peer = ScriptedPeer(gate=asyncio.Event())
    carrier = make_carrier(peer, concurrency=3)
    sites = [Site(f"site{number % 7}", RouteKind.MX, SITE.hosts) for number in range(21)]
    tasks = [asyncio.create_task(carrier.deliver(make_request(site=site))) for site in sites]
    while peer.connections < 3:
        await asyncio.sleep(0)
    assert peer.gate is not None
    peer.gate.set()
    outcomes = await asyncio.gather(*tasks)
    assert all(isinstance(outcome[1], Delivered) for outcome in outcomes)
    assert carrier.pool.places <= 3
    await carrier.close()
    assert carrier.pool.places == 0
    assert peer.open == 0
