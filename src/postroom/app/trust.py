"""Builds the rooms of trust: what checks incoming mail, what signs ours, and the reports on both that come and go."""

from collections.abc import Collection

from postroom.admin.dkim import StoredRecords
from postroom.admin.dnswatch.watch import OF_KEYS, DnsWatch
from postroom.admin.reportsroom import ReportsRoom
from postroom.app.checking import make_checks
from postroom.app.chores import Chores
from postroom.app.inspecting import Inspection
from postroom.app.signing import SigningRoom
from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.directory.directory import Directory
from postroom.dns.resolver import Resolver
from postroom.dns.update import ZoneUpdater
from postroom.mailauth.keys.sealing import Sealer
from postroom.outbound.daily.door import ReportPost
from postroom.outbound.dmarcrpt.room import DmarcRoom
from postroom.queue.dsn import Resolve
from postroom.queue.reporting import ReportAddresses
from postroom.queue.signing import Signer
from postroom.report.metrics import Metrics
from postroom.report.reporter import Reporter
from postroom.storage.sqlite.store import SqliteStore

REFRESH_SECONDS = 0.5
"""How often the ring asks whether keys were changed."""

KEY_SECONDS = 60.0
"""How often the keys are led on through their lives."""

READ_SECONDS = 1.0
"""How often reports of others are read."""

TALLY_SECONDS = 5.0
"""How often what was counted for reports is written behind."""

SEND_SECONDS = 60.0

WATCH_SECONDS = 60.0
"""How often somebody asks which domains are due to be looked at in the DNS."""


class TrustRooms:
    """``start`` before the first mail comes in, then ``begin`` the chores; ``close`` at the end."""

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        *,
        directory: Directory,
        resolver: Resolver,
        sealer: Sealer,
        clock: Clock,
        reporter: Reporter,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._sent = DmarcRoom(
            settings.dmarc_reports,
            hostname=settings.hostname,
            resolver=resolver,
            store=store.dmarc_tally,
            clock=clock,
            reporter=reporter,
        )
        self._received = ReportsRoom(
            settings,
            store,
            resolve=self._sent.resolving(directory.resolve),
            is_local=directory.is_local,
            clock=clock,
            reporter=reporter,
        )
        self._signing: SigningRoom | None = None
        if settings.dkim.enabled:
            self._signing = SigningRoom(
                settings,
                store,
                sealer=sealer,
                directory=directory,
                publisher=ZoneUpdater(settings.zone, resolver) if settings.zone else None,
                clock=clock,
                reporter=reporter,
                metrics=metrics,
            )
        self._watch: DnsWatch | None = None
        if settings.dns.watch:
            self._watch = DnsWatch(
                Inspection(settings, StoredRecords(store.dkim), clock),
                store.dns_watch,
                domains=self._domains,
                every=settings.dns.watch,
                clock=clock,
                reporter=reporter,
                left=OF_KEYS if settings.dkim.enabled else (),
            )
        self._store = store
        self.checks = make_checks(settings, resolver, clock, reporter, self._sent.tally)

    @property
    def addresses(self) -> ReportAddresses:
        """Where reports come to."""
        return self._received.addresses

    @property
    def resolve(self) -> Resolve:
        """The directory, and the addresses that reports need beside it."""
        return self._received.addresses.resolve

    @property
    def signer(self) -> Signer | None:
        """Who signs what is ours; None: nobody."""
        return None if self._signing is None else self._signing.signer

    async def start(self) -> None:
        """Take up what an earlier process left. Raises StoreUnavailable."""
        await self._sent.start()
        if self._signing is not None:
            await self._signing.refresh()

    def begin(self, chores: Chores, post: ReportPost) -> None:
        """What is done again and again; ``post`` brings reports out."""
        chores.repeat(READ_SECONDS, self._received.work, "received reports")
        chores.repeat(TALLY_SECONDS, self._sent.tick, "DMARC counts")
        if self._signing is not None:
            chores.repeat(REFRESH_SECONDS, self._signing.refresh, "signing keys")
            chores.repeat(KEY_SECONDS, self._signing.tick, "lives of signing keys")
        if self._watch is not None:
            chores.repeat(WATCH_SECONDS, self._watch.tick, "DNS watch")
        if self._settings.dmarc_reports.enabled:
            reports = self._sent.reports(post, signs=self._signs, is_local=self._directory.is_local)
            chores.repeat(SEND_SECONDS, reports.send_due, "DMARC reports")

    async def refresh_keys(self) -> None:
        """Take up keys that were changed, where nothing else of ``begin`` is done. Raises StoreUnavailable."""
        if self._signing is not None:
            await self._signing.refresh()

    async def expire(self) -> None:
        """Forget what is kept no longer. Raises StoreUnavailable."""
        await self._received.expire()

    async def close(self) -> None:
        """Write what has not been written."""
        await self._sent.close()
        if self._watch is not None:
            await self._watch.close()

    async def _domains(self) -> Collection[str]:
        return [domain.name for domain in await self._store.directory.domains()]

    def _signs(self, domain: str) -> bool:
        """Whether our mail from a domain is signed now."""
        return self._signing is not None and bool(self._signing.ring.keys_for(domain))
