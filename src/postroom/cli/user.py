"""``postroom user``: the accounts."""

from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from postroom.admin import accounts
from postroom.admin.accounts import AccountView
from postroom.admin.domains import read_domain
from postroom.admin.moments import size
from postroom.admin.refusal import Refused
from postroom.cli import app_password, forward
from postroom.cli.desk import ConfigOption, Desk, JsonOption, PasswordStdinOption, done, telling_troubles
from postroom.cli.house import OpenStore
from postroom.cli.output import print_facts, print_json, print_table
from postroom.cli.passwords import obtain_password
from postroom.config.model import Settings
from postroom.config.section import Size
from postroom.mail.address import Address

AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="Address of the account, as in alice@example.org.", show_default=False)
]
DomainOption = Annotated[str | None, typer.Option("--domain", metavar="DOMAIN", help="Only those of one domain.")]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Accounts: add, list, show, set, remove, password, app-password, quota, enable, disable, forward.",
    )
    group.command("add")(add)
    group.command("list")(list_all)
    group.command("show")(show)
    group.command("set")(set_options)
    group.command("remove")(remove)
    group.command("password")(password)
    group.command("quota")(quota)
    group.command("enable")(enable)
    group.command("disable")(disable)
    group.command("forward")(forward.forward)
    group.add_typer(app_password.commands(), name="app-password")
    return group


def add(
    context: typer.Context,
    address: AddressArgument,
    *,
    password_stdin: PasswordStdinOption = False,
    no_password: Annotated[bool, typer.Option("--no-password", help="Receives mail, but cannot log in yet.")] = False,
    quota_text: Annotated[
        str | None,
        typer.Option("--quota", metavar="SIZE", help='Quota as in "2GiB"; 0 for none; else that of the settings.'),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Add an account. The password is asked for on a terminal, or read with --password-stdin."""
    desk = Desk.of(context)
    with telling_troubles():
        quota = None if quota_text is None else _read_size(quota_text)
        given = "" if no_password else obtain_password(from_stdin=password_stdin)

    async def job(store: OpenStore, settings: Settings) -> Address:
        granted = settings.delivery.default_quota if quota is None else quota
        return await accounts.add_account(
            store.directory, address, given, granted, desk.house.now(), make=desk.house.new_password
        )

    done(f"added {desk.work(config, job)}")


def list_all(
    context: typer.Context, domain: DomainOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List the accounts."""

    async def job(store: OpenStore, _: Settings) -> Sequence[AccountView]:
        return await accounts.list_accounts(store.directory, read_domain(domain) if domain else None)

    views = Desk.of(context).work(config, job)
    if json:
        print_json(list(views))
    else:
        rows = [(view.address, _login(view), view.messages, size(view.octets), _quota(view)) for view in views]
        print_table(("address", "login", "messages", "size", "quota"), rows)


def show(
    context: typer.Context, address: AddressArgument, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Show one account, with the aliases that lead to it."""

    async def job(store: OpenStore, _: Settings) -> AccountView:
        return await accounts.show_account(store.directory, address)

    view = Desk.of(context).work(config, job)
    if json:
        print_json(view)
        return
    print_facts(
        {
            "address": view.address,
            "login": _login(view),
            "mailbox": f"{view.messages} messages, {size(view.octets)}",
            "quota": _quota(view),
            "aliases": ", ".join(view.aliases) or "none",
            "forward": forward.show_forwards(view) if view.forwards else "none",
            "since": view.created_at,
        }
    )


def remove(
    context: typer.Context,
    address: AddressArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
) -> None:
    """Remove an account and its mailbox, for good."""
    if not yes:
        typer.confirm(f"Remove {address} and all of its mail?", abort=True)

    async def job(store: OpenStore, _: Settings) -> Address:
        return await accounts.remove_account(store.directory, address)

    done(f"removed {Desk.of(context).work(config, job)}")


def password(
    context: typer.Context,
    address: AddressArgument,
    password_stdin: PasswordStdinOption = False,
    config: ConfigOption = None,
) -> None:
    """Set a new password: asked for on a terminal, or read with --password-stdin."""
    desk = Desk.of(context)
    with telling_troubles():
        given = obtain_password(from_stdin=password_stdin)

    async def job(store: OpenStore, _: Settings) -> Address:
        return await accounts.set_password(store.directory, address, given, make=desk.house.new_password)

    done(f"new password for {desk.work(config, job)}")


def quota(
    context: typer.Context,
    address: AddressArgument,
    text: Annotated[str, typer.Argument(metavar="SIZE", help='As in "2GiB"; 0 for none.', show_default=False)],
    config: ConfigOption = None,
) -> None:
    """Set the quota of a mailbox."""
    with telling_troubles():
        octets = _read_size(text)

    async def job(store: OpenStore, _: Settings) -> Address:
        return await accounts.change_account(store.directory, address, quota=octets)

    done(f"quota of {Desk.of(context).work(config, job)}: {size(octets) if octets else 'none'}")


def enable(context: typer.Context, address: AddressArgument, config: ConfigOption = None) -> None:
    """Let the account log in again."""
    done(f"enabled {_set_enabled(context, address, config, enabled=True)}")


def disable(context: typer.Context, address: AddressArgument, config: ConfigOption = None) -> None:
    """Keep the account from logging in; it still receives, and its mail stays."""
    done(f"disabled {_set_enabled(context, address, config, enabled=False)}")


def set_options(
    context: typer.Context,
    address: AddressArgument,
    *,
    app_passwords_only: Annotated[
        bool | None,
        typer.Option(
            "--app-passwords-only/--own-password",
            help="Whether mail programs must use an app password, or may use the account's own.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Set how the account logs in."""
    if app_passwords_only is None:
        raise typer.BadParameter("nothing to set: use --app-passwords-only or --own-password")

    async def job(store: OpenStore, _: Settings) -> Address:
        return await accounts.change_account(store.directory, address, app_passwords_only=app_passwords_only)

    words = "app passwords only" if app_passwords_only else "its own password, and app passwords"
    done(f"{Desk.of(context).work(config, job)} logs in by {words}")


def _set_enabled(context: typer.Context, address: str, config: ConfigOption, *, enabled: bool) -> Address:
    async def job(store: OpenStore, _: Settings) -> Address:
        return await accounts.change_account(store.directory, address, enabled=enabled)

    return Desk.of(context).work(config, job)


def _read_size(text: str) -> int:
    try:
        return TypeAdapter(Size).validate_python(text)
    except ValidationError as error:
        raise Refused(
            f"{text!r} is not a size", 'write octets, or text such as "500MiB", "2GiB"; 0 for none'
        ) from error


def _login(view: AccountView) -> str:
    if not view.enabled:
        return "disabled"
    if view.app_passwords_only:
        return "app passwords only"
    return "yes" if view.has_password else "no password"


def _quota(view: AccountView) -> str:
    return size(view.quota) if view.quota else "none"
