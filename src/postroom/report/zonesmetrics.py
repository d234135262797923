"""Counts the reports of the DNS for Prometheus, for ``metrics``. Labels come from closed sets: no domain is one."""

from collections.abc import Callable

from postroom.report.events import Report
from postroom.report.families import Counter, Gauge, Histogram
from postroom.report.zones import DnsBroken, DnsLooked, DnsMended


class ZoneMetrics:
    """The families, and a handler for each report."""

    def __init__(self) -> None:
        self._findings = Gauge("dns_findings", "What is wrong in the DNS of the host and of our domains.", "level")
        self._broken = Counter("dns_broken", "Faults that appeared where the DNS was right before.", "level")
        self._mended = Counter("dns_mended", "Such faults that are gone.")
        self.handlers: dict[type[Report], Callable[..., None]] = {
            DnsBroken: self._dns_broken,
            DnsMended: self._dns_mended,
            DnsLooked: self._dns_looked,
        }

    @property
    def families(self) -> list[Counter | Gauge | Histogram]:
        """What Prometheus is shown."""
        return [self._findings, self._broken, self._mended]

    def _dns_broken(self, report: DnsBroken) -> None:
        self._broken["error" if report.level == "error" else "warning",] += 1

    def _dns_mended(self, _: DnsMended) -> None:
        self._mended[()] += 1

    def _dns_looked(self, report: DnsLooked) -> None:
        self._findings["error",] = report.errors
        self._findings["warning",] = report.warnings
