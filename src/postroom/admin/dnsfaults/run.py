"""Looks at a domain, and at the host that it shares with others; each part by itself, so that one failure is one."""

from collections.abc import AsyncIterator, Callable, Sequence

from postroom.admin.dnsfaults.dkim import check_dkim
from postroom.admin.dnsfaults.dmarc import check_dmarc
from postroom.admin.dnsfaults.hosts import check_authority, check_helo, check_host, check_reverse
from postroom.admin.dnsfaults.model import DnsFinding, Fault, Scene, shown
from postroom.admin.dnsfaults.routing import check_mx
from postroom.admin.dnsfaults.services import check_services
from postroom.admin.dnsfaults.spf import check_helo_spf, check_spf
from postroom.admin.dnsfaults.sts import check_sts, check_tlsrpt
from postroom.admin.dnsfaults.tlsa import check_tlsa
from postroom.admin.dnsfaults.zones import check_zone
from postroom.admin.finding import Level
from postroom.mail.trouble import ResolverUnavailable

Check = Callable[[Scene], AsyncIterator[DnsFinding]]

HOST_CHECKS: Sequence[tuple[str, Check]] = (
    ("the host", check_host),
    ("the names in EHLO", check_helo),
    ("the way back", check_reverse),
    ("SPF of the names in EHLO", check_helo_spf),
    ("TLSA", check_tlsa),
    ("CAA", check_authority),
)
DOMAIN_CHECKS: Sequence[tuple[str, Check]] = (
    ("MX", check_mx),
    ("SPF", check_spf),
    ("DKIM", check_dkim),
    ("DMARC", check_dmarc),
    ("MTA-STS", check_sts),
    ("TLS reports", check_tlsrpt),
    ("services", check_services),
)


async def look_at_host(scene: Scene) -> list[DnsFinding]:
    """What is wrong with the host, whatever the domain. ``scene.domain`` is ``""``."""
    if scene.facts.hostname.startswith("["):
        return [finding async for finding in check_host(scene)]
    return await _look(scene, HOST_CHECKS, scene.facts.hostname)


async def look_at_domain(scene: Scene) -> list[DnsFinding]:
    """What is wrong with one domain. Where it does not exist, nothing more is asked."""
    first = await _look(scene, (("the zone", check_zone),), scene.domain)
    if any(each.fault in {Fault.DOMAIN_MISSING, Fault.UNAVAILABLE, Fault.DNSSEC_BOGUS} for each in first):
        return first
    return first + await _look(scene, DOMAIN_CHECKS, scene.domain)


async def _look(scene: Scene, checks: Sequence[tuple[str, Check]], apex: str) -> list[DnsFinding]:
    found: list[DnsFinding] = []
    for what, check in checks:
        try:
            found += [finding async for finding in check(scene)]
        except ResolverUnavailable as error:
            if await _answers(scene, apex):
                found.append(_unavailable(scene, f"{what} of {apex}", apex, error))
            else:
                found.append(await _explain(scene, what, apex, error))
                break  # nothing else of it can be found either
    return list(dict.fromkeys(found))


async def _answers(scene: Scene, apex: str) -> bool:
    """Whether anything of it can be looked up."""
    try:
        await scene.resolver.mx(apex)
    except ResolverUnavailable:
        return False
    return True


async def _explain(scene: Scene, what: str, apex: str, error: ResolverUnavailable) -> DnsFinding:
    """Nobody answers: because of DNSSEC if there is an answer without it."""
    if not await scene.resolver.answers_unchecked(apex):
        return _unavailable(scene, apex, apex, error)
    return scene.error(
        Fault.DNSSEC_BOGUS,
        apex,
        f"{what} of {apex} cannot be looked up, while there are answers without DNSSEC: {shown(str(error))}",
        consequence="whoever validates, most large providers, finds neither MX nor SPF nor keys",
        remedy="renew the signatures of the zone, and see that the DS record fits its key; or remove the DS record",
    )


def _unavailable(scene: Scene, what: str, apex: str, error: ResolverUnavailable) -> DnsFinding:
    return DnsFinding(
        Level.SKIPPED,
        Fault.UNAVAILABLE,
        scene.domain,
        apex,
        f"{what} cannot be looked up now: {shown(str(error))}",
        "what is there is not known",
        "see that [dns] servers answer, and the name servers of the domain",
    )
