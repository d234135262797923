"""``postroom check``: looks at everything the server needs, and says what to do about what it finds."""

import asyncio

import typer

from postroom.admin.acmeview import check_certificates
from postroom.admin.dnscheck import look_closely, plain
from postroom.admin.dnsfaults.model import DnsFinding
from postroom.admin.dnsrecords.model import NoDkim
from postroom.admin.finding import Finding, Level
from postroom.admin.portcheck import check_ports
from postroom.admin.pythoncheck import check_python
from postroom.admin.returncheck import check_returns
from postroom.admin.roadcheck import check_reports, check_road
from postroom.admin.sourcecheck import check_sources
from postroom.admin.zonecheck import check_zones
from postroom.cli.checkdns import STYLES, check_dns, counted
from postroom.cli.desk import ConfigOption, Desk, JsonOption, act_as_owner, telling_troubles
from postroom.cli.house import House, OpenStore
from postroom.cli.output import print_json, say
from postroom.clock import SystemClock
from postroom.config.load import examine, find
from postroom.config.model import Settings
from postroom.config.problems import Problem
from postroom.directory.directory import Directory
from postroom.directory.store import DirectoryStore
from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.shaping.rules import built_in


def commands() -> typer.Typer:
    """The verb, which does something by itself, and what belongs to it."""
    group = typer.Typer(
        invoke_without_command=True,
        help="Check settings, ports, certificate, store, logins, zones and DNS; check dns: the DNS alone.",
    )
    group.callback()(check)
    group.command("dns")(check_dns)
    return group


def check(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Check settings, ports, certificate, DNS, store and who knows passwords. Exit code 1 if anything is wrong."""
    if context.invoked_subcommand is not None:
        return
    house = Desk.of(context).house
    with telling_troubles():
        path = find(config)
    examined = examine(path)
    findings = [_of_problem(problem, Level.ERROR) for problem in examined.problems]
    findings += [_of_problem(problem, Level.WARNING) for problem in examined.warnings]
    if examined.settings is not None:
        if not findings:
            findings.append(Finding(Level.OK, "settings", str(path)))
        findings += _check_all(house, examined.settings)
    if json:
        print_json([_shape(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.level is Level.ERROR for finding in findings):
        raise typer.Exit(1)


def _check_all(house: House, settings: Settings) -> list[Finding]:
    findings = [check_python(), *check_ports(settings)]
    findings += check_certificates(settings, house.now())
    findings += _check_traffic(settings)
    findings += asyncio.run(_check_inside(house, settings))
    return findings


def _check_traffic(settings: Settings) -> list[Finding]:
    """Rules of traffic that match no site."""
    names = [rule.name for rule in built_in()]
    remedy = f"add mx or domains, or change a rule that comes with the program: {', '.join(names)}"
    what = "is for no site: it has neither mx nor domains"
    return [
        Finding(Level.WARNING, "shaping", f"[[shaping]] {rule.name!r} {what}", remedy)
        for rule in settings.shaping
        if rule.name not in names and not rule.mx and not rule.domains
    ]


async def _check_inside(house: House, settings: Settings) -> list[Finding]:
    """The store, and then the DNS for the domains in it."""
    domains: list[str] = []
    findings: list[Finding] = []
    dns: list[DnsFinding] | None = None
    if not settings.store.file.exists():
        what = f"{settings.store.file} does not exist yet: the first start makes it"
        findings.append(Finding(Level.SKIPPED, "store", what))
    else:
        act_as_owner(settings.store.file)
        try:
            async with house.open_store(settings) as store:
                findings += await _check_store(store, settings)
                domains = [domain.name for domain in await store.directory.domains()]
                findings += await _check_directory(store.directory, domains)
                directory = Directory(store.directory, settings.delivery, SystemClock())
                findings += [finding async for finding in check_returns(settings, directory)]
                findings += [finding async for finding in check_reports(settings, directory)]
                dns = await look_closely(house.inspector(settings, house.dkim_records(store)), domains)
        except (StoreUnavailable, OSError) as error:
            remedy = "see that the data folder is there, writable, and its disk not full"
            findings.append(Finding(Level.ERROR, "store", f"cannot be used: {error}", remedy))
    findings += [finding async for finding in check_sources(settings, SystemClock())]
    if dns is None:
        dns = await look_closely(house.inspector(settings, NoDkim()), [])
    findings += [plain(finding) for finding in dns if finding.fault or finding.level is not Level.OK] or [
        Finding(Level.OK, "dns", f"all is there for {', '.join(domains) or settings.hostname}")
    ]
    if settings.zone:
        findings += [finding async for finding in check_zones(settings.zone, house.zone_editor(settings))]
    resolver = house.resolver(settings.dns)
    servers = house.resolver_addresses(settings.dns)
    findings += [finding async for finding in check_road(settings, resolver, servers)]
    return findings


async def _check_store(store: OpenStore, settings: Settings) -> list[Finding]:
    problems = (await store.check()).problems
    if not problems:
        return [Finding(Level.OK, "store", str(settings.store.file))]
    remedy = "stop the server and restore the file from a backup"
    return [Finding(Level.ERROR, "store", problem, remedy) for problem in problems]


async def _check_directory(directory: DirectoryStore, domains: list[str]) -> list[Finding]:
    if not domains:
        return [Finding(Level.WARNING, "directory", "no domain: no mail is accepted", "postroom domain add DOMAIN")]
    keys = [f"postmaster@{domain}" for domain in domains]
    found = await directory.find(keys)
    return [  # RFC 5321 §4.5.1: postmaster is required
        Finding(
            Level.WARNING, "directory", f"{key} does not exist", f"postroom alias add {key} WHO, or delivery.postmaster"
        )
        for key, entry in zip(keys, found, strict=True)
        if entry is None
    ]


def _of_problem(problem: Problem, level: Level) -> Finding:
    key = f"{problem.key}: " if problem.key else ""
    return Finding(level, "settings", f"{problem.place}: {key}{problem.what}", problem.remedy)


def _shape(finding: Finding) -> dict[str, str]:
    return {"level": finding.level.value, "area": finding.area, "what": finding.what, "remedy": finding.remedy}


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        typer.secho(f"{finding.level.value:<8}", fg=STYLES[finding.level], nl=False)
        say(f"{finding.area:<12} {finding.what}")
        if finding.remedy and finding.level is not Level.OK:
            say(f"{'':<21} remedy: {finding.remedy}")
    errors = sum(finding.level is Level.ERROR for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    say(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}")
