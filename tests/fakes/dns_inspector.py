"""What looks at the DNS, over a zone in memory; policies are served from a dict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from postroom.admin.dnscheck import DnsInspector
from postroom.admin.dnsfaults.model import DnsFinding, Fault, Fetched
from postroom.admin.dnsrecords.model import DkimRecords
from postroom.clock import SystemClock
from postroom.config.model import Settings
from postroom.dns.zone import ZoneResolver
from postroom.mailauth.spf import SpfChecker


@dataclass
class MemoryPolicies:
    """MTA-STS policies by domain."""

    served: dict[str, Fetched] = field(default_factory=dict)

    async def fetch(self, domain: str) -> Fetched:
        return self.served.get(domain, Fetched(fault=Fault.STS_UNREACHABLE, why="nobody answers"))


class MemoryInspector:
    """The real inspector with these."""

    def __init__(
        self,
        settings: Settings,
        resolver: ZoneResolver,
        dkim: DkimRecords,
        policies: MemoryPolicies,
        local: Callable[[], Sequence[str]],
    ) -> None:
        self.closed = False
        self._inspector = DnsInspector(
            settings,
            resolver,
            spf=SpfChecker(resolver, hostname=settings.hostname, clock=SystemClock()),
            policies=policies,
            dkim=dkim,
            local=local,
        )

    async def look(self, domains: Sequence[str]) -> list[DnsFinding]:
        return await self._inspector.look(domains)

    async def close(self) -> None:
        self.closed = True
