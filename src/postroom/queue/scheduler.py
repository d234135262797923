"""Leases what is due, keeps the leases, and hands the messages to the dispatcher (DESIGN §4 step 7).

Memory is bounded by the settings, whatever the length of the queue: what does not fit stays in the store.
"""

import asyncio
import math
import traceback
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from postroom.clock import Clock
from postroom.config.model import QueueSettings
from postroom.mail.delivery import QueuedRecipient, RouteKind
from postroom.mail.message import QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.queue.carrier import Carrier, Router, Shaper
from postroom.queue.dispatch import Dispatcher
from postroom.queue.lines import Held
from postroom.queue.model import (
    Lease,
    LeaseAnswer,
    LeasedMessage,
    LeaseQuestion,
    Orders,
    Pause,
    QueueAction,
    QueueFilter,
)
from postroom.queue.outage import Outage
from postroom.queue.pauses import Pauses
from postroom.queue.putoff import mark_of
from postroom.queue.settle import Settler
from postroom.queue.store import QueueStore
from postroom.report.events import InternalError, LeaseLost
from postroom.report.history import HistoryRow
from postroom.report.reporter import Reporter
from postroom.report.road import QueuePaused

LEASED_AT_ONCE = 1000
"""Recipients of one question to the store."""

_MARGIN = 0.1  # of a lease: an attempt that would begin in this last part of it does not begin


_SHORTEST_PAUSE = 0.01  # seconds between questions that nobody asked for


class Scheduler:
    """The node's share of the queue. ``run`` is its one loop; the door brings fresh mail by ``reserve``, ``offer``."""

    def __init__(
        self,
        *,
        settings: QueueSettings,
        concurrency: int,
        node: str,
        store: QueueStore,
        router: Router,
        shaper: Shaper,
        carriers: Mapping[RouteKind, Carrier],
        settler: Settler,
        clock: Clock,
        reporter: Reporter,
        outage: Outage,
    ) -> None:
        self._settings = settings
        self._node = node
        self._store = store
        self._settler = settler
        self._clock = clock
        self._reporter = reporter
        self._outage = outage
        self._dispatcher = Dispatcher(
            settings=settings,
            concurrency=concurrency,
            router=router,
            shaper=shaper,
            carriers=carriers,
            settler=settler,
            clock=clock,
            reporter=reporter,
            free=lambda: settings.ready - self._places,
            on_settled=self._settled,
            hungry=self.wake,
        )
        self._orders = Orders(0)
        self._pauses_until = math.inf
        self._ended_pauses: deque[Pause] = deque()  # what they put off is still to be let go
        self._held: dict[QueueId, list[Held]] = {}
        self._places = 0
        self._octets = 0
        self._starved = False
        self._alarm = asyncio.Event()
        self._wakes_at = 0.0
        self._stopping = False
        self._ended = asyncio.Event()
        self._ended.set()

    # The door's side ---------------------------------------------------------------

    def reserve(self, destinations: Collection[str], recipients: int, octets: int) -> Lease | None:
        """A place for fresh recipients, and their lease; None where they had better wait in the store."""
        settings = self._settings
        if self._places + recipients > settings.ready or self._octets + octets > settings.ready_octets:
            self._starved = True
            return None
        if self._stopping:
            return None
        for destination in destinations:  # nearly always one
            if self._dispatcher.is_closed(destination):
                return None
        self._places += recipients
        self._octets += octets
        return Lease(self._node, self._clock.now() + settings.lease)

    def release(self, recipients: int, octets: int) -> None:
        """Give back a place that was reserved and will not be used."""
        self._places -= recipients
        self._octets -= octets

    def offer(self, leased: LeasedMessage, lease: Lease) -> None:
        """Take what was leased in the intake commit under a lease of ``reserve``."""
        self._admit(leased, lease)

    def wake(self) -> None:
        """Ask the store now: there is something new, or room for more."""
        self._alarm.set()

    def revive(self, wanted: Callable[[str], bool]) -> None:
        """The sites to which wanted destinations lead are there again: try them now, dead or not."""
        self._dispatcher.revive(wanted)

    # What operators want -----------------------------------------------------------

    async def heed(self) -> None:
        """Hear of pauses, their ends, recalls and flushes. Raises StoreUnavailable.

        To be called at the start, and again and again within a second.
        """
        before = self._orders
        orders = await self._store.orders(before.generation)
        now = self._clock.now()
        if orders is None:
            if now < self._pauses_until and not self._ended_pauses:
                return
            orders = before
        pauses = tuple([pause for pause in orders.pauses if pause.until is None or now < pause.until])
        orders = replace(orders, pauses=pauses)
        self._orders = orders
        self._pauses_until = min((pause.until for pause in pauses if pause.until is not None), default=math.inf)
        if pauses != before.pauses:
            self._dispatcher.pause(Pauses(pauses))
            self._tell_pauses(before.pauses, pauses)
        if before.generation and orders.recalls != before.recalls:
            self._dispatcher.recall()
        if before.generation and orders.flushes != before.flushes:
            self._dispatcher.flush()
        while self._ended_pauses:
            await self._store.act(QueueAction.RESUME, QueueFilter(reply=mark_of(self._ended_pauses[0])), now)
            self._ended_pauses.popleft()
            self.wake()

    def _tell_pauses(self, before: Sequence[Pause], after: Sequence[Pause]) -> None:
        """Report what has changed, and note what may go on."""
        for pause in after:
            if pause not in before:
                self._reporter.tell(QueuePaused(pause.kind.value, pause.subject, pause.author))
        still = {(pause.kind, pause.subject) for pause in after}
        for pause in before:
            if (pause.kind, pause.subject) not in still:
                self._reporter.tell(QueuePaused(pause.kind.value, pause.subject, pause.author, resumed=True))
                self._ended_pauses.append(pause)

    # The loop ----------------------------------------------------------------------

    async def run(self) -> None:
        """Lease and serve until ``drain``."""
        self._ended.clear()
        try:
            while not self._stopping:
                await self._sleep(await self._turn())
        finally:
            self._ended.set()

    async def drain(self, seconds: float) -> None:
        """Stop: give back what has not begun, let what is under way end for ``seconds``, write what is known."""
        self._stopping = True
        self._alarm.set()
        ends_at = self._clock.monotonic() + seconds
        await self._dispatcher.stop(seconds)
        finish = asyncio.create_task(self._finish())
        timer = asyncio.create_task(self._clock.sleep(max(ends_at - self._clock.monotonic(), 1.0)))
        await asyncio.wait((finish, timer), return_when=asyncio.FIRST_COMPLETED)
        for task in (finish, timer):
            task.cancel()
        await asyncio.gather(finish, timer, return_exceptions=True)
        await self._settler.close()

    async def _finish(self) -> None:
        await self._ended.wait()
        await self._settler.finish()

    async def _turn(self) -> float:
        """One round of the loop. Returns the seconds to wait for the next."""
        try:
            await self._renew()
            pause = await self._fill()
            self._outage.worked("lease")
        except StoreUnavailable as error:
            pause = self._outage.failed("lease", error)
        except Exception as error:  # noqa: BLE001 - mail must not stop for a bug: it is told, and tried again
            trace = "".join(traceback.format_exception(error))
            self._reporter.tell(InternalError("scheduler", repr(error), trace))
            pause = max(self._settings.poll, 1.0)
        self._dispatcher.tend()
        return pause

    async def _fill(self) -> float:
        """Lease as much as there is room for. Returns the seconds until there is a reason to ask again."""
        settings = self._settings
        pause = settings.poll
        while not self._stopping:
            room = min(settings.ready - self._places, LEASED_AT_ONCE)
            if room <= 0:
                self._starved = True
                break
            share = max(1, min(settings.ready_per_site, settings.ready - self._places) // 2)
            now = self._clock.now()
            lease = Lease(self._node, now + settings.lease)
            self._starved = False
            question = LeaseQuestion(now, lease, room, share, self._dispatcher.excluded(), self._dispatcher.shares())
            self._places += room  # kept free while the store answers
            try:
                answer = await self._store.lease(question)
            finally:
                self._places -= room
            leased = self._take(answer, lease)
            if leased < room:
                self._starved = self._starved or leased >= share
                if answer.next_due is not None:
                    pause = min(pause, max(answer.next_due - self._clock.now(), 0.0))
                break
        return max(min(pause, self._dispatcher.next_change()), _SHORTEST_PAUSE)

    def _take(self, answer: LeaseAnswer, lease: Lease) -> int:
        """Hold what was leased. Returns how many recipients that were."""
        count = 0
        for leased in answer.messages:
            count += len(leased.recipients)
            fresh = self._without_held(leased, lease) if leased.message.queue_id in self._held else leased
            if fresh.recipients:
                self._places += len(fresh.recipients)
                self._octets += len(fresh.content or b"")
                self._admit(fresh, lease)
        return count

    def _without_held(self, leased: LeasedMessage, lease: Lease) -> LeasedMessage:
        """Without recipients that we have in hand still: their lease ran out before it could be renewed, and it is ours
        again. To begin anew would deliver them twice.
        """
        in_hand: set[int] = set()
        for held in self._held[leased.message.queue_id]:
            held.until = self._good_until(lease)
            in_hand |= held.open
        recipients = tuple(one for one in leased.recipients if one.number not in in_hand)
        return LeasedMessage(leased.message, recipients, leased.content, leased.lost_leases)

    def _admit(self, leased: LeasedMessage, lease: Lease) -> None:
        held = Held(leased, self._good_until(lease))
        if leased.lost_leases:
            held.history = self._tell_lost(leased)
        self._held.setdefault(leased.message.queue_id, []).append(held)
        self._dispatcher.admit(held, leased.recipients)

    def _settled(self, held: Held, recipients: tuple[QueuedRecipient, ...], due: float | None) -> None:
        """The store has what became of some recipients of a held message."""
        self._places -= len(recipients)
        for one in recipients:
            held.open.discard(one.number)
        if not held.open:
            self._octets -= held.octets
            together = self._held[held.message.queue_id]
            together.remove(held)
            if not together:
                del self._held[held.message.queue_id]
        if due is not None and due < self._wakes_at:
            self._alarm.set()
        if self._starved and self._places * 2 <= self._settings.ready:
            self._starved = False
            self._alarm.set()

    async def _renew(self) -> None:
        """Prolong the leases in the second half of their life."""
        now = self._clock.now()
        half = self._settings.lease / 2
        due = [held for together in self._held.values() for held in together if held.until - now < half]
        if due:
            lease = Lease(self._node, now + self._settings.lease)
            await self._store.renew([held.message.queue_id for held in due], lease)
            for held in due:
                held.until = self._good_until(lease)

    def _good_until(self, lease: Lease) -> float:
        return lease.until - self._settings.lease * _MARGIN

    def _tell_lost(self, leased: LeasedMessage) -> tuple[HistoryRow, ...]:
        """Report attempts whose end nobody saw; the rows are written with the next settlement."""
        rows = []
        now = self._clock.now()
        for one in leased.recipients:
            if one.number in leased.lost_leases:
                address = one.recipient.address
                queue_id = leased.message.queue_id
                self._reporter.tell(LeaseLost(queue_id, str(address)))
                rows.append(HistoryRow(queue_id, now, "recovered", str(address), address.domain))
        return tuple(rows)

    async def _sleep(self, seconds: float) -> None:
        """Wait for the time to pass, or for someone to wake us."""
        if not self._stopping and seconds > 0:
            self._wakes_at = self._clock.now() + seconds
            timer = asyncio.create_task(self._ring_after(seconds))
            try:
                await self._alarm.wait()
            finally:
                timer.cancel()
        self._alarm.clear()

    async def _ring_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._alarm.set()
