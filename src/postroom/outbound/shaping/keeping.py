"""Keeps what was learned of sites beyond the process: reads it at the start, writes behind.

What kill -9 can take is what was learned since the last tick, about a second.
"""

from postroom.clock import Clock
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.shaping.lane import Lane
from postroom.outbound.shaping.shaper import SiteShaper
from postroom.outbound.shaping.tally import quoted
from postroom.outbound.shaping.warmup import WarmupBook
from postroom.queue.sites import SiteRecord, SiteStanding, SiteStore
from postroom.report.reporter import Reporter
from postroom.report.road import SiteBlocked

FORGET_SECONDS = 600.0
"""How often rows that count no more are removed, and sites that nothing is sent to leave the memory."""

IDLE = 3600.0
"""Seconds after which such a site leaves the memory. What was learned of it is taken up again from the store."""

STALE = 2 * 86400.0
"""Seconds after which learned limits are not believed any more, unless they were used meanwhile."""

MAX_STORED = 10_000


class ShapingKeeper:
    """Between the store and the shaper. ``tick`` is for twice a second or so, ``flush`` for the end."""

    def __init__(
        self, store: SiteStore, shaper: SiteShaper, warmups: WarmupBook, clock: Clock, reporter: Reporter
    ) -> None:
        self._store = store
        self._shaper = shaper
        self._warmups = warmups
        self._clock = clock
        self._reporter = reporter
        self._stored: dict[tuple[str, str], SiteStanding] = {}
        self._unsaved: dict[tuple[str, str], SiteStanding] = {}
        self._forget_at = 0.0
        shaper.on_new_lane = self._restore

    async def start(self) -> None:
        """Before the first request: take up what an earlier process learned. Raises StoreUnavailable."""
        record = await self._store.load(self._clock.now())
        self._stored = {(one.site, one.source): one for one in record.standings[:MAX_STORED]}
        self._warmups.restore(record.warmups, self._clock.now())
        self._forget_at = self._clock.monotonic() + FORGET_SECONDS

    async def tick(self) -> None:
        """Write what changed. StoreUnavailable leaves it for the next time."""
        await self.flush()
        if self._clock.monotonic() >= self._forget_at:
            self._forget_at = self._clock.monotonic() + FORGET_SECONDS
            self._shaper.forget(self._clock.monotonic() - IDLE)
            await self._store.forget(self._clock.now())

    async def flush(self) -> None:
        """Write what changed since the last time; what cannot be written stays for the next."""
        now = self._clock.monotonic()
        offset = self._clock.now() - now
        standings = self._unsaved
        for lane in self._shaper.changed:
            lane.dirty = False
            standings[lane.site, lane.source] = standing_of(lane, now, offset)
        self._shaper.changed.clear()
        record = SiteRecord(tuple(standings.values()), self._warmups.changed())
        if not len(record):
            return
        self._unsaved = {}
        try:
            await self._store.save(record)
        except StoreUnavailable:
            self._unsaved = dict(list((standings | self._unsaved).items())[:MAX_STORED])
            self._warmups.save_again(record.warmups)
            raise
        for key, standing in standings.items():
            if key in self._stored or len(self._stored) < MAX_STORED:
                self._stored[key] = standing

    def _restore(self, lane: Lane) -> None:
        """What is known from before of a lane that is made now."""
        standing = self._stored.get((lane.site, lane.source))
        if standing is None:
            return
        now = self._clock.monotonic()
        wall = self._clock.now()
        restore(lane, standing, now, wall)
        if lane.block.is_closed:
            until = wall + max(lane.block.until - now, 0.0)
            self._reporter.tell(SiteBlocked(lane.site, lane.source, lane.block.reason, until))


def standing_of(lane: Lane, now: float, offset: float) -> SiteStanding:
    """What is kept of a lane; ``offset`` makes a time of day of a monotonic one."""
    tally = lane.tally
    tally.roll(now)
    minute, hour, day = tally.lately(now)
    block = lane.block
    return SiteStanding(
        site=lane.site,
        source=lane.source,
        rule=lane.rule.name,
        limits=lane.rule.limits,
        concurrency=lane.limit,
        rate=lane.pace.known,
        rate_ceiling=lane.pace.ceiling,
        too_many=lane.width.ceiling,
        why=lane.why,
        changed_at=None if lane.why_at is None else lane.why_at + offset,
        blocked_until=block.until + offset if block.is_closed else None,
        blocked_for=block.reason,
        backoff=block.pause,
        used=lane.used(now, offset),
        minute=minute,
        hour=hour,
        day=day,
        delivered=tally.delivered,
        deferred=tally.deferred,
        failed=tally.failed,
        causes=tuple(sorted(tally.causes.items())),
        last_reply="" if tally.last is None else quoted(tally.last),
        since=tally.since,
        seen_at=tally.seen_at + offset,
    )


def restore(lane: Lane, standing: SiteStanding, now: float, wall: float) -> None:
    """Put into a fresh lane what ``standing_of`` gave of it, as far as it still counts."""
    offset = wall - now
    tally = lane.tally
    tally.delivered, tally.deferred, tally.failed = standing.delivered, standing.deferred, standing.failed
    tally.causes = dict(standing.causes)
    tally.since = standing.since
    ago = max(wall - standing.seen_at, 0.0)
    tally.restore_day(standing.hour, standing.day, ago, now)
    lane.restore_used(standing.used, now, offset)
    if lane.rule.adapt and ago < STALE:
        lane.why = standing.why
        lane.why_at = None if standing.changed_at is None else standing.changed_at - offset
        if standing.rate is not None:
            lane.pace.restore(standing.rate, standing.rate_ceiling, now)
        if standing.too_many is not None:
            lane.width.restore(standing.too_many, now)
        if standing.blocked_until is not None:
            lane.block.restore(standing.blocked_until - offset, standing.backoff, standing.blocked_for)
    lane.settle()
