"""``postroom alias``: addresses that stand for others."""

from collections.abc import Sequence
from typing import Annotated

import typer

from postroom.admin import aliases
from postroom.admin.aliases import AliasView
from postroom.admin.domains import read_domain
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done
from postroom.cli.house import OpenStore
from postroom.cli.output import print_facts, print_json, print_table
from postroom.cli.user import DomainOption
from postroom.config.model import Settings
from postroom.mail.address import Address

AliasArgument = Annotated[
    str, typer.Argument(metavar="ALIAS", help="The alias, as in info@example.org.", show_default=False)
]
TargetsArgument = Annotated[
    list[str], typer.Argument(metavar="TARGET...", help="Who receives: accounts, aliases, or addresses elsewhere.")
]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Aliases: add, list, show, remove.")
    group.command("add")(add)
    group.command("list")(list_all)
    group.command("show")(show)
    group.command("remove")(remove)
    return group


def add(context: typer.Context, address: AliasArgument, targets: TargetsArgument, config: ConfigOption = None) -> None:
    """Add an alias, or replace the targets of one."""

    async def job(store: OpenStore, _: Settings) -> AliasView:
        return await aliases.put_alias(store.directory, address, targets)

    view = Desk.of(context).work(config, job)
    done(f"{view.address} stands for {', '.join(view.targets)}")


def list_all(
    context: typer.Context, domain: DomainOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List the aliases."""

    async def job(store: OpenStore, _: Settings) -> Sequence[AliasView]:
        return await aliases.list_aliases(store.directory, read_domain(domain) if domain else None)

    views = Desk.of(context).work(config, job)
    if json:
        print_json(list(views))
    else:
        print_table(("alias", "targets"), [(view.address, ", ".join(view.targets)) for view in views])


def show(context: typer.Context, address: AliasArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show one alias."""

    async def job(store: OpenStore, _: Settings) -> AliasView:
        return await aliases.show_alias(store.directory, address)

    view = Desk.of(context).work(config, job)
    if json:
        print_json(view)
    else:
        print_facts({"alias": view.address, "targets": ", ".join(view.targets)})


def remove(context: typer.Context, address: AliasArgument, config: ConfigOption = None) -> None:
    """Remove an alias."""

    async def job(store: OpenStore, _: Settings) -> Address:
        return await aliases.remove_alias(store.directory, address)

    done(f"removed {Desk.of(context).work(config, job)}")
