"""The promises of ReportStore; the fake keeps them too, so that tests on it prove something."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore
from tests.fakes import reported_mail as samples
from tests.fakes.letters import NOON
from tests.fakes.report_store import MemoryReportStore
from tests.fakes.reported_mail import DAY

from postroom.mailauth.reports.model import AggregateReport, Report, ReportKind, TlsReport, UnreadableReport
from postroom.mailauth.reports.store import DomainTotal, Kept, NewReport, PartTotal, ReportFilter, ReportStore, TlsFlow
from postroom.mailauth.reports.unpack import read_file, read_message

Reopen = Callable[[], Awaitable[ReportStore]]

PLAIN, ENTERPRISE, TERSE, NEW = [read_file(text.encode())[0] for text in samples.AGGREGATES.values()]
TLS = read_message(samples.tls_mail())[0]
FAILURE = read_message(samples.FAILURE)[0]
COMPLAINT = read_message(samples.COMPLAINT)[0]
TROUBLE = UnreadableReport("example.org", "there is no report in it", "evil.example")
ALL: tuple[Report, ...] = (PLAIN, ENTERPRISE, TERSE, NEW, TLS, FAILURE, COMPLAINT, TROUBLE)


@pytest.fixture(params=["stored", "fake"])
async def reopen(request: pytest.FixtureRequest, open_store: OpenStore) -> Reopen:
    """Opens the same data, as another process would."""
    fake = MemoryReportStore()

    async def again() -> ReportStore:
        return (await open_store()).reports if request.param == "stored" else fake

    return again


@pytest.fixture
async def reports(reopen: Reopen) -> ReportStore:
    return await reopen()


def new(report: Report, number: int = 1, author: str | None = None, **more: object) -> NewReport:
    return replace(NewReport(report, NOON + number, "example.org", number, author), **more)  # type: ignore[arg-type]


async def test_all_kinds_outlive_the_process_whole(reports: ReportStore, reopen: Reopen) -> None:
    kept = await reports.keep([new(report, number) for number, report in enumerate(ALL, 1)])
    assert list(kept) == [Kept.NEW] * len(ALL)
    other = await reopen()
    listed = list(await other.listing(ReportFilter(), limit=100))
    assert [one.queue_id for one in listed] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert [one.report for one in listed][:3] == [TROUBLE, COMPLAINT, FAILURE]
    assert {one.report for one in listed[3:]} == {None}  # they may have thousands of rows
    for one, report in zip(reversed(listed), ALL, strict=True):
        found = await other.find(one.number)
        assert found is not None
        assert found.report == report
        assert replace(found, report=one.report) == one
    assert await other.find(4711) is None
    first = listed[-1]
    assert (first.kind, first.domain, first.reporter, first.report_id) == (
        ReportKind.DMARC, "example.org", "big.example", "4711081547110815",
    )  # fmt: skip
    assert (first.begin, first.end, first.passed, first.failed) == (DAY, DAY + 86399, 120, 3)
    assert (first.received_at, first.came_to, first.author) == (NOON + 1, "example.org", None)
    assert listed[0].begin == listed[0].end == NOON + 8


async def test_a_report_is_kept_once(reports: ReportStore) -> None:
    assert list(await reports.keep([new(PLAIN, 1), new(PLAIN, 2)])) == [Kept.NEW, Kept.KNOWN]
    assert list(await reports.keep([new(PLAIN, 3, author="")])) == [Kept.KNOWN]
    assert list(await reports.keep([new(replace(PLAIN, reporter="another.example"), 4)])) == [Kept.NEW]
    # Reports about one message have no id: each mail is one
    assert list(await reports.keep([new(FAILURE, 5), new(FAILURE, 6), new(FAILURE, 6)])) == [
        Kept.NEW, Kept.NEW, Kept.KNOWN,
    ]  # fmt: skip
    assert list(await reports.keep([new(FAILURE, 0), new(FAILURE, 0)])) == [Kept.NEW, Kept.KNOWN]
    assert list(await reports.keep([])) == []


async def test_nobody_forestalls_a_reporter(reports: ReportStore) -> None:
    assert isinstance(PLAIN, AggregateReport)
    forged = replace(PLAIN, records=PLAIN.records[1:])
    await reports.keep([new(forged, 1, author="")])
    assert list(await reports.keep([new(PLAIN, 2, author="big.example")])) == [Kept.NEW]
    assert list(await reports.keep([new(forged, 3, author="evil.example")])) == [Kept.KNOWN]
    (one,) = await reports.listing(ReportFilter(), limit=10)
    assert (one.passed, one.failed, one.author) == (120, 3, "big.example")
    answer = await reports.flows(ReportFilter(), 10)
    assert sum(flow.count for flow in answer.flows) == 123


async def test_no_more_of_a_day_than_may_be(reports: ReportStore) -> None:
    def bounded(report: Report, number: int) -> NewReport:
        return new(report, number, most=2, day=NOON)

    early = bounded(replace(PLAIN, report_id="0"), -5)
    news = [bounded(replace(PLAIN, report_id=str(number)), number) for number in range(1, 5)]
    assert list(await reports.keep([early, *news])) == [Kept.NEW, Kept.NEW, Kept.NEW, Kept.TOO_MANY, Kept.TOO_MANY]
    assert list(await reports.keep([replace(news[3], came_to="other.example")])) == [Kept.NEW]
    assert list(await reports.keep([bounded(TLS, 9)])) == [Kept.NEW]  # another kind
    assert list(await reports.keep([new(replace(PLAIN, report_id="9"), 9)])) == [Kept.NEW]  # imported: no bound


async def test_sums(reports: ReportStore) -> None:
    assert isinstance(PLAIN, AggregateReport)
    other = replace(PLAIN, published=replace(PLAIN.published, domain="other.example"))
    await reports.keep([new(report, number) for number, report in enumerate((*ALL, other), 1)])
    totals = list(await reports.totals(ReportFilter(since=DAY)))
    assert totals == [
        DomainTotal(ReportKind.DMARC, "example.org", 4, 167, 6, DAY, DAY + 86400),
        DomainTotal(ReportKind.DMARC, "other.example", 1, 120, 3, DAY, DAY + 86399),
        DomainTotal(ReportKind.FAILURE, "example.org", 1, 0, 1, DAY + 43200, DAY + 43200),
        DomainTotal(ReportKind.TLS, "example.org", 1, 326, 3, DAY, DAY + 86399),
    ]
    which = ReportFilter(ReportKind.DMARC, "example.org")
    assert list(await reports.by_reporter(which, 2)) == [
        PartTotal("big.example", 1, 120, 3),
        PartTotal("new.example", 1, 40, 2),
    ]
    assert list(await reports.by_day(which, 10)) == [PartTotal("2027-01-14", 4, 167, 6)]
    assert list(await reports.totals(ReportFilter(since=DAY + 86400 * 2))) == []


async def test_flows(reports: ReportStore) -> None:
    assert isinstance(PLAIN, AggregateReport)
    again = replace(PLAIN, reporter="second.example", records=PLAIN.records[:1])
    summed = replace(PLAIN, reporter="third.example", records=(), rest=replace(PLAIN.rest, rows=9, passed=5, failed=4))
    await reports.keep([new(report) for report in (PLAIN, again, summed)])
    answer = await reports.flows(ReportFilter(ReportKind.DMARC, "example.org"), 10)
    assert [(flow.source, flow.count, flow.reporters) for flow in answer.flows] == [
        ("192.0.2.10", 240, 2),
        ("198.51.100.7", 3, 1),
    ]
    assert (answer.passed, answer.failed, answer.unlisted_passed, answer.unlisted_failed) == (245, 7, 5, 4)
    good, bad = answer.flows
    assert good.results == (("dkim", "example.org", "pass", "s2026a", ""), ("spf", "example.org", "pass", "", ""))
    assert (bad.header_from, bad.overrides, bad.dkim, bad.spf) == (
        "news.example.org",
        ("local_policy",),
        "fail",
        "fail",
    )
    assert len((await reports.flows(ReportFilter(), 1)).flows) == 1
    assert (await reports.flows(ReportFilter(domain="none.example"), 10)).flows == ()


async def test_tls_flows(reports: ReportStore) -> None:
    assert isinstance(TLS, TlsReport)
    untold = replace(TLS, reporter="x.example", policies=(replace(TLS.policies[0], successes=0, failures=9),))
    await reports.keep([new(TLS), new(untold)])
    assert list(await reports.tls_flows(ReportFilter(ReportKind.TLS), 10)) == [
        TlsFlow("example.org", "sts", "", "", "", "", 326, 1),
        TlsFlow("example.org", "sts", "no details", "", "", "", 6, 1),
        TlsFlow(
            "example.org", "sts", "certificate-expired", "mail.example.org", "203.0.113.5",
            "X509_V_ERR_CERT_HAS_EXPIRED", 4, 2,
        ),
        TlsFlow("example.org", "sts", "starttls-not-supported", "", "", "", 2, 2),
    ]  # fmt: skip


async def test_listings_are_filtered_and_paged(reports: ReportStore) -> None:
    authors = [None, "", "terse.example", None, "big.example", None, None, ""]
    news = [new(report, n, author) for n, (report, author) in enumerate(zip(ALL, authors, strict=True), 1)]
    await reports.keep(news)

    async def ids(which: ReportFilter, **more: int) -> list[int]:
        return [one.queue_id for one in await reports.listing(which, **{"limit": 10, **more})]

    assert await ids(ReportFilter(ReportKind.DMARC)) == [4, 3, 2, 1]
    assert await ids(ReportFilter(verified=True)) == [5, 3]
    assert await ids(ReportFilter(reporter="NEW.example")) == [4]
    assert await ids(ReportFilter(domain="none.example")) == []
    page = list(await reports.listing(ReportFilter(), limit=3))
    assert await ids(ReportFilter(), limit=3, before=page[-1].number) == [5, 4, 3]


async def test_what_is_old_goes_with_all_its_rows(reports: ReportStore) -> None:
    await reports.keep([new(replace(PLAIN, report_id=str(number)), number) for number in range(450)])
    await reports.keep([new(TLS, 500)])
    assert await reports.expire(NOON + 449) == 449
    assert [one.queue_id for one in await reports.listing(ReportFilter(), limit=9)] == [500, 449]
    assert sum(flow.count for flow in (await reports.flows(ReportFilter(), 9)).flows) == 123
    assert await reports.expire(NOON) == 0
