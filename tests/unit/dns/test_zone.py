"""A zone in memory answers as the DNS would."""

import pytest

from postroom.dns.resolver import Existence, Family, MxRecord, TlsaRecord
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.trouble import ResolverUnavailable

TEXT = """
$TTL 120
; a comment
example.org.            MX    10 MX1.example.org.
example.org        3600 IN MX 20 mx2.example.org     ; another
example.org             TXT   "v=spf1 " "-all"
mx1.example.org         A     192.0.2.1
mx1.example.org         AAAA  2001:db8::1
www.example.org         CNAME mx1.example.org
null.example            MX    0 .
1.2.0.192.in-addr.arpa  PTR   mx1.example.org.
*.wild.example          A     192.0.2.9
"""


@pytest.fixture
def resolver() -> ZoneResolver:
    return ZoneResolver(Zone.parse(TEXT))


async def test_mx_records_have_preference_and_plain_host(resolver: ZoneResolver) -> None:
    answer = await resolver.mx("Example.ORG.")
    assert answer.records == (MxRecord(10, "mx1.example.org"), MxRecord(20, "mx2.example.org"))
    assert answer.ttl == 120
    assert answer.existence is Existence.FOUND


async def test_null_mx_has_an_empty_host(resolver: ZoneResolver) -> None:
    assert (await resolver.mx("null.example")).records == (MxRecord(0, ""),)


async def test_addresses_by_family(resolver: ZoneResolver) -> None:
    assert (await resolver.addresses("mx1.example.org", Family.IPV4)).records == ("192.0.2.1",)
    assert (await resolver.addresses("mx1.example.org", Family.IPV6)).records == ("2001:db8::1",)


async def test_cname_is_followed_and_the_final_name_told(resolver: ZoneResolver) -> None:
    # RFC 1034 §4.3.2
    answer = await resolver.addresses("www.example.org", Family.IPV4)
    assert answer.records == ("192.0.2.1",)
    assert answer.name == "mx1.example.org"


async def test_txt_strings_are_joined(resolver: ZoneResolver) -> None:
    assert (await resolver.txt("example.org")).records == (b"v=spf1 -all",)


async def test_ptr(resolver: ZoneResolver) -> None:
    # RFC 1035 §3.5, RFC 3596 §2.5
    assert (await resolver.ptr("192.0.2.1")).records == ("mx1.example.org",)


async def test_missing_name_and_missing_type_differ(resolver: ZoneResolver) -> None:
    # RFC 2308 §2
    assert (await resolver.mx("nowhere.example")).existence is Existence.NO_SUCH_DOMAIN
    assert (await resolver.mx("mx1.example.org")).existence is Existence.NO_DATA
    assert (await resolver.mx("org")).existence is Existence.NO_DATA  # an empty non-terminal


async def test_wildcard(resolver: ZoneResolver) -> None:
    assert (await resolver.addresses("a.wild.example", Family.IPV4)).records == ("192.0.2.9",)


async def test_failures_are_fields(resolver: ZoneResolver) -> None:
    resolver.zone.servfail.add("example.org")
    resolver.zone.silent.add("null.example")
    with pytest.raises(ResolverUnavailable, match="SERVFAIL"):
        await resolver.mx("example.org")
    with pytest.raises(ResolverUnavailable, match="timed out"):
        await resolver.mx("null.example")


async def test_authenticated_answers() -> None:
    zone = Zone.of({"example.org": {"TXT": ["plain text, unquoted"]}})
    zone.secure.add("example.org")
    answer = await ZoneResolver(zone).txt("example.org")
    assert answer.authenticated
    assert answer.records == (b"plain text, unquoted",)


async def test_cname_loop_is_unavailable() -> None:
    resolver = ZoneResolver(Zone.of({"a.example": {"CNAME": ["b.example"]}, "b.example": {"CNAME": ["a.example"]}}))
    with pytest.raises(ResolverUnavailable, match="too many"):
        await resolver.mx("a.example")


@pytest.mark.parametrize("line", ["example.org", "example.org MX", "example.org 300 IN", "example.org HINFO a b"])
def test_malformed_lines_name_their_number(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        Zone.parse("\n" + line)


async def test_tlsa_records_and_how_they_are_written(resolver: ZoneResolver) -> None:
    # RFC 6698 §2.2
    resolver.zone.add("_25._tcp.mx1.example.org", "TLSA", "3 1 1 00ff A0")
    (record,) = (await resolver.tlsa("_25._tcp.mx1.example.org")).records
    assert record == TlsaRecord(3, 1, 1, b"\x00\xff\xa0")
    assert str(record) == "3 1 1 00FFA0"


async def test_an_alias_itself(resolver: ZoneResolver) -> None:
    assert (await resolver.cname("www.example.org")).records == ("mx1.example.org",)
    assert (await resolver.cname("mx1.example.org")).existence is Existence.NO_DATA


@pytest.mark.parametrize("secure", [(), ("www.example.org",), ("mx1.example.org",)])
async def test_one_insecure_name_on_the_way_makes_the_answer_insecure(
    resolver: ZoneResolver, secure: tuple[str, ...]
) -> None:
    # RFC 7672 §2.1.3
    resolver.zone.secure.update(secure)
    assert not (await resolver.addresses("www.example.org", Family.IPV4)).authenticated
    resolver.zone.secure.update({"www.example.org", "mx1.example.org"})
    assert (await resolver.addresses("www.example.org", Family.IPV4)).authenticated
    assert (await resolver.cname("www.example.org")).authenticated
