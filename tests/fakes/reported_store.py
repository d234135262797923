"""MemoryReportedStore: the port of mail that may bring a report over lists; its failures are fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.fakes.report_store import MemoryReportStore

from postroom.mail.message import QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.reports.store import Kept
from postroom.queue.reportmodel import ReportedMail, ReportFinding
from postroom.report.history import HistoryRow


@dataclass
class MemoryReportedStore:
    """``unavailable``: every method raises. ``taken`` are messages that another finishes meanwhile."""

    noted: list[ReportedMail] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    reports: MemoryReportStore = field(default_factory=MemoryReportStore)
    taken: set[QueueId] = field(default_factory=set)
    unavailable: bool = False

    async def pending(self, limit: int) -> Sequence[ReportedMail]:
        self._ask()
        return sorted(self.noted, key=lambda each: each.queue_id)[:limit]

    async def finish(self, finding: ReportFinding) -> Sequence[Kept] | None:
        self._ask()
        left = [one for one in self.noted if one.queue_id != finding.queue_id]
        was_open = len(left) < len(self.noted) and finding.queue_id not in self.taken
        self.noted = left
        if not was_open:
            return None
        self.history += finding.history
        return await self.reports.keep(finding.reports)

    def _ask(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the fake store is unavailable")
