"""Compares the DNS with what it should say, for the host and for domains: what is wrong, what of it, what to do."""

from collections.abc import Sequence
from typing import Protocol

from postroom.admin.dnsfaults.model import DnsFinding, PolicyFetcher, Scene, SpfAsker
from postroom.admin.dnsfaults.run import look_at_domain, look_at_host
from postroom.admin.dnsrecords.facts import Local, gather
from postroom.admin.dnsrecords.making import records_for, records_of_host
from postroom.admin.dnsrecords.model import DkimRecords, Facts
from postroom.admin.finding import Finding, Level
from postroom.config.model import Settings
from postroom.dns.resolver import InspectingResolver

AREA = "dns"
# RFC 2606 §2, §3, RFC 6761 §6, RFC 6762: names that no resolver will ever know
_RESERVED = ("example", "test", "invalid", "localhost", "local", "example.com", "example.net", "example.org")


def is_reserved(name: str) -> bool:
    """The name is kept for examples and tests, so that there is nothing to look up."""
    return any(name == reserved or name.endswith("." + reserved) for reserved in _RESERVED)


class Inspector(Protocol):
    """Whoever compares. One for one event loop."""

    async def look(self, domains: Sequence[str]) -> list[DnsFinding]:
        """The host first, then each domain. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class DnsInspector:
    """Looks at the host and at domains. ``look`` raises StoreUnavailable where keys cannot be read."""

    def __init__(
        self,
        settings: Settings,
        resolver: InspectingResolver,
        *,
        spf: SpfAsker,
        policies: PolicyFetcher,
        dkim: DkimRecords,
        local: Local | None = None,
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._spf = spf
        self._policies = policies
        self._dkim = dkim
        self._local = local

    async def look(self, domains: Sequence[str]) -> list[DnsFinding]:
        """The host first, then each domain. Names for examples and tests are left alone, unless the settings name
        the resolvers: these may know them.
        """
        hostname = self._settings.hostname
        if self._is_left(hostname):
            what = f"{hostname} is a name for examples and tests: nothing to look up"
            return [DnsFinding(Level.SKIPPED, None, "", hostname, what)]
        facts = gather(self._settings, self._local)
        scene = Scene(
            domain="",
            facts=facts,
            wanted=records_of_host(facts),
            resolver=self._resolver,
            spf=self._spf,
            policies=self._policies,
        )
        found = await look_at_host(scene)
        for domain in domains:
            found += await self._domain(domain, facts)
        return found

    async def _domain(self, domain: str, facts: Facts) -> list[DnsFinding]:
        if self._is_left(domain):
            return [DnsFinding(Level.SKIPPED, None, domain, domain, f"{domain} is a name for examples and tests")]
        scene = Scene(
            domain=domain,
            facts=facts,
            wanted=records_for(domain, facts, await self._dkim.to_publish(domain)),
            resolver=self._resolver,
            spf=self._spf,
            policies=self._policies,
            return_domain=self._settings.returns.domain if self._settings.returns.verp else "",
        )
        return await look_at_domain(scene)

    def _is_left(self, name: str) -> bool:
        return is_reserved(name) and not self._settings.dns.servers


async def look_closely(inspector: Inspector, domains: Sequence[str]) -> list[DnsFinding]:
    """One look, and the inspector is closed. Raises StoreUnavailable."""
    try:
        return await inspector.look(domains)
    finally:
        await inspector.close()


def plain(finding: DnsFinding) -> Finding:
    """As one among the findings of ``postroom check``."""
    what = f"{finding.what}: {finding.consequence}" if finding.consequence else finding.what
    return Finding(finding.level, AREA, what, finding.remedy)
