"""The real resolver against a real DNS server on loopback."""

import asyncio
import time

import dns.resolver
import pytest
from tests.fakes.dns_server import DnsServer

from postroom.config.model import DnsSettings
from postroom.dns.dnspython import DnspythonResolver, server_addresses
from postroom.dns.resolver import CaaRecord, Existence, Family, MxRecord, SrvRecord, TlsaRecord
from postroom.dns.zone import Zone
from postroom.mail.trouble import ResolverUnavailable


def make_zone() -> Zone:
    zone = Zone.of(
        {
            "example.org": {"MX": ["10 MX.example.org", "20 b.example.org"], "TXT": ['"v=spf1 " "-all"', "x" * 700]},
            "mx.example.org": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": ["2001:db8::1"]},
            "alias.example.org": {"CNAME": ["mx.example.org"]},
            "null.example": {"MX": ["0 ."]},
            "_25._tcp.mx.example.org": {"TLSA": ["3 1 1 " + "ab" * 32, "2 0 0 00"]},
            "1.2.0.192.in-addr.arpa": {"PTR": ["MX.example.org."]},
            "_pop3s._tcp.example.org": {"SRV": ["0 1 995 MX.example.org."]},
            "_imap._tcp.example.org": {"SRV": ["0 0 0 ."]},
            "ca.example.org": {"CAA": ['128 Issue "letsencrypt.org"', '0 iodef "mailto:a@example.org"']},
            "ns.example.org": {"NS": ["NS1.example.net."]},
            "bogus.example": {"A": ["192.0.2.5"]},
            "broken.example": {"A": ["192.0.2.3"]},
            "silent.example": {"A": ["192.0.2.4"]},
        }
    )
    zone.servfail.add("broken.example")
    zone.bogus.add("bogus.example")
    zone.silent.add("silent.example")
    zone.secure.add("mx.example.org")
    return zone


def make_resolver(server: DnsServer, timeout: float = 5) -> DnspythonResolver:
    return DnspythonResolver(DnsSettings(servers=(server.address,), timeout=timeout))


async def test_every_kind_of_record() -> None:
    async with DnsServer(make_zone()) as server:
        resolver = make_resolver(server)
        mx = await resolver.mx("example.org")
        assert set(mx.records) == {MxRecord(10, "mx.example.org"), MxRecord(20, "b.example.org")}
        assert mx.ttl == 300
        assert not mx.authenticated
        assert (await resolver.mx("null.example")).records == (MxRecord(0, ""),)
        v4 = await resolver.addresses("mx.example.org", Family.IPV4)
        assert set(v4.records) == {"192.0.2.1", "192.0.2.2"}
        assert v4.authenticated
        assert (await resolver.addresses("mx.example.org", Family.IPV6)).records == ("2001:db8::1",)
        assert set((await resolver.txt("example.org")).records) == {b"v=spf1 -all", b"x" * 700}
        assert (await resolver.ptr("192.0.2.1")).records == ("mx.example.org",)


async def test_tlsa_and_the_alias_itself() -> None:
    async with DnsServer(make_zone()) as server:
        resolver = make_resolver(server)
        found = await resolver.tlsa("_25._tcp.mx.example.org")
        assert set(found.records) == {TlsaRecord(3, 1, 1, b"\xab" * 32), TlsaRecord(2, 0, 0, b"\0")}
        assert not found.authenticated
        missing = await resolver.tlsa("_26._tcp.mx.example.org")
        assert (missing.existence, missing.ttl) == (Existence.NO_SUCH_DOMAIN, 60)
        assert (await resolver.cname("alias.example.org")).records == ("mx.example.org",)
        assert (await resolver.cname("mx.example.org")).existence is Existence.NO_DATA


async def test_services_authorities_and_name_servers() -> None:
    async with DnsServer(make_zone()) as server:
        resolver = make_resolver(server)
        assert (await resolver.srv("_pop3s._tcp.example.org")).records == (SrvRecord(0, 1, 995, "mx.example.org"),)
        assert (await resolver.srv("_imap._tcp.example.org")).records == (SrvRecord(0, 0, 0, ""),)
        authorities = set((await resolver.caa("ca.example.org")).records)
        assert authorities == {
            CaaRecord(True, "issue", "letsencrypt.org"),
            CaaRecord(False, "iodef", "mailto:a@example.org"),
        }
        assert (await resolver.ns("ns.example.org")).records == ("ns1.example.net",)
        assert (await resolver.ns("example.org")).existence is Existence.NO_DATA


async def test_broken_signatures_show_once_nobody_checks_them() -> None:
    """RFC 4035 §3.2.2: the server fails unless CD is set."""
    async with DnsServer(make_zone()) as server:
        resolver = make_resolver(server, timeout=1)
        with pytest.raises(ResolverUnavailable):
            await resolver.addresses("bogus.example", Family.IPV4)
        assert await resolver.answers_unchecked("bogus.example")
        assert await resolver.answers_unchecked("missing.example")
        assert not await resolver.answers_unchecked("broken.example")
        assert not await resolver.answers_unchecked("silent.example")
        assert not await resolver.answers_unchecked("a..b")


async def test_cname_is_followed() -> None:
    async with DnsServer(make_zone()) as server:
        answer = await make_resolver(server).addresses("alias.example.org", Family.IPV6)
        assert answer.records == ("2001:db8::1",)
        assert answer.name == "mx.example.org"


async def test_negative_answers_differ_and_have_the_soa_ttl() -> None:
    async with DnsServer(make_zone()) as server:
        resolver = make_resolver(server)
        missing = await resolver.mx("nowhere.example")
        assert (missing.existence, missing.ttl, missing.records) == (Existence.NO_SUCH_DOMAIN, 60, ())
        empty = await resolver.mx("mx.example.org")
        assert (empty.existence, empty.ttl, empty.records) == (Existence.NO_DATA, 60, ())


async def test_a_cut_answer_comes_by_tcp() -> None:
    async with DnsServer(make_zone(), truncate=True) as server:
        assert len((await make_resolver(server).mx("example.org")).records) == 2
        assert server.tcp_questions == 1


async def test_an_answer_beyond_the_datagram_comes_by_tcp() -> None:
    zone = Zone.of({"big.example": {"TXT": [f"{number:03}" + "x" * 200 for number in range(30)]}})
    async with DnsServer(zone) as server:
        assert len((await make_resolver(server).txt("big.example")).records) == 30
        assert server.tcp_questions == 1


async def test_servfail_and_silence_are_unavailable() -> None:
    async with DnsServer(make_zone()) as server:
        with pytest.raises(ResolverUnavailable):
            await make_resolver(server).mx("broken.example")
        started = time.monotonic()
        with pytest.raises(ResolverUnavailable):
            await make_resolver(server, timeout=0.1).mx("silent.example")
        assert time.monotonic() - started < 3


async def test_the_next_server_is_asked_when_the_first_fails() -> None:
    broken = make_zone()
    broken.servfail.add("example.org")
    async with DnsServer(broken) as first, DnsServer(make_zone()) as second:
        resolver = DnspythonResolver(DnsSettings(servers=(first.address, second.address)))
        assert len((await resolver.mx("example.org")).records) == 2


@pytest.mark.parametrize("name", ["a..b.example", "x" * 64 + ".example", ".".join(["x" * 60] * 6)])
async def test_what_is_no_name_does_not_exist(name: str) -> None:
    resolver = DnspythonResolver(DnsSettings(servers=("127.0.0.1:1",)))
    assert (await resolver.mx(name)).existence is Existence.NO_SUCH_DOMAIN


async def test_ipv6_servers_and_default_ports_are_read() -> None:
    resolver = DnspythonResolver(DnsSettings(servers=("192.0.2.53", "192.0.2.54:5353", "2001:db8::53", "[::1]:5353")))
    servers = resolver._resolver.nameservers
    assert [str(server) for server in servers] == [
        "Do53:192.0.2.53@53",
        "Do53:192.0.2.54@5353",
        "Do53:2001:db8::53@53",
        "Do53:::1@5353",
    ]


async def test_questions_side_by_side() -> None:
    async with DnsServer(make_zone()) as server:
        resolver = make_resolver(server)
        answers = await asyncio.gather(*[resolver.mx("example.org") for _ in range(50)])
        assert all(len(answer.records) == 2 for answer in answers)


async def test_without_servers_the_systems_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(resolver: dns.resolver.BaseResolver, path: str) -> None:
        resolver.nameservers = ["192.0.2.7"]

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", read)
    assert DnspythonResolver(DnsSettings())._resolver.nameservers == ["192.0.2.7"]


async def test_without_a_resolv_conf_the_server_on_this_machine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(resolver: dns.resolver.BaseResolver, path: str) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", read)
    assert DnspythonResolver(DnsSettings())._resolver.nameservers == ["127.0.0.1"]


def test_addresses_of_the_servers() -> None:
    settings = DnsSettings(servers=("127.0.0.1:5353", "[::1]:53", "192.0.2.7"))
    assert server_addresses(settings) == ("127.0.0.1", "::1", "192.0.2.7")
