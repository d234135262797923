"""The one door in: every message enters here and is safe when the door says so (DESIGN §4 step 6)."""

from postroom.clock import Clock
from postroom.directory.model import Resolution
from postroom.mail.message import Message
from postroom.queue.admission import Admission
from postroom.queue.dsn import DsnMaker, Resolve
from postroom.queue.expansion import Expansion, build, expand
from postroom.queue.model import Draft, Intake
from postroom.queue.reporting import ReportAddresses
from postroom.queue.returning import Returns
from postroom.queue.signing import Signer, signed
from postroom.queue.ways import BY_DOMAIN, Ways
from postroom.report.events import MessageAccepted
from postroom.report.reporter import Reporter


class IntakeDoor:
    """Takes messages in, whatever brings them: SMTP, submission, the command line.

    ``admission`` makes them safe. ``ways`` say where those go who leave the house. ``returns`` gives recipients return
    paths, and knows what may be a bounce. ``reports`` knows what may be a report of others, ``signer`` signs ours.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        resolve: Resolve,
        dsns: DsnMaker,
        clock: Clock,
        reporter: Reporter,
        ways: Ways = BY_DOMAIN,
        returns: Returns | None = None,
        signer: Signer | None = None,
        reports: ReportAddresses | None = None,
    ) -> None:
        self._admission = admission
        self._resolve = resolve
        self._dsns = dsns
        self._clock = clock
        self._reporter = reporter
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
        intake = build(draft, expansion, now, returned, reported=reported)
        await self._commit(intake, expansion, draft)
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

    async def _commit(self, intake: Intake, expansion: Expansion, draft: Draft) -> None:
        """Write the message, and in the same transaction the DSN that is due at once."""
        if not expansion.reports:
            await self._admission.admit(intake)
            return
        dsn = await self._dsns.make(intake.message, expansion.reports, draft.content, start=draft.content_start)
        await self._admission.admit(intake, dsn)
        if dsn is not None:
            self._dsns.tell(dsn, intake.message, expansion.reports)

    async def _resolve_all(self, draft: Draft) -> tuple[Resolution, ...]:
        return tuple([await self._resolve(recipient.address) for recipient in draft.envelope.recipients])
