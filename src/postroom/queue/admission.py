"""The commit that makes a message safe, and its way straight on: a place at the scheduler, and the lease with it."""

import asyncio
import traceback
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol

from postroom.clock import Clock
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.trouble import StoreUnavailable
from postroom.queue.model import Intake, Lease, LeasedMessage
from postroom.queue.outage import Outage
from postroom.queue.store import QueueStore
from postroom.report.events import InternalError
from postroom.report.reporter import Reporter


class ReadyList(Protocol):
    """Where accepted mail goes on without a second read: the scheduler."""

    def reserve(self, destinations: Collection[str], recipients: int, octets: int) -> Lease | None:
        """A place for fresh recipients to ``destinations`` with ``octets`` of content; None: the store keeps them."""
        ...

    def release(self, recipients: int, octets: int) -> None:
        """Give back a place that was reserved and will not be used."""
        ...

    def offer(self, leased: LeasedMessage, lease: Lease) -> None:
        """Use a place that was reserved."""
        ...

    def wake(self) -> None:
        """There is something new in the store."""
        ...


class Admission(Protocol):
    """What the door asks to make a message safe (the queue of this process, or one in a process of its own)."""

    def admit(self, intake: Intake, dsn: Intake | None = None) -> "asyncio.Future[None]":
        """Once it is done, the message is on disk, its DSN with it. StoreUnavailable: nothing has been written.

        ``intake`` has no lease. Cancelling only ends the waiting.
        """
        ...


class QueueAdmission:
    """Admits to the queue of this process. ``outage`` is shared with the scheduler and the settler where there are
    such, so that trouble is told once.
    """

    def __init__(
        self, *, store: QueueStore, ready: ReadyList, clock: Clock, reporter: Reporter, outage: Outage | None = None
    ) -> None:
        self._store = store
        self._ready = ready
        self._clock = clock
        self._reporter = reporter
        self._outage = outage or Outage(reporter)

    def admit(self, intake: Intake, dsn: Intake | None = None) -> "asyncio.Future[None]":
        """Commit, with the lease taken where the scheduler has room; then those who need not wait go straight on."""
        then: Callable[[], None] | None = None
        place = (0, 0)
        if intake.queued:
            fresh = self._fresh(intake)
            if fresh:
                place = len(fresh), len(intake.content or b"")
                lease = self._ready.reserve({one.destination for one in fresh}, *place)
                if lease is None:
                    place = (0, 0)
                else:
                    intake = _leased(intake, lease)
                    then = partial(self._offer, LeasedMessage(intake.message, fresh, intake.content), lease)
            else:
                then = self._ready.wake  # the time of release may be the next at which something is due
        wakes = dsn is not None and bool(dsn.queued)
        done = asyncio.ensure_future(self._store.take_in((intake,) if dsn is None else (intake, dsn)))
        done.add_done_callback(partial(self._committed, place, then, wakes))
        return done

    def _fresh(self, intake: Intake) -> tuple[QueuedRecipient, ...]:
        """Those who may be tried now: neither held nor to be released later."""
        queued, now = intake.queued, self._clock.now()
        for one in queued:
            if one.next_attempt is None or one.next_attempt > now or one.state is _HELD:
                break
        else:  # nearly always
            return queued
        return tuple([one for one in queued if one.state is not _HELD and (one.next_attempt or 0.0) <= now])

    def _committed(
        self, place: tuple[int, int], then: Callable[[], None] | None, wakes: bool, done: "asyncio.Future[None]"
    ) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is not None:
            if place[0]:
                self._ready.release(*place)
            if isinstance(error, StoreUnavailable):
                self._outage.failed("take in", error)
            return
        self._outage.worked("take in")
        if then is not None:
            then()
        if wakes:
            self._ready.wake()

    def _offer(self, leased: LeasedMessage, lease: Lease) -> None:
        try:
            self._ready.offer(leased, lease)
        except Exception as error:  # noqa: BLE001 - a bug: the mail is safe, and due again when its lease ends
            self._reporter.tell(InternalError("offer", repr(error), traceback.format_exc()))


_HELD = RecipientState.HELD


def _leased(intake: Intake, lease: Lease) -> Intake:
    """The same under a lease. By hand: dataclasses.replace takes four times as long."""
    return Intake(
        intake.message,
        intake.content,
        intake.queued,
        intake.entries,
        lease,
        intake.history,
        intake.returned,
        intake.reported,
    )
