"""The one door in: every message enters here and is safe when the door says so (DESIGN §4 step 6)."""

import traceback
from collections.abc import Collection
from typing import Protocol

from postroom.clock import Clock
from postroom.directory.model import Resolution
from postroom.mail.delivery import RecipientState
from postroom.mail.message import Message
from postroom.mail.trouble import StoreUnavailable
from postroom.queue.dsn import DsnMaker, Resolve
from postroom.queue.expansion import Expansion, build, expand
from postroom.queue.model import Draft, Intake, Lease, LeasedMessage
from postroom.queue.outage import Outage
from postroom.queue.reporting import ReportAddresses
from postroom.queue.reportmodel import ReportNote
from postroom.queue.returning import Returns
from postroom.queue.signing import Signer, signed
from postroom.queue.store import QueueStore
from postroom.queue.ways import BY_DOMAIN, Ways
from postroom.report.events import InternalError, MessageAccepted
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


class IntakeDoor:
    """Takes messages in, whatever brings them: SMTP, submission, the command line.

    ``ways`` say where those go who leave the house. ``outage`` is shared with the scheduler and the settler where there
    are such, so that trouble is told once. ``returns`` gives recipients return paths, and knows what may be a bounce.
    ``reports`` knows what may be a report of others; ``signer`` signs what is ours.
    """

    def __init__(
        self,
        *,
        store: QueueStore,
        ready: ReadyList,
        resolve: Resolve,
        dsns: DsnMaker,
        clock: Clock,
        reporter: Reporter,
        outage: Outage | None = None,
        ways: Ways = BY_DOMAIN,
        returns: Returns | None = None,
        signer: Signer | None = None,
        reports: ReportAddresses | None = None,
    ) -> None:
        self._store = store
        self._ready = ready
        self._resolve = resolve
        self._dsns = dsns
        self._clock = clock
        self._reporter = reporter
        self._outage = outage or Outage(reporter)
        self._ways = ways
        self._returns = returns
        self._signer = signer
        self._reports = reports

    async def accept(self, draft: Draft) -> Message:
        """On return the message is on disk, placed or queued, and its DSN-on-success with it: ``250`` may be said.

        Raises StoreUnavailable; then nothing has been written.
        """
        started = self._clock.monotonic()
        resolutions = draft.resolutions or await self._resolve_all(draft)
        if self._signer is not None:
            draft = await signed(draft, self._signer, resolutions)
        now = self._clock.now()
        returned: tuple[str, ...] = ()
        ways, returns = self._ways, self._returns
        reported = None if self._reports is None else self._reports.note_of(draft, resolutions)
        if returns is not None:
            returned = returns.may_be_returned(draft, resolutions)
            if returned and reported is not None:  # it is read once
                returned = tuple([name for name in returned if name not in reported.recipients])
            if returns.may_mark(draft, resolutions):
                marks = await returns.marks_for(draft, resolutions)
                if marks is not None:
                    ways = ways.marked(marks)
        expansion = expand(draft, resolutions, now, ways)
        if len(expansion.queued) > expansion.held and expansion.release_at is None:
            intake = await self._take_in_leased(draft, expansion, now, returned, reported=reported)
        else:
            intake = build(draft, expansion, None, now, returned, reported=reported)
            await self._commit(intake, expansion, draft)
            if expansion.queued:
                self._ready.wake()  # the time of release may be the next at which something is due
        message = intake.message
        self._reporter.tell(
            MessageAccepted(
                message,
                draft.client,
                tuple(expansion.placed),
                tuple([str(queued.recipient.address) for queued in intake.queued]),
                self._clock.monotonic() - started,
            )
        )
        return message

    async def _take_in_leased(
        self,
        draft: Draft,
        expansion: Expansion,
        now: float,
        returned: tuple[str, ...],
        reported: ReportNote | None,
    ) -> Intake:
        """Commit with the lease taken where the scheduler has room, and go straight on to it."""
        recipients, octets = len(expansion.queued) - expansion.held, len(draft.content or b"")
        lease = self._ready.reserve(expansion.destinations, recipients, octets)
        intake = build(draft, expansion, lease, now, returned, reported=reported)
        try:
            await self._commit(intake, expansion, draft)
        except BaseException:
            if lease is not None:
                self._ready.release(recipients, octets)
            raise
        if lease is not None:
            queued = intake.queued
            if expansion.held:
                queued = tuple([one for one in queued if one.state is not RecipientState.HELD])
            try:
                self._ready.offer(LeasedMessage(intake.message, queued, draft.content), lease)
            except Exception as error:  # noqa: BLE001 - a bug: the mail is safe, and due again when its lease ends
                self._reporter.tell(InternalError("offer", repr(error), traceback.format_exc()))
        return intake

    async def _commit(self, intake: Intake, expansion: Expansion, draft: Draft) -> None:
        """Write the message, and in the same transaction the DSN that is due at once."""
        dsn = None
        if expansion.reports:
            dsn = await self._dsns.make(intake.message, expansion.reports, draft.content, start=draft.content_start)
        try:
            await self._store.take_in((intake,) if dsn is None else (intake, dsn))
        except StoreUnavailable as error:
            self._outage.failed("take in", error)
            raise
        self._outage.worked("take in")
        if dsn is None:
            return
        self._dsns.tell(dsn, intake.message, expansion.reports)
        if dsn.queued:
            self._ready.wake()

    async def _resolve_all(self, draft: Draft) -> tuple[Resolution, ...]:
        return tuple([await self._resolve(recipient.address) for recipient in draft.envelope.recipients])
