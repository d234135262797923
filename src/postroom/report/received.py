"""Reports (events) of what others reported about our mail: one was read, or could not be.

As in ``events``: frozen, telling never decides. What they hold is what a stranger wrote, made printable and cut.
"""

from postroom.mail.message import QueueId
from postroom.mail.value import value


@value(frozen=True, slots=True)
class ReportReceived:
    """A report was read. ``kind``: dmarc, tls, failure, complaint. ``passed`` and ``failed`` are messages or sessions.

    ``author`` is the domain that its mail passed DMARC for, ``""`` for none, None where that is not known. ``outcome``:
    new, known (it was here already), too many (on that day: it is not kept).
    """

    queue_id: QueueId
    kind: str
    domain: str
    reporter: str
    report_id: str
    passed: int
    failed: int
    author: str | None
    outcome: str


@value(frozen=True, slots=True)
class ReportUnread:
    """Mail to a report address could not be read as a report. ``domain`` is that of the address."""

    queue_id: QueueId
    domain: str
    reporter: str
    reason: str


ReceivedReport = ReportReceived | ReportUnread
