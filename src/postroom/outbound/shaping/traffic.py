"""Everything about traffic in one place: built from the settings, asked by the scheduler and by the carrier."""

from collections.abc import Sequence

from postroom.clock import Clock
from postroom.config.road import CommandSettings, OutboundSettings
from postroom.config.section import Rate
from postroom.config.sending import PoolSettings, ShapingSettings, SourceSettings, WarmupSettings
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Site
from postroom.mail.reply import Reply
from postroom.mail.value import value
from postroom.net.gcra import GcraTable
from postroom.outbound.shaping.keeping import ShapingKeeper
from postroom.outbound.shaping.naming import NamingRouter
from postroom.outbound.shaping.rules import Rule, Rules
from postroom.outbound.shaping.shaper import SiteShaper
from postroom.outbound.shaping.sources import Source, Sources
from postroom.outbound.shaping.warmup import WarmupBook
from postroom.outbound.trouble import AttemptEnded, Scope, Step, Trouble
from postroom.queue.carrier import Router
from postroom.queue.sites import SiteStore
from postroom.report.reporter import Reporter

LONGEST_WAIT = 5.0
"""Seconds that a carrier waits for leave to open a connection; beyond, the mail goes back to the queue."""


@value(frozen=True, slots=True)
class Way:
    """How one request travels: the site as it was asked for, the source address, and the rule of traffic."""

    site: Site
    source: Source
    rule: Rule


class Traffic:
    """``shaper`` is for the scheduler, the rest for the carrier. ``keeper`` is made by ``keep``."""

    def __init__(
        self,
        outbound: OutboundSettings,
        clock: Clock,
        reporter: Reporter,
        *,
        shaping: Sequence[ShapingSettings] = (),
        sources: Sequence[SourceSettings] = (),
        pools: Sequence[PoolSettings] = (),
        warmups: Sequence[WarmupSettings] = (),
        commands: Sequence[CommandSettings] = (),
    ) -> None:
        self._clock = clock
        self._reporter = reporter
        self._book = WarmupBook(warmups, sources)
        self._openings: dict[Rate, GcraTable[tuple[str, str]]] = {}
        self.rules = Rules(shaping, outbound)
        self.sources = Sources(sources, pools, outbound)
        self.shaper = SiteShaper(
            rules=self.rules,
            sources=self.sources,
            warmups=self._book,
            concurrency=outbound.concurrency,
            commands={command.name: command.concurrency for command in commands},
            clock=clock,
            reporter=reporter,
        )

    def keep(self, store: SiteStore) -> ShapingKeeper:
        """What keeps it all beyond the process. Once, before the first request."""
        return ShapingKeeper(store, self.shaper, self._book, self._clock, self._reporter)

    def naming(self, router: Router) -> Router:
        """The router, listened to where there are rules that go by recipient domains."""
        return NamingRouter(router, self.shaper) if self.rules.by_domain else router

    def way(self, site: Site, source: str) -> Way:
        """How a request to the site travels that was granted this source."""
        return Way(site, self.sources.named(source), self.shaper.rule_of(site))

    async def wait_to_connect(self, way: Way) -> None:
        """Wait for leave to open a connection. AttemptEnded with a Deferred where that would take long."""
        rate = way.rule.connection_rate
        if rate is None:
            return
        table = self._openings.get(rate)
        if table is None:
            table = self._openings[rate] = GcraTable((rate,))
        key = way.site.key, way.source.name
        waited = 0.0
        while True:
            exceeded = table.take(key, self._clock.monotonic())
            if exceeded is None:
                return
            waited += exceeded.wait
            if waited > LONGEST_WAIT:
                until = self._clock.now() + exceeded.wait
                reply = Reply.of(451, "4.4.5", f"not tried: {way.rule.name} takes {rate} connections")
                outcome = Deferred(reply, detail="by our rule of that name", cause=Cause.RATE_LIMIT, retry_at=until)
                raise AttemptEnded(Trouble(Scope.SITE, outcome, Step.CONNECT))
            await self._clock.sleep(exceeded.wait)
