"""The port of received reports on SQLite."""

import json
from collections.abc import Sequence
from typing import Any

import apsw

from postroom.mailauth.reports.model import ReportKind
from postroom.mailauth.reports.plain import from_plain
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
from postroom.storage.batch import Kind, Writer
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.reportwriting import keep_reports

_COLUMNS = (
    "r.report_id, r.kind, r.domain, r.reporter, r.name, r.begins, r.ends, r.passed, r.failed, r.received_at, "
    "r.came_to, r.queue_id, r.author"
)
_FIELDS = (
    "domain", "reporter", "report_id", "begin", "end", "passed", "failed", "received_at", "came_to", "queue_id",
    "author",
)  # fmt: skip
_SMALL = f"CASE WHEN r.kind IN ('{ReportKind.DMARC.value}', '{ReportKind.TLS.value}') THEN NULL ELSE r.detail END"
_RECORDS = "SELECT json_group_array(json(detail) ORDER BY number) FROM report_record WHERE report_id = ?"
_EXPIRE = "DELETE FROM report WHERE report_id IN (SELECT report_id FROM report WHERE received_at < ? LIMIT ?)"
_EXPIRED_AT_ONCE = 200

_GROUP = "p.source, p.header_from, p.envelope_from, p.disposition, p.dkim, p.spf, p.results, p.overrides"
_TLS_GROUP = "p.domain, p.policy, p.result, p.receiving_host, p.sending_ip, p.code"


class SqliteReports:
    """See ``postroom.mailauth.reports.store.ReportStore``."""

    def __init__(self, writer: Writer[apsw.Connection], listings: Reader) -> None:
        self._writer = writer
        self._listings = listings

    async def keep(self, reports: Sequence[NewReport]) -> Sequence[Kept]:
        """Keep reports; what became of each, in order."""
        return await self._writer.submit(_KEEP, reports, len(reports)) if reports else ()

    async def listing(self, which: ReportFilter, *, limit: int, before: int = 0) -> Sequence[KeptReport]:
        """Reports, the last received first."""
        where, values = _where(which)
        if before:
            where, values = f"{where} AND r.report_id < ?", [*values, before]
        sql = f"SELECT {_COLUMNS}, {_SMALL} FROM report AS r WHERE {where} ORDER BY r.report_id DESC LIMIT ?"  # noqa: S608
        return [_kept(row) for row in await self._rows(sql, [*values, limit])]

    async def find(self, number: int) -> KeptReport | None:
        """One report with all that is kept of it."""

        def read(connection: apsw.Connection) -> KeptReport | None:
            row = connection.execute(
                f"SELECT {_COLUMNS}, r.detail FROM report AS r WHERE r.report_id = ?",  # noqa: S608 - our own names
                (number,),
            ).fetchone()
            if row is None:
                return None
            detail = json.loads(row[-1])
            if row[1] == ReportKind.DMARC.value:
                detail["records"] = json.loads(connection.execute(_RECORDS, (number,)).get)
            return _kept((*row[:-1], json.dumps(detail)))

        return await self._listings.run(read)

    async def totals(self, which: ReportFilter) -> Sequence[DomainTotal]:
        """Sums by kind and domain."""
        where, values = _where(which)
        sql = (
            "SELECT r.kind, r.domain, count(*), sum(r.passed), sum(r.failed), min(r.begins), max(r.ends) "  # noqa: S608
            f"FROM report AS r WHERE {where} GROUP BY r.kind, r.domain ORDER BY r.kind, r.domain"
        )
        return [DomainTotal(ReportKind(row[0]), *row[1:]) for row in await self._rows(sql, values)]

    async def by_reporter(self, which: ReportFilter, limit: int) -> Sequence[PartTotal]:
        """Sums by reporter, the largest first."""
        return await self._parts("r.reporter", "sum(r.passed) + sum(r.failed) DESC, 1", which, limit)

    async def by_day(self, which: ReportFilter, limit: int) -> Sequence[PartTotal]:
        """Sums by the day on which the period begins, the last first."""
        return await self._parts("date(r.begins, 'unixepoch')", "1 DESC", which, limit)

    async def flows(self, which: ReportFilter, limit: int) -> FlowAnswer:
        """What DMARC reports tell of messages, the largest flows first."""
        where, values = _where(which)
        join = f"FROM report AS r CROSS JOIN report_record AS p ON p.report_id = r.report_id WHERE {where}"
        flows = (
            f"SELECT {_GROUP}, sum(p.count) AS messages, count(DISTINCT r.reporter) {join} "
            f"GROUP BY {_GROUP} ORDER BY messages DESC, {_GROUP} LIMIT ?"
        )
        sums = (
            "SELECT coalesce(sum(r.passed), 0), coalesce(sum(r.failed), 0), "  # noqa: S608
            "coalesce(sum(r.unlisted_passed), 0), coalesce(sum(r.unlisted_failed), 0) "
            f"FROM report AS r WHERE {where}"
        )

        def read(connection: apsw.Connection) -> FlowAnswer:
            rows = connection.execute(flows, (*values, limit)).fetchall()
            found: Any = connection.execute(sums, values).fetchone()
            return FlowAnswer(tuple([_flow(row) for row in rows]), *found)

        return await self._listings.run(read)

    async def tls_flows(self, which: ReportFilter, limit: int) -> Sequence[TlsFlow]:
        """What TLS reports tell of sessions, the largest flows first."""
        where, values = _where(which)
        sql = (
            f"SELECT {_TLS_GROUP}, sum(p.count) AS sessions, count(DISTINCT r.reporter) "  # noqa: S608 - our own names
            f"FROM report AS r CROSS JOIN report_tls AS p ON p.report_id = r.report_id WHERE {where} "
            f"GROUP BY {_TLS_GROUP} ORDER BY sessions DESC, {_TLS_GROUP} LIMIT ?"
        )
        return [TlsFlow(*row) for row in await self._rows(sql, [*values, limit])]

    async def expire(self, before: float) -> int:
        """Forget what was received before then; a few at a time, for each has many rows."""
        gone = 0
        while count := await self._writer.submit(_EXPIRE_KIND, before):
            gone += count
        return gone

    async def _parts(self, name: str, order: str, which: ReportFilter, limit: int) -> Sequence[PartTotal]:
        where, values = _where(which)
        sql = (
            f"SELECT {name}, count(*), sum(r.passed), sum(r.failed) FROM report AS r WHERE {where} "  # noqa: S608
            f"GROUP BY 1 ORDER BY {order} LIMIT ?"
        )
        return [PartTotal(*row) for row in await self._rows(sql, [*values, limit])]

    async def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        return await self._listings.run(lambda connection: connection.execute(sql, values).fetchall())


def _where(which: ReportFilter) -> tuple[str, list[Any]]:
    """The condition on ``report AS r`` and what is bound in it."""
    conditions: list[str] = []
    values: list[Any] = []
    if which.since:
        conditions.append("r.ends >= ?")
        values.append(which.since)
    if which.kind is not None:
        conditions.append("r.kind = ?")
        values.append(which.kind.value)
    if which.domain:
        conditions.append("r.domain = ?")
        values.append(which.domain)
    if which.reporter:
        conditions.append("r.reporter = ? COLLATE NOCASE")
        values.append(which.reporter)
    if which.verified:
        conditions.append("r.author <> ''")
    return " AND ".join(conditions) or "1", values


def _kept(row: Sequence[Any]) -> KeptReport:
    kind, detail = ReportKind(row[1]), row[-1]
    report = None if detail is None else from_plain(kind, json.loads(detail))
    fields: dict[str, Any] = dict(zip(_FIELDS, row[2:-1], strict=True))
    return KeptReport(row[0], kind, **fields, report=report)


def _flow(row: Sequence[Any]) -> Flow:
    results = tuple([tuple(each) for each in json.loads(row[6])])
    source, header_from, envelope_from, disposition, dkim, spf = row[:6]
    names = source, header_from, envelope_from, disposition, dkim, spf
    return Flow(*names, results, tuple(json.loads(row[7])), row[8], row[9])


def _keep(connection: apsw.Connection, calls: Sequence[Sequence[NewReport]]) -> Sequence[Sequence[Kept]]:
    return [keep_reports(connection, reports) for reports in calls]


def _expire(connection: apsw.Connection, calls: Sequence[float]) -> Sequence[int]:
    counts = []
    for before in calls:
        connection.execute(_EXPIRE, (before, _EXPIRED_AT_ONCE))
        counts.append(connection.changes())
    return counts


_KEEP: Kind[apsw.Connection, Sequence[NewReport], Sequence[Kept]] = Kind("keep reports", _keep)
_EXPIRE_KIND: Kind[apsw.Connection, float, int] = Kind("expire reports", _expire, essential=True)
