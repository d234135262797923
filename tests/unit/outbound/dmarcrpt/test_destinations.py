"""Who gets reports: as the record asks, where those agree who are not of the domain (RFC 9990 §4)."""

import pytest

from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.trouble import ResolverUnavailable
from postroom.outbound.dmarcrpt.destinations import MAX_DESTINATIONS, Destinations, find_destinations, read_mailto

DOMAIN = "example.org"


def zone(record: str, **more: str) -> Zone:
    """The record of example.org, and others by names with two underscores for a dot."""
    made = Zone.of({f"_dmarc.{DOMAIN}": {"TXT": [record]}} if record else {})
    for name, text in more.items():
        made.add(name.replace("__", "."), "TXT", text)
    return made


async def find(made: Zone, domain: str = DOMAIN) -> Destinations:
    return await find_destinations(ZoneResolver(made), domain)


def shown(found: Destinations) -> list[str]:
    return [str(address) for address in found.addresses]


@pytest.mark.parametrize(
    "record",
    [
        "",
        "v=spf1 -all",
        "v=DMARC1; p=none",
        "v=DMARC1; p=none; rua=",
        "v=DMARC1; p=none; rua=nonsense",
        "rua=mailto:a@example.org; v=DMARC1; p=none",
    ],
)
async def test_nobody_asks(record: str) -> None:
    assert await find(zone(record)) == Destinations(wanted=False)


@pytest.mark.parametrize(
    ("rua", "addresses"),
    [
        ("mailto:a@example.org", ["a@example.org"]),
        ("MAILTO:a@Example.ORG", ["a@example.org"]),
        ("mailto:a@example.org,mailto:b@example.org", ["a@example.org", "b@example.org"]),
        ("mailto:a@example.org , mailto:a@example.org", ["a@example.org"]),
        ("mailto:a@sub.example.org", ["a@sub.example.org"]),
        ("mailto:a@example.org!10m", ["a@example.org"]),
        ("mailto:dmarc%2Breports@example.org", ["dmarc+reports@example.org"]),
        ("mailto:a@example.org?subject=x", ["a@example.org"]),
    ],
)
async def test_addresses_of_the_domain_itself(rua: str, addresses: list[str]) -> None:
    found = await find(zone(f"v=DMARC1; p=none; rua={rua}"))
    assert shown(found) == addresses
    assert found.faults == ()


async def test_without_a_valid_policy_reports_are_wanted_all_the_same() -> None:
    # RFC 9989 §4.10.1
    assert shown(await find(zone("v=DMARC1; rua=mailto:a@example.org"))) == ["a@example.org"]


@pytest.mark.parametrize(
    ("published", "addresses"),
    [
        ({}, []),
        ({"example__org___report___dmarc__red__example": "v=DMARC1"}, ["r@red.example"]),
        ({"example__org___report___dmarc__red__example": "v=DMARC1;"}, ["r@red.example"]),
        ({"example__org___report___dmarc__red__example": "v=DMARC1; p=reject; x=y"}, ["r@red.example"]),
        ({"example__org___report___dmarc__red__example": "v=spf1 -all"}, []),
        ({"example__org___report___dmarc__red__example": "p=none; v=DMARC1"}, []),
        ({"example__org___report___dmarc__red__example": "v=DMARC2"}, []),
        ({"*___report___dmarc__red__example": "v=DMARC1"}, ["r@red.example"]),
        ({"other__org___report___dmarc__red__example": "v=DMARC1"}, []),
        # step 9: it may name another address of the same host, and only that
        ({"example__org___report___dmarc__red__example": "v=DMARC1; rua=mailto:new@red.example"}, ["new@red.example"]),
        (
            {"example__org___report___dmarc__red__example": "v=DMARC1; rua=mailto:n@red.example,mailto:m@red.example"},
            ["n@red.example", "m@red.example"],
        ),
        ({"example__org___report___dmarc__red__example": "v=DMARC1; rua=mailto:v@victim.example"}, []),
        ({"example__org___report___dmarc__red__example": "v=DMARC1; rua=mailto:v@sub.red.example"}, []),
        (
            {"example__org___report___dmarc__red__example": "v=DMARC1; rua=mailto:n@red.example,mailto:v@v.example"},
            [],
        ),
        ({"example__org___report___dmarc__red__example": "v=DMARC1; rua=https://red.example/"}, []),
    ],
)
async def test_addresses_elsewhere_must_agree(published: dict[str, str], addresses: list[str]) -> None:
    found = await find(zone("v=DMARC1; p=none; rua=mailto:r@red.example", **published))
    assert shown(found) == addresses
    assert found.wanted
    assert not found.unsure
    expected = () if addresses else ("rua: red.example does not accept reports on example.org",)
    assert found.faults == expected


async def test_of_several_records_one_that_agrees_is_enough() -> None:
    # steps 6 and 8
    made = zone("v=DMARC1; p=none; rua=mailto:r@red.example")
    for text in ("something else", "v=DMARC1", "v=DMARC1; rua=mailto:new@red.example"):
        made.add("example.org._report._dmarc.red.example", "TXT", text)
    assert shown(await find(made)) == ["new@red.example"]


async def test_the_organization_decides_what_is_elsewhere() -> None:
    # RFC 9989 §4.10.2: below a public suffix everyone is somebody else
    made = zone(
        "v=DMARC1; p=none; rua=mailto:r@b.suffix.example",
        _dmarc__suffix__example="v=DMARC1; p=none; psd=y",
        _dmarc__a__suffix__example="v=DMARC1; p=none; rua=mailto:r@b.suffix.example,mailto:r@x.a.suffix.example",
    )
    assert shown(await find(made, "a.suffix.example")) == ["r@x.a.suffix.example"]


async def test_a_subdomain_with_a_record_of_its_own_reports_to_its_organization() -> None:
    made = zone("v=DMARC1; p=none", _dmarc__sub__example__org="v=DMARC1; p=none; rua=mailto:a@example.org")
    assert shown(await find(made, "sub.example.org")) == ["a@example.org"]


async def test_a_name_that_is_too_long_cannot_be_asked() -> None:
    # step 4
    domain = ".".join(["d" * 60] * 3 + ["example"])
    host = ".".join(["r" * 60, "red.example"])
    made = Zone.of({f"_dmarc.{domain}": {"TXT": [f"v=DMARC1; p=none; rua=mailto:r@{host}"]}})
    made.add("*.red.example", "TXT", "v=DMARC1")
    found = await find(made, domain)
    assert found.addresses == ()
    assert not any("_report" in name for _, name in made.asked)


async def test_what_we_cannot_use_is_told() -> None:
    record = (
        "v=DMARC1; p=none; rua=https://r.example.org/x,mailto:a@[192.0.2.1],mailto:postmaster,mailto:ok@example.org"
    )
    found = await find(zone(record))
    assert shown(found) == ["ok@example.org"]
    assert found.faults[0] == "rua: not used: https://r.example.org/x"


async def test_many_uris_are_cut() -> None:
    uris = ",".join(f"mailto:a{number}@example.org" for number in range(9))
    found = await find(zone(f"v=DMARC1; p=none; rua={uris}"))
    assert len(found.addresses) == MAX_DESTINATIONS
    assert found.faults == (f"rua: only the first {MAX_DESTINATIONS} URIs are used",)


async def test_a_dns_without_an_answer() -> None:
    made = zone("v=DMARC1; p=none; rua=mailto:r@red.example,mailto:a@example.org")
    made.servfail.add("example.org._report._dmarc.red.example")
    found = await find(made)
    assert (shown(found), found.unsure, found.faults) == (["a@example.org"], True, ())
    made.servfail.add("_dmarc.example.org")
    with pytest.raises(ResolverUnavailable):
        await find(made)


@pytest.mark.parametrize(
    "uri",
    ["", "mailto:", "mailto:a", "mailto:a@", "https://a@example.org", "mailto:a%0d%0ab@example.org", "mailto:%ff@a.b",
     "mailto:\u00e4@example.org", "mailto:a%C3%A4@example.org", "mailto:a@[192.0.2.1]", "mailto:a@b,c@d"],
)  # fmt: skip
def test_what_is_no_address_for_reports(uri: str) -> None:
    assert read_mailto(uri) is None
