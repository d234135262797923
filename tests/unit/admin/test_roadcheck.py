"""``postroom check`` warns where mail cannot leave as the settings say."""

from typing import Any

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.directory_store import MemoryDirectoryStore

from postroom.admin.finding import Finding, Level
from postroom.admin.roadcheck import can_bind, check_reports, check_road
from postroom.config.model import Settings
from postroom.directory.directory import Directory
from postroom.dns.zone import Zone, ZoneResolver

# Public addresses: those of RFC 5737 are not looked up
IPV4, IPV6, HOST = "9.1.2.3", "2620:fe::77", "out1.postroom.net"
GOOD = {
    HOST: {"A": [IPV4], "AAAA": [IPV6]},
    "3.2.1.9.in-addr.arpa": {"PTR": [HOST]},
    "7.7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.e.f.0.0.0.2.6.2.ip6.arpa": {"PTR": [HOST]},
}
PASS = Finding(Level.OK, "road", "the resolver validates DNSSEC, so that DANE can be used")


def settings_of(**sections: Any) -> Settings:
    return Settings.model_validate({"hostname": "mx.postroom.net"} | sections)


def signed() -> Zone:
    zone = Zone.of(GOOD)
    zone.secure.add("")
    return zone


async def look(zone: Zone, *servers: str, here: bool = True, **sections: Any) -> list[Finding]:
    settings = settings_of(**sections)
    return [each async for each in check_road(settings, ZoneResolver(zone), servers, lambda _: here)]


async def test_a_validating_resolver_on_this_machine() -> None:
    assert await look(signed(), "127.0.0.1", "::1", outbound={"dane": True}) == [PASS]


async def test_a_resolver_elsewhere_is_not_to_be_believed() -> None:
    away, good = await look(signed(), "127.0.0.1", "192.0.2.53", outbound={"dane": True})
    assert (away.level, good) == (Level.WARNING, PASS)
    assert "192.0.2.53" in away.what
    assert "dns.servers" in away.remedy


async def test_a_resolver_that_does_not_validate() -> None:
    (finding,) = await look(Zone.of(GOOD), "127.0.0.1", outbound={"dane": True})
    assert (finding.level, "does not validate" in finding.what) == (Level.WARNING, True)
    assert "outbound.dane = false" in finding.remedy


async def test_no_resolver_answers() -> None:
    zone = signed()
    zone.servfail.add("")
    (finding,) = await look(zone, "127.0.0.1", outbound={"dane": True})
    assert finding.level is Level.SKIPPED


async def test_without_dane_nothing_is_asked() -> None:
    zone = Zone.of(GOOD)
    assert await look(zone, "192.0.2.53", outbound={"dane": False}) == []
    assert not zone.asked


async def test_a_source_as_it_should_be() -> None:
    source = {"name": "a", "ipv4": IPV4, "ipv6": IPV6, "hostname": HOST}
    found = await look(signed(), "127.0.0.1", source=[source], outbound={"dane": False})
    assert [each.level for each in found] == [Level.OK, Level.OK]


async def test_a_source_that_is_not_here() -> None:
    source = {"name": "a", "ipv4": IPV4, "hostname": HOST}
    away, names = await look(signed(), here=False, source=[source], outbound={"dane": False})
    assert (away.level, names.level) == (Level.WARNING, Level.OK)
    assert f"{IPV4} is not an address of this machine" in away.what
    assert f"ip address add {IPV4}" in away.remedy


@pytest.mark.parametrize(
    ("zone", "says", "remedy"),
    [
        ({HOST: {"A": ["9.9.9.9"]}}, f"leads to 9.9.9.9, not to {IPV4}", f"publish: {HOST}. A {IPV4}"),
        ({}, f"leads to nothing, not to {IPV4}", f"publish: {HOST}. A {IPV4}"),
        ({HOST: {"A": [IPV4]}}, "points back to no name", "PTR record"),
        ({HOST: {"A": [IPV4]}, "3.2.1.9.in-addr.arpa": {"PTR": ["x.net"]}}, "points back to x.net", "PTR record"),
    ],
)
async def test_names_of_a_source(zone: dict[str, dict[str, list[str]]], says: str, remedy: str) -> None:
    source = {"name": "a", "ipv4": IPV4, "hostname": HOST}
    (finding,) = await look(Zone.of(zone), source=[source], outbound={"dane": False})
    assert finding.level is Level.WARNING
    assert says in finding.what
    assert remedy in finding.remedy


async def test_a_private_source_is_not_looked_up() -> None:
    zone = Zone.of(GOOD)
    (finding,) = await look(zone, source=[{"name": "a", "ipv4": "10.0.0.7"}], outbound={"dane": False})
    assert finding.level is Level.SKIPPED
    assert not zone.asked


def test_which_addresses_are_here() -> None:
    assert can_bind("127.0.0.1")
    assert not can_bind("192.0.2.77")  # RFC 5737: nobody's


async def reports(kind: str, **section: Any) -> list[Finding]:
    settings = settings_of(**{"tlsrpt": {"enabled": False}, "dmarc_reports": {"enabled": False}, kind: section})
    store = MemoryDirectoryStore()
    store.add_account("ann@postroom.net")
    directory = Directory(store, settings.delivery, ManualClock())
    return [each async for each in check_reports(settings, directory)]


async def test_who_answers_for_tls_reports() -> None:
    (nobody,) = await reports("tlsrpt", enabled=True)
    assert (nobody.level, "mx.postroom.net is no domain" in nobody.what) == (Level.WARNING, True)
    assert "tlsrpt.contact" in nobody.remedy


async def test_the_postmaster_answers_for_dmarc_reports() -> None:
    assert await reports("dmarc_reports", enabled=True) == []


@pytest.mark.parametrize("kind", ["tlsrpt", "dmarc_reports"])
async def test_the_contact_of_reports(kind: str) -> None:
    (unknown,) = await reports(kind, enabled=True, contact="tls@postroom.net")
    assert (unknown.level, "does not exist" in unknown.what) == (Level.WARNING, True)
    assert await reports(kind, enabled=True, contact="ann@postroom.net") == []
    assert await reports(kind, enabled=True, contact="tls@elsewhere.net") == []
    assert await reports(kind, enabled=False) == []
