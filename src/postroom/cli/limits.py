"""``postroom limits``: how much accounts may send, what they have used up, and exceptions from the settings."""

from collections.abc import Sequence
from typing import Annotated

import typer

from postroom.admin import limits
from postroom.admin.limits import AccountView, SpecialView
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done
from postroom.cli.house import OpenStore
from postroom.cli.output import print_json, print_table, say
from postroom.cli.user import AddressArgument
from postroom.config.model import Settings

_RATES = 'Rates that hold at once, as in "200/1h,2000/1d"; "none" for no limit.'


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Rate limits of accounts: list, show, set, clear.")
    group.command("list")(list_all)
    group.command("show")(show)
    group.command("set")(set_one)
    group.command("clear")(clear)
    return group


def list_all(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the accounts that have limits of their own."""

    async def job(store: OpenStore, _: Settings) -> Sequence[SpecialView]:
        return await limits.list_special(store.guard)

    views = Desk.of(context).work(config, job)
    if json:
        print_json(list(views))
        return
    rows = [(view.account, view.messages or "as in settings", view.recipients or "as in settings") for view in views]
    print_table(("account", "messages", "recipients"), rows)


def show(
    context: typer.Context, address: AddressArgument, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Show what limits an account and how much of it is used up: as of a second ago beside a running server."""
    desk = Desk.of(context)

    async def job(store: OpenStore, settings: Settings) -> AccountView:
        return await limits.show_limits(store.directory, store.guard, settings.limits, address, desk.house.now())

    view = desk.work(config, job)
    if json:
        print_json(view)
        return
    say(view.account)
    rows: list[Sequence[object]] = []
    for limit in view.limits:
        source = "own" if limit.own else "settings"
        if not limit.rates:
            rows.append((limit.scope, "no limit", "", source))
        rows += [(limit.scope, one.shown, f"{one.used} of {one.count}", source) for one in limit.rates]
    print_table(("scope", "limit", "used", "from"), rows)


def set_one(
    context: typer.Context,
    address: AddressArgument,
    messages: Annotated[str | None, typer.Option("--messages", metavar="RATES", help=_RATES)] = None,
    recipients: Annotated[str | None, typer.Option("--recipients", metavar="RATES", help=_RATES)] = None,
    config: ConfigOption = None,
) -> None:
    """Give an account limits of its own. A server that runs obeys them within a second."""

    async def job(store: OpenStore, _: Settings) -> str:
        return await limits.set_limits(store.directory, store.guard, address, messages=messages, recipients=recipients)

    done(f"{Desk.of(context).work(config, job)} has limits of its own")


def clear(context: typer.Context, address: AddressArgument, config: ConfigOption = None) -> None:
    """Let the settings say again what limits an account."""

    async def job(store: OpenStore, _: Settings) -> str:
        return await limits.clear_limits(store.directory, store.guard, address)

    done(f"{Desk.of(context).work(config, job)} is limited as in the settings")
