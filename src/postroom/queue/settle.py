"""The one door out: records outcomes, schedules the retry, or gives up and tells the sender (DESIGN §4 step 7).

An outcome that is known is kept until the store has it, because a message that was delivered must not be delivered
twice. ``record`` never blocks; settlements that come together are written together.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from postroom.clock import Clock
from postroom.config.model import QueueSettings
from postroom.config.road import SuppressionSettings
from postroom.mail.delivery import Deferred, Delivered, Failed, Outcome, QueuedRecipient, RecipientState, Site
from postroom.mail.message import Message, show_queue_id
from postroom.mail.notice import Action, RecipientReport, gravest
from postroom.mail.trouble import StoreUnavailable
from postroom.mail.value import value
from postroom.queue.deadlines import in_time
from postroom.queue.dsn import POSTMASTER, DsnMaker
from postroom.queue.expansion import to_json
from postroom.queue.model import Intake, Settlement
from postroom.queue.outage import Outage
from postroom.queue.schedules import Schedules
from postroom.queue.standing import history_row, judge, report_of, says_no_more
from postroom.queue.store import QueueStore
from postroom.report.events import AttemptMade, InternalError
from postroom.report.history import HistoryRow
from postroom.report.reporter import Reporter
from postroom.report.road import AddressSuppressed
from postroom.reputation.model import Suppression
from postroom.reputation.noting import after_failure

MAX_TOGETHER = 500
"""Settlements in one call of the store."""

MAX_NOTICES = 8
"""DSNs that are composed at once: each may hold a returned message in memory."""

Done = Callable[[float | None], None]
"""Called when the store has the settlement, with the time at which something of it is due again (None: nothing is)."""


@value(frozen=True, slots=True)
class Attempt:
    """What the scheduler hands over: one message, some of its recipients, and an outcome for each by its number.

    ``seconds`` is how long it took; ``history`` are rows to write along; ``content`` is there if it still is at hand.
    ``destination`` is what the recipients wait under where there is no site. ``gives_up``: who is deferred has expired.
    """

    message: Message
    recipients: tuple[QueuedRecipient, ...]
    outcomes: Mapping[int, Outcome]
    site: Site | None
    seconds: float
    done: Done
    content: bytes | None = None
    history: tuple[HistoryRow, ...] = ()
    destination: str = ""
    gives_up: bool = False


@value(frozen=True, slots=True)
class _Writing:
    """A settlement on its way to the store, and what is told and called when it has arrived."""

    settlement: Settlement
    done: Done
    attempt: Attempt | None = None
    reports: tuple[RecipientReport, ...] = ()


class Settler:
    """Turns outcomes into settlements and sees them into the store.

    ``suppression``: what failed for the address's own sake is noted with the settlement; None: it is not.
    """

    def __init__(
        self,
        *,
        settings: QueueSettings,
        node: str,
        store: QueueStore,
        dsns: DsnMaker,
        clock: Clock,
        reporter: Reporter,
        outage: Outage,
        chance: Callable[[], float],
        schedules: Schedules | None = None,
        suppression: SuppressionSettings | None = None,
    ) -> None:
        self._settings = settings
        self._schedules = schedules or Schedules(settings)
        self._node = node
        self._store = store
        self._dsns = dsns
        self._clock = clock
        self._reporter = reporter
        self._outage = outage
        self._chance = chance
        self._suppression = suppression
        self._pending: deque[_Writing] = deque()
        self._to_notify: deque[_Writing] = deque()
        self._flusher: asyncio.Task[None] | None = None
        self._notifiers: set[asyncio.Task[None]] = set()

    def record(self, attempt: Attempt) -> None:
        """Take the outcomes of an attempt. ``attempt.done`` is called when they are safe."""
        now = self._clock.now()
        chance = self._chance()  # one for all of them, so that those who travelled together meet again
        message, site = attempt.message, attempt.site
        if message.envelope.deliver_by is not None:
            outcomes = {number: in_time(message, outcome, now) for number, outcome in attempt.outcomes.items()}
            attempt = replace(attempt, outcomes=outcomes)
        if site is None:
            settings = self._schedules.at(attempt.destination)
        else:
            settings = self._schedules.named(site.schedule) if site.schedule else self._settings
        recipients: list[QueuedRecipient] = []
        reports: list[RecipientReport] = []
        history = list(attempt.history)
        suppressions: list[Suppression] = []
        for one in attempt.recipients:
            outcome = attempt.outcomes[one.number]
            stands = judge(
                settings, message, one, outcome, site=site, now=now, chance=chance, gives_up=attempt.gives_up
            )
            report = report_of(settings, message, one, stands, outcome)
            if report is not None:
                reports.append(report)
            recipients.append(stands)
            if isinstance(outcome, Delivered) or not says_no_more(one, stands, outcome):
                history.append(history_row(message, stands, outcome, now, attempt.seconds))
            if isinstance(outcome, Failed) and self._suppression is not None:
                event = after_failure(
                    self._suppression, message, one.recipient.address, outcome.cause, reason=str(outcome.reply), now=now
                )
                if event is not None:
                    suppressions.append(event)
        settlement = Settlement(
            message.queue_id, self._node, tuple(recipients), None, tuple(history), tuple(suppressions)
        )
        writing = _Writing(settlement, attempt.done, attempt, tuple(reports))
        if self._owes_word(message, reports):
            self._to_notify.append(writing)
            if len(self._notifiers) < MAX_NOTICES:
                task = asyncio.create_task(self._notify())
                self._notifiers.add(task)
                task.add_done_callback(self._notifiers.discard)
        else:
            self._write_soon(writing)

    def _owes_word(self, message: Message, reports: list[RecipientReport]) -> bool:
        """Whether somebody is told: the sender, or of failures the postmaster where there is none (RFC 3461 §5.2)."""
        if message.envelope.reverse_path is not None:
            return bool(reports)
        return self._settings.tell_postmaster and any(report.action is Action.FAILED for report in reports)

    def give_back(
        self,
        message: Message,
        recipients: tuple[QueuedRecipient, ...],
        done: Done,
        history: tuple[HistoryRow, ...] = (),
    ) -> None:
        """Return recipients that were leased and not attempted: due at once, no attempt counted."""
        now = self._clock.now()
        returned = tuple(
            QueuedRecipient(
                one.number,
                one.recipient,
                RecipientState.DEFERRED if one.attempts else RecipientState.QUEUED,
                one.attempts,
                now,
                one.last_attempt,
                one.last_reply,
                one.last_peer,
                one.delay_told,
                one.destination,
                one.return_path,
            )
            for one in recipients
        )
        self._write_soon(_Writing(Settlement(message.queue_id, self._node, returned, None, history), done))

    @property
    def is_idle(self) -> bool:
        """Everything that was recorded is in the store."""
        return self._flusher is None and not self._notifiers and not self._pending and not self._to_notify

    async def finish(self) -> None:
        """Return when everything that was recorded is in the store; the caller sets the limit."""
        while not self.is_idle:
            tasks = [*self._notifiers, *([self._flusher] if self._flusher is not None else [])]
            if tasks:
                await asyncio.wait(tasks)
            await asyncio.sleep(0)  # lets the tasks' own callbacks run

    async def close(self) -> None:
        """Stop at once. What is not in the store is lost to this process; its leases end by themselves."""
        tasks = [*self._notifiers, *([self._flusher] if self._flusher is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Writing

    def _write_soon(self, writing: _Writing) -> None:
        self._pending.append(writing)
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        """Write what is pending, all that has come meanwhile at once."""
        try:
            while self._pending:
                batch = [self._pending.popleft() for _ in range(min(len(self._pending), MAX_TOGETHER))]
                await self._write(batch)
        finally:
            self._flusher = None

    async def _write(self, batch: list[_Writing]) -> None:
        """Write until the store has it. One that the store cannot take does not sink its neighbours."""
        while True:
            try:
                await self._store.settle([writing.settlement for writing in batch])
            except StoreUnavailable as error:
                await self._clock.sleep(self._outage.failed("settle", error))
                continue
            except Exception as error:  # noqa: BLE001 - a bug in one settlement must not stop the others
                if len(batch) > 1:
                    for writing in batch:
                        await self._write([writing])
                    return
                self._complain(error)  # its lease ends by itself: tried again rather than lost
                batch[0].done(None)
                return
            break
        self._outage.worked("settle")
        for writing in batch:
            self._settled(writing)

    def _settled(self, writing: _Writing) -> None:
        """Tell what is in the store now."""
        attempt, settlement = writing.attempt, writing.settlement
        due: float | None = None
        for stands in settlement.recipients:
            if stands.next_attempt is not None and (due is None or stands.next_attempt < due):
                due = stands.next_attempt
            if attempt is not None:
                outcome = attempt.outcomes[stands.number]
                if isinstance(outcome, Deferred) and outcome.retry_at is not None and not stands.state.is_final:
                    continue  # nothing was tried
                self._reporter.tell(
                    AttemptMade(
                        settlement.queue_id,
                        str(stands.recipient.address),
                        attempt.site,
                        outcome,
                        stands.state,
                        stands.attempts,
                        stands.next_attempt,
                        attempt.seconds,
                    )
                )
        for event in settlement.suppressions:
            if self._suppression is not None and event.stands(self._suppression.bounces, event.latest):
                self._reporter.tell(
                    AddressSuppressed(event.sender_domain, str(event.recipient), event.cause, event.until)
                )
        dsn = settlement.dsn
        if attempt is not None and dsn is not None:
            self._dsns.tell(dsn, attempt.message, writing.reports)
            if dsn.queued:
                due = dsn.queued[0].next_attempt
        writing.done(due)

    # Telling the sender

    async def _notify(self) -> None:
        """Give each settlement that owes the sender a word its DSN, then let it be written."""
        while self._to_notify:
            writing = self._to_notify.popleft()
            self._write_soon(await self._with_dsn(writing))

    async def _with_dsn(self, writing: _Writing) -> _Writing:
        attempt, settlement = writing.attempt, writing.settlement
        assert attempt is not None  # noqa: S101 - only attempts owe DSNs
        while True:
            try:
                dsn = await self._dsns.make(
                    attempt.message,
                    writing.reports,
                    attempt.content,
                    tell_postmaster=self._settings.tell_postmaster,
                )
            except StoreUnavailable as error:
                await self._clock.sleep(self._outage.failed("DSN", error))
                continue
            except Exception as error:  # noqa: BLE001 - a DSN that cannot be made must not keep the outcome from the store
                self._complain(error)
                return writing
            break
        self._outage.worked("DSN")
        row = self._dsn_row(attempt.message, dsn, writing.reports)
        settled = Settlement(
            settlement.queue_id,
            settlement.node,
            settlement.recipients,
            dsn,
            (*settlement.history, row),
            settlement.suppressions,
        )
        return _Writing(settled, writing.done, attempt, writing.reports)

    def _dsn_row(self, message: Message, dsn: Intake | None, reports: tuple[RecipientReport, ...]) -> HistoryRow:
        """What the history of the message says of its DSN."""
        sender = message.envelope.reverse_path or POSTMASTER
        detail: dict[str, object] = {"action": gravest(reports).value}
        if dsn is None:
            detail["trouble"] = "the address does not exist"
        else:
            detail["queue_id"] = show_queue_id(dsn.message.queue_id)
        name = str(sender)
        return HistoryRow(message.queue_id, self._clock.now(), "dsn", name, sender.domain, "", to_json(detail))

    def _complain(self, error: Exception) -> None:
        self._reporter.tell(InternalError("settle", repr(error), "".join(traceback.format_exception(error))))
