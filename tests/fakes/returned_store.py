"""MemoryReturnedStore: the port of mail that came back over lists; its failures are fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroom.mail.message import QueueId
from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.reports.store import NewReport
from postroom.queue.returnmodel import FIRST, Finding, ReturnedMail
from postroom.report.history import HistoryRow
from postroom.reputation.model import Suppression


@dataclass
class MemoryReturnedStore:
    """``history``, ``suppressions`` and ``complaints`` are what findings wrote.

    ``unavailable``: every method raises.
    """

    noted: list[ReturnedMail] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    suppressions: list[Suppression] = field(default_factory=list)
    complaints: list[NewReport] = field(default_factory=list)
    unavailable: bool = False

    async def pending(self, limit: int, after: QueueId = FIRST) -> Sequence[ReturnedMail]:
        self._ask()
        return [one for one in sorted(self.noted, key=lambda each: each.queue_id) if one.queue_id > after][:limit]

    async def finish(self, findings: Sequence[Finding]) -> Sequence[bool]:
        self._ask()
        done = []
        for finding in findings:
            left = [one for one in self.noted if one.queue_id != finding.queue_id]
            done.append(len(left) < len(self.noted))
            if done[-1]:
                self.history += finding.history
                self.suppressions += finding.suppressions
                self.complaints += finding.complaints
            self.noted = left
        return done

    def _ask(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the fake store is unavailable")
