"""Where a domain's mail goes (RFC 5321 §5.1, RFC 7505)."""

import pytest
from tests.fakes.hand_clock import HandClock

from postroom.config.road import CommandSettings, MaildirSettings, OutboundSettings, RouteSettings, SmarthostSettings
from postroom.dns.cache import CachingResolver
from postroom.dns.resolver import Answer, MxRecord
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.address import Address
from postroom.mail.delivery import Deferred, Failed, Outcome, RouteKind, Site
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.message import Message, QueueId
from postroom.outbound.route import MAX_MX, MEMO_TTL, MailRouter

SMARTHOSTS = (
    SmarthostSettings(name="smart", host="Smart.Example"),
    SmarthostSettings(name="store", host="[192.0.2.5]", port=24, protocol="lmtp", tls="none"),
)


async def is_local(domain: str) -> bool:
    return domain in {"ours.example", "[192.0.2.100]"}


class DomainRouter(MailRouter):
    """Asked about a domain alone, by a message without anything that rules look at."""

    async def site_of(self, destination: str) -> Site | Outcome:
        recipient = Recipient(Address("someone", destination))
        return await super().site_of(self.destination(message_to(recipient), recipient))


def message_to(*recipients: Recipient) -> Message:
    return Message(QueueId(7), 0.0, Envelope(None, recipients), b"", 0)


def make_router(
    zone: Zone | dict[str, dict[str, list[str]]],
    *routes: tuple[tuple[str, ...], str],
    clock: HandClock | None = None,
    ipv6: bool = True,
) -> DomainRouter:
    clock = clock or HandClock()
    zone = zone if isinstance(zone, Zone) else Zone.of(zone)
    return DomainRouter(
        hostname="us.example.net",
        settings=OutboundSettings(concurrency_per_site=7, concurrency=100, ipv6=ipv6),
        routes=tuple(RouteSettings(domains=domains, via=via) for domains, via in routes),
        smarthosts=SMARTHOSTS,
        resolver=CachingResolver(ZoneResolver(zone), clock),
        is_local=is_local,
        clock=clock,
    )


async def hosts_of(zone: Zone | dict[str, dict[str, list[str]]], domain: str = "example.org") -> object:
    site = await make_router(zone).site_of(domain)
    assert isinstance(site, Site), site
    assert site.kind is RouteKind.MX
    assert site.port == 25
    return site.hosts


async def failure_of(
    zone: Zone | dict[str, dict[str, list[str]]], domain: str = "example.org", *, ipv6: bool = True
) -> Outcome:
    site = await make_router(zone, ipv6=ipv6).site_of(domain)
    assert not isinstance(site, Site), site
    return site


# MX.


async def test_hosts_are_grouped_by_preference() -> None:
    zone = {"example.org": {"MX": ["20 c.example", "10 B.example.", "10 a.example", "30 d.example", "30 d.example"]}}
    assert await hosts_of(zone) == (("a.example", "b.example"), ("c.example",), ("d.example",))


async def test_domains_with_the_same_hosts_are_one_site() -> None:
    router = make_router(
        {
            "one.example": {"MX": ["10 a.example", "20 b.example"]},
            "two.example": {"MX": ["5 A.example", "7 b.example"]},
            "other.example": {"MX": ["20 a.example", "10 b.example"]},
            "equal.example": {"MX": ["10 a.example", "10 b.example"]},
        }
    )
    names = ("one", "two", "other", "equal")
    one, two, other, equal = [await router.site_of(f"{name}.example") for name in names]
    assert one == two
    assert len({site.key for site in (one, other, equal) if isinstance(site, Site)}) == 3


@pytest.mark.parametrize("records", [{"A": ["192.0.2.1"]}, {"AAAA": ["2001:db8::1"]}])
async def test_without_mx_the_domain_is_its_own_host(records: dict[str, list[str]]) -> None:
    assert await hosts_of({"example.org": records}) == (("example.org",),)


async def test_a_domain_with_neither_takes_no_mail() -> None:
    outcome = await failure_of({"example.org": {"TXT": ["hello"]}})
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == "5.1.2"
    assert isinstance(await failure_of({"example.org": {"AAAA": ["2001:db8::1"]}}, ipv6=False), Failed)


async def test_no_such_domain_fails() -> None:
    outcome = await failure_of({})
    assert isinstance(outcome, Failed)
    assert (outcome.reply.code, outcome.reply.status) == (550, "5.1.2")


async def test_null_mx_fails() -> None:
    # RFC 7505 §3, §4.1, §4.2
    outcome = await failure_of({"example.org": {"MX": ["0 ."], "A": ["192.0.2.1"]}})
    assert isinstance(outcome, Failed)
    assert (outcome.reply.code, outcome.reply.status) == (556, "5.1.10")


async def test_a_null_mx_beside_others_means_nothing() -> None:
    assert await hosts_of({"example.org": {"MX": ["0 .", "10 a.example"]}}) == (("a.example",),)


@pytest.mark.parametrize("kind", ["servfail", "silent"])
@pytest.mark.parametrize("name", ["example.org", "implicit.example"])
async def test_a_dns_that_does_not_answer_defers(kind: str, name: str) -> None:
    zone = Zone.of({name: {"MX": ["10 a.example"]}})
    (zone.servfail if kind == "servfail" else zone.silent).add(name)
    outcome = await failure_of(zone, name)
    assert isinstance(outcome, Deferred)
    assert (outcome.reply.code, outcome.reply.status) == (451, "4.4.3")
    assert outcome.detail


# Ourselves.


async def test_hosts_no_better_than_ourselves_are_cut() -> None:
    zone = {"example.org": {"MX": ["10 a.example", "20 us.example.net", "20 b.example", "30 c.example"]}}
    assert await hosts_of(zone) == (("a.example",),)


@pytest.mark.parametrize(
    "records", [["10 US.example.net."], ["10 us.example.net", "20 b.example"], ["10 us.example.net", "10 b.example"]]
)
async def test_being_the_best_host_of_a_foreign_domain_is_a_loop(records: list[str]) -> None:
    outcome = await failure_of({"example.org": {"MX": records}})
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == "5.4.6"


async def test_mail_for_our_own_name_is_a_loop_unless_it_is_local() -> None:
    outcome = await failure_of({"us.example.net": {"A": ["192.0.2.1"]}}, "us.example.net")
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == "5.4.6"


async def test_our_domains_go_to_mailboxes() -> None:
    router = make_router({})
    for domain in ("ours.example", "[192.0.2.100]"):
        site = await router.site_of(domain)
        assert isinstance(site, Site)
        assert site.kind is RouteKind.MAILBOX


# Address literals.


@pytest.mark.parametrize(("domain", "host"), [("[192.0.2.1]", "192.0.2.1"), ("[IPv6:2001:db8::1]", "2001:db8::1")])
async def test_address_literals_go_straight_there(domain: str, host: str) -> None:
    assert await hosts_of({}, domain) == ((host,),)


# Routes of the settings.


@pytest.mark.parametrize(
    ("domain", "key"),
    [
        ("exact.example", "smarthost:smart"),
        ("sub.exact.example", "a.example"),
        ("below.example", "a.example"),
        ("x.below.example", "lmtp:store"),
        ("y.x.below.example", "lmtp:store"),
        ("first.below.example", "local:discard"),
        ("second.below.example", "lmtp:store"),
        ("direct.below.example", "a.example"),
    ],
)
async def test_the_first_route_that_matches_is_taken(domain: str, key: str) -> None:
    zone = Zone.of({name: {"MX": ["10 a.example"]} for name in ("*.example", "below.example", "*.below.example")})
    router = make_router(
        zone,
        (("exact.example", "Another.Example"), "smart"),
        (("first.below.example",), "discard"),
        (("direct.below.example",), "mx"),
        ((".below.example",), "store"),
        (("second.below.example",), "discard"),
    )
    site = await router.site_of(domain)
    assert isinstance(site, Site)
    assert site.key == key


async def test_a_route_for_everything_leaves_our_domains_alone() -> None:
    router = make_router({}, (("*",), "smart"))
    sites = [await router.site_of(domain) for domain in ("ours.example", "example.org", "[192.0.2.1]")]
    assert [site.kind for site in sites if isinstance(site, Site)] == [
        RouteKind.MAILBOX,
        RouteKind.SMARTHOST,
        RouteKind.SMARTHOST,
    ]


async def test_an_explicit_route_for_our_domain_is_meant() -> None:
    site = await make_router({}, (("ours.example",), "store")).site_of("ours.example")
    assert site == Site("lmtp:store", RouteKind.LMTP, (("192.0.2.5",),), 24, "store")


async def test_a_smarthost_is_a_site_of_its_own() -> None:
    site = await make_router({}, (("*",), "smart")).site_of("example.org")
    assert site == Site("smarthost:smart", RouteKind.SMARTHOST, (("smart.example",),), 587, "smart")


async def test_a_route_via_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        make_router({}, (("*",), "nowhere"))


# Speed and bounds.


async def test_what_was_asked_just_now_is_answered_without_suspending() -> None:
    zone, clock = Zone.of({"example.org": {"MX": ["10 a.example"]}}), HandClock()
    router = make_router(zone, clock=clock)
    site = await router.site_of("example.org")
    coroutine = router.site_of("example.org")
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value is site
    clock.advance(MEMO_TTL)  # then the resolver's cache answers, still without suspending
    coroutine = router.site_of("example.org")
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value == site
    assert len(zone.asked) == 1


async def test_the_memo_is_bounded() -> None:
    router = make_router({"*.example": {"MX": ["10 a.example"]}})
    for number in range(3000):
        assert isinstance(await router.site_of(f"d{number}.example"), Site)
    assert len(router._memo) <= 1000


async def test_a_zone_with_thousands_of_mx_hosts_is_cut() -> None:
    zone = {"example.org": {"MX": [f"{number} h{number}.example" for number in range(5000)]}}
    hosts = await hosts_of(zone)
    assert isinstance(hosts, tuple)
    assert len(hosts) == MAX_MX
    assert hosts[0] == ("h0.example",)


@pytest.mark.parametrize("name", ["a.example,b.example", "a.example;b.example", "a b", "smarthost:smart", "x" * 64])
async def test_what_is_no_host_name_is_no_host(name: str) -> None:
    router = make_router({})
    resolver = HostileResolver(name)
    router._resolver = resolver
    assert isinstance(await router.site_of("bad.example"), Failed)
    resolver.hosts = (name, "good.example")
    site = await router.site_of("worse.example")
    assert isinstance(site, Site)
    assert site.hosts == (("good.example",),)


class HostileResolver(ZoneResolver):
    """Says of every domain that these are its MX hosts."""

    def __init__(self, *hosts: str) -> None:
        super().__init__(Zone())
        self.hosts = hosts

    async def mx(self, domain: str) -> Answer[MxRecord]:
        return Answer(tuple(MxRecord(10, host) for host in self.hosts), 60)


async def test_a_host_called_discard_is_a_host() -> None:
    router = make_router({"example.org": {"MX": ["10 discard"]}}, (("x.example",), "discard"))
    site, discard = await router.site_of("example.org"), await router.site_of("x.example")
    assert isinstance(site, Site)
    assert isinstance(discard, Site)
    assert site.kind is RouteKind.MX
    assert site.key != discard.key


# Rules.


def router_of(*routes: RouteSettings, zone: dict[str, dict[str, list[str]]] | None = None) -> MailRouter:
    clock = HandClock()
    return MailRouter(
        hostname="us.example.net",
        settings=OutboundSettings(),
        routes=routes,
        smarthosts=(*SMARTHOSTS, SmarthostSettings(name="other", host="other.example", port=2525)),
        resolver=CachingResolver(ZoneResolver(Zone.of(zone or {})), clock),
        is_local=is_local,
        clock=clock,
        maildirs=[MaildirSettings(name="boxes", path="/var/mail/{address}")],
        commands=[CommandSettings(name="robot", command=("/bin/true",))],
    )


async def site_for(router: MailRouter, address: str, *tags: str, number: int = 7) -> Site | Outcome:
    recipient = Recipient(Address.parse(address))
    message = Message(QueueId(number), 0.0, Envelope(None, (recipient,)), b"", 0, tags=tags)
    return await router.site_of(router.destination(message, recipient))


async def test_maildirs_and_commands_are_sites() -> None:
    router = router_of(
        RouteSettings(domains=("m.example",), via="boxes"), RouteSettings(domains=("c.example",), via="robot")
    )
    assert await site_for(router, "a@m.example") == Site("maildir:boxes", RouteKind.MAILDIR, route="boxes")
    assert await site_for(router, "a@c.example") == Site("command:robot", RouteKind.COMMAND, route="robot")


async def test_several_smarthosts_stand_in_for_each_other() -> None:
    router = router_of(RouteSettings(name="both", via=("smart", "other"), weights=(1, 1)))
    first = Site(
        "smarthost:smart+other",
        RouteKind.SMARTHOST,
        (("smart.example",), ("other.example",)),
        587,
        "smart",
        ("smart", "other"),
    )
    found = [await site_for(router, "a@example.org", number=number) for number in range(20)]
    assert first in found
    others = [site for site in found if site != first]
    assert others
    assert {site.relays for site in others if isinstance(site, Site)} == {("other", "smart")}


async def test_pool_and_schedule_go_with_the_site() -> None:
    zone = {"example.org": {"MX": ["10 a.example"]}}
    router = router_of(RouteSettings(tags=("bulk",), pool="cold", schedule="slow"), zone=zone)
    site, plain = await site_for(router, "a@example.org", "bulk"), await site_for(router, "a@example.org")
    assert isinstance(site, Site)
    assert isinstance(plain, Site)
    assert (site.key, site.pool, site.schedule) == (plain.key, "cold", "slow")
    assert plain.line == "a.example"


async def test_a_rule_for_mail_that_leaves_gives_way_to_one_for_our_domain() -> None:
    router = router_of(
        RouteSettings(name="tagged", tags=("x",), via="smart"), RouteSettings(domains=("ours.example",), via="boxes")
    )
    for tags in ((), ("x",)):
        site = await site_for(router, "a@ours.example", *tags)
        assert isinstance(site, Site)
        assert site.kind is RouteKind.MAILDIR
    plain = router_of(RouteSettings(name="tagged", tags=("x",), via="smart"))
    site = await site_for(plain, "a@ours.example", "x")
    assert isinstance(site, Site)
    assert site.kind is RouteKind.MAILBOX


async def test_via_mailbox_is_for_domains_of_ours() -> None:
    router = router_of(RouteSettings(domains=("ours.example", "elsewhere.example"), via="mailbox"))
    site = await site_for(router, "a@ours.example")
    assert isinstance(site, Site)
    assert site.kind is RouteKind.MAILBOX
    outcome = await site_for(router, "a@elsewhere.example")
    assert isinstance(outcome, Deferred)  # a fault of the settings fails no mail
    assert "elsewhere.example is no domain of ours" in outcome.detail


async def test_who_is_held_and_released_goes_on() -> None:
    router = router_of(RouteSettings(name="keep", tags=("x",), via="hold"), RouteSettings(via="smart"))
    recipient = Recipient(Address.parse("a@example.org"))
    message = Message(QueueId(7), 0.0, Envelope(None, (recipient,)), b"", 0, tags=("x",))
    assert router.holds(message, recipient) == "keep"
    site = await router.site_of(router.destination(message, recipient))
    assert isinstance(site, Site)
    assert site.route == "smart"


@pytest.mark.parametrize("destination", ["example.org gone", "example.org gone/2", "ours.example both|gone"])
async def test_a_rule_that_is_gone_defers(destination: str) -> None:
    outcome = await router_of(RouteSettings(name="both", via="smart")).site_of(destination)
    assert isinstance(outcome, Deferred)
    assert "gone" in outcome.detail


@pytest.mark.parametrize("via", [("smart", "store"), ("smart", "mx"), ("smart", "boxes"), ("hold", "smart"), ()])
def test_what_cannot_stand_in_for_each_other_is_a_mistake(via: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="route via"):
        router_of(RouteSettings(via=via))
