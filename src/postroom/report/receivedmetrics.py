"""Counts reports of others for Prometheus, for ``metrics``. Labels come from closed sets: no reporter is one."""

from collections.abc import Callable

from postroom.report.events import Report
from postroom.report.families import Counter
from postroom.report.received import ReportReceived, ReportUnread


class ReceivedMetrics:
    """The families, and a handler for each report."""

    def __init__(self) -> None:
        self._reports = Counter("reports_received", "Reports of others about our mail.", "kind", "outcome")
        self._counted = Counter(
            "reported", "Messages (sessions of TLS reports) in reports that were kept.", "kind", "result"
        )
        self._unread = Counter("reports_unreadable", "Mail to report addresses that could not be read as a report.")
        self.handlers: dict[type[Report], Callable[..., None]] = {
            ReportReceived: self._report_received,
            ReportUnread: self._report_unread,
        }

    @property
    def families(self) -> list[Counter]:
        """What Prometheus is shown."""
        return [self._reports, self._counted, self._unread]

    def _report_received(self, report: ReportReceived) -> None:
        self._reports[report.kind, report.outcome] += 1
        if report.outcome == "new":
            self._counted[report.kind, "passed"] += report.passed
            self._counted[report.kind, "failed"] += report.failed

    def _report_unread(self, _: ReportUnread) -> None:
        self._unread[()] += 1
