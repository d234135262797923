"""Shapes the traffic to sites: the port of the scheduler (``queue.carrier.Shaper``).

A site that takes everything costs next to nothing here: one look-up, one comparison, one addition for each request.
"""

from collections.abc import Callable, Iterable

from postroom.clock import Clock
from postroom.mail.delivery import Delivered, Outcome, RouteKind, Site
from postroom.outbound.shaping.lane import Lane, Lesson, Ticket
from postroom.outbound.shaping.place import Place
from postroom.outbound.shaping.quota import SOON
from postroom.outbound.shaping.rules import Rule, Rules
from postroom.outbound.shaping.sources import Sources
from postroom.outbound.shaping.tally import Tally
from postroom.outbound.shaping.warmup import WarmupBook, until_midnight
from postroom.queue.carrier import Grant, Wait
from postroom.queue.sites import provider_of
from postroom.report.reporter import Reporter
from postroom.report.road import SiteBlocked, SiteReopened, SiteShaped, WarmupFull

MAX_PLACES = 10_000
"""Sites that are remembered; beyond, those that were used longest ago go, a tenth at once."""

TOLD_PAUSE = 60.0
"""Seconds between reports on the limits of one site."""

_HERE = {RouteKind.MAILBOX, RouteKind.MAILDIR, RouteKind.COMMAND, RouteKind.DISCARD}
_HOUSE_GRANT = Grant()


class SiteShaper:
    """Knows how every site stands with every source address. ``commands`` says how many of each may run at once."""

    def __init__(
        self,
        *,
        rules: Rules,
        sources: Sources,
        warmups: WarmupBook,
        concurrency: int,
        commands: dict[str, int],
        clock: Clock,
        reporter: Reporter,
    ) -> None:
        self._rules = rules
        self._sources = sources
        self._warmups = warmups
        self._concurrency = concurrency
        self._commands = commands
        self._clock = clock
        self._reporter = reporter
        self.places: dict[tuple[str, str], Place] = {}
        self.lanes: dict[tuple[str, str], Lane] = {}
        self.changed: list[Lane] = []
        self._domains: dict[str, frozenset[str]] = {}
        self._full_told: set[tuple[str, str, int]] = set()
        self.on_new_lane: Callable[[Lane], None] = _nothing
        """Called with each lane that is made, so that what is known from before can be put into it."""

    # The port --------------------------------------------------------------------------

    def limit(self, site: Site) -> int:
        """How many requests may be under way at the site at once, now."""
        place = self.places.get((site.key, site.pool)) or self._make_place(site)
        only = place.only
        if only is not None:
            return only.limit
        return place.limit if place.is_house else min(sum([lane.limit for lane in place.lanes]), self._concurrency)

    def together(self, site: Site) -> int:
        """Recipients of one transaction by the site's rule, so that what is granted is one; 0: no limit."""
        return self.rule_of(site).recipients_per_message or 0

    def ask(self, site: Site, recipients: int, now: float) -> Grant | Wait:
        """Leave for one request. What is granted is counted; who gets a grant gives it back to ``note``."""
        place = self.places.get((site.key, site.pool)) or self._make_place(site)
        place.used_at = now
        only = place.only
        if only is not None:
            if only.calm and only.active < only.width.value:
                only.active += 1
                return only.ticket
            wait = self._ask_lane(only, now)
            return self._take(only, now) if wait is None else wait
        if place.is_house:
            return _HOUSE_GRANT
        return self._ask_pool(place, now)

    def note(self, site: Site, grant: Grant, outcomes: Iterable[Outcome], now: float) -> None:
        """Learn what became of it."""
        if not isinstance(grant, Ticket) or grant.lane is None:
            return
        lane = grant.lane
        lane.ended(now)
        lane.tally.seen_at = now
        if not lane.dirty:
            lane.dirty = True
            self.changed.append(lane)
        count = 0
        outcome: Outcome | None = None
        for outcome in outcomes:
            if type(outcome) is not Delivered:
                self._learn(lane, grant, outcomes, now)
                return
            count += 1
        if outcome is not None:
            tally = lane.tally
            tally.delivered += count
            tally.last = outcome.reply
            if lane.calm:
                tally.taken += 1
                lane.pace.window.add(now)
                if lane.width.value < lane.width.cap:
                    lane.width.taken(now)
            else:
                lane.taken(now)
                self._put_in_order(lane, Lesson(reopened=lane.recover(grant.epoch)), now)

    def flush(self) -> None:
        """An operator wants everything tried now: forget what is known to be blocked. Limits and counts stay."""
        for lane in self.lanes.values():
            lane.block.try_now()

    # Beside the port -------------------------------------------------------------------

    def rule_of(self, site: Site) -> Rule:
        """The rule of traffic that a site goes by."""
        return (self.places.get((site.key, site.pool)) or self._make_place(site)).rule

    def learn_domain(self, domain: str, site: Site) -> None:
        """A recipient domain leads to the site: where rules go by domains, that may be another one than so far."""
        known = self._domains.get(site.key, frozenset())
        if domain in known:
            return
        if len(self._domains) >= MAX_PLACES:
            self._domains.clear()
        if self._rules.rule_for(site, known | {domain}) is not self._rules.rule_for(site):
            self._domains[site.key] = known | {domain}
            for key in [key for key in self.places if key[0] == site.key]:
                del self.places[key]
            for pair in [pair for pair in self.lanes if pair[0] == site.key]:
                del self.lanes[pair]

    # Asking ------------------------------------------------------------------------------

    def _ask_lane(self, lane: Lane, now: float) -> Wait | None:
        wait = lane.ask(now)
        if wait is None and lane.warming:
            wait = self._ask_warmup(lane)
        lane.settle()
        return wait

    def _ask_warmup(self, lane: Lane) -> Wait | None:
        now = self._clock.now()
        allowance = self._warmups.allowance(lane.source, lane.provider, now)
        if allowance is None or not allowance.is_full:
            return None
        left = until_midnight(now)
        told = lane.source, lane.provider, allowance.day
        if told not in self._full_told:
            if len(self._full_told) >= MAX_PLACES:
                self._full_told.clear()
            self._full_told.add(told)
            self._reporter.tell(WarmupFull(lane.source, lane.provider, allowance.limit, now + left))
        if not allowance.day:
            return Wait(left, f"the warm-up of {lane.source} has not begun")
        sent = f"{allowance.limit} messages to {lane.provider} are sent"
        return Wait(left, f"day {allowance.day} of warm-up from {lane.source}: {sent}")

    def _ask_pool(self, place: Place, now: float) -> Grant | Wait:
        """By weight among those that may; if none may, as long as the first of them must wait."""
        soonest: Wait | None = None
        able: list[Lane] = []
        for lane in place.lanes:
            wait = self._ask_lane(lane, now)
            if wait is None:
                able.append(lane)
            elif soonest is None or wait.seconds < soonest.seconds:
                soonest = wait
        if able:
            return self._take(place.choose(able), now)
        return soonest or Wait(SOON, "the pool has no source address")

    def _take(self, lane: Lane, now: float) -> Grant:
        ticket = lane.take(now)
        if lane.warming:
            self._warmups.use(lane.source, lane.provider, self._clock.now())
        return ticket

    # Learning ----------------------------------------------------------------------------

    def _learn(self, lane: Lane, ticket: Ticket, outcomes: Iterable[Outcome], now: float) -> None:
        taken = lane.tally.taken
        lane.tally.note(outcomes)
        lesson = lane.learn(outcomes, ticket.epoch, now)
        if lane.warming and lane.tally.taken == taken:
            self._warmups.use(lane.source, lane.provider, self._clock.now(), -1)
        self._put_in_order(lane, lesson, now)

    def _put_in_order(self, lane: Lane, lesson: Lesson, now: float) -> None:
        lane.settle()
        if lesson.reopened:
            self._reporter.tell(SiteReopened(lane.site, lane.source))
        if lesson.blocked:
            until = self._clock.now() + lane.block.until - now
            self._reporter.tell(SiteBlocked(lane.site, lane.source, lane.block.reason, until))
        elif lesson.changes and now - lane.told_at >= TOLD_PAUSE:
            lane.told_at = now
            for one in lesson.changes:
                self._reporter.tell(SiteShaped(lane.site, lane.source, one.what, one.before, one.after, one.reason))

    # Places ------------------------------------------------------------------------------

    def _make_place(self, site: Site) -> Place:
        if len(self.places) >= MAX_PLACES:
            self._make_room()
        key = site.key, site.pool
        if site.kind in _HERE:
            limit = self._commands.get(site.route, self._concurrency)
            place = Place(self._rules.steady, (), (), limit)
        else:
            rule = self._rules.rule_for(site, self._domains.get(site.key, frozenset()))
            shares = self._sources.of_pool(site.pool)
            lanes = [self._lane(site, name, rule) for name, _ in shares]
            place = Place(rule, tuple(lanes), tuple([share for _, share in shares]), 0)
        self.places[key] = place
        return place

    def _lane(self, site: Site, source: str, rule: Rule) -> Lane:
        lane = self.lanes.get((site.key, source))
        if lane is None:
            provider = provider_of(site.key, rule.name)
            warming = site.kind is RouteKind.MX and self._warmups.is_warming(source)
            lane = Lane(site.key, source, rule, provider, Tally(self._clock.now()), warming=warming)
            self.lanes[site.key, source] = lane
            self.on_new_lane(lane)
        return lane

    def forget(self, before: float) -> int:
        """Forget the sites that were not used since ``before``. Returns how many."""
        old = [
            key
            for key, place in self.places.items()
            if place.used_at < before and not any(lane.is_in_use for lane in place.lanes)
        ]
        for key in old:
            del self.places[key]
        kept = {id(lane) for place in self.places.values() for lane in place.lanes}
        for pair in [pair for pair, lane in self.lanes.items() if id(lane) not in kept]:
            del self.lanes[pair]
        return len(old)

    def _make_room(self) -> None:
        times = sorted([place.used_at for place in self.places.values()])
        self.forget(times[MAX_PLACES // 10])
        if len(self.places) >= MAX_PLACES:  # all in use: what was learned of them stays in the store
            self.places.clear()
            self.lanes.clear()


def _nothing(_: Lane) -> None:
    """Nothing is known from before."""
