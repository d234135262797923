"""``postroom dns``: what the DNS should say of a domain, printed for hand or program, or put there."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from postroom.admin.dnsrecords.applying import Plan, apply, plan
from postroom.admin.dnsrecords.facts import gather
from postroom.admin.dnsrecords.making import records_for
from postroom.admin.dnsrecords.model import DkimRecord, Published, Way
from postroom.admin.dnsrecords.views import view
from postroom.admin.dnsrecords.zonefile import zone_file, zone_line
from postroom.admin.domains import read_domain
from postroom.admin.refusal import Refused
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done, telling_troubles
from postroom.cli.house import House, OpenStore
from postroom.cli.output import print_json, print_table, say
from postroom.config.model import Settings
from postroom.dns.record import PublishFailed

_WAYS = {Way.PASTE: "", Way.FILL: "to fill in", Way.ASK: "for others", Way.CHOOSE: "as you like"}
_LONGEST_SHOWN = 80  # characters of a record's data in the table


def dns(
    context: typer.Context,
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="As in example.org.", show_default=False)],
    *,
    table: Annotated[bool, typer.Option("--table", help="Print a table instead of a zone file.")] = False,
    json: JsonOption = False,
    put: Annotated[
        bool, typer.Option("--apply", help="Put the records into the zones that the settings name, after asking.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --apply: do not ask.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --apply: also replace what others put in the place of ours.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Print every record that a domain should publish for its mail, as a zone file; with --apply, publish them.

    --apply brings up to date what is ours: DKIM keys, the MTA-STS id, TLSA. Others that differ stay, unless --replace.
    """
    if (yes or replace) and not put:
        raise typer.BadParameter("--yes and --replace belong to --apply")
    desk = Desk.of(context)
    with telling_troubles():
        settings, _ = desk.settings(config)
        name = read_domain(domain)
        published = published_for(desk.house, settings, name)
        if put:
            _publish(desk.house, settings, published, yes=yes, replace=replace)
            return
    if json:
        print_json(view(published))
    elif table:
        _print_table(published)
    else:
        for line in zone_file(published).splitlines():
            say(line)


def published_for(house: House, settings: Settings, domain: str) -> Published:
    """All that a domain should publish; without a store, as if there were no keys. Refused, StoreUnavailable."""
    if settings.hostname.startswith("["):
        raise Refused(
            f"the hostname is an address literal, {settings.hostname}: no record can name it",
            "set hostname to the name of this machine",
        )
    facts = gather(settings, house.local_addresses)
    return records_for(domain, facts, _keys_of(house, settings, domain))


def _keys_of(house: House, settings: Settings, domain: str) -> Sequence[DkimRecord]:
    if not settings.store.file.exists():
        return ()

    async def job(store: OpenStore, _: Settings) -> Sequence[DkimRecord]:
        return await house.dkim_records(store).to_publish(domain)

    return Desk(house).work_in(settings, job)


def _publish(house: House, settings: Settings, published: Published, *, yes: bool, replace: bool) -> None:
    if not settings.zone:
        raise Refused("no zone may be changed by this server", "add [[zone]] to the settings, or publish by hand")
    editor = house.zone_editor(settings)
    try:
        planned = asyncio.run(plan(published, editor, replace=replace))
        _show(planned)
        if not planned.changes:
            done("nothing to change")
            return
        if not yes and not _agreed():
            raise Refused("nothing was changed", "run it again with --yes")
        asyncio.run(apply(planned, editor))
    except PublishFailed as error:
        what, _, remedy = str(error).partition(": ")
        raise Refused(what, remedy) from error
    done(f"changed {', '.join(change.zone for change in planned.changes)}")


def _show(planned: Plan) -> None:
    for change in planned.changes:
        say(f"zone {change.zone}")
        for record in change.remove:
            say(f"- {zone_line(record)}")
        for record in change.add:
            say(f"+ {zone_line(record)}")
    for left in planned.left:
        say(f"left: {left.record.name} {left.record.kind}: {left.why}")


def _agreed() -> bool:
    return sys.stdin.isatty() and typer.confirm("Do that?", default=False)


def _print_table(published: Published) -> None:
    rows = [
        (each.record.name, each.record.kind, _shortened(each.text), each.purpose.value, each.why, _WAYS[each.way])
        for each in published.records
    ]
    print_table(("name", "type", "data", "for", "why", "mind"), rows)
    for note in published.notes:
        say(note)


def _shortened(text: str) -> str:
    """A key makes every line of the table as long as itself; the zone file has it whole."""
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
