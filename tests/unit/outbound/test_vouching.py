"""What the router says of a site's names: whether DNSSEC vouches for them, and the MTA-STS policy of the domain."""

import pytest
from tests.fakes.hand_clock import HandClock

from postroom.config.road import OutboundSettings
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.delivery import Site, StsMode, StsPolicy
from postroom.outbound.route import MailRouter

POLICY = StsPolicy("example.org", StsMode.ENFORCE, ("mx.example.org",), "1", 1e12)


async def sts_of(domain: str) -> StsPolicy | None:
    return POLICY if domain == "example.org" else None


async def is_local(domain: str) -> bool:
    return False


async def site_of(domain: str, *, sts: bool = False, secure: bool = True, dane: bool = True) -> Site:
    zone = Zone.of(
        {
            "example.org": {"MX": ["10 mx.example.org"]},
            "other.example": {"MX": ["10 mx.example.org"]},
            "bare.example": {"A": ["192.0.2.1"]},
            "mx.example.org": {"A": ["192.0.2.1"]},
        }
    )
    if secure:
        zone.secure.update(zone.records)
    router = MailRouter(
        hostname="us.example.net",
        settings=OutboundSettings(dane=dane),
        routes=(),
        smarthosts=(),
        resolver=ZoneResolver(zone),
        is_local=is_local,
        clock=HandClock(),
        sts_of=sts_of if sts else None,
    )
    site = await router.site_of(domain)
    assert isinstance(site, Site)
    return site


@pytest.mark.parametrize("domain", ["example.org", "bare.example"])
@pytest.mark.parametrize(("secure", "dane"), [(True, True), (False, True), (True, False)])
async def test_dnssec_vouches_where_it_may(domain: str, secure: bool, dane: bool) -> None:
    # RFC 7672 §2.2.1; a denial of MX records counts too
    site = await site_of(domain, secure=secure, dane=dane)
    assert site.dnssec is (secure and dane)


async def test_a_policy_goes_with_its_domain_alone() -> None:
    site = await site_of("example.org", sts=True)
    assert site.sts is POLICY
    other = await site_of("other.example", sts=True)
    assert other.sts is None
    assert site.key == other.key  # limits belong to the hosts
    assert site.line != other.line  # sessions and mail do not mix
    assert (await site_of("example.org")).sts is None


async def test_an_address_literal_has_neither() -> None:
    site = await site_of("[192.0.2.1]", sts=True)
    assert (site.dnssec, site.sts) == (False, None)
