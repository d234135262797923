"""Brings held messages to their sites: finds the way, keeps a line for each site, and serves the lines.

One task works for each request under way and none for what waits. No number of slow sites can shut the others out,
because a line never takes more places than are left free; a dead site is tried by one, not by all who wait for it.
"""

import asyncio
import math
import traceback
from collections.abc import Callable, Mapping
from functools import partial

from postroom.clock import Clock
from postroom.config.model import QueueSettings
from postroom.mail.delivery import Deferred, DeliveryRequest, Outcome, QueuedRecipient, RouteKind, Site
from postroom.mail.reply import Reply
from postroom.queue.carrier import Carrier, Router
from postroom.queue.deadlines import time_is_up
from postroom.queue.lines import RECIPIENTS_AT_ONCE, SWEEP_PAUSE, Held, Item, Line, Unrouted
from postroom.queue.routes import Routes
from postroom.queue.settle import Attempt, Settler
from postroom.queue.urgency import PriorityLine
from postroom.report.events import InternalError
from postroom.report.reporter import Reporter

ROUTE_KEPT = 10.0
"""Seconds for which a route is used again without asking; the router's own cache obeys the DNS's times."""

_MAX_ROUTES = 20_000  # domains whose line is remembered
_OUR_FAULT = Reply.of(451, "4.3.0", "local trouble, tried again later")

OnSettled = Callable[[Held, tuple[QueuedRecipient, ...], float | None], None]
"""Some recipients of a held message are settled; the time says when something of theirs is due again."""


class Dispatcher:
    """The lines and those who serve them. ``free`` tells how many places are left, ``hungry`` asks for more."""

    def __init__(
        self,
        *,
        settings: QueueSettings,
        concurrency: int,
        router: Router,
        carriers: Mapping[RouteKind, Carrier],
        settler: Settler,
        clock: Clock,
        reporter: Reporter,
        free: Callable[[], int],
        on_settled: OnSettled,
        hungry: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._concurrency = concurrency
        self._router = router
        self._carriers = carriers
        self._settler = settler
        self._clock = clock
        self._reporter = reporter
        self._free = free
        self._on_settled = on_settled
        self._hungry = hungry
        self._routes = Routes(router, reporter, self._on_route)
        self._lines: dict[str, Line] = {}
        self._line_of: dict[str, tuple[Line, float]] = {}
        self._unrouted: dict[str, list[Unrouted]] = {}
        self._queued_lines: PriorityLine[Line] = PriorityLine()
        self._first_deadline = math.inf
        self._active = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._stopping = False

    def admit(self, held: Held, recipients: tuple[QueuedRecipient, ...]) -> None:
        """Send the recipients of a message to the lines of their sites."""
        if self._stopping:
            self._give_back(Item(held, recipients))
            return
        if held.deadline is not None and self._clock.now() >= held.deadline:
            self._give_up(None, Item(held, recipients))
            return
        monotonic = self._clock.monotonic()
        if len(recipients) == 1:
            line = self._known(recipients[0].recipient.address.domain, monotonic)
            if line is not None:
                self._enqueue(line, Item(held, recipients))
                return
        by_domain: dict[str, list[QueuedRecipient]] = {}
        for one in recipients:
            by_domain.setdefault(one.recipient.address.domain, []).append(one)
        unrouted = Unrouted(held, by_domain)
        complete = False
        for domain in by_domain:
            line = self._known(domain, monotonic)
            if line is not None:
                complete = unrouted.answer(domain, line.site)
            else:
                self._unrouted.setdefault(domain, []).append(unrouted)
                self._routes.ask(domain)
        if complete:
            self._spread(unrouted)

    # What the scheduler asks -------------------------------------------------------

    def is_closed(self, domain: str) -> bool:
        """Whether fresh mail for the domain is better kept in the store for now."""
        known = self._line_of.get(domain)
        if known is None:
            return len(self._unrouted.get(domain, ())) >= self._fair_share()
        line = known[0]
        if line.waiting >= self._fair_share():
            line.starved = True
            return True
        return bool(line.failures) and line.is_dead(self._clock.monotonic())

    def excluded(self) -> frozenset[str]:
        """The domains of sites that have enough, or that are dead and not to be swept yet. Asking marks the sweep."""
        monotonic = self._clock.monotonic()
        limit = self._fair_share()
        excluded: set[str] = set()
        for line in self._lines.values():
            if line.is_dead(monotonic):
                if monotonic < line.sweep_at:
                    excluded |= line.domains
                else:
                    line.sweep_at = monotonic + SWEEP_PAUSE
            elif line.waiting * 2 > limit:
                line.starved = True
                excluded |= line.domains
        excluded.update(domain for domain, waiting in self._unrouted.items() if len(waiting) * 2 > limit)
        return frozenset(excluded)

    def next_change(self) -> float:
        """Seconds until a dead site is to be swept or tried again, or someone's time is up; infinite for never."""
        monotonic = self._clock.monotonic()
        times = [
            min(line.sweep_at, line.dead_until) - monotonic for line in self._lines.values() if line.is_dead(monotonic)
        ]
        self._first_deadline = min(
            (line.first_deadline for line in self._lines.values() if line.timed), default=math.inf
        )
        times.append(self._first_deadline - self._clock.now())
        return max(min(times), 0.0)

    def tend(self) -> None:
        """Give up those in line whose time is up; forget the sites that nobody wants to go to, and routes that are
        stale where there are many.
        """
        monotonic = self._clock.monotonic()
        for line in [line for line in self._lines.values() if line.timed]:
            for item in line.take_late(self._clock.now()):
                self._give_up(line.site, item)
        for line in [line for line in self._lines.values() if line.is_idle(monotonic)]:
            del self._lines[line.site.key]
            for domain in line.domains:
                self._line_of.pop(domain, None)
        if len(self._line_of) > _MAX_ROUTES:
            for domain, (line, until) in list(self._line_of.items()):
                if until < monotonic:
                    del self._line_of[domain]
                    line.domains.discard(domain)

    async def stop(self, seconds: float) -> None:
        """Give back what has not begun, let what is under way end for ``seconds``, then cut it off."""
        self._stopping = True
        await self._routes.close()
        for unrouted in {id(one): one for waiting in self._unrouted.values() for one in waiting}.values():
            for recipients in unrouted.by_domain.values():
                self._give_back(Item(unrouted.held, tuple(recipients)))
        self._unrouted.clear()
        for line in self._lines.values():
            for item in line.drain():
                self._give_back(item)
        workers = list(self._workers)
        if workers:
            timer = asyncio.create_task(self._clock.sleep(seconds))
            work = asyncio.create_task(asyncio.wait(workers))
            await asyncio.wait((timer, work), return_when=asyncio.FIRST_COMPLETED)
            for task in (timer, work, *workers):
                task.cancel()
            await asyncio.gather(timer, work, *workers, return_exceptions=True)

    # Finding the way ---------------------------------------------------------------

    def _known(self, domain: str, monotonic: float) -> Line | None:
        """The line for the domain if its route is fresh."""
        known = self._line_of.get(domain)
        return known[0] if known is not None and monotonic < known[1] else None

    def _line(self, site: Site) -> Line:
        line = self._lines.get(site.key)
        if line is None:
            limit = max(self._router.concurrency(site), 1)
            line = self._lines[site.key] = Line(site, limit, self._clock.monotonic())
        return line

    def _on_route(self, domain: str, answer: Site | Outcome) -> None:
        """The router has answered for all who wait for this domain."""
        if isinstance(answer, Site):
            line = self._line(answer)
            line.site = answer
            line.limit = max(self._router.concurrency(answer), 1)
            before = self._line_of.get(domain)
            if before is not None:
                before[0].domains.discard(domain)
            line.domains.add(domain)
            line.used_at = self._clock.monotonic()
            self._line_of[domain] = line, line.used_at + ROUTE_KEPT
        for unrouted in self._unrouted.pop(domain, ()):
            if unrouted.answer(domain, answer):
                self._spread(unrouted)

    def _spread(self, unrouted: Unrouted) -> None:
        """All ways are known: those who go to one site travel together."""
        for site, recipients in unrouted.by_site():
            line = self._line(site)
            for first in range(0, len(recipients), RECIPIENTS_AT_ONCE):
                together = tuple(recipients[first : first + RECIPIENTS_AT_ONCE])
                self._enqueue(line, Item(unrouted.held, together))
        for outcome, recipients in unrouted.without_site():
            self._record(
                Item(unrouted.held, tuple(recipients)), dict.fromkeys(_numbers(recipients), outcome), None, 0.0
            )

    def _enqueue(self, line: Line, item: Item) -> None:
        """Stand in line, unless the site is dead or the line too long."""
        if line.trouble is not None and line.is_dead(self._clock.monotonic()):
            self._put_off(line, item)
        elif line.items and line.waiting + len(item.recipients) > self._settings.ready_per_site:
            line.starved = True
            self._give_back(item)
        else:
            line.push(item)
            deadline = item.held.deadline
            if deadline is not None and deadline < self._first_deadline:
                self._first_deadline = deadline
                self._hungry()  # whoever asks for the next change must know of it
            self._start(line)

    def _fair_share(self) -> int:
        """Places that one site may take: never more than are left free."""
        return min(self._settings.ready_per_site, self._free())

    # Serving -----------------------------------------------------------------------

    def _start(self, line: Line) -> None:
        """Have one more worker serve the line, now or when one of all connections is free."""
        if not line.may_start:
            return
        if self._active < self._concurrency:
            line.active += 1
            self._active += 1
            task = asyncio.create_task(self._work(line))
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)
        else:
            self._queue_line(line)

    def _queue_line(self, line: Line) -> None:
        """Let the line wait for its turn, which comes sooner where someone in it has a higher priority."""
        priority = line.items.first_priority
        if line.queued is not None and priority <= line.queued:
            return
        if line.queued is not None:
            self._queued_lines.remove(line, line.queued)
        line.queued = priority
        self._queued_lines.push(line, priority, self._clock.monotonic())

    async def _work(self, line: Line) -> None:
        """Serve a line until it is empty, or until another line's turn has come."""
        try:
            while line.items:
                await self._attempt(line, line.pop())
                if line.starved and line.waiting * 4 <= self._settings.ready_per_site:
                    line.starved = False
                    self._hungry()
                if self._queued_lines or not line.may_continue:
                    break
                self._start(line)  # a site that answers again is given more, one at a time
        finally:
            line.active -= 1
            self._active -= 1
            line.used_at = self._clock.monotonic()
            if line.may_start:
                self._queue_line(line)
            while self._queued_lines and self._active < self._concurrency:
                first = self._queued_lines.pop()
                first.queued = None
                self._start(first)

    async def _attempt(self, line: Line, item: Item) -> None:
        """One request to the carrier, and what it means for the recipients and for the site."""
        held = item.held
        now = self._clock.now()
        if now >= held.until:  # it could not be renewed; another node may have it by now
            self._give_back(item)
            return
        if held.deadline is not None and now >= held.deadline:
            self._give_up(line.site, item)
            return
        started = self._clock.monotonic()
        outcomes = await self._deliver(DeliveryRequest(held.message, item.recipients, line.site, held.content))
        ended = self._clock.monotonic()
        first_pause = self._settings.first_retry / 5
        died = line.note(outcomes.values(), ended, first_pause, self._settings.first_retry)
        self._record(item, outcomes, line.site, ended - started)
        if died:
            for waiting in line.drain():
                self._put_off(line, waiting)

    async def _deliver(self, request: DeliveryRequest) -> Mapping[int, Outcome]:
        """An outcome for each recipient, whatever the carrier does."""
        outcomes: Mapping[int, Outcome] = {}
        trouble = "the carrier gave no outcome"
        try:
            outcomes = await self._carriers[request.site.kind].deliver(request)
        except Exception as error:  # noqa: BLE001 - a bug in a carrier must not lose mail
            trouble = repr(error)
            self._complain(trouble, "".join(traceback.format_exception(error)))
        missing = [number for number in _numbers(request.recipients) if number not in outcomes]
        if missing:
            if outcomes:
                self._complain(trouble, "")
            outcomes = {**outcomes, **dict.fromkeys(missing, Deferred(_OUR_FAULT, detail=trouble))}
        return outcomes

    # Letting go --------------------------------------------------------------------

    def _record(self, item: Item, outcomes: Mapping[int, Outcome], site: Site | None, seconds: float) -> None:
        held = item.held
        done = partial(self._on_settled, held, item.recipients)
        self._settler.record(
            Attempt(held.message, item.recipients, outcomes, site, seconds, done, held.content, held.take_history())
        )

    def _give_up(self, site: Site | None, item: Item) -> None:
        """The time that the sender set is up: no further attempt may be made (RFC 2852 §4.1.3)."""
        outcomes = {one.number: time_is_up(one.last_reply, one.last_peer) for one in item.recipients}
        self._record(item, outcomes, site, 0.0)

    def _put_off(self, line: Line, item: Item) -> None:
        """The site is dead: the same outcome as for those who tried, without trying."""
        assert line.trouble is not None  # noqa: S101 - only called for a dead site
        self._record(item, dict.fromkeys(_numbers(item.recipients), line.trouble), line.site, 0.0)

    def _give_back(self, item: Item) -> None:
        """Return recipients to the store unattempted. That they are due is no news to anyone here."""
        held, recipients = item.held, item.recipients

        def done(_due: float | None) -> None:
            self._on_settled(held, recipients, None)

        self._settler.give_back(held.message, recipients, done, held.take_history())

    def _complain(self, error: str, trace: str) -> None:
        self._reporter.tell(InternalError("carrier", error, trace))


def _numbers(recipients: tuple[QueuedRecipient, ...] | list[QueuedRecipient]) -> list[int]:
    return [one.number for one in recipients]
