"""The servers of a zone, asked themselves, over the wire on loopback."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tests.fakes.dns_server import DnsServer

from postroom.config.model import DnsSettings
from postroom.dns.authorities import ServerAnswer
from postroom.dns.zone import Zone
from postroom.dns.zoneservers import DnspythonAuthorities

NAME = "r1._domainkey.example.org"


@dataclass
class World:
    """One server on 127.0.0.2 and one on 127.0.0.3, at one port; a resolver that knows where they are."""

    first: Zone
    second: Zone
    known: Zone
    asking: DnspythonAuthorities


@pytest.fixture
async def world() -> AsyncIterator[World]:
    known = Zone.of(
        {
            "example.org": {"NS": ["ns1.example.net.", "ns2.example.net."]},
            "ns1.example.net": {"A": ["127.0.0.2"]},
            "ns2.example.net": {"A": ["127.0.0.3"]},
        }
    )
    first, second = Zone.of({NAME: {"TXT": ['"v=DKIM1; " "p=AAAA"']}}), Zone()
    async with (
        DnsServer(known) as resolver,
        DnsServer(first, host="127.0.0.2", authoritative=True) as one,
        DnsServer(second, host="127.0.0.3", port=one.port, authoritative=True),
    ):
        settings = DnsSettings(servers=(resolver.address,), timeout=2)
        yield World(first, second, known, DnspythonAuthorities(settings, port=one.port))


async def test_each_server_is_asked(world: World) -> None:
    assert list(await world.asking.txt(NAME)) == [
        ServerAnswer("ns1.example.net", (b"v=DKIM1; p=AAAA",)),
        ServerAnswer("ns2.example.net", ()),
    ]
    world.second.add(NAME, "TXT", '"v=DKIM1; p=AAAA"')
    assert [answer.records for answer in await world.asking.txt(NAME + ".")] == [(b"v=DKIM1; p=AAAA",)] * 2


async def test_a_large_record_comes_by_tcp(world: World) -> None:
    world.second.add(NAME, "TXT", f'"{"x" * 200}" ' * 20)
    answers = await world.asking.txt(NAME)
    assert answers[1].records == (b"x" * 4000,)


async def test_the_resolver_is_never_asked_about_the_name_itself(world: World) -> None:
    """It would remember that it is not there."""
    await world.asking.txt(NAME)
    assert {name for _, name in world.known.asked} == {"example.org", "ns1.example.net", "ns2.example.net"}


async def test_the_zone_may_be_further_up(world: World) -> None:
    answers = await world.asking.txt("r1._domainkey.lists.example.org")
    assert [answer.server for answer in answers] == ["ns1.example.net", "ns2.example.net"]


async def test_who_fails_does_not_tell(world: World) -> None:
    world.first.servfail.add(NAME)
    world.second.add(NAME, "CNAME", "r1.provider.example.")
    assert [answer.records for answer in await world.asking.txt(NAME)] == [None, None]


async def test_who_has_no_address_does_not_tell(world: World) -> None:
    del world.known.records["ns1.example.net"]
    assert [answer.records for answer in await world.asking.txt(NAME)] == [None, ()]


async def test_where_no_servers_are_known_there_is_nobody_to_ask(world: World) -> None:
    assert list(await world.asking.txt("r1._domainkey.nowhere.example")) == []
    world.known.servfail.add("example.org")
    assert list(await world.asking.txt(NAME)) == []
    assert list(await world.asking.txt("x" * 64 + ".example.org")) == []
