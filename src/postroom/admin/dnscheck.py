"""Looks whether the DNS leads mail here: MX and addresses of the host, as other servers see them (RFC 5321 §5.1)."""

from collections.abc import AsyncIterator, Sequence

from postroom.admin.finding import Finding, Level
from postroom.dns.resolver import Existence, Family, Resolver
from postroom.mail.trouble import ResolverUnavailable

AREA = "dns"
# RFC 2606 §2, §3, RFC 6761 §6, RFC 6762: names that no resolver will ever know
_RESERVED = ("example", "test", "invalid", "localhost", "local", "example.com", "example.net", "example.org")


def is_reserved(name: str) -> bool:
    """The name is kept for examples and tests, so that there is nothing to look up."""
    return any(name == reserved or name.endswith("." + reserved) for reserved in _RESERVED)


async def check_dns(resolver: Resolver, hostname: str, domains: Sequence[str]) -> AsyncIterator[Finding]:
    """What the DNS says of this host and of each domain; ends early, and says so, where no resolver answers."""
    if is_reserved(hostname):
        what = f"{hostname} is a name for examples and tests: nothing to look up"
        yield Finding(Level.SKIPPED, AREA, what)
        return
    try:
        async for finding in _check_host(resolver, hostname):
            yield finding
        for domain in domains:
            if is_reserved(domain):
                yield Finding(Level.SKIPPED, AREA, f"{domain} is a name for examples and tests")
            else:
                yield await _check_domain(resolver, hostname, domain)
    except ResolverUnavailable as error:
        yield Finding(Level.SKIPPED, AREA, f"not checked: no resolver answers ({error})", "see [dns] in the settings")


async def _check_host(resolver: Resolver, hostname: str) -> AsyncIterator[Finding]:
    if hostname.startswith("["):
        yield Finding(
            Level.WARNING, AREA, f"the hostname is an address literal {hostname}", "use a name with A records"
        )
        return
    addresses = [address for family in Family for address in (await resolver.addresses(hostname, family)).records]
    if not addresses:
        yield Finding(Level.ERROR, AREA, f"{hostname} has no address", f"publish A (and AAAA) records for {hostname}")
        return
    yield Finding(Level.OK, AREA, f"{hostname} is {', '.join(addresses)}")
    for address in addresses:
        names = (await resolver.ptr(address)).records
        if hostname not in names:
            what = f"{address} points back to {', '.join(names) or 'no name'}, not to {hostname}"
            remedy = f"ask whoever owns the address for a PTR record to {hostname}: many servers refuse mail without"
            yield Finding(Level.WARNING, AREA, what, remedy)


async def _check_domain(resolver: Resolver, hostname: str, domain: str) -> Finding:
    answer = await resolver.mx(domain)
    hosts = [record.host for record in sorted(answer.records, key=lambda record: record.preference)]
    remedy = f"publish: {domain}. MX 10 {hostname}."
    if answer.existence is Existence.NO_SUCH_DOMAIN:
        return Finding(Level.ERROR, AREA, f"{domain} does not exist in the DNS", f"register it, then {remedy}")
    if not hosts:
        # RFC 5321 §5.1: without MX, the domain's own addresses take its mail
        if domain == hostname:
            return Finding(Level.OK, AREA, f"{domain} has no MX; its address takes its mail")
        return Finding(Level.WARNING, AREA, f"{domain} has no MX record", remedy)
    if hosts == [""]:  # RFC 7505
        return Finding(Level.ERROR, AREA, f"{domain} has a null MX: it says that it takes no mail", remedy)
    if hostname not in hosts:
        return Finding(Level.WARNING, AREA, f"mail for {domain} goes to {', '.join(hosts)}, not to {hostname}", remedy)
    return Finding(Level.OK, AREA, f"mail for {domain} comes here ({', '.join(hosts)})")
