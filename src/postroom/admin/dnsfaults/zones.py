"""The domain itself: it exists, is no alias, has name servers, and its records live sensibly long."""

from collections.abc import AsyncIterator
from typing import Any

from postroom.admin.dnsfaults.model import DnsFinding, Fault, Scene
from postroom.dns.resolver import Answer, Existence

LONG = 7 * 86400
"""Seconds of a TTL above which a change takes longer than anyone would wait."""


async def check_zone(scene: Scene) -> AsyncIterator[DnsFinding]:
    """What is true of all of its records. Raises ResolverUnavailable."""
    domain = scene.domain
    mx = await scene.resolver.mx(domain)
    alias = (await scene.resolver.cname(domain)).records
    if mx.existence is Existence.NO_SUCH_DOMAIN and not alias:
        yield scene.error(
            Fault.DOMAIN_MISSING,
            domain,
            f"{domain} does not exist in the DNS",
            consequence="no mail comes, and mail from it is refused",
            remedy=f"register it, then publish what `postroom dns {domain}` prints",
        )
        return
    if alias:
        yield scene.error(
            Fault.DOMAIN_ALIAS,
            domain,
            f"{domain} is an alias (CNAME) of {alias[0]}",
            consequence="no MX, SPF or other record can stand beside a CNAME (RFC 1034 §3.6.2)",
            remedy=f"replace the CNAME by A and AAAA records, then publish what `postroom dns {domain}` prints",
        )
    servers = (await scene.resolver.ns(domain)).records
    if len(servers) == 1:
        yield scene.warning(
            Fault.NS_SINGLE,
            domain,
            f"{domain} has one name server, {servers[0]}",
            consequence="while it is down nobody finds the domain, and mail waits (RFC 2182 §5)",
            remedy="add a second name server",
        )
    for finding in check_ttl(scene, domain, "MX", mx):
        yield finding


def check_ttl(scene: Scene, name: str, kind: str, answer: Answer[Any]) -> list[DnsFinding]:
    """Whether an answer may be kept for a sensible time (RFC 1035 §3.2.1)."""
    if answer.existence is not Existence.FOUND:
        return []
    if answer.ttl > LONG:
        return [
            scene.warning(
                Fault.TTL_LONG,
                name,
                f"the {kind} record of {name} is kept by others for {answer.ttl / 86400:.0f} days",
                consequence="what you change is not seen for so long",
                remedy="set its TTL to an hour or a day",
            )
        ]
    if answer.ttl == 0:
        return [
            scene.note(
                Fault.TTL_ZERO,
                name,
                f"the {kind} record of {name} has a TTL of 0",
                consequence="everyone asks for each message anew, and mail waits whenever the name server is slow",
                remedy="set its TTL to an hour",
            )
        ]
    return []
