"""``postroom domain``: the domains whose mail is ours."""

from collections.abc import Sequence
from typing import Annotated

import typer

from postroom.admin import domains
from postroom.admin.accounts import read_address
from postroom.admin.dkim import RecordView, make_first, records_of, retire_domain
from postroom.admin.domains import DomainView
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done, telling_troubles
from postroom.cli.dkim import print_records
from postroom.cli.house import OpenStore
from postroom.cli.output import print_facts, print_json, print_table, say
from postroom.config.model import Settings
from postroom.mailauth.keys.sealing import Sealer, open_sealer

NameArgument = Annotated[
    str, typer.Argument(metavar="DOMAIN", help="Domain name, as in example.org.", show_default=False)
]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Domains whose mail is ours: add, list, show, remove, catch-all.")
    group.command("add")(add)
    group.command("list")(list_all)
    group.command("show")(show)
    group.command("remove")(remove)
    group.command("catch-all")(catch_all)
    return group


def add(context: typer.Context, name: NameArgument, config: ConfigOption = None) -> None:
    """Make a domain ours: from now on its mail is accepted for the accounts and aliases in it. Makes its DKIM keys."""
    desk = Desk.of(context)
    with telling_troubles():
        settings, _ = desk.settings(config)
        sealer = open_sealer(settings.dkim.key_file) if settings.dkim.enabled else Sealer()

        async def job(store: OpenStore, settings: Settings) -> tuple[str, Sequence[RecordView]]:
            now = desk.house.now()
            added = await domains.add_domain(store.directory, name, now)
            keys = await make_first(store.dkim, sealer, settings.dkim, added, now)
            return added, records_of(keys)

        added, records = desk.work_in(settings, job)
    done(f"added {added}")
    if records:
        say("publish in the DNS, for signing; the keys are used once they are seen there:")
        print_records(records)


def list_all(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the domains."""

    async def job(store: OpenStore, _: Settings) -> Sequence[DomainView]:
        return await domains.list_domains(store.directory)

    views = Desk.of(context).work(config, job)
    if json:
        print_json(list(views))
    else:
        rows = [(view.shown, view.accounts, view.aliases, view.catch_all, view.created_at[:10]) for view in views]
        print_table(("domain", "accounts", "aliases", "catch-all", "since"), rows)


def show(context: typer.Context, name: NameArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show one domain."""

    async def job(store: OpenStore, _: Settings) -> DomainView:
        return await domains.show_one(store.directory, name)

    view = Desk.of(context).work(config, job)
    if json:
        print_json(view)
        return
    print_facts(
        {
            "domain": view.shown,
            "accounts": view.accounts,
            "aliases": view.aliases,
            "catch-all": view.catch_all or "none",
            "since": view.created_at,
        }
    )


def remove(
    context: typer.Context,
    name: NameArgument,
    with_content: Annotated[
        bool, typer.Option("--with-content", help="Also remove its accounts, their mail, and its aliases.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Give a domain up. Refused while it has accounts or aliases, unless --with-content."""

    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> str:
        removed = await domains.remove_domain(store.directory, name, with_content=with_content)
        await retire_domain(store.dkim, removed, desk.house.now())
        return removed

    done(f"removed {desk.work(config, job)}")


def catch_all(
    context: typer.Context,
    name: NameArgument,
    target: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="Who receives.", show_default=False)] = None,
    off: Annotated[bool, typer.Option("--off", help="Nobody: unknown addresses are refused.")] = False,
    config: ConfigOption = None,
) -> None:
    """Say who receives mail to addresses of a domain that nobody has."""
    if (target is None) is not off:
        raise typer.BadParameter("name an ADDRESS, or --off")

    async def job(store: OpenStore, _: Settings) -> str:
        address = None if target is None else read_address(target)
        return await domains.set_catch_all(store.directory, name, address)

    done(f"catch-all of {Desk.of(context).work(config, job)}: {target or 'off'}")
