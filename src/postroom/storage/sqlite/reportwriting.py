"""Writes received reports: each with its rows, once, and no more of them than may be kept."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import apsw

from postroom.mailauth.reports.model import AggregateReport, Record, Report, TlsReport
from postroom.mailauth.reports.plain import counts_of, domain_of, kind_of, name_of, period_of, to_plain
from postroom.mailauth.reports.store import Kept, NewReport
from postroom.storage.sqlite.rows import Row
from postroom.storage.sqlite.statements import Insert, as_json

_KNOWN = "SELECT report_id, author FROM report WHERE kind = ? AND domain = ? AND reporter = ? AND name = ?"
_COUNT = """
SELECT count(*) FROM (SELECT 1 FROM report WHERE came_to = ? AND kind = ? AND received_at >= ? LIMIT ?)
"""
_INSERT = """
INSERT INTO report (kind, domain, reporter, name, begins, ends, passed, failed, received_at, came_to, queue_id, author,
    unlisted_passed, unlisted_failed, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_RECORDS = Insert(
    "report_record",
    ("report_id", "number", "source", "header_from", "envelope_from", "disposition", "dkim", "spf", "results",
     "overrides", "count", "detail"),
)  # fmt: skip
_TLS = Insert(
    "report_tls",
    ("report_id", "number", "domain", "policy", "result", "receiving_host", "sending_ip", "code", "count"),
)


def keep_reports(connection: apsw.Connection, reports: Sequence[NewReport]) -> list[Kept]:
    """See ``ReportStore.keep``."""
    return [_keep(connection, new) for new in reports]


def _keep(connection: apsw.Connection, new: NewReport) -> Kept:
    report, kind = new.report, kind_of(new.report).value
    key = kind, domain_of(report), report.reporter, name_of(new)
    known = connection.execute(_KNOWN, key).fetchone()
    if known is not None:
        number, author = known
        if author or not new.author:
            return Kept.KNOWN
        connection.execute("DELETE FROM report WHERE report_id = ?", (number,))
    elif new.most and connection.execute(_COUNT, (new.came_to, kind, new.day, new.most)).get >= new.most:
        return Kept.TOO_MANY
    rest = report.rest if isinstance(report, AggregateReport) else None
    unlisted = (rest.passed, rest.failed) if rest is not None else (0, 0)
    about = new.received_at, new.came_to, new.queue_id, new.author
    connection.execute(_INSERT, (*key, *period_of(new), *counts_of(report), *about, *unlisted, _detail(report)))
    number = connection.last_insert_rowid()
    if isinstance(report, AggregateReport):
        _RECORDS.run(connection, [_record_row(number, at, record) for at, record in enumerate(report.records)])
    elif isinstance(report, TlsReport):
        _TLS.run(connection, _tls_rows(number, report))
    return Kept.NEW


def _detail(report: Report) -> str:
    plain = to_plain(report)
    if isinstance(report, AggregateReport):
        del plain["records"]  # they have rows of their own
    return json.dumps(plain, ensure_ascii=False)


def _record_row(number: int, at: int, record: Record) -> Row:
    results = [(each.method, each.domain, each.result, each.selector, each.scope) for each in record.results]
    overrides = [each.kind for each in record.overrides]
    return (
        number, at, record.source, record.header_from, record.envelope_from, record.disposition, record.dkim,
        record.spf, as_json(results), as_json(overrides), record.count, json.dumps(asdict(record), ensure_ascii=False),
    )  # fmt: skip


def _tls_rows(number: int, report: TlsReport) -> list[Row]:
    rows: list[Row] = []
    for policy in report.policies:
        about = policy.domain, policy.kind
        if policy.successes:
            rows.append((number, len(rows), *about, "", "", "", "", policy.successes))
        listed = sum(each.count for each in policy.details)
        for each in policy.details:
            what = each.result, each.receiving_host, each.sending_ip, each.code
            rows.append((number, len(rows), *about, *what, each.count))
        if policy.failures > listed:  # reporters may leave the details out (RFC 8460 §4.4 has them optional)
            rows.append((number, len(rows), *about, "no details", "", "", "", policy.failures - listed))
    return rows
