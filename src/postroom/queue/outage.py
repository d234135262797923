"""Tells once that the store fails and once that it works again, however many callers notice."""

from postroom.report.events import StoreTrouble
from postroom.report.reporter import Reporter

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds between tries while the store fails: doubled each time from the first to the longest."""


class Outage:
    """The standing of the store as its callers in this process see it."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._wait = 0.0

    def failed(self, error: Exception) -> float:
        """The store failed. Returns the seconds to wait before the next try."""
        if not self._wait:
            self._reporter.tell(StoreTrouble(str(error)))
        self._wait = min(self._wait * 2, LONGEST_WAIT) if self._wait else FIRST_WAIT
        return self._wait

    def worked(self) -> None:
        """The store did what it was asked."""
        if self._wait:
            self._wait = 0.0
            self._reporter.tell(StoreTrouble("the store works again", recovered=True))
