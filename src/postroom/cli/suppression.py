"""``postroom suppression``: addresses that are not written to again; adding, removing, carrying over."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from postroom.admin import suppression
from postroom.admin.refusal import Refused
from postroom.admin.suppression import MOST_LISTED, SuppressionPage, SuppressionView
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import print_json, print_table, say
from postroom.config.model import Settings
from postroom.config.section import Duration

DomainOption = Annotated[str, typer.Option("--domain", metavar="DOMAIN", help="The sending domain.")]
RecipientOption = Annotated[str, typer.Option("--recipient", metavar="ADDRESS", help="One address.")]
CauseOption = Annotated[
    str,
    typer.Option("--cause", metavar="CAUSE", help="Such as mailbox_unknown, abuse; or bounce, complaint, manual."),
]
RecipientDomainOption = Annotated[
    str, typer.Option("--recipient-domain", metavar="DOMAIN", help="Addresses of one domain.")
]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(
        no_args_is_help=True, help="Addresses that are not written to again: list, add, remove, import, export."
    )
    group.command("list")(list_all)
    group.command("add")(add)
    group.command("remove")(remove)
    group.command("import")(import_all)
    group.command("export")(export_all)
    return group


def list_all(
    context: typer.Context,
    *,
    domain: DomainOption = "",
    recipient: RecipientOption = "",
    recipient_domain: RecipientDomainOption = "",
    cause: CauseOption = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST_LISTED, help="Entries shown.")] = 100,
    after: Annotated[str, typer.Option("--after", metavar="NEXT", help="Go on after this, as the list told.")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List who stands on the list, by sending domain."""
    desk = Desk.of(context)
    with telling_troubles():
        which = suppression.read_filter(
            sender_domain=domain, recipient=recipient, recipient_domain=recipient_domain, cause=cause
        )

    async def job(store: OpenStore, settings: Settings) -> SuppressionPage:
        return await suppression.list_entries(
            store.suppression,
            which,
            limit=limit,
            after=after,
            bounces=settings.suppression.bounces,
            now=desk.house.now(),
        )

    page = desk.work(config, job)
    if json:
        print_json(page)
        return
    print_table(("domain", "recipient", "cause", "count", "latest", "until", "reason"), [_row(e) for e in page.entries])
    if page.next:
        say(f"there are more: --after {page.next!r}")


def _row(view: SuppressionView) -> tuple[object, ...]:
    cause = view.cause if view.stands else f"{view.cause} (does not stand)"
    until = "-" if view.until.startswith("9999") else view.until[:10]
    return view.sender_domain, view.recipient, cause, view.count, view.latest[:10], until, view.reason


def add(
    context: typer.Context,
    recipients: Annotated[list[str], typer.Argument(metavar="ADDRESS...", show_default=False)],
    *,
    domain: DomainOption,
    length: Annotated[str, typer.Option("--for", metavar="TIME", help='How long, as in "30d"; else for good.')] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; for the list.")] = "",
    config: ConfigOption = None,
) -> None:
    """Put addresses on the list of a domain of this server."""
    desk = Desk.of(context)
    with telling_troubles():
        seconds = _seconds(length) if length else None
        now = desk.house.now()
        entries = [suppression.new_entry(one, domain, reason=reason, seconds=seconds, now=now) for one in recipients]

    async def job(store: OpenStore, _: Settings) -> int:
        name = entries[0].sender_domain
        if await store.directory.find_domain(name) is None:
            raise Refused(f"{name} is not a domain of this server", "postroom domain list shows those that are")
        return await suppression.put_all(store.suppression, entries)

    desk.work(config, job)
    done(f"{', '.join(str(one.recipient) for one in entries)}: not written to again by {entries[0].sender_domain}")


def remove(
    context: typer.Context,
    recipients: Annotated[list[str], typer.Argument(metavar="ADDRESS...", show_default=False)],
    domain: DomainOption = "",
    config: ConfigOption = None,
) -> None:
    """Take addresses off the list of one domain, or of all. A server that runs takes mail to them within a second."""
    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> Sequence[str]:
        return await suppression.remove_entries(store.suppression, recipients, domain)

    for name in desk.work(config, job):
        done(f"removed {name}")


def import_all(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Lines as exported, or addresses; - for standard input.")
    ],
    domain: DomainOption = "",
    config: ConfigOption = None,
) -> None:
    """Read entries from a file, all of them or none. An address alone is listed for --domain, for good."""
    desk = Desk.of(context)
    with telling_troubles():
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
        entries = list(suppression.read_lines(text.splitlines(), sender_domain=domain, now=desk.house.now()))

    async def job(store: OpenStore, _: Settings) -> int:
        return await suppression.put_all(store.suppression, entries)

    done(f"{desk.work(config, job)} entries")


def export_all(
    context: typer.Context,
    domain: DomainOption = "",
    recipient_domain: RecipientDomainOption = "",
    cause: CauseOption = "",
    config: ConfigOption = None,
) -> None:
    """Print the list as lines of JSON, for import."""
    desk = Desk.of(context)
    with telling_troubles():
        which = suppression.read_filter(sender_domain=domain, recipient_domain=recipient_domain, cause=cause)

    async def job(store: OpenStore, _: Settings) -> None:
        async for line in suppression.export_lines(store.suppression, which):
            typer.echo(line)

    desk.work(config, job)


def _seconds(length: str) -> float:
    try:
        return TypeAdapter(Duration).validate_python(length)
    except ValidationError as error:
        raise Refused(f"{length!r} is not a duration", 'write it as in "12h", "30d"') from error
