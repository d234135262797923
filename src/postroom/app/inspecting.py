"""Builds what compares the DNS with what it should say: resolver, SPF, and who fetches MTA-STS policies."""

from collections.abc import Sequence

from postroom.admin.dnscheck import DnsInspector
from postroom.admin.dnsfaults.model import DnsFinding, Fault, Fetched
from postroom.admin.dnsrecords.model import DkimRecords
from postroom.admin.stspolicy import POLICY_HOST, POLICY_PATH
from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.dns.cache import CachingResolver
from postroom.dns.dnspython import DnspythonResolver
from postroom.mailauth.spf import SpfChecker
from postroom.outbound.https import HttpsFailed, StrangersHttps
from postroom.outbound.mtasts import FETCH_TIMEOUT, Https
from postroom.outbound.stspolicy import MAX_POLICY, read_policy


class PolicyProbe:
    """Fetches a policy as a sender would (RFC 8461 §3.3), and says of which kind a trouble is."""

    def __init__(self, https: Https, clock: Clock) -> None:
        self._https = https
        self._clock = clock

    async def fetch(self, domain: str) -> Fetched:
        """The policy that a domain serves. Raises nothing."""
        host = f"{POLICY_HOST}.{domain}"
        try:
            answer = await self._https.get(host, POLICY_PATH, limit=MAX_POLICY, seconds=FETCH_TIMEOUT)
        except HttpsFailed as error:
            return Fetched(fault=Fault.STS_UNTRUSTED if error.untrusted else Fault.STS_UNREACHABLE, why=str(error))
        if answer.status != 200:
            return Fetched(fault=Fault.STS_STATUS, why=f"{host} answers {answer.status}")
        if answer.media_type != "text/plain":
            return Fetched(fault=Fault.STS_TYPE, why=f"its media type is {answer.media_type or 'missing'}")
        try:
            return Fetched(read_policy(domain, "", answer.body, self._clock.now()))
        except ValueError as error:
            return Fetched(fault=Fault.STS_POLICY_INVALID, why=str(error))


class Inspection:
    """An inspector with all that it asks; ``look`` asks everything anew. ``close`` in the loop that used it."""

    def __init__(self, settings: Settings, dkim: DkimRecords, clock: Clock) -> None:
        # what one look has asked is not asked twice in it
        self._resolver = CachingResolver(DnspythonResolver(settings.dns), clock, settings.dns.cache)
        self._https = StrangersHttps(self._resolver)
        self._inspector = DnsInspector(
            settings,
            self._resolver,
            spf=SpfChecker(self._resolver, hostname=settings.hostname, clock=clock),
            policies=PolicyProbe(self._https, clock),
            dkim=dkim,
        )

    async def look(self, domains: Sequence[str]) -> list[DnsFinding]:
        """See ``DnsInspector.look``."""
        self._resolver.clear()
        return await self._inspector.look(domains)

    async def close(self) -> None:
        """Let go of connections."""
        await self._https.close()
