"""What is known of TLS on the road, put together: policies, levels, tallies, their store, and the reports."""

from postroom.clock import Clock
from postroom.config.road import OutboundSettings, TlsrptSettings
from postroom.dns.resolver import Resolver
from postroom.mail.delivery import StsPolicy
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.daily.door import ReportPost
from postroom.outbound.https import StrangersHttps
from postroom.outbound.mtasts import MtaSts
from postroom.outbound.tlslevels import TlsLevels
from postroom.outbound.tlsmet import TlsMet, applied_sts
from postroom.outbound.tlsrpt.sending import ReportRooms, TlsReporter
from postroom.outbound.tlsrpt.tally import TlsTally
from postroom.outbound.tlsstore import TlsRecord, TlsStore
from postroom.report.events import StoreTrouble
from postroom.report.reporter import Reporter

FORGET_EVERY = 3600.0  # seconds

MAX_UNSAVED = 50_000
"""What waits to be written of each kind while the store fails; the oldest goes first."""


class TlsRoom:
    """One for each node: ``start`` it before the first mail leaves, ``tick`` it every few seconds, ``close`` it at the
    end. ``sts_of`` is for the router, ``note`` for the carrier.

    OSError where ``outbound.sts_ca_file`` cannot be used, ValueError where ``tlsrpt.contact`` is no address.
    """

    def __init__(
        self,
        settings: OutboundSettings,
        tlsrpt: TlsrptSettings,
        *,
        hostname: str,
        resolver: Resolver,
        store: TlsStore,
        clock: Clock,
        reporter: Reporter,
        https: StrangersHttps | None = None,
    ) -> None:
        self._settings = settings
        self._tlsrpt = tlsrpt
        self._hostname = hostname
        self._resolver = resolver
        self._store = store
        self._clock = clock
        self._tell = reporter.tell
        self._https = https or StrangersHttps(
            resolver,
            ca_file=settings.sts_ca_file,
            allow_loopback=settings.allow_loopback,
            ipv6=settings.ipv6,
        )
        self._tally = TlsTally(clock, enabled=tlsrpt.enabled)
        self._levels = TlsLevels(clock, reporter.tell)
        self._sts = MtaSts(resolver, self._https, clock, reporter.tell, self._note_sts_failure)
        self._unsaved = TlsRecord()
        self._forgotten_at = clock.monotonic()

    async def start(self) -> None:
        """Take up what an earlier process knew. Raises StoreUnavailable."""
        record = await self._store.load(self._clock.now())
        self._sts.load(record.policies)
        self._levels.load(record.levels)
        self._tally.load(record.tallies)

    async def sts_of(self, domain: str) -> StsPolicy | None:
        """The MTA-STS policy that mail for a domain goes by now, or None."""
        return await self._sts.of(domain) if self._settings.mta_sts else None

    def note(self, met: TlsMet) -> None:
        """What came of TLS with an MX host."""
        self._levels.note(met)
        self._tally.note(met)

    def reports(self, post: ReportPost) -> TlsReporter:
        """Who sends the daily reports; its ``send_due`` is to be called every minute where ``tlsrpt.enabled``."""
        return TlsReporter(
            self._tlsrpt,
            self._hostname,
            ReportRooms(
                tally=self._tally,
                store=self._store,
                resolver=self._resolver,
                https=self._https,
                post=post,
                clock=self._clock,
                tell=self._tell,
            ),
        )

    async def renew(self) -> None:
        """Fetch anew the policies that are a day old. To be called every few minutes."""
        if self._settings.mta_sts:
            await self._sts.renew()

    async def tick(self) -> None:
        """Write what has changed. Raises StoreUnavailable; it is written the next time then."""
        changed = TlsRecord(self._sts.changed(), self._levels.changed(), self._tally.changed())
        self._unsaved = _joined(self._unsaved, changed)
        if len(self._unsaved):
            await self._store.save(self._unsaved)
            self._unsaved = TlsRecord()
        now = self._clock.monotonic()
        if now - self._forgotten_at >= FORGET_EVERY:
            self._forgotten_at = now
            await self._store.forget(self._clock.now())

    async def close(self) -> None:
        """Let go of what is under way, and write what has not been written."""
        await self._sts.close()
        await self._https.close()
        try:
            await self.tick()
        except StoreUnavailable as error:
            self._tell(StoreTrouble(f"TLS levels and tallies: {error}"))

    def _note_sts_failure(self, domain: str, policy: StsPolicy | None, result: str, why: str) -> None:
        self._tally.note_sts_failure(domain, applied_sts(policy), result, why)


def _joined(before: TlsRecord, after: TlsRecord) -> TlsRecord:
    """What waits to be written with what came since, the newer instead of the older."""
    by_domain = {kept.policy.domain: kept for kept in (*before.policies, *after.policies)}
    by_host = {level.host: level for level in (*before.levels, *after.levels)}
    by_key = {(one.day, one.domain, one.policy, one.failure): one for one in (*before.tallies, *after.tallies)}
    return TlsRecord(
        tuple(by_domain.values())[-MAX_UNSAVED:],
        tuple(by_host.values())[-MAX_UNSAVED:],
        tuple(by_key.values())[-MAX_UNSAVED:],
    )
