"""Reads reports of others about our mail, after they are safe, and notes what they tell.

Which mail is to be read is noted with its intake and stays noted until what it tells is written, in one transaction,
so that a crash neither loses nor doubles anything. Nobody is ever told of a report that cannot be read but us.
"""

import asyncio
import threading
import traceback
from collections.abc import Callable

from postroom.clock import Clock
from postroom.config.reports import ReportsSettings
from postroom.mail.message import QueueId
from postroom.mailauth.reports.model import Report, Unreadable, UnreadableReport
from postroom.mailauth.reports.plain import counts_of, domain_of, kind_of
from postroom.mailauth.reports.store import Kept, NewReport
from postroom.mailauth.reports.unpack import MOST_CONTENT, Breathe, sender_of
from postroom.queue.carrier import ContentSource
from postroom.queue.expansion import to_json
from postroom.queue.reportmodel import ReportedMail, ReportedStore, ReportFinding
from postroom.report.events import InternalError
from postroom.report.history import HistoryRow
from postroom.report.received import ReportReceived, ReportUnread
from postroom.report.reporter import Reporter

MOST_AT_ONCE = 200
"""Mails that are read in one go."""

REST = 0.02
"""Seconds of rest after each piece (64 KiB) of a report, which takes some 10 ms: a flood leaves the machine to mail."""

LOOKS = 4
"""How many times ``max_per_day`` mails are read that come to one domain on one day; the others are not even opened."""

_TOGETHER = 10
_DAY = 86400.0
_LONGEST = 300
_MOST_COUNTED = 10_000  # domains whose mails of this day are counted

ReadReports = Callable[[bytes, Breathe], tuple[Report, ...]]
"""``mailauth.reports.unpack.read_message``."""


class _Ended(Exception):
    """The server stops: what is being read is read again when it is back."""


class _Breath:
    """What a reader calls between pieces: it rests, and ends where nobody waits for the reader any more."""

    def __init__(self, rest: float) -> None:
        self._rest = rest
        self._ended = threading.Event()

    def __call__(self) -> None:
        if self._ended.wait(self._rest):
            raise _Ended

    def end(self) -> None:
        """Let the reader stop soon."""
        self._ended.set()


class ReportDesk:
    """``work`` is for every second or so."""

    def __init__(
        self,
        *,
        store: ReportedStore,
        contents: ContentSource,
        read: ReadReports,
        settings: ReportsSettings,
        clock: Clock,
        reporter: Reporter,
        rest: float = REST,
    ) -> None:
        self._store = store
        self._contents = contents
        self._read = read
        self._settings = settings
        self._clock = clock
        self._reporter = reporter
        self._rest = rest
        self._day = 0.0
        self._looks: dict[str, int] = {}

    async def work(self) -> int:
        """Read what is noted; returns how many are done. Raises StoreUnavailable.

        So many at once and no more: a flood of reports must not take the time of the mail that comes in.
        """
        count = 0
        while count < MOST_AT_ONCE and (pending := await self._store.pending(_TOGETHER)):
            for mail in pending:
                await self._work(mail)
                count += 1
        return count

    async def _work(self, mail: ReportedMail) -> None:
        domain = mail.note.recipients[0].rpartition("@")[2] if mail.note.recipients else ""
        content = b""
        try:
            if not self._may_look(domain):
                raise Unreadable("more came to this domain on this day than is read: see reports.max_per_day")
            content = await self._content_of(mail)
            reports = await self._reports_in(content)
        except Unreadable as error:
            await self._give_up(mail, domain, content, str(error))
            return
        except Exception as error:  # noqa: BLE001 - one mail that nobody foresaw must not stop the others
            trace = "".join(traceback.format_exception(error))
            self._reporter.tell(InternalError("received report", repr(error), trace))
            await self._give_up(mail, domain, content, "reading it failed, which is a fault of this server")
            return
        new = [self._new(mail, domain, report) for report in reports]
        history = [self._row(mail, _detail(report)) for report in reports]
        kept = await self._store.finish(ReportFinding(mail.queue_id, tuple(new), tuple(history)))
        for report, outcome in zip(reports, kept or (), strict=False):
            self._tell(mail, report, outcome)

    async def _give_up(self, mail: ReportedMail, domain: str, content: bytes, reason: str) -> None:
        reason, sender = reason[:_LONGEST], sender_of(content)
        report = UnreadableReport(domain, reason, sender)
        new = self._new(mail, domain, report)
        row = self._row(mail, {"trouble": reason})
        if await self._store.finish(ReportFinding(mail.queue_id, (new,), (row,))) is not None:
            self._reporter.tell(ReportUnread(mail.queue_id, domain, sender, reason))

    async def _reports_in(self, content: bytes) -> tuple[Report, ...]:
        breath = _Breath(self._rest)
        try:
            return await asyncio.to_thread(self._read, content, breath)
        finally:
            breath.end()

    async def _content_of(self, mail: ReportedMail) -> bytes:
        """All of it. Raises Unreadable where it is too much; then no more is fetched than is known to be too much."""
        if mail.content is not None:
            return mail.content
        content = bytearray()
        try:
            async for piece in self._contents.read_content(mail.queue_id):
                content += piece
                if len(content) > MOST_CONTENT:
                    raise Unreadable(f"it is larger than {MOST_CONTENT >> 20} MiB")
        except KeyError as error:
            raise Unreadable("its content is gone") from error
        return bytes(content)

    def _may_look(self, domain: str) -> bool:
        today = self._clock.now() // _DAY
        if today != self._day or len(self._looks) > _MOST_COUNTED:
            self._day, self._looks = today, {}
        self._looks[domain] = self._looks.get(domain, 0) + 1
        return self._looks[domain] <= LOOKS * self._settings.max_per_day

    def _new(self, mail: ReportedMail, domain: str, report: Report) -> NewReport:
        at = mail.received_at
        most = self._settings.max_per_day
        return NewReport(report, at, domain, mail.queue_id, mail.note.author, most, at - at % _DAY)

    def _row(self, mail: ReportedMail, detail: dict[str, object]) -> HistoryRow:
        name = mail.note.recipients[0] if mail.note.recipients else ""
        domain = name.rpartition("@")[2]
        return HistoryRow(mail.queue_id, self._clock.now(), "reported", name, domain, "", to_json(detail))

    def _tell(self, mail: ReportedMail, report: Report, outcome: Kept) -> None:
        passed, failed = counts_of(report)
        about = kind_of(report).value, domain_of(report), report.reporter, report.report_id
        author = mail.note.author
        self._reporter.tell(ReportReceived(QueueId(mail.queue_id), *about, passed, failed, author, outcome.value))


def _detail(report: Report) -> dict[str, object]:
    passed, failed = counts_of(report)
    about: dict[str, object] = {"kind": kind_of(report).value, "reporter": report.reporter, "about": domain_of(report)}
    return about | {"report_id": report.report_id, "passed": passed, "failed": failed}
