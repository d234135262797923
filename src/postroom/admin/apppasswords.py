"""App passwords of an account: made, listed, removed. The password itself is shown once, when it is made."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from postroom.admin.accounts import find_account, read_address
from postroom.admin.moments import iso
from postroom.admin.refusal import Refused
from postroom.directory.apppasswords import invent_app_password, make_app_password
from postroom.directory.model import PROTOCOLS, AddAppPassword, AppPassword, RemoveAppPassword
from postroom.directory.store import DirectoryStore
from postroom.mail.address import Address

LONGEST_LABEL = 64  # characters


@dataclass(frozen=True, slots=True)
class AppPasswordView:
    """One as listed. No ``protocols``: for all; ``last_used`` is ``""`` for never, and known to about an hour."""

    label: str
    protocols: tuple[str, ...]
    created_at: str
    last_used: str


@dataclass(frozen=True, slots=True)
class NewAppPassword:
    """One that was just made, and what it is: nobody will ever be able to show it again."""

    address: str
    label: str
    protocols: tuple[str, ...]
    password: str = field(repr=False)


async def add_app_password(
    directory: DirectoryStore, text: str, label: str, protocols: Sequence[str], now: float
) -> NewAppPassword:
    """Make one. Refused if there is no such account, or the label is taken or unfit."""
    account = await find_account(directory, read_address(text))
    _check_label(label)
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown:
        raise Refused(f"{unknown[0]!r} is no protocol", f"one of {', '.join(PROTOCOLS)}")
    chosen = tuple([name for name in PROTOCOLS if name in protocols])
    password = invent_app_password()
    made = await asyncio.to_thread(
        make_app_password,
        password,
        key=account.address.key,
        label=label,
        protocols=chosen,
        secret=await directory.secret(),
        logins=await directory.logins(account.address.key),
        now=now,
    )
    await directory.change([AddAppPassword(account.address, made)])
    return NewAppPassword(str(account.address), label, chosen, password)


async def list_app_passwords(directory: DirectoryStore, text: str) -> Sequence[AppPasswordView]:
    """Those of an account, the oldest first. Refused if there is no such account."""
    account = await find_account(directory, read_address(text))
    return [_view(each) for each in (await directory.logins(account.address.key)).app_passwords]


async def remove_app_password(directory: DirectoryStore, text: str, label: str) -> Address:
    """It is of no use at once. Refused if there is none of this label."""
    account = await find_account(directory, read_address(text))
    labels = [each.label for each in (await directory.logins(account.address.key)).app_passwords]
    if label not in labels:
        raise Refused(f"{account.address} has no app password {label!r}", f"postroom user app-password list {text}")
    await directory.change([RemoveAppPassword(account.address, label)])
    return account.address


def _check_label(label: str) -> None:
    if not label.strip() or len(label) > LONGEST_LABEL or not label.isprintable():
        raise Refused(
            f"{label!r} cannot be a label", f"write up to {LONGEST_LABEL} characters, such as the program's name"
        )


def _view(app_password: AppPassword) -> AppPasswordView:
    used = app_password.last_used
    return AppPasswordView(
        label=app_password.label,
        protocols=app_password.protocols,
        created_at=iso(app_password.created_at),
        last_used="" if used is None else iso(used),
    )
