"""Where mail for the domain goes: MX records and the hosts that they name (RFC 5321 §5.1)."""

from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address

from postroom.admin.dnsfaults.hosts import addresses_of
from postroom.admin.dnsfaults.model import DnsFinding, Fault, Scene, publish
from postroom.admin.dnsrecords.model import Purpose
from postroom.dns.resolver import MxRecord


async def check_mx(scene: Scene) -> AsyncIterator[DnsFinding]:
    """Whether mail comes here. Raises ResolverUnavailable."""
    domain, host = scene.domain, scene.facts.hostname
    records = sorted((await scene.resolver.mx(domain)).records, key=lambda record: record.preference)
    remedy = publish(scene.wanted.of(Purpose.MX))
    if not records:
        async for finding in _without(scene, remedy):
            yield finding
        return
    hosts = [record.host for record in records]
    if hosts == [""]:
        yield scene.error(
            Fault.MX_NULL,
            domain,
            f"{domain} has a null MX: it says that it takes no mail",
            consequence="all mail to it is given up at once (RFC 7505 §3)",
            remedy=remedy,
        )
        return
    if host not in hosts:
        yield scene.warning(
            Fault.MX_ELSEWHERE,
            domain,
            f"mail for {domain} goes to {', '.join(hosts)}, not to {host}",
            consequence="it does not come here",
            remedy=f"{remedy}, and remove the others once mail may move",
        )
    elif hosts[0] != host and records[0].preference < next(each.preference for each in records if each.host == host):
        yield scene.note(
            Fault.MX_NOT_FIRST,
            domain,
            f"mail for {domain} goes to {hosts[0]} first, to {host} only when that does not answer",
            remedy="give this host the lowest preference, unless another one filters for it",
        )
    else:
        yield scene.good(domain, f"mail for {domain} comes here ({', '.join(hosts)})")
    async for finding in _targets(scene, records):
        yield finding


async def _without(scene: Scene, remedy: str) -> AsyncIterator[DnsFinding]:
    """RFC 5321 §5.1: without MX, the domain's own addresses take its mail."""
    domain = scene.domain
    if domain == scene.facts.hostname and await addresses_of(scene.resolver, domain):
        yield scene.good(domain, f"{domain} has no MX; its address takes its mail")
        return
    yield scene.warning(
        Fault.MX_MISSING,
        domain,
        f"{domain} has no MX record",
        consequence="its mail goes to the addresses of the domain itself, if it has any, and else comes back",
        remedy=remedy,
    )


async def _targets(scene: Scene, records: Sequence[MxRecord]) -> AsyncIterator[DnsFinding]:
    for target in dict.fromkeys([record.host for record in records if record.host]):
        remedy = f"let the MX lead to the name of a host, such as {scene.facts.hostname}"
        if _is_address(target):
            yield scene.error(
                Fault.MX_LITERAL,
                scene.domain,
                f"the MX of {scene.domain} is an address, {target}",
                consequence="an MX must be the name of a host: servers cannot use it",
                remedy=remedy,
            )
            continue
        alias = (await scene.resolver.cname(target)).records
        if alias:
            yield scene.error(
                Fault.MX_ALIAS,
                target,
                f"the MX of {scene.domain} leads to {target}, an alias (CNAME) of {alias[0]}",
                consequence="an MX must not lead to an alias (RFC 5321 §5.1): some servers do not deliver to it",
                remedy=f"let the MX lead to {alias[0]}, or give {target} addresses of its own",
            )
        elif not await addresses_of(scene.resolver, target):
            yield scene.error(
                Fault.MX_NO_ADDRESS,
                target,
                f"the MX of {scene.domain} leads to {target}, which has no address",
                consequence="mail waits for it in vain, or comes back",
                remedy=f"publish A or AAAA records for {target}, or remove that MX",
            )


def _is_address(text: str) -> bool:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True
