"""Sites with limits of each kind, and mail without end for them, in virtual time."""

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from tests.fakes.hand_clock import HandClock

from postroom.config.road import OutboundSettings
from postroom.config.sending import PoolSettings, ShapingSettings, SourceSettings, WarmupSettings
from postroom.mail.cause import Cause
from postroom.mail.delivery import Deferred, Delivered, Outcome, RouteKind, Site
from postroom.mail.reply import Reply
from postroom.outbound.shaping.rules import Rules
from postroom.outbound.shaping.shaper import SiteShaper
from postroom.outbound.shaping.sources import Sources
from postroom.outbound.shaping.warmup import WarmupBook
from postroom.queue.carrier import Wait
from postroom.report.events import Report
from postroom.report.reporter import Reporter

SITE = Site("mx.example.net", RouteKind.MX, (("mx.example.net",),))
TAKEN = Delivered(Reply.of(250, "2.0.0", "queued"))
TOO_FAST = Deferred(Reply.of(421, "4.7.28", "our system has detected an unusual rate of mail"), cause=Cause.RATE_LIMIT)
TOO_MANY = Deferred(Reply.of(421, "4.7.0", "too many concurrent connections"), cause=Cause.RATE_LIMIT)
BLOCKED = Deferred(Reply.of(421, "4.7.0", "blocked for its reputation"), cause=Cause.REPUTATION)
BUSY = Deferred(Reply.of(421, "4.3.2", "closing the channel"))


@dataclass
class House:
    """A shaper with what it needs; ``told`` is what it reported."""

    shaping: tuple[ShapingSettings, ...] = ()
    sources: tuple[SourceSettings, ...] = ()
    pools: tuple[PoolSettings, ...] = ()
    plans: tuple[WarmupSettings, ...] = ()
    outbound: OutboundSettings = field(default_factory=OutboundSettings)
    clock: HandClock = field(default_factory=lambda: HandClock(1_800_000_000.0))
    told: list[Report] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reporter = Reporter([self.told.append])
        self.warmups = WarmupBook(self.plans, self.sources)
        self.shaper = SiteShaper(
            rules=Rules(self.shaping, self.outbound),
            sources=Sources(self.sources, self.pools, self.outbound),
            warmups=self.warmups,
            concurrency=self.outbound.concurrency,
            commands={},
            clock=self.clock,
            reporter=self.reporter,
        )

    def rate(self, site: Site = SITE, source: str = "") -> float | None:
        """What was learned, in messages a minute."""
        return self.shaper.lanes[site.key, source].pace.known

    def width(self, site: Site = SITE, source: str = "") -> int:
        """How many requests may be under way."""
        return self.shaper.lanes[site.key, source].width.value


class Limit(Protocol):
    """What a site allows. ``limit`` is messages a minute; ``connections`` are under way with this one."""

    limit: float

    def takes(self, now: float, connections: int) -> Outcome: ...


@dataclass
class TokenBucket:
    """A bucket that fills with ``limit`` tokens a minute and holds ``depth``; 0: as many."""

    limit: float
    depth: float = 0.0
    _tokens: float | None = None
    _at: float = 0.0

    def takes(self, now: float, connections: int) -> Outcome:
        depth = self.depth or self.limit
        tokens = depth if self._tokens is None else min(depth, self._tokens + (now - self._at) * self.limit / 60)
        self._at = now
        self._tokens = tokens - 1 if tokens >= 1 else tokens
        return TAKEN if tokens >= 1 else TOO_FAST


@dataclass
class FixedWindow:
    """``limit`` in each minute of a clock that is ``ahead`` of ours."""

    limit: float
    ahead: float = 0.0
    _window: int = 0
    _count: int = 0

    def takes(self, now: float, connections: int) -> Outcome:
        window = int((now + self.ahead) // 60)
        if window != self._window:
            self._window, self._count = window, 0
        if self._count >= self.limit:
            return TOO_FAST
        self._count += 1
        return TAKEN


@dataclass
class SlidingWindow:
    """``limit`` in any sixty seconds."""

    limit: float
    _times: list[float] = field(default_factory=list)

    def takes(self, now: float, connections: int) -> Outcome:
        self._times = [time for time in self._times if time > now - 60]
        if len(self._times) >= self.limit:
            return TOO_FAST
        self._times.append(now)
        return TAKEN


@dataclass
class Connections:
    """At most ``limit`` at once."""

    limit: float
    refusal: Outcome = TOO_MANY

    def takes(self, now: float, connections: int) -> Outcome:
        return TAKEN if connections <= self.limit else self.refusal


@dataclass
class Backlog:
    """Mail without end for one site, sent as fast as the shaper lets it. ``latency`` in seconds, from and to."""

    house: House
    limit: Limit
    seed: int = 0
    latency: tuple[float, float] = (0.1, 0.6)
    site: Site = SITE
    log: list[tuple[float, bool]] = field(default_factory=list)  # when, and whether it was taken
    most: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._flying: list[tuple[float, int, object, Outcome]] = []
        self._open = 0  # at the site
        self._started = 0
        self.began = self.house.clock.time

    def run(self, seconds: float) -> None:
        """Let time pass."""
        clock, shaper = self.house.clock, self.house.shaper
        end = clock.time + seconds
        while clock.time < end:
            self._finish(clock.time)
            again = end
            if len(self._flying) < shaper.limit(self.site):
                grant = shaper.ask(self.site, 1, clock.time)
                if not isinstance(grant, Wait):
                    self._start(grant, clock.time)
                    continue
                again = clock.time + max(grant.seconds, 0.001)
            if self._flying:
                again = min(again, self._flying[0][0])
            clock.time = max(min(again, end), clock.time)

    def _start(self, grant: object, now: float) -> None:
        self._started += 1
        outcome = self.limit.takes(now, self._open + 1)
        lasts = self._random.uniform(*self.latency)
        self._open += outcome is TAKEN
        heapq.heappush(self._flying, (now + lasts, self._started, grant, outcome))
        self.most = max(self.most, len(self._flying))

    def _finish(self, now: float) -> None:
        while self._flying and self._flying[0][0] <= now:
            _, _, grant, outcome = heapq.heappop(self._flying)
            self._open -= outcome is TAKEN
            self.log.append((now - self.began, outcome is TAKEN))
            self.house.shaper.note(self.site, grant, [outcome], now)  # type: ignore[arg-type] # what ask gave

    def end(self) -> None:
        """Let what is under way end, with nothing new."""
        self.house.clock.time += self.latency[1]
        self._finish(self.house.clock.time)

    def taken(self, since: float, until: float) -> int:
        """Messages that the site took between these times after the beginning."""
        return sum(ok for at, ok in self.log if since <= at < until)

    def share_deferred(self, since: float, until: float = 1e9) -> float:
        """The part of the attempts between these times that was pushed back."""
        found = [ok for at, ok in self.log if since <= at < until]
        return found.count(False) / len(found)


def note_all(house: House, grants: Iterable[object], outcome: Outcome, site: Site = SITE) -> None:
    """Give grants back, all with the same outcome."""
    for grant in grants:
        house.shaper.note(site, grant, [outcome], house.clock.time)  # type: ignore[arg-type] # what ask gave
