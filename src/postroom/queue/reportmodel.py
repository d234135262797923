"""The values of mail that may bring a report of others, and the port to what is still to be read."""

from collections.abc import Sequence
from typing import Protocol

from postroom.mail.message import QueueId
from postroom.mail.value import value
from postroom.mailauth.reports.store import Kept, NewReport
from postroom.report.history import HistoryRow


@value(frozen=True, slots=True)
class ReportNote:
    """What is noted with the intake of a mail to a report address: ``recipients`` are those addresses, as text.

    ``author`` is the domain that it passed DMARC for, ``""`` for none, None where that was not checked.
    """

    recipients: tuple[str, ...]
    author: str | None = None


@value(frozen=True, slots=True)
class ReportedMail:
    """A message that was taken in and is to be read. ``content`` is None where it is large and stays in the queue."""

    queue_id: QueueId
    received_at: float
    note: ReportNote
    content: bytes | None = None


@value(frozen=True, slots=True)
class ReportFinding:
    """What came of reading one."""

    queue_id: QueueId
    reports: tuple[NewReport, ...] = ()
    history: tuple[HistoryRow, ...] = ()


class ReportedStore(Protocol):
    """What is to be read is written with its intake. Any method may raise ``StoreUnavailable``."""

    async def pending(self, limit: int) -> Sequence[ReportedMail]:
        """What is still to be read, in order of queue id."""
        ...

    async def finish(self, finding: ReportFinding) -> Sequence[Kept] | None:
        """Write what came of it, all in one transaction; what became of each report.

        None if it was done already (before a crash, by another): then nothing is written again. Content that nothing
        else refers to goes.
        """
        ...
