"""Counts the reports of the road for Prometheus, for ``metrics``. Labels come from closed sets: no site is one."""

from collections.abc import Callable

from postroom.report.events import Report
from postroom.report.families import Counter, Gauge, Histogram
from postroom.report.road import (
    AddressSuppressed,
    BounceReturned,
    CarriersEnded,
    ComplaintReturned,
    DmarcReportSent,
    QueueEnded,
    SiteBlocked,
    SiteReopened,
    StsPolicyFetched,
    TlsDowngraded,
    TlsReportSent,
    WarmupFull,
)

_KINDS = frozenset({"abuse", "fraud", "virus", "not-spam", "auth-failure"})  # RFC 5965 §7.3, RFC 6591 §3.1


class RoadMetrics:
    """The families, and a handler for each report."""

    def __init__(self) -> None:
        self._blocks = Counter("site_blocks", "Times that a site backed off as a whole.")
        self._blocked = Gauge("sites_blocked", "Sites that are backing off now.")
        self._warmups = Counter("warmup_full", "Days on which a source address had sent what its plan allows.")
        self._downgrades = Counter("tls_downgrades", "MX hosts that offered less TLS than before.")
        self._policies = Counter("sts_policies", "MTA-STS policies that were fetched.", "result")
        self._tls_reports = Counter("tls_reports", "TLSRPT reports that were sent.", "result")
        self._dmarc_reports = Counter("dmarc_reports", "DMARC reports that were sent.", "result")
        self._bounces = Counter("bounces_returned", "Bounces that came back, by cause.", "cause", "permanent")
        self._complaints = Counter("complaints_returned", "Complaints that came back.", "kind")
        self._suppressed = Counter("addresses_suppressed", "Addresses put on the suppression list.")
        self._carriers_ended = Counter("carriers_ended", "Processes that carry mail and ended unasked.")
        self._queue_ended = Counter("queue_ended", "Times that the process that has the queue ended unasked.")
        self.handlers: dict[type[Report], Callable[..., None]] = {
            SiteBlocked: self._site_blocked,
            SiteReopened: self._site_reopened,
            WarmupFull: self._warmup_full,
            TlsDowngraded: self._tls_downgraded,
            StsPolicyFetched: self._sts_policy_fetched,
            TlsReportSent: self._tls_report_sent,
            DmarcReportSent: self._dmarc_report_sent,
            BounceReturned: self._bounce_returned,
            ComplaintReturned: self._complaint_returned,
            AddressSuppressed: self._address_suppressed,
            CarriersEnded: self._carriers_died,
            QueueEnded: self._queue_died,
        }

    @property
    def families(self) -> list[Counter | Gauge | Histogram]:
        """What Prometheus is shown."""
        counters = [self._blocks, self._warmups, self._downgrades, self._policies, self._tls_reports]
        others = [self._dmarc_reports, self._bounces, self._complaints, self._suppressed, self._carriers_ended]
        return [*counters, *others, self._queue_ended, self._blocked]

    def _site_blocked(self, _: SiteBlocked) -> None:
        self._blocks[()] += 1
        self._blocked[()] += 1

    def _site_reopened(self, _: SiteReopened) -> None:
        self._blocked[()] -= 1

    def _warmup_full(self, _: WarmupFull) -> None:
        self._warmups[()] += 1

    def _tls_downgraded(self, _: TlsDowngraded) -> None:
        self._downgrades[()] += 1

    def _sts_policy_fetched(self, report: StsPolicyFetched) -> None:
        self._policies["failed" if report.trouble else "ok",] += 1

    def _tls_report_sent(self, report: TlsReportSent) -> None:
        self._tls_reports["failed" if report.trouble else "ok",] += 1

    def _dmarc_report_sent(self, report: DmarcReportSent) -> None:
        self._dmarc_reports["failed" if report.trouble else "ok",] += 1

    def _bounce_returned(self, report: BounceReturned) -> None:
        self._bounces[report.cause.value, "yes" if report.permanent else "no"] += 1

    def _complaint_returned(self, report: ComplaintReturned) -> None:
        self._complaints[report.kind if report.kind in _KINDS else "other",] += 1

    def _carriers_died(self, _: CarriersEnded) -> None:
        self._carriers_ended[()] += 1

    def _queue_died(self, _: QueueEnded) -> None:
        self._queue_ended[()] += 1

    def _address_suppressed(self, _: AddressSuppressed) -> None:
        self._suppressed[()] += 1
