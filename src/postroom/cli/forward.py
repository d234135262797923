"""``postroom user forward``: mail of an account that goes on to others, and stays in its mailbox or not."""

from typing import Annotated

import typer

from postroom.admin import accounts
from postroom.admin.accounts import AccountView
from postroom.cli.desk import ConfigOption, Desk, done
from postroom.cli.house import OpenStore
from postroom.config.model import Settings


def forward(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Address of the account, as in alice@example.org.")],
    *,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="ADDRESS", help="Where its mail goes; may be given often.")
    ] = None,
    no_keep: Annotated[bool, typer.Option("--no-keep", help="Do not keep it in the mailbox too.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Forward it no more.")] = False,
    config: ConfigOption = None,
) -> None:
    """Forward the mail of an account, here or elsewhere, in place of what was said before."""
    if bool(to) == off:
        raise typer.BadParameter("say where to: --to ADDRESS, or --off")
    if off and no_keep:
        raise typer.BadParameter("--off keeps the mail in the mailbox")

    async def job(store: OpenStore, _: Settings) -> AccountView:
        return await accounts.set_forwards(store.directory, address, to or (), keep=not no_keep)

    view = Desk.of(context).work(config, job)
    done(f"{view.address}: {show_forwards(view)}")


def show_forwards(view: AccountView) -> str:
    """Where its mail goes."""
    if not view.forwards:
        return "its mail stays in its mailbox"
    return f"its mail goes to {', '.join(view.forwards)}" + (", and stays in its mailbox" if view.keep else "")
