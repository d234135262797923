"""Whether the DNS leads mail here, as other servers would see it."""

import pytest

from postroom.admin.dnscheck import check_dns, is_reserved
from postroom.admin.finding import Finding, Level
from postroom.dns.zone import Zone, ZoneResolver

HOST = "mx.postroom.net"
GOOD = {
    HOST: {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "1.2.0.192.in-addr.arpa": {"PTR": [HOST]},
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": {"PTR": [HOST]},
    "postroom.net": {"MX": [f"10 {HOST}", "20 backup.postroom.net"]},
    "elsewhere.net": {"MX": ["10 mx.elsewhere.net"]},
    "nomx.net": {"A": ["192.0.2.9"]},
    "nomail.net": {"MX": ["0 ."]},
}


async def look(zone: Zone, hostname: str = HOST, *domains: str) -> list[Finding]:
    return [finding async for finding in check_dns(ZoneResolver(zone), hostname, domains)]


async def test_all_is_well() -> None:
    found = await look(Zone.of(GOOD), HOST, "postroom.net")
    assert [finding.level for finding in found] == [Level.OK, Level.OK]
    assert "192.0.2.1, 2001:db8::1" in found[0].what


@pytest.mark.parametrize(
    ("domain", "level", "says"),
    [
        ("elsewhere.net", Level.WARNING, "goes to mx.elsewhere.net, not to mx.postroom.net"),
        ("nomx.net", Level.WARNING, "has no MX record"),
        ("nomail.net", Level.ERROR, "null MX"),
        ("missing.net", Level.ERROR, "does not exist"),
        (HOST, Level.OK, "its address takes its mail"),
        ("demo.example", Level.SKIPPED, "examples and tests"),
    ],
)
async def test_domains(domain: str, level: Level, says: str) -> None:
    finding = (await look(Zone.of(GOOD), HOST, domain))[-1]
    assert finding.level is level
    assert says in finding.what
    assert level in (Level.OK, Level.SKIPPED) or f"{domain}. MX 10 {HOST}." in finding.remedy


async def test_a_host_without_address() -> None:
    (finding,) = await look(Zone.of({"other.net": {"A": ["192.0.2.1"]}}))
    assert finding.level is Level.ERROR
    assert "has no address" in finding.what


@pytest.mark.parametrize(("ptr", "says"), [({"PTR": ["other.net"]}, "to other.net"), ({}, "to no name")])
async def test_an_address_that_points_elsewhere(ptr: dict[str, list[str]], says: str) -> None:
    zone = Zone.of({HOST: {"A": ["192.0.2.1"]}, "1.2.0.192.in-addr.arpa": ptr})
    _, finding = await look(zone)
    assert finding.level is Level.WARNING
    assert says in finding.what


async def test_an_address_literal_as_hostname() -> None:
    (finding,) = await look(Zone(), "[192.0.2.1]")
    assert finding.level is Level.WARNING


async def test_no_resolver_is_told_once() -> None:
    zone = Zone.of(GOOD)
    zone.servfail.add(HOST)
    (finding,) = await look(zone, HOST, "postroom.net", "elsewhere.net")
    assert finding.level is Level.SKIPPED
    assert "no resolver answers" in finding.what


async def test_reserved_hostnames_are_not_looked_up() -> None:
    zone = Zone.of(GOOD)
    (finding,) = await look(zone, "mail.demo.example", "postroom.net")
    assert finding.level is Level.SKIPPED
    assert not zone.asked


def test_reserved() -> None:
    assert is_reserved("example.org")
    assert is_reserved("mx.example.com")
    assert is_reserved("localhost")
    assert not is_reserved("example.eu")
