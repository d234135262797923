"""``postroom check dns``: what the DNS says against what it should say, each difference explained."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated

import typer

from postroom.admin.dnscheck import look_closely
from postroom.admin.dnsfaults.model import DnsFinding
from postroom.admin.domains import read_domain
from postroom.admin.finding import Level
from postroom.cli.desk import ConfigOption, Desk, JsonOption
from postroom.cli.house import OpenStore
from postroom.cli.output import print_json, say
from postroom.config.model import Settings

STYLES = {
    Level.OK: "green",
    Level.NOTE: "cyan",
    Level.SKIPPED: "cyan",
    Level.WARNING: "yellow",
    Level.ERROR: "red",
}


@dataclass(frozen=True, slots=True)
class DnsFindingView:
    """One finding as programs see it. ``fault`` is ``""`` where all is well; ``domain`` is ``""`` for the host."""

    level: str
    fault: str
    domain: str
    subject: str
    what: str
    consequence: str
    remedy: str


def check_dns(
    context: typer.Context,
    domains: Annotated[
        list[str] | None, typer.Argument(metavar="[DOMAIN...]", help="Domains to look at; without any, all of ours.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Compare what the DNS says now with what it should say. Exit code 1 if anything is wrong."""
    desk = Desk.of(context)

    async def job(store: OpenStore, settings: Settings) -> list[DnsFinding]:
        names = [read_domain(each) for each in domains or []]
        if not names:
            names = [domain.name for domain in await store.directory.domains()]
        return await look_closely(desk.house.inspector(settings, desk.house.dkim_records(store)), names)

    findings = desk.work(config, job)
    if json:
        print_json([_view(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.level is Level.ERROR for finding in findings):
        raise typer.Exit(1)


def _view(finding: DnsFinding) -> DnsFindingView:
    return DnsFindingView(
        level=finding.level.value,
        fault="" if finding.fault is None else finding.fault.value,
        domain=finding.domain,
        subject=finding.subject,
        what=finding.what,
        consequence=finding.consequence,
        remedy=finding.remedy,
    )


def _print(findings: Sequence[DnsFinding]) -> None:
    for domain, group in groupby(findings, key=lambda finding: finding.domain):
        say(domain or "this host")
        for finding in group:
            typer.secho(f"  {finding.level.value:<8}", fg=STYLES[finding.level], nl=False)
            fault = "" if finding.fault is None else finding.fault.value
            say(f"{fault:<22} {finding.what}")
            if finding.consequence:
                say(f"{'':<32} so: {finding.consequence}")
            if finding.remedy:
                say(f"{'':<32} remedy: {finding.remedy}")
    errors = sum(finding.level is Level.ERROR for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    say(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}")


def counted(count: int, what: str) -> str:
    """The number and the word."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
