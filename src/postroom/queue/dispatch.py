"""Brings held messages to their sites: finds the way, keeps a line for each site, and serves the lines.

Nothing runs for what waits, and for a request under way only its carrier. No number of slow sites can shut the others
out: a line never takes more places than are left free; a dead site is tried by one, not by all who wait for it. A line
that the shaper makes rest costs nothing until its time has come; if that is far away, its mail rests in the store.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from functools import partial

from postroom.clock import Clock
from postroom.config.model import QueueSettings
from postroom.mail.delivery import Deferred, DeliveryRequest, Outcome, QueuedRecipient, RouteKind, Site
from postroom.queue.board import Board
from postroom.queue.carriage import Carriage
from postroom.queue.carrier import Carrier, Grant, Promise, Router, Shaper, Wait
from postroom.queue.deadlines import time_is_up
from postroom.queue.gate import Gate
from postroom.queue.lines import SWEEP_PAUSE, Held, Item, Line, Unrouted
from postroom.queue.model import PauseKind
from postroom.queue.pauses import Pauses
from postroom.queue.putoff import paused
from postroom.queue.rests import Rests
from postroom.queue.routes import Routes
from postroom.queue.settle import Attempt, Settler
from postroom.queue.urgency import PriorityLine
from postroom.report.reporter import Reporter

_SHORTEST_REST = 0.001  # seconds

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
        shaper: Shaper,
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
        self._gate = Gate(shaper, reporter)
        self._carriage = Carriage(carriers, reporter)
        self._settler = settler
        self._clock = clock
        self._free = free
        self._on_settled = on_settled
        self._hungry = hungry
        self._routes = Routes(router, reporter, self._on_route)
        self._board = Board(shaper, settings.ready_per_site)
        self._rests = Rests(clock, self._woken)
        self._pauses = Pauses()
        self._paused: set[str] = set()  # destinations of paused domains
        self._sweep_paused_at = 0.0
        self._unrouted: dict[str, list[Unrouted]] = {}
        self._queued_lines: PriorityLine[Line] = PriorityLine()
        self._first_deadline = math.inf
        self._active = 0
        self._calling = False
        self._under_way: set[Promise] = set()
        self._stopping = False

    def admit(self, held: Held, recipients: tuple[QueuedRecipient, ...]) -> None:
        """Send the recipients of a message to the lines of their sites."""
        if self._stopping:
            self._give_back(Item(held, recipients))
            return
        if held.deadline is not None and self._clock.now() >= held.deadline:
            self._give_up(None, Item(held, recipients))
            return
        if self._pauses:
            recipients = self._without_paused(held, recipients)
        monotonic = self._clock.monotonic()
        router, message = self._router, held.message
        if len(recipients) == 1:
            one = recipients[0]
            destination = router.destination(message, one.recipient)
            line = self._board.known(destination, monotonic)
            if line is not None:
                if one.destination != destination:
                    self._board.note_aliases(line, recipients)
                self._enqueue(line, Item(held, recipients))
                return
        by_destination: dict[str, list[QueuedRecipient]] = {}
        for one in recipients:
            by_destination.setdefault(router.destination(message, one.recipient), []).append(one)
        self._find_ways(Unrouted(held, by_destination), monotonic)

    def _find_ways(self, unrouted: Unrouted, monotonic: float) -> None:
        complete = False
        for destination in unrouted.by_destination:
            line = self._board.known(destination, monotonic)
            if line is not None:
                complete = unrouted.answer(destination, line.site)
            else:
                self._unrouted.setdefault(destination, []).append(unrouted)
                self._routes.ask(destination)
        if complete:
            self._spread(unrouted)

    def pause(self, pauses: Pauses) -> None:
        """Stop what operators have stopped, and let go on what they have not."""
        self._pauses = pauses
        self._paused = set(pauses.domains)
        self._sweep_paused_at = 0.0
        self._board.pause(pauses, self._clock.monotonic())
        for line in list(self._board):
            if line.pause is not None:
                self._shut(line)
            elif line.items:
                for item in line.drain():
                    self.admit(item.held, item.recipients)  # a domain or a sender of theirs may be paused
        for item in self._drain_unrouted():
            self.admit(item.held, item.recipients)
        self._hungry()

    def recall(self) -> None:
        """Some that stand in line are not ours any more, and nobody says who: all go back, and come again."""
        self._give_all_back()
        self._hungry()

    def flush(self) -> None:
        """Try everything now: forget what does not work, and what is to rest."""
        self._gate.flush()
        self.revive(lambda _: True)

    def revive(self, wanted: Callable[[str], bool]) -> None:
        """Forget what does not work at the sites to which wanted destinations lead."""
        for line in list(self._board):
            if any(map(wanted, line.destinations)):
                line.forgive()
                self._start(line)
        self._hungry()

    # What the scheduler asks -------------------------------------------------------

    def is_closed(self, destination: str) -> bool:
        """Whether fresh mail for the destination is better kept in the store for now."""
        line = self._board.last_known(destination)
        if line is None:
            return len(self._unrouted.get(destination, ())) >= self._fair_share() or destination in self._paused
        if line.waiting and line.waiting >= min(self._fair_share(), line.share):
            line.starved = True
            return True
        if not (line.failures or line.rests_until or self._pauses):
            return False
        return line.is_shut(self._clock.monotonic()) or destination in self._paused

    def excluded(self) -> frozenset[str]:
        """The destinations that there is enough of, or that are not to be tried now. Asking marks those to be swept."""
        monotonic = self._clock.monotonic()
        limit = self._fair_share()
        excluded = self._board.excluded(limit, monotonic)
        excluded.update(name for name, waiting in self._unrouted.items() if len(waiting) * 2 > limit)
        if self._paused:
            if monotonic < self._sweep_paused_at:
                excluded |= self._paused
            else:
                self._sweep_paused_at = monotonic + SWEEP_PAUSE
        return frozenset(excluded)

    def shares(self) -> dict[str, int]:
        """How many recipients are wanted of some destinations, where that is less than usual."""
        return self._board.shares(self._clock.monotonic())

    def next_change(self) -> float:
        """Seconds until what is shut is to be swept or tried again, or someone's time is up; infinite for never."""
        monotonic = self._clock.monotonic()
        self._first_deadline = min((line.first_deadline for line in self._board if line.timed), default=math.inf)
        times = [self._board.next_opening(monotonic) - monotonic, self._first_deadline - self._clock.now()]
        if self._paused:
            times.append(self._sweep_paused_at - monotonic)
        return max(min(times), 0.0)

    def tend(self) -> None:
        """Give up those in line whose time is up, and forget what nobody needs."""
        for line in [line for line in self._board if line.timed]:
            for item in line.take_late(self._clock.now()):
                self._give_up(line.site, item)
        self._board.tend(self._clock.monotonic())

    async def stop(self, seconds: float) -> None:
        """Give back what has not begun, let what is under way end for ``seconds``, then cut it off."""
        self._stopping = True
        self._rests.close()
        await self._routes.close()
        self._give_all_back()
        under_way = list(self._under_way)
        if under_way:
            timer = asyncio.create_task(self._clock.sleep(seconds))
            end = asyncio.create_task(asyncio.wait(under_way))
            await asyncio.wait((timer, end), return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
            end.cancel()
            for promise in under_way:
                promise.cancel()
            await asyncio.gather(timer, end, *under_way, return_exceptions=True)

    # Finding the way ---------------------------------------------------------------

    def _on_route(self, destination: str, answer: Site | Outcome) -> None:
        """The router has answered for all who wait for this destination."""
        if isinstance(answer, Site):
            self._board.lead(destination, answer, self._clock.monotonic())
        for unrouted in self._unrouted.pop(destination, ()):
            if unrouted.answer(destination, answer):
                self._spread(unrouted)

    def _spread(self, unrouted: Unrouted) -> None:
        """All ways are known: those who stand in one line travel together."""
        for site, recipients in unrouted.by_line():
            line = self._board.line(site, self._clock.monotonic())
            self._board.note_aliases(line, recipients)
            most = self._gate.together(site)
            for first in range(0, len(recipients), most):
                self._enqueue(line, Item(unrouted.held, tuple(recipients[first : first + most])))
        for destination, outcome, recipients in unrouted.without_site():
            outcomes = {one.number: outcome for one in recipients}
            self._record(Item(unrouted.held, tuple(recipients)), outcomes, None, 0.0, destination)

    def _drain_unrouted(self) -> list[Item]:
        """Send all away whose ways are being looked up, each message whole."""
        waiting = {id(one): one for some in self._unrouted.values() for one in some}.values()
        self._unrouted.clear()
        return [
            Item(one.held, tuple([each for some in one.by_destination.values() for each in some])) for one in waiting
        ]

    def _without_paused(self, held: Held, recipients: tuple[QueuedRecipient, ...]) -> tuple[QueuedRecipient, ...]:
        """Put off whom a pause of a domain or a sender concerns. Returns the others."""
        sender, now = held.message.envelope.reverse_path, self._clock.now()
        going: list[QueuedRecipient] = []
        for one in recipients:
            domain = one.recipient.address.domain
            pause = self._pauses.of_recipient(sender, domain)
            if pause is None:
                going.append(one)
                continue
            if pause.kind is PauseKind.DOMAIN:
                self._paused.add(one.waits_under)
            self._record(Item(held, (one,)), {one.number: paused(pause, now)}, None, 0.0, one.waits_under)
        return tuple(going)

    def _enqueue(self, line: Line, item: Item) -> None:
        """Stand in line, unless it is shut or too long."""
        refusal = None
        if line.failures or line.rests_long or line.pause is not None:
            refusal = line.refusal(self._clock.monotonic(), self._clock.now())
        if refusal is not None:
            self._put_off(line, item, refusal)
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
        """Take one more place for the line, now or when one of all connections is free."""
        if not line.may_start:
            return
        if self._active < self._concurrency:
            line.active += 1
            line.berths.active += 1
            line.berths.take_turn(line)
            self._active += 1
            self._serve(line)
        else:
            self._queue_line(line)

    def _queue_line(self, line: Line) -> None:
        """Let the line wait for its turn, which comes sooner where someone in it has a higher priority."""
        priority = line.items.first_priority
        if line.queued is not None:
            if priority <= line.queued:
                return
            self._queued_lines.remove(line, line.queued)
        line.queued = priority
        self._queued_lines.push(line, priority, self._clock.monotonic())

    def _serve(self, line: Line) -> None:
        """Use a place: for the first in line who may go, else for another line."""
        under_way = False
        try:
            while line.waiting and not line.rests_until:
                under_way = self._attempt(line, line.pop())
                if under_way or not self._may_go_on(line):
                    break
        finally:
            if not under_way:
                self._leave(line)

    def _may_go_on(self, line: Line) -> bool:
        """Whether the next in line may have a place that the line has."""
        if line.starved and line.waiting * 4 <= line.share:
            line.starved = False
            self._hungry()
        return line.may_continue and not (self._queued_lines or line.berths.must_share(line))

    def _leave(self, line: Line) -> None:
        """Give up a place of the line, until it is empty or because another line's turn has come."""
        line.active -= 1
        line.berths.active -= 1
        self._active -= 1
        line.used_at = self._clock.monotonic()
        for one in line.berths.lines:
            if one.may_start:
                self._queue_line(one)
        if self._queued_lines and not self._calling:
            self._call()

    def _call(self) -> None:
        """Let those lines go whose turn has come. A line that leaves at once does not call the next from within."""
        self._calling = True
        try:
            while self._queued_lines and self._active < self._concurrency:
                first = self._queued_lines.pop()
                first.queued = None
                self._start(first)
        finally:
            self._calling = False

    def _attempt(self, line: Line, item: Item) -> bool:
        """One request to the carrier. False where it cannot be made, or not now."""
        held = item.held
        now = self._clock.now()
        if now >= held.until:  # it could not be renewed; another node may have it by now
            self._give_back(item)
            return False
        if held.deadline is not None and now >= held.deadline:
            self._give_up(line.site, item)
            return False
        started = self._clock.monotonic()
        grant = self._gate.ask(line.site, len(item.recipients), started)
        if isinstance(grant, Wait):
            self._rest(line, item, grant, started)
            return False
        request = DeliveryRequest(held.message, item.recipients, line.site, held.content, grant.source)
        promise = self._carriage.deliver(request)
        self._under_way.add(promise)
        promise.add_done_callback(partial(self._ended, line, item, grant, started))
        return True

    def _ended(self, line: Line, item: Item, grant: Grant, started: float, promise: Promise) -> None:
        """What a request means for the recipients and for the site; then the next may go."""
        self._under_way.discard(promise)
        try:
            if not promise.cancelled():
                outcomes = self._carriage.outcomes(item.recipients, promise)
                ended = self._clock.monotonic()
                self._gate.learn(line, grant, outcomes, ended)
                first_pause = self._settings.first_retry / 5
                died = line.note(outcomes.values(), ended, first_pause, self._settings.first_retry)
                self._record(item, outcomes, line.site, ended - started)
                if died:
                    self._shut(line)
        finally:
            if self._may_go_on(line):
                self._serve(line)
                self._start(line)  # a site that answers again is given more, one at a time
            else:
                self._leave(line)

    def _rest(self, line: Line, item: Item, wait: Wait, monotonic: float) -> None:
        """The first in line may not go yet: nor may the others, for a while in memory, for long in the store."""
        line.put_back(item)
        seconds = max(wait.seconds, _SHORTEST_REST)
        line.rest(monotonic + seconds, seconds, wait.reason)
        self._rests.add(line)
        if line.rests_long:
            self._shut(line)

    def _woken(self, line: Line) -> None:
        """The rest of a line is over."""
        was_shut = line.rests_long
        line.wake()
        self._gate.widen(line)
        self._start(line)
        if was_shut:
            self._hungry()

    def _shut(self, line: Line) -> None:
        """Send away who waits in a line that is not open any more."""
        refusal = line.refusal(self._clock.monotonic(), self._clock.now())
        if refusal is not None:
            for waiting in line.drain():
                self._put_off(line, waiting, refusal)

    # Letting go --------------------------------------------------------------------

    def _record(
        self, item: Item, outcomes: Mapping[int, Outcome], site: Site | None, seconds: float, destination: str = ""
    ) -> None:
        held = item.held
        done = partial(self._on_settled, held, item.recipients)
        history = held.take_history()
        self._settler.record(
            Attempt(held.message, item.recipients, outcomes, site, seconds, done, held.content, history, destination)
        )

    def _give_up(self, site: Site | None, item: Item) -> None:
        """The time that the sender set is up: no further attempt may be made (RFC 2852 §4.1.3)."""
        outcomes = {one.number: time_is_up(one.last_reply, one.last_peer) for one in item.recipients}
        self._record(item, outcomes, site, 0.0)

    def _put_off(self, line: Line, item: Item, refusal: Deferred) -> None:
        """Nobody goes there now: that is the outcome, without trying."""
        self._record(item, {one.number: refusal for one in item.recipients}, line.site, 0.0)

    def _give_all_back(self) -> None:
        """Nobody waits here any more."""
        for item in (*self._drain_unrouted(), *[item for line in self._board for item in line.drain()]):
            self._give_back(item)

    def _give_back(self, item: Item) -> None:
        """Return recipients to the store unattempted. That they are due is no news to anyone here."""
        held, recipients = item.held, item.recipients

        def done(_due: float | None) -> None:
            self._on_settled(held, recipients, None)

        self._settler.give_back(held.message, recipients, done, held.take_history())
