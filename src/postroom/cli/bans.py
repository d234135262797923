"""``postroom bans``: who is shut out, and why; banning and lifting by hand."""

import getpass
from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from postroom.admin import bans
from postroom.admin.bans import BanView
from postroom.admin.moments import span
from postroom.admin.refusal import Refused
from postroom.cli.desk import ConfigOption, Desk, JsonOption, done, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import print_json, print_table
from postroom.config.model import Settings
from postroom.config.section import Duration

_SUBJECT = "Address, network or account, as in 192.0.2.7, 2001:db8::/64, alice@example.org."


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Who is shut out for failed logins or abuse: list, lift, add.")
    group.command("list")(list_all)
    group.command("lift")(lift)
    group.command("add")(add)
    return group


def list_all(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the bans that hold now."""
    desk = Desk.of(context)

    async def job(store: OpenStore, _: Settings) -> Sequence[BanView]:
        return await bans.list_bans(store.guard, desk.house.now())

    views = desk.work(config, job)
    if json:
        print_json(list(views))
        return
    rows = [
        (view.subject, view.scope, view.reason, view.failures, view.since[:19] + "Z", span(view.seconds_left), view.by)
        for view in views
    ]
    print_table(("who", "scope", "reason", "failures", "since", "ends in", "by"), rows)


def lift(
    context: typer.Context,
    subjects: Annotated[list[str] | None, typer.Argument(metavar="WHO...", help=_SUBJECT, show_default=False)] = None,
    everyone: Annotated[bool, typer.Option("--all", help="End all bans.")] = False,
    config: ConfigOption = None,
) -> None:
    """End bans before their time. A server that runs lets them in within a second."""
    if bool(subjects) is everyone:
        raise typer.BadParameter("name WHO, or --all")
    desk = Desk.of(context)
    by = _operator()

    async def job(store: OpenStore, _: Settings) -> Sequence[str]:
        if everyone:
            return await bans.lift_all(store.guard, by, desk.house.now())
        return await bans.lift_bans(store.guard, subjects or (), by, desk.house.now())

    lifted = desk.work(config, job)
    done(f"lifted {', '.join(lifted)}" if lifted else "nobody was banned")


def add(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="WHO", help=_SUBJECT, show_default=False)],
    length: Annotated[str, typer.Option("--for", metavar="TIME", help='How long, as in "1h" or "30d".')] = "1d",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; for the list and the log.")] = "",
    config: ConfigOption = None,
) -> None:
    """Shut out an address or a network (no connection), or an account (no login but from where it was used before)."""
    desk = Desk.of(context)
    with telling_troubles():
        ban = bans.new_ban(subject, reason=reason, seconds=_seconds(length), by=_operator(), clock=desk.house.now)

    async def job(store: OpenStore, settings: Settings) -> BanView:
        return await bans.add_ban(store.guard, ban, settings.lockout.exempt_networks)

    view = desk.work(config, job)
    done(f"banned {view.subject} until {view.until}")


def _seconds(text: str) -> float:
    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise Refused(f"{text!r} is not a duration", 'write it as in "90s", "15m", "4h", "5d"') from error


def _operator() -> str:
    """The user of this machine, for the list and the log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return "operator"
