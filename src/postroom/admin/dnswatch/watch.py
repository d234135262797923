"""Watches the DNS of the host and of all domains: when to look, what to remember, what to tell."""

from collections.abc import Awaitable, Callable, Collection, Sequence

from postroom.admin.dnscheck import Inspector
from postroom.admin.dnsfaults.model import DnsFinding, Fault
from postroom.admin.dnswatch.comparing import Compared, compare, has_doubts
from postroom.admin.dnswatch.model import HOST, DnsWatchStore, WatchedDomain
from postroom.admin.finding import Level
from postroom.clock import Clock
from postroom.report.reporter import Reporter
from postroom.report.zones import DnsBroken, DnsLooked, DnsMended

CONFIRM = 300.0
"""Seconds until a domain is looked at again whose last look found something new, or missed something known."""

FIRST = 60.0
"""Seconds after the start before the first look: a server that starts has more urgent things to do."""

AT_ONCE = 20
"""Domains of one round: each takes some thirty questions."""

OF_KEYS = frozenset({fault for fault in Fault if fault.value.startswith("dkim-")})
"""Where keys are led through their lives, their records are watched there, and more often."""


class DnsWatch:
    """``tick`` once a minute. Raises StoreUnavailable."""

    def __init__(
        self,
        inspector: Inspector,
        store: DnsWatchStore,
        *,
        domains: Callable[[], Awaitable[Collection[str]]],
        every: float,
        clock: Clock,
        reporter: Reporter,
        left: Collection[Fault] = (),
    ) -> None:
        self._inspector = inspector
        self._store = store
        self._domains = domains
        self._every = every
        self._clock = clock
        self._reporter = reporter
        self._left = frozenset(left)
        self._known: dict[str, WatchedDomain] | None = None
        self._begins = clock.monotonic() + FIRST

    async def tick(self) -> None:
        """Look at what is due."""
        if self._clock.monotonic() < self._begins:
            return
        if self._known is None:
            self._known = {each.domain: each for each in await self._store.load()}
        known, now = self._known, self._clock.now()
        domains = await self._domains()
        await self._forget(known, domains)
        waiting = sorted([HOST, *domains], key=lambda each: known[each].looked_at if each in known else 0.0)
        due = [each for each in waiting if self._is_due(known.get(each), now)][:AT_ONCE]
        if not due:
            return
        findings = await self._inspector.look([each for each in due if each != HOST])
        compared = [compare(each, known.get(each), self._of(each, findings), now) for each in due]
        await self._store.save([each.after for each in compared])
        for each in compared:
            known[each.after.domain] = each.after
            self._tell(each)
        self._reporter.tell(self._looked(known))

    async def _forget(self, known: dict[str, WatchedDomain], domains: Collection[str]) -> None:
        gone = [each for each in known if each != HOST and each not in domains]
        if gone:
            await self._store.forget(gone)
            for each in gone:
                del known[each]

    def _is_due(self, watched: WatchedDomain | None, now: float) -> bool:
        if watched is None:
            return True
        wait = min(CONFIRM, self._every) if has_doubts(watched) else self._every
        # a clock that was set back must not stop it
        return now >= watched.looked_at + wait or now < watched.looked_at

    def _of(self, domain: str, findings: Sequence[DnsFinding]) -> list[DnsFinding]:
        return [each for each in findings if each.domain == domain and each.fault not in self._left]

    def _tell(self, compared: Compared) -> None:
        domain = compared.after.domain
        for finding in compared.broke:
            fault = "" if finding.fault is None else finding.fault.value
            level = finding.level.value
            self._reporter.tell(
                DnsBroken(domain, fault, finding.subject, level, finding.what, finding.consequence, finding.remedy)
            )
        for known in compared.mended:
            self._reporter.tell(DnsMended(domain, known.fault, known.subject, known.what, known.since))

    def _looked(self, known: dict[str, WatchedDomain]) -> DnsLooked:
        levels = [fault.level for watched in known.values() for fault in watched.faults]
        return DnsLooked(len(known), levels.count(Level.ERROR.value), levels.count(Level.WARNING.value))

    async def close(self) -> None:
        """Let go of connections."""
        await self._inspector.close()
