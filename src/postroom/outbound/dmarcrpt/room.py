"""What DMARC reports need, put together: the tally, its store, who sends them, and where their bounces go."""

from collections.abc import Awaitable, Callable

from postroom.clock import Clock
from postroom.config.dmarcreports import DmarcReportSettings
from postroom.directory.model import Resolution, Resolved
from postroom.dns.resolver import Resolver
from postroom.mail.address import Address
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.daily.door import ReportPost
from postroom.outbound.dmarcrpt.sending import DmarcReporter, ReportRooms, report_sender
from postroom.outbound.dmarcrpt.store import DmarcCount, DmarcStore
from postroom.outbound.dmarcrpt.tally import DmarcTally
from postroom.report.events import StoreTrouble
from postroom.report.reporter import Reporter

FORGET_EVERY = 3600.0  # seconds

WRITTEN_AT_ONCE = 2000
"""Counts in one write: the mail path waits for the same thread. Some milliseconds."""

Resolve = Callable[[Address], Awaitable[Resolution]]


class DmarcRoom:
    """One for each node: ``start`` it before the first mail comes in, ``tick`` it every few seconds, ``close`` it at
    the end. ``tally`` is for the policy stage that checks.
    """

    def __init__(
        self,
        settings: DmarcReportSettings,
        *,
        hostname: str,
        resolver: Resolver,
        store: DmarcStore,
        clock: Clock,
        reporter: Reporter,
    ) -> None:
        self._settings = settings
        self._hostname = hostname
        self._resolver = resolver
        self._store = store
        self._clock = clock
        self._tell = reporter.tell
        self.tally = DmarcTally(clock, enabled=settings.enabled)
        self._unsaved: tuple[DmarcCount, ...] = ()
        self._forgotten_at = clock.monotonic()

    async def start(self) -> None:
        """Take up what an earlier process counted. Raises StoreUnavailable."""
        self.tally.load(await self._store.load(self._clock.now()))

    def reports(
        self, post: ReportPost, *, signs: Callable[[str], bool], is_local: Callable[[str], Awaitable[bool]]
    ) -> DmarcReporter:
        """Who sends the daily reports; its ``send_due`` is to be called every minute where they are enabled."""
        return DmarcReporter(
            self._settings,
            self._hostname,
            ReportRooms(
                tally=self.tally,
                store=self._store,
                resolver=self._resolver,
                post=post,
                signs=signs,
                is_local=is_local,
                clock=self._clock,
                tell=self._tell,
            ),
        )

    def resolving(self, resolve: Resolve) -> Resolve:
        """The directory, but that bounces of reports are taken: they are looked at, and bother nobody."""
        sender = report_sender(self._settings, self._hostname)
        domain, key = sender.domain, sender.key

        async def resolve_sender(address: Address) -> Resolution:
            found = await resolve(address)
            return found if isinstance(found, Resolved) else Resolved(())

        def resolve_all(address: Address) -> Awaitable[Resolution]:
            is_sender = address.domain == domain and address.key == key
            return resolve_sender(address) if is_sender else resolve(address)

        return resolve_all if self._settings.enabled else resolve

    async def tick(self) -> None:
        """Write what has changed, so much at a time. Raises StoreUnavailable; it is written the next time then."""
        while await self._write():
            pass
        now = self._clock.monotonic()
        if now - self._forgotten_at >= FORGET_EVERY:
            self._forgotten_at = now
            await self._store.forget(self._clock.now())

    async def close(self) -> None:
        """Write what has not been written."""
        try:
            await self.tick()
        except StoreUnavailable as error:
            self._tell(StoreTrouble(f"DMARC counts: {error}"))

    async def _write(self) -> bool:
        """One write; whether there may be more to write. What failed comes first, with the counts as they were."""
        if not self._unsaved:
            self._unsaved = self.tally.changed(WRITTEN_AT_ONCE)
        if not self._unsaved:
            return False
        await self._store.save(self._unsaved)
        whole = len(self._unsaved) == WRITTEN_AT_ONCE
        self._unsaved = ()
        return whole
