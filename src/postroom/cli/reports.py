"""``postroom reports``: what others report about our mail; who sends as us, what fails and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from postroom.admin import reports
from postroom.admin.refusal import Refused
from postroom.admin.reports import DmarcView, Imported, ReportPart, ReportTotal, ReportView, TlsPart
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import complain, print_facts, print_json, print_table, say
from postroom.config.model import Settings
from postroom.config.section import Duration
from postroom.mailauth.reports.model import ReportKind
from postroom.mailauth.reports.store import ReportFilter

DomainArgument = Annotated[str, typer.Argument(metavar="[DOMAIN]", help="The domain that they are about; else all.")]
SinceOption = Annotated[str, typer.Option("--since", metavar="TIME", help='Not older than this, as in "30d", "12h".')]
VerifiedOption = Annotated[
    bool, typer.Option("--authenticated", help="Only reports whose own mail passed DMARC: others may be made up.")
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=reports.MOST_LISTED, help="Lines shown.")]
BeforeOption = Annotated[int | None, typer.Option("--before", metavar="ID", min=1, help="Go on below this report.")]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What listings of single messages are asked."""

    domain: str
    since: str
    limit: int
    before: int | None
    config: Path | None
    json: bool


_BY = ("source", "reporter", "result", "day")


def commands() -> typer.Typer:
    """The group; alone it sums up."""
    group = typer.Typer(
        invoke_without_command=True,
        help="What others report about our mail (DMARC, TLSRPT, failures, complaints). Alone: the sums of each domain.",
    )
    group.callback()(summary)
    group.command("dmarc")(dmarc)
    group.command("tls")(tls)
    group.command("failures")(failures)
    group.command("complaints")(complaints)
    group.command("list")(list_all)
    group.command("show")(show)
    group.command("import")(import_files)
    return group


def summary(
    context: typer.Context,
    *,
    since: SinceOption = "30d",
    verified: VerifiedOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """The sums of each domain, unless a command follows."""
    if context.invoked_subcommand is not None:
        return
    desk = Desk.of(context)
    which = _which(desk, since=since, verified=verified)

    async def job(store: OpenStore, _: Settings) -> Sequence[ReportTotal]:
        return await reports.sum_up(store.reports, which)

    totals = desk.work(config, job)
    if json:
        print_json(list(totals))
        return
    if not totals:
        say("no reports of that time")
        return
    columns = ("domain", "kind", "reports", "passed", "failed", "share passed", "from", "to")
    rows = [(t.domain, t.kind, t.reports, t.passed, t.failed, t.share, t.begin[:10], t.end[:10]) for t in totals]
    print_table(columns, rows)


def dmarc(
    context: typer.Context,
    domain: DomainArgument = "",
    *,
    since: SinceOption = "30d",
    by: Annotated[str, typer.Option("--by", metavar="WHAT", help=f"One of {', '.join(_BY)}.")] = "source",
    reporter: Annotated[str, typer.Option("--reporter", metavar="NAME", help="Of one reporter.")] = "",
    resolve: Annotated[
        bool, typer.Option("--resolve", help="Ask the DNS for the names of sources, and for our own addresses.")
    ] = False,
    verified: VerifiedOption = False,
    limit: LimitOption = 20,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Tell who sends as us by DMARC reports: from where, how much, what fails and why."""
    desk = Desk.of(context)
    with telling_troubles():
        if by not in _BY:
            raise Refused(f"{by!r} is not something to sort by", f"it is one of {', '.join(_BY)}")
    which = _which(desk, kind=ReportKind.DMARC, domain=domain, reporter=reporter, since=since, verified=verified)

    async def job(store: OpenStore, settings: Settings) -> DmarcView:
        resolver = desk.house.resolver(settings.dns) if resolve else None
        ours = await reports.addresses_of(settings, resolver)
        view = await reports.tell_dmarc(store.reports, which, by=by, limit=limit, ours=ours)
        return view if resolver is None else await reports.name_sources(view, resolver)

    view = desk.work(config, job)
    if json:
        print_json(view)
        return
    _print_dmarc(view)


def _print_dmarc(view: DmarcView) -> None:
    total = view.passed + view.failed
    if not view.reports:
        say("no DMARC reports of that time")
        return
    say(f"{view.domain or 'all domains'}: {view.reports} reports of {view.reporters} reporters since {view.since[:10]}")
    names = ", ".join(f"{name} ({count:,})" for name, count in list(view.failing.items())[:5])
    more = len(view.failing) - 5
    failing = f"; failing sources: {names}" + (f" and {more} more" if more > 0 else "") if view.failing else ""
    say(f"{view.share} of {total:,} messages passed{failing}")
    why = {"source": "why", "result": "sources"}.get(view.by, "")
    heads: tuple[str, ...] = (view.by, "messages", "passed", "failed")
    print_table((*heads, why) if why else heads, [_dmarc_row(part, view.by) for part in view.parts])
    if view.unlisted:
        say(f"{view.unlisted:,} more messages are not shown (--limit, or too few of a kind)")


def _dmarc_row(part: ReportPart, by: str) -> tuple[object, ...]:
    name = part.name + (f" {part.host}" if part.host else "") + (" (ours)" if part.is_ours else "")
    counts = name, part.passed + part.failed, part.passed, part.failed
    if by in ("reporter", "day"):
        return counts
    told = [f"{why} ({count:,})" if len(part.why) > 1 else why for why, count in part.why.items()]
    return *counts, "\n".join(told) if by == "source" else ", ".join(told)


def tls(
    context: typer.Context,
    domain: DomainArgument = "",
    *,
    since: SinceOption = "30d",
    verified: VerifiedOption = False,
    limit: LimitOption = 50,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Tell how TLS to our servers went, by TLS reports."""
    desk = Desk.of(context)
    which = _which(desk, kind=ReportKind.TLS, domain=domain, since=since, verified=verified)

    async def job(store: OpenStore, _: Settings) -> Sequence[TlsPart]:
        return await reports.tell_tls_flows(store.reports, which, limit)

    parts = desk.work(config, job)
    if json:
        print_json(list(parts))
        return
    columns = ("domain", "policy", "sessions", "result", "at", "from", "code")
    print_table(
        columns, [(p.domain, p.policy, p.sessions, p.result, p.receiving_host, p.sending_ip, p.code) for p in parts]
    )


def failures(
    context: typer.Context,
    domain: DomainArgument = "",
    *,
    since: SinceOption = "30d",
    limit: LimitOption = 50,
    before: BeforeOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List reports about single messages that failed authentication."""
    columns = ("id", "when", "domain", "failure", "source", "from", "sender", "reporter")
    asked = _Asked(domain, since, limit, before, config, json)
    _list_messages(context, ReportKind.FAILURE, columns, _failure_row, asked)


def complaints(
    context: typer.Context,
    domain: DomainArgument = "",
    *,
    since: SinceOption = "30d",
    limit: LimitOption = 50,
    before: BeforeOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List complaints of recipients."""
    columns = ("id", "when", "domain", "complaint", "recipient", "sender", "message", "reporter")
    asked = _Asked(domain, since, limit, before, config, json)
    _list_messages(context, ReportKind.COMPLAINT, columns, _complaint_row, asked)


def _failure_row(view: ReportView) -> tuple[object, ...]:
    facts = view.report or {}
    sender = facts.get("mail_from", "") or "<>"
    about = facts.get("failure", ""), facts.get("source", ""), facts.get("header_from", ""), sender
    return view.number, view.begin[:16], view.domain, *about, view.reporter


def _complaint_row(view: ReportView) -> tuple[object, ...]:
    facts = view.report or {}
    message = facts.get("about", "") or facts.get("message_id", "")
    about = facts.get("complaint", ""), facts.get("recipient", "") or "hidden", facts.get("sender", ""), message
    return view.number, view.begin[:16], view.domain, *about, view.reporter


def _list_messages(
    context: typer.Context,
    kind: ReportKind,
    columns: Sequence[str],
    row: Callable[[ReportView], tuple[object, ...]],
    asked: _Asked,
) -> None:
    desk = Desk.of(context)
    which = _which(desk, kind=kind, domain=asked.domain, since=asked.since)
    views = _listed(desk, asked.config, which, asked.limit, asked.before)
    if asked.json:
        print_json(list(views))
        return
    print_table(columns, [row(view) for view in views])
    _tell_more(views, asked.limit)


def list_all(
    context: typer.Context,
    domain: DomainArgument = "",
    *,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="dmarc, tls, failure, complaint, unreadable.")
    ] = "",
    reporter: Annotated[str, typer.Option("--reporter", metavar="NAME", help="Of one reporter.")] = "",
    since: SinceOption = "",
    verified: VerifiedOption = False,
    limit: LimitOption = 50,
    before: BeforeOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List reports, the last received first; also what could not be read."""
    desk = Desk.of(context)
    with telling_troubles():
        chosen = reports.read_kind(kind)
    which = _which(desk, kind=chosen, domain=domain, reporter=reporter, since=since, verified=verified)
    views = _listed(desk, config, which, limit, before)
    if json:
        print_json(list(views))
        return
    columns = ("id", "kind", "domain", "reporter", "from", "to", "passed", "failed", "authenticated", "report id")
    print_table(columns, [_list_row(view) for view in views])
    _tell_more(views, limit)


def _list_row(view: ReportView) -> tuple[object, ...]:
    authenticated = f"yes, {view.author}" if view.author else view.authenticated
    counts = (view.passed, view.failed, authenticated)
    what = (view.report or {}).get("reason", "") if view.kind == "unreadable" else view.report_id
    return view.number, view.kind, view.domain, view.reporter, view.begin[:10], view.end[:10], *counts, what


def _listed(
    desk: Desk, config: Path | None, which: ReportFilter, limit: int, before: int | None
) -> Sequence[ReportView]:
    async def job(store: OpenStore, _: Settings) -> Sequence[ReportView]:
        return await reports.list_reports(store.reports, which, limit=limit, before=before or 0)

    return desk.work(config, job)


def _tell_more(views: Sequence[ReportView], limit: int) -> None:
    if len(views) == limit:
        say(f"there may be more: --before {views[-1].number}")


def show(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", help="As listed.", show_default=False)],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show all that is kept of one report."""
    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> ReportView:
        return await reports.show_report(store.reports, number)

    view = desk.work(config, job)
    if json:
        print_json(view)
        return
    facts = {name: getattr(view, name) for name in ReportView.__slots__ if name != "report"}
    told = dict(view.report or {})
    rows = told.pop("records", None) or told.pop("policies", None) or ()
    for name, value in told.items():
        if isinstance(value, Mapping):
            facts |= {f"{name}.{inner}": each for inner, each in value.items()}
        elif name not in facts:
            facts[name] = value
    print_facts({name: _plain(value) for name, value in facts.items() if value not in ("", (), [])})
    for row in rows:
        say("")
        print_facts({name: _plain(value) for name, value in row.items() if value not in ("", (), [])})


def _plain(value: Any) -> object:
    """A value on one line: of what has parts, those that are there."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={each}" for name, each in value.items() if each != "")
    if isinstance(value, list | tuple):
        return "; ".join(str(_plain(each)) for each in value)
    return value


def import_files(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Messages (.eml), .xml, .json, .gz, .zip.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Read reports from files; exit code 1 if one of them cannot be read."""
    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> Sequence[Imported]:
        return await reports.import_files(store.reports, files, desk.house.now())

    outcomes = desk.work(config, job)
    if json:
        print_json(list(outcomes))
    for one in outcomes:
        if one.outcome == "unreadable":
            complain(f"{one.file}: {one.reason}")
        elif not json:
            known = " (was here already)" if one.outcome == "known" else ""
            done(f"{one.file}: {one.kind} report of {one.reporter} about {one.domain}{known}")
    if any(one.outcome == "unreadable" for one in outcomes):
        raise typer.Exit(1)


def _which(
    desk: Desk,
    *,
    kind: ReportKind | None = None,
    domain: str = "",
    reporter: str = "",
    since: str,
    verified: bool = False,
) -> ReportFilter:
    with telling_troubles():
        seconds = _seconds(since) if since else 0.0
        start = desk.house.now() - seconds if seconds else 0.0
        return reports.read_which(kind=kind, domain=domain, reporter=reporter, since=start, verified=verified)


def _seconds(length: str) -> float:
    try:
        return TypeAdapter(Duration).validate_python(length)
    except ValidationError as error:
        raise Refused(f"{length!r} is not a duration", 'write it as in "12h", "30d"') from error
