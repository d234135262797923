"""MemoryReportStore: the port of received reports over a list; its failures are fields."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.reports.model import AggregateReport, ReportKind, TlsReport
from postroom.mailauth.reports.plain import counts_of, domain_of, kind_of, name_of, period_of
from postroom.mailauth.reports.store import (
    DomainTotal,
    Flow,
    FlowAnswer,
    Kept,
    KeptReport,
    NewReport,
    PartTotal,
    ReportFilter,
    TlsFlow,
)

_WHOLE = (ReportKind.DMARC, ReportKind.TLS)


@dataclass
class MemoryReportStore:
    """``kept`` are all reports, whole. ``unavailable``: every method raises."""

    kept: list[KeptReport] = field(default_factory=list)
    unavailable: bool = False
    _number: int = 0

    async def keep(self, reports: Sequence[NewReport]) -> Sequence[Kept]:
        self._ask()
        return [self._keep(new) for new in reports]

    def _keep(self, new: NewReport) -> Kept:
        report = new.report
        key = kind_of(report), domain_of(report), report.reporter, name_of(new)
        for one in self.kept:
            if (one.kind, one.domain, one.reporter, one.report_id) == key:
                if one.author or not new.author:
                    return Kept.KNOWN
                self.kept.remove(one)
                break
        else:
            same = [o for o in self.kept if (o.came_to, o.kind) == (new.came_to, key[0]) and o.received_at >= new.day]
            if new.most and len(same) >= new.most:
                return Kept.TOO_MANY
        self._number += 1
        (begin, end), (passed, failed) = period_of(new), counts_of(report)
        about = new.received_at, new.came_to, new.queue_id, new.author
        self.kept.append(KeptReport(self._number, *key, begin, end, passed, failed, *about, report))
        return Kept.NEW

    async def listing(self, which: ReportFilter, *, limit: int, before: int = 0) -> Sequence[KeptReport]:
        self._ask()
        found = [one for one in reversed(self._which(which)) if not before or one.number < before]
        return [_small(one) for one in found[:limit]]

    async def find(self, number: int) -> KeptReport | None:
        self._ask()
        return next((one for one in self.kept if one.number == number), None)

    async def totals(self, which: ReportFilter) -> Sequence[DomainTotal]:
        self._ask()
        groups: dict[tuple[str, str], list[KeptReport]] = {}
        for one in self._which(which):
            groups.setdefault((one.kind.value, one.domain), []).append(one)
        return [
            DomainTotal(
                ReportKind(kind),
                domain,
                len(found),
                sum(one.passed for one in found),
                sum(one.failed for one in found),
                min(one.begin for one in found),
                max(one.end for one in found),
            )
            for (kind, domain), found in sorted(groups.items())
        ]

    async def by_reporter(self, which: ReportFilter, limit: int) -> Sequence[PartTotal]:
        parts = self._parts(which, lambda one: one.reporter)
        return sorted(parts, key=lambda part: (-(part.passed + part.failed), part.name))[:limit]

    async def by_day(self, which: ReportFilter, limit: int) -> Sequence[PartTotal]:
        parts = self._parts(which, lambda one: datetime.fromtimestamp(one.begin, UTC).strftime("%Y-%m-%d"))
        return sorted(parts, key=lambda part: part.name, reverse=True)[:limit]

    async def flows(self, which: ReportFilter, limit: int) -> FlowAnswer:
        self._ask()
        passed = failed = unlisted_passed = unlisted_failed = 0
        groups: dict[tuple[object, ...], tuple[Flow, set[str]]] = {}
        for one in self._which(which):
            report = one.report
            passed, failed = passed + one.passed, failed + one.failed
            if not isinstance(report, AggregateReport):
                continue
            unlisted_passed += report.rest.passed
            unlisted_failed += report.rest.failed
            for each in report.records:
                results = tuple((r.method, r.domain, r.result, r.selector, r.scope) for r in each.results)
                names = each.source, each.header_from, each.envelope_from, each.disposition, each.dkim, each.spf
                key = (*names, results, tuple(o.kind for o in each.overrides))
                flow, reporters = groups.get(key, (Flow(*key, 0, 0), set()))
                reporters.add(one.reporter)
                groups[key] = (Flow(*key, flow.count + each.count, len(reporters)), reporters)
        flows = sorted((flow for flow, _ in groups.values()), key=lambda flow: (-flow.count, flow.source))
        return FlowAnswer(tuple(flows[:limit]), passed, failed, unlisted_passed, unlisted_failed)

    async def tls_flows(self, which: ReportFilter, limit: int) -> Sequence[TlsFlow]:
        self._ask()
        groups: dict[tuple[str, str, str, str, str, str], tuple[int, set[str]]] = {}

        def count(key: tuple[str, str, str, str, str, str], sessions: int, reporter: str) -> None:
            known, reporters = groups.get(key, (0, set()))
            groups[key] = (known + sessions, reporters | {reporter})

        for one in self._which(which):
            if not isinstance(one.report, TlsReport):
                continue
            for policy in one.report.policies:
                about = policy.domain, policy.kind
                if policy.successes:
                    count((*about, "", "", "", ""), policy.successes, one.reporter)
                for each in policy.details:
                    what = each.result, each.receiving_host, each.sending_ip, each.code
                    count((*about, *what), each.count, one.reporter)
                untold = policy.failures - sum(each.count for each in policy.details)
                if untold > 0:
                    count((*about, "no details", "", "", ""), untold, one.reporter)
        flows = [TlsFlow(*key, sessions, len(reporters)) for key, (sessions, reporters) in groups.items()]
        return sorted(flows, key=lambda flow: (-flow.count, flow.domain, flow.policy, flow.result))[:limit]

    async def expire(self, before: float) -> int:
        self._ask()
        left = [one for one in self.kept if one.received_at >= before]
        gone = len(self.kept) - len(left)
        self.kept = left
        return gone

    def _parts(self, which: ReportFilter, name: Callable[[KeptReport], str]) -> list[PartTotal]:
        self._ask()
        groups: dict[str, list[KeptReport]] = {}
        for one in self._which(which):
            groups.setdefault(name(one), []).append(one)
        return [
            PartTotal(part, len(found), sum(one.passed for one in found), sum(one.failed for one in found))
            for part, found in groups.items()
        ]

    def _which(self, which: ReportFilter) -> list[KeptReport]:
        return [
            one
            for one in self.kept
            if which.kind in (None, one.kind)
            and which.domain in ("", one.domain)
            and which.reporter.lower() in ("", one.reporter.lower())
            and one.end >= which.since
            and (not which.verified or one.author)
        ]

    def _ask(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the fake store is unavailable")


def _small(one: KeptReport) -> KeptReport:
    """As a listing has it: without the many rows."""
    if one.kind not in _WHOLE:
        return one
    fields = {name: getattr(one, name) for name in KeptReport.__slots__}
    return KeptReport(**{**fields, "report": None})
