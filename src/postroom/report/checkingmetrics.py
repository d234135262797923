"""Counts checked mail for Prometheus, for ``metrics``. Labels come from closed sets: no domain is one."""

from collections.abc import Callable

from postroom.report.checking import MailChecked
from postroom.report.events import Report
from postroom.report.families import Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class CheckingMetrics:
    """The families, and a handler for each report."""

    def __init__(self) -> None:
        self._results = Counter(
            "checks", "Results of checking incoming mail, one for each signature.", "method", "result"
        )
        self._actions = Counter("checked_mail", "Incoming messages that were checked, and what followed.", "action")
        self._lenient = Counter("checks_softened", "Failing messages that something spoke for.", "kind")
        self._seconds = Histogram("check_seconds", "How long senders waited for the checks.", _BUCKETS)
        self.handlers: dict[type[Report], Callable[..., None]] = {MailChecked: self._mail_checked}

    @property
    def families(self) -> list[Counter | Gauge | Histogram]:
        """What Prometheus is shown."""
        return [self._results, self._actions, self._lenient, self._seconds]

    def _mail_checked(self, report: MailChecked) -> None:
        for method, result, _ in report.results:
            self._results[method, result] += 1
        self._actions[report.action,] += 1
        if report.leniency:
            self._lenient[report.leniency,] += 1
        self._seconds.observe(report.seconds)
