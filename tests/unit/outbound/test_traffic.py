"""What the carrier does for a source address and for the rule of a site."""

from dataclasses import replace
from typing import Any

from tests.fakes.hand_clock import HandClock
from tests.fakes.peer import Network, ScriptedPeer
from tests.unit.outbound.making import SITE, make_carrier, make_request

from postroom.config.road import OutboundSettings
from postroom.config.sending import ShapingSettings, SourceSettings
from postroom.dns.zone import Zone
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest
from postroom.mail.reply import Reply
from postroom.outbound import trouble
from postroom.outbound.carrier import SmtpCarrier
from postroom.outbound.shaping.traffic import Traffic
from postroom.report.reporter import Reporter

A = SourceSettings(name="out-a", ipv4="192.0.2.71", ipv6="2001:db8::71", hostname="a.example.net")
B = SourceSettings(name="out-b", ipv4="192.0.2.72")
BOTH = Zone.of({"mx.example.org": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]}})


def carrier_with(
    network: Network, clock: HandClock | None = None, zone: Zone | None = None, **rule: Any
) -> SmtpCarrier:
    clock = clock or HandClock()
    shaping = (ShapingSettings.model_validate({"name": "default", **rule}),)
    traffic = Traffic(OutboundSettings(), clock, Reporter(), sources=(A, B), shaping=shaping)
    return make_carrier(network, clock=clock, zone=zone, traffic=traffic)


def request(source: str, *recipients: str) -> DeliveryRequest:
    return replace(make_request(*recipients), source=source)


async def test_mail_leaves_from_its_source_which_gives_its_own_name() -> None:
    peer = ScriptedPeer()
    network = Network({"2001:db8::1": peer, "192.0.2.1": peer})
    carrier = carrier_with(network, zone=BOTH)
    (outcome,) = (await carrier.deliver(request("out-a"))).values()
    assert isinstance(outcome, Delivered)
    assert outcome.peer.source == "2001:db8::71"
    assert network.sources == ["2001:db8::71"]
    assert peer.commands[0] == "EHLO a.example.net"
    await carrier.close()


async def test_hosts_of_a_family_that_the_source_lacks_are_passed_over() -> None:
    peer = ScriptedPeer()
    network = Network({"2001:db8::1": ScriptedPeer(), "192.0.2.1": peer})
    carrier = carrier_with(network, zone=BOTH)
    (outcome,) = (await carrier.deliver(request("out-b"))).values()
    assert isinstance(outcome, Delivered)
    assert network.tried == ["192.0.2.1"]
    assert peer.commands[0] == "EHLO us.example.net"  # it has no name of its own
    await carrier.close()
    only6 = Zone.of({"mx.example.org": {"AAAA": ["2001:db8::1"]}})
    carrier = carrier_with(network, zone=only6)
    (outcome,) = (await carrier.deliver(request("out-b"))).values()
    assert isinstance(outcome, Deferred)
    assert outcome.detail == "out-b has no address for 2001:db8::1"
    await carrier.close()


async def test_a_session_is_reused_by_its_own_source_alone() -> None:
    peer = ScriptedPeer()
    network = Network({"192.0.2.1": peer})
    carrier = carrier_with(network)
    for source in ("out-a", "out-b", "out-a", "", "out-b", ""):
        await carrier.deliver(request(source))
    assert network.sources == ["192.0.2.71", "192.0.2.72", None]
    assert len(peer.taken) == 6
    await carrier.close()


async def test_the_rule_says_how_many_messages_a_connection_carries_and_how_long_it_is_kept() -> None:
    clock = HandClock()
    peer = ScriptedPeer()
    carrier = carrier_with(Network({"192.0.2.1": peer}), clock, messages_per_connection=2, idle_timeout=60)
    for _ in range(5):
        await carrier.deliver(request(""))
    assert peer.connections == 3
    clock.advance(59)  # [outbound] idle_timeout is 5
    carrier.pool.sweep()
    assert carrier.pool.idle == 1
    clock.advance(2)
    carrier.pool.sweep()
    assert carrier.pool.idle == 0
    await carrier.close()


async def test_recipients_beyond_the_rule_go_in_transactions_of_their_own() -> None:
    peer = ScriptedPeer()
    carrier = carrier_with(Network({"192.0.2.1": peer}), recipients_per_message=2)
    outcomes = await carrier.deliver(request("", *[f"r{n}@example.org" for n in range(5)]))
    assert len(outcomes) == 5
    assert all(isinstance(outcome, Delivered) for outcome in outcomes.values())
    assert [len(taken.rcpts) for taken in peer.taken] == [2, 2, 1]
    await carrier.close()


async def test_connections_are_opened_at_the_rate_of_the_rule() -> None:
    clock = HandClock()
    peer = ScriptedPeer()
    network = Network({"192.0.2.1": peer})
    carrier = carrier_with(network, clock, messages_per_connection=1, connection_rate="2/4s")
    for _ in range(3):
        await carrier.deliver(request(""))
    assert clock.time == 1002  # the third waited two seconds
    await carrier.deliver(request("out-a"))
    assert clock.time == 1002  # another source has a rate of its own
    await carrier.close()


async def test_where_that_would_take_long_the_mail_goes_back_until_then() -> None:
    clock = HandClock()
    network = Network({"192.0.2.1": ScriptedPeer()})
    carrier = carrier_with(network, clock, messages_per_connection=1, connection_rate="1/1m")
    await carrier.deliver(request(""))
    (outcome,) = (await carrier.deliver(request(""))).values()
    assert isinstance(outcome, Deferred)
    assert (outcome.cause, outcome.retry_at) == (Cause.RATE_LIMIT, 1060.0)
    assert outcome.reply.text == "not tried: default takes 1/1m connections"
    assert len(network.tried) == 1
    assert carrier.pool.places == 0
    await carrier.close()


async def test_requiretls_goes_by_the_rule_of_the_site_itself() -> None:
    carrier = carrier_with(Network({"192.0.2.1": ScriptedPeer()}))
    await carrier.deliver(replace(make_request(require_tls=True), source="out-a"))
    assert [key for key, _ in carrier._traffic.shaper.places] == [SITE.key]
    await carrier.close()


async def test_a_dead_site_is_not_tried_again_for_each_part_of_the_recipients() -> None:
    network = Network({})
    carrier = carrier_with(network, recipients_per_message=1)
    outcomes = await carrier.deliver(request("", *[f"r{number}@example.org" for number in range(5)]))
    assert len(network.tried) == 1
    assert len(outcomes) == 5
    assert all(isinstance(outcome, Deferred) for outcome in outcomes.values())
    await carrier.close()


def test_recipients_that_were_not_tried_for_the_same_reason_are_not_counted_as_tried() -> None:
    """A wait of our own must not look like the site's pushback, nor like an attempt."""
    ours = Deferred(Reply.of(451, "4.4.5", "not tried: our rule"), cause=Cause.RATE_LIMIT, retry_at=5.0)
    assert trouble.that_stops_others([ours]) == ours
