"""The values of mail that came back, and the port to what is still to be looked at."""

from collections.abc import Sequence
from typing import Protocol

from postroom.mail.message import QueueId
from postroom.mail.value import value
from postroom.mailauth.reports.store import NewReport
from postroom.report.history import HistoryRow
from postroom.reputation.model import Suppression

MOST_NAMES = 20
"""Recipients of one returned mail that are kept: a bounce has one."""


FIRST = QueueId(0)
"""Before every message."""


@value(frozen=True, slots=True)
class ReturnedMail:
    """A message that was taken in and may be a bounce or a complaint. ``recipients`` are those it came for, as text.

    ``content`` is there where no mailbox keeps it: it may have gone on before it is looked at.
    """

    queue_id: QueueId
    received_at: float
    recipients: tuple[str, ...]
    null_sender: bool = True
    content: bytes | None = None


@value(frozen=True, slots=True)
class Finding:
    """What came of looking at a returned mail: rows for the messages that it is about, whom to suppress, and
    what is listed among the reports of others."""

    queue_id: QueueId
    history: tuple[HistoryRow, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    complaints: tuple[NewReport, ...] = ()


class ReturnedStore(Protocol):
    """What is to be looked at is written with its intake. Any method may raise ``StoreUnavailable``."""

    async def pending(self, limit: int, after: QueueId = FIRST) -> Sequence[ReturnedMail]:
        """What is still to be looked at, in order of queue id, those after ``after``."""
        ...

    async def finish(self, findings: Sequence[Finding]) -> Sequence[bool]:
        """Write what came of it, all in one transaction; whether each was still to be done, in order.

        One that was done already (before a crash, by another) writes nothing again.
        """
        ...
