"""Tells once that the store fails and once that it works again, however many callers notice."""

from postroom.report.events import StoreTrouble
from postroom.report.reporter import Reporter

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds between tries while the store fails: doubled each time from the first to the longest."""


class Outage:
    """The standing of the store as its callers in this process see it.

    Each kind of work (``lease``, ``settle``, ``take in``) fails and recovers by itself: a full disk may still be read.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._waits: dict[str, float] = {}

    def failed(self, work: str, error: Exception) -> float:
        """The store failed. Returns the seconds to wait before the next try."""
        if not self._waits:
            self._reporter.tell(StoreTrouble(f"{work}: {error}"))
        wait = min(self._waits.get(work, FIRST_WAIT / 2) * 2, LONGEST_WAIT)
        self._waits[work] = wait
        return wait

    def worked(self, work: str) -> None:
        """The store did what it was asked."""
        if self._waits and self._waits.pop(work, None) is not None and not self._waits:
            self._reporter.tell(StoreTrouble("the store works again", recovered=True))
