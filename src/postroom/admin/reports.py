"""What others report about our mail, for operators: sums, who sends as us and what fails, single reports, imports."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from postroom.admin.moments import iso
from postroom.admin.refusal import Refused
from postroom.admin.reportwords import share, tell_fate, tell_result, tell_tls
from postroom.config.model import Settings
from postroom.dns.resolver import Family, Resolver
from postroom.mail.domain import normalise_domain
from postroom.mail.message import show_queue_id
from postroom.mail.trouble import ResolverUnavailable
from postroom.mailauth.reports.model import MOST_COUNT, Report, ReportKind, Unreadable
from postroom.mailauth.reports.plain import domain_of, kind_of, to_plain
from postroom.mailauth.reports.store import Flow, Kept, KeptReport, NewReport, ReportFilter, ReportStore
from postroom.mailauth.reports.unpack import MOST_CONTENT, read_file, read_message

MOST_FLOWS = 5000
"""Groups of like messages that one question looks at; what is smaller is summed up."""

MOST_LISTED = 1000
_WHYS = 5
_MOST_NAMES_ASKED = 50


@dataclass(frozen=True, slots=True)
class ReportTotal:
    """All reports of one kind about one domain. ``share`` says how many passed."""

    domain: str
    kind: str
    reports: int
    passed: int
    failed: int
    share: str
    begin: str
    end: str


@dataclass(frozen=True, slots=True)
class ReportPart:
    """Messages of one source, reporter, result or day (``name``); ``passed`` and ``failed`` are of DMARC.

    ``host`` is the name that a source points back to, where that was asked; ``is_ours`` whether it is an address that
    this server is known to send from. ``why`` are results in words with their counts, the most frequent first.
    """

    name: str
    host: str
    is_ours: bool
    passed: int
    failed: int
    share: str
    why: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DmarcView:
    """Who sends as a domain, by DMARC reports. ``unlisted`` messages are in no part: too many, each too few.

    ``failing`` are the sources of messages that failed, with their counts, the most frequent first.
    """

    domain: str
    since: str
    reports: int
    reporters: int
    passed: int
    failed: int
    share: str
    unlisted: int
    by: str
    parts: tuple[ReportPart, ...]
    failing: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TlsPart:
    """Sessions in TLS reports that went alike; ``result`` in words."""

    domain: str
    policy: str
    result: str
    receiving_host: str
    sending_ip: str
    code: str
    sessions: int
    reporters: int


@dataclass(frozen=True, slots=True)
class ReportView:
    """One report. ``authenticated``: yes (its mail passed DMARC for ``author``), no, or unknown."""

    number: int
    kind: str
    domain: str
    reporter: str
    report_id: str
    begin: str
    end: str
    passed: int
    failed: int
    received: str
    authenticated: str
    author: str
    queue_id: str
    report: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one report of a file. ``outcome``: new, known, or unreadable with its ``reason``."""

    file: str
    outcome: str
    kind: str
    domain: str
    reporter: str
    reason: str


def read_which(
    *, kind: ReportKind | None = None, domain: str = "", reporter: str = "", since: float = 0.0, verified: bool = False
) -> ReportFilter:
    """The filter that texts write. Refused for what is no domain."""
    try:
        name = normalise_domain(domain.strip()) if domain else ""
    except ValueError as error:
        raise Refused(f"{domain!r} is no domain: {error}", "write it as in example.org") from error
    return ReportFilter(kind, name, reporter, since, verified)


def read_kind(text: str) -> ReportKind | None:
    """The kind of that name, None for ``""``. Refused if there is none."""
    kinds = {kind.value: kind for kind in ReportKind}
    if text and text not in kinds:
        raise Refused(f"{text!r} is no kind of report", f"it is one of {', '.join(kinds)}")
    return kinds.get(text)


async def sum_up(store: ReportStore, which: ReportFilter) -> Sequence[ReportTotal]:
    """Sums by domain and kind."""
    found = [one for one in await store.totals(which) if one.kind is not ReportKind.UNREADABLE]
    return [
        ReportTotal(
            one.domain,
            one.kind.value,
            one.reports,
            one.passed,
            one.failed,
            share(one.passed, one.failed) if one.kind in (ReportKind.DMARC, ReportKind.TLS) else "",
            iso(one.begin),
            iso(one.end),
        )
        for one in sorted(found, key=lambda each: (each.domain, each.kind.value))
    ]


# DMARC


async def tell_dmarc(
    store: ReportStore, which: ReportFilter, *, by: str, limit: int, ours: Collection[str]
) -> DmarcView:
    """Who sends as the domain; ``by``: source, reporter, result or day. ``ours``: see ``addresses_of``."""
    answer = await store.flows(which, MOST_FLOWS)
    reporters = await store.by_reporter(which, MOST_COUNT)
    if by in ("source", "result"):
        parts = _parts_of(answer.flows, by, ours)
    else:
        found = reporters if by == "reporter" else await store.by_day(which, limit)
        parts = [ReportPart(p.name, "", False, p.passed, p.failed, share(p.passed, p.failed), {}) for p in found]
    failing: dict[str, int] = {}
    for flow in answer.flows:
        if not _passed(flow):
            failing[flow.source or "?"] = failing.get(flow.source or "?", 0) + flow.count
    total = answer.passed + answer.failed
    shown = parts[:limit]
    return DmarcView(
        which.domain,
        iso(which.since),
        sum(one.reports for one in reporters),
        len(reporters),
        answer.passed,
        answer.failed,
        share(answer.passed, answer.failed),
        total - sum(part.passed + part.failed for part in shown),
        by,
        tuple(shown),
        dict(sorted(failing.items(), key=lambda item: (-item[1], item[0]))[:limit]),
    )


def _parts_of(flows: Iterable[Flow], by: str, ours: Collection[str]) -> list[ReportPart]:
    """Flows put together by source or by result in words, the largest first."""
    counts: dict[str, list[int]] = {}
    whys: dict[str, dict[str, int]] = {}
    for flow in flows:
        told, fate = tell_result(flow), tell_fate(flow)
        source = flow.source or "?"
        name = source if by == "source" else told
        counted = counts.setdefault(name, [0, 0])
        counted[0 if _passed(flow) else 1] += flow.count
        # Under a source stands why, under a result which sources: what the question leaves open
        why = (f"{told}; {fate}" if fate else told) if by == "source" else source
        known = whys.setdefault(name, {})
        known[why] = known.get(why, 0) + flow.count
    parts = [
        ReportPart(
            name,
            "",
            name in ours,
            passed,
            failed,
            share(passed, failed),
            dict(sorted(whys[name].items(), key=lambda item: (-item[1], item[0]))[:_WHYS]),
        )
        for name, (passed, failed) in counts.items()
    ]
    return sorted(parts, key=lambda part: (-(part.passed + part.failed), part.name))


def _passed(flow: Flow) -> bool:
    return "pass" in (flow.dkim, flow.spf)


async def addresses_of(settings: Settings, resolver: Resolver | None) -> frozenset[str]:
    """The addresses that this server is known to send from: those of the settings; with a resolver, its name's too."""
    written = [*settings.outbound.source_addresses]
    for source in settings.source:
        written += [source.ipv4, source.ipv6]
    found = {str(ip_address(text)) for text in written if text}
    if resolver is not None:
        for family in Family:
            try:
                answer = await resolver.addresses(settings.outbound.hostname or settings.hostname, family)
            except ResolverUnavailable:
                continue
            found |= {str(ip_address(text)) for text in answer.records}
    return frozenset(found)


async def name_sources(view: DmarcView, resolver: Resolver) -> DmarcView:
    """The same with the names that the sources point back to, of so many as is decent to ask for."""
    named = []
    for number, part in enumerate(view.parts):
        host = ""
        if view.by == "source" and number < _MOST_NAMES_ASKED and part.name != "?":
            try:
                answer = await resolver.ptr(part.name)
                host = answer.records[0] if answer.records else ""
            except (ResolverUnavailable, ValueError):
                host = ""
        named.append(ReportPart(part.name, host, *(getattr(part, field) for field in _AFTER_HOST)))
    return DmarcView(**{**{name: getattr(view, name) for name in DmarcView.__slots__}, "parts": tuple(named)})


_AFTER_HOST = ("is_ours", "passed", "failed", "share", "why")


# The others


async def tell_tls_flows(store: ReportStore, which: ReportFilter, limit: int) -> Sequence[TlsPart]:
    """How TLS to us went, by TLS reports."""
    return [
        TlsPart(
            flow.domain,
            flow.policy,
            tell_tls(flow.result),
            flow.receiving_host,
            flow.sending_ip,
            flow.code,
            flow.count,
            flow.reporters,
        )
        for flow in await store.tls_flows(which, limit)
    ]


async def list_reports(store: ReportStore, which: ReportFilter, *, limit: int, before: int) -> Sequence[ReportView]:
    """Reports, the last received first."""
    return [show(one) for one in await store.listing(which, limit=limit, before=before)]


async def show_report(store: ReportStore, number: int) -> ReportView:
    """One report with all that is kept of it. Refused if there is none."""
    found = await store.find(number)
    if found is None:
        raise Refused(f"there is no report {number}", "postroom reports list shows those that are kept")
    return show(found)


def show(one: KeptReport) -> ReportView:
    """A report for people and programs."""
    authenticated = "unknown" if one.author is None else "yes" if one.author else "no"
    return ReportView(
        one.number,
        one.kind.value,
        one.domain,
        one.reporter,
        one.report_id,
        iso(one.begin),
        iso(one.end),
        one.passed,
        one.failed,
        iso(one.received_at),
        authenticated,
        one.author or "",
        show_queue_id(one.queue_id) if one.queue_id else "",
        None if one.report is None else to_plain(one.report),
    )


# Files


async def import_files(store: ReportStore, files: Sequence[Path], now: float) -> Sequence[Imported]:
    """Keep the reports of files: messages, XML, JSON, gzip or zip. Each file stands alone."""
    outcomes: list[Imported] = []
    for file in files:
        try:
            found = read_report_file(file)
        except Unreadable as error:
            outcomes.append(Imported(str(file), "unreadable", "", "", "", str(error)))
            continue
        kept = await store.keep([NewReport(report, now) for report in found])
        outcomes += [_imported(file, report, outcome) for report, outcome in zip(found, kept, strict=True)]
    return outcomes


def read_report_file(file: Path) -> tuple[Report, ...]:
    """The reports in a file. Raises Unreadable, and OSError where the file cannot be read."""
    with file.open("rb") as stream:
        data = stream.read(MOST_CONTENT + 1)
    if len(data) > MOST_CONTENT:
        raise Unreadable(f"it is larger than {MOST_CONTENT >> 20} MiB")
    if data.startswith((b"\x1f\x8b", b"PK")) or data.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1] in (b"<", b"{"):
        return read_file(data)
    return read_message(data)


def _imported(file: Path, report: Report, outcome: Kept) -> Imported:
    return Imported(str(file), outcome.value, kind_of(report).value, domain_of(report), report.reporter, "")
