"""``postroom user app-password``: passwords of the machine's own making, one for each mail program."""

from collections.abc import Sequence
from typing import Annotated

import typer

from postroom.admin import apppasswords
from postroom.admin.apppasswords import AppPasswordView, NewAppPassword
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done
from postroom.cli.house import OpenStore
from postroom.cli.output import print_facts, print_json, print_table
from postroom.config.model import Settings
from postroom.directory.model import PROTOCOLS
from postroom.mail.address import Address

AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="Address of the account, as in alice@example.org.", show_default=False)
]
LabelOption = Annotated[
    str, typer.Option("--label", metavar="LABEL", help="What it is for, as in phone.", show_default=False)
]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="App passwords of an account: add, list, remove.")
    group.command("add")(add)
    group.command("list")(list_all)
    group.command("remove")(remove)
    return group


def add(
    context: typer.Context,
    address: AddressArgument,
    *,
    label: LabelOption,
    protocol: Annotated[
        list[str] | None,
        typer.Option("--protocol", metavar="NAME", help=f"Only for {' or '.join(PROTOCOLS)}; may be given twice."),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make an app password and show it, this once."""
    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> NewAppPassword:
        return await apppasswords.add_app_password(store.directory, address, label, protocol or (), desk.house.now())

    made = desk.work(config, job)
    if json:
        print_json(made)
        return
    facts = {"account": made.address, "label": made.label, "for": _protocols(made.protocols)}
    print_facts(facts | {"password": made.password})


def list_all(
    context: typer.Context, address: AddressArgument, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List the app passwords of an account; what they are is not known any more."""

    async def job(store: OpenStore, _: Settings) -> Sequence[AppPasswordView]:
        return await apppasswords.list_app_passwords(store.directory, address)

    views = Desk.of(context).work(config, job)
    if json:
        print_json(list(views))
        return
    rows = [(view.label, _protocols(view.protocols), view.created_at, view.last_used or "never") for view in views]
    print_table(("label", "for", "since", "last used"), rows)


def remove(
    context: typer.Context, address: AddressArgument, *, label: LabelOption, config: ConfigOption = None
) -> None:
    """Remove an app password: nobody logs in with it from now on."""

    async def job(store: OpenStore, _: Settings) -> Address:
        return await apppasswords.remove_app_password(store.directory, address, label)

    done(f"removed the app password {label} of {Desk.of(context).work(config, job)}")


def _protocols(protocols: tuple[str, ...]) -> str:
    return ", ".join(protocols) or "all"
