"""Reports as plain data and back: what a store keeps as JSON, and what programs are shown."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from postroom.mail.message import show_queue_id
from postroom.mailauth.reports.model import (
    AggregateReport,
    AuthResult,
    ComplaintReport,
    FailureReport,
    Override,
    Published,
    Record,
    Report,
    ReportKind,
    Rest,
    TlsFailure,
    TlsPolicyResult,
    TlsReport,
    UnreadableReport,
)
from postroom.mailauth.reports.store import NewReport

_KINDS: dict[type[Report], ReportKind] = {
    AggregateReport: ReportKind.DMARC,
    TlsReport: ReportKind.TLS,
    FailureReport: ReportKind.FAILURE,
    ComplaintReport: ReportKind.COMPLAINT,
    UnreadableReport: ReportKind.UNREADABLE,
}


def kind_of(report: Report) -> ReportKind:
    """Which kind it is."""
    return _KINDS[type(report)]


def domain_of(report: Report) -> str:
    """The domain that it is about."""
    return report.published.domain if isinstance(report, AggregateReport) else report.domain


def counts_of(report: Report) -> tuple[int, int]:
    """Messages or sessions that passed, and that did not."""
    match report:
        case AggregateReport() | TlsReport():
            return report.passed, report.failed
        case FailureReport():
            return 0, report.incidents
        case _:
            return 0, 1


def period_of(new: NewReport) -> tuple[float, float]:
    """The period of a report; where it tells none, when it was received."""
    report = new.report
    if isinstance(report, AggregateReport | TlsReport):
        return report.begin or report.end or new.received_at, report.end or report.begin or new.received_at
    return report.at or new.received_at, report.at or new.received_at


def name_of(new: NewReport) -> str:
    """What tells the report from others of its reporter: its id, else its message, else what it says."""
    if new.report.report_id:
        return new.report.report_id
    if new.queue_id:
        return show_queue_id(new.queue_id)
    return hashlib.sha256(repr(new.report).encode("utf-8", "replace")).hexdigest()[:32]


def to_plain(report: Report) -> dict[str, Any]:
    """All fields by name, in lists and mappings."""
    return asdict(report)


def from_plain(kind: ReportKind, data: Mapping[str, Any]) -> Report:
    """The report that ``to_plain`` took apart."""
    return _MAKERS[kind](data)


def record_of(data: Mapping[str, Any]) -> Record:
    """One row of an aggregate report."""
    overrides = tuple([Override(**each) for each in data["overrides"]])
    results = tuple([AuthResult(**each) for each in data["results"]])
    return Record(**{**data, "overrides": overrides, "results": results})


def _aggregate(data: Mapping[str, Any]) -> AggregateReport:
    made = {
        "published": Published(**data["published"]),
        "records": tuple([record_of(each) for each in data["records"]]),
        "rest": Rest(**data["rest"]),
        "errors": tuple(data["errors"]),
    }
    return AggregateReport(**{**data, **made})


def _tls(data: Mapping[str, Any]) -> TlsReport:
    policies = [
        TlsPolicyResult(
            **{
                **each,
                "hosts": tuple(each["hosts"]),
                "lines": tuple(each["lines"]),
                "details": tuple([TlsFailure(**one) for one in each["details"]]),
            }
        )
        for each in data["policies"]
    ]
    return TlsReport(**{**data, "policies": tuple(policies), "rest": Rest(**data["rest"])})


_MAKERS: dict[ReportKind, Callable[[Mapping[str, Any]], Report]] = {
    ReportKind.DMARC: _aggregate,
    ReportKind.TLS: _tls,
    ReportKind.FAILURE: lambda data: FailureReport(**data),
    ReportKind.COMPLAINT: lambda data: ComplaintReport(**data),
    ReportKind.UNREADABLE: lambda data: UnreadableReport(**data),
}
