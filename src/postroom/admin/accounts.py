"""The accounts: who logs in and has a mailbox. A password comes in, and only what is kept of it goes on."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from postroom.admin.moments import iso
from postroom.admin.refusal import Refused
from postroom.directory.model import (
    Account,
    AddAccount,
    Alias,
    ChangeAccount,
    Logins,
    NewPassword,
    RemoveAccount,
    SetForwards,
    Usage,
)
from postroom.directory.store import DirectoryStore
from postroom.mail.address import Address

MakePassword = Callable[[str, Address, bytes, Logins], NewPassword]
"""What is kept of a password: ``directory.passwords.new_password``. It takes its time, and is called in a thread."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account as listed. ``quota`` (0: none) and ``octets`` are octets, ``messages`` what the mailbox holds.

    Its mail goes on to ``forwards``, and stays in its mailbox too where it is to ``keep`` it.
    """

    address: str
    enabled: bool
    quota: int
    octets: int
    messages: int
    has_password: bool
    app_passwords_only: bool
    created_at: str
    aliases: tuple[str, ...] = ()
    forwards: tuple[str, ...] = ()
    keep: bool = True


def read_address(text: str) -> Address:
    """The address that an operator wrote. Refused if it is none."""
    try:
        address = Address.parse(text)
    except ValueError as error:
        raise Refused(f"{text!r} is not an address: {error}", "write it as in name@example.org") from error
    if not address.domain:
        raise Refused(f"{text!r} has no domain", f"write it as in {text}@example.org")
    return address


async def list_accounts(directory: DirectoryStore, domain: str | None) -> Sequence[AccountView]:
    """All accounts, or those of a domain, by address."""
    accounts = await directory.accounts(domain)
    usages = await directory.usage([account.account_id for account in accounts])
    return [_view(account, usage) for account, usage in zip(accounts, usages, strict=True)]


async def show_account(directory: DirectoryStore, text: str) -> AccountView:
    """One account with the aliases that lead to it."""
    account = await find_account(directory, read_address(text))
    (usage,) = await directory.usage([account.account_id])
    aliases = await directory.aliases_to(account.address)
    return _view(account, usage, tuple(str(alias.address) for alias in aliases))


async def find_account(directory: DirectoryStore, address: Address) -> Account:
    """The account of that address. Refused if there is none."""
    (entry,) = await directory.find([address.key])
    if isinstance(entry, Alias):
        raise Refused(f"{address} is an alias, not an account", f"postroom alias show {address}")
    if entry is None:
        raise Refused(f"there is no account {address}", f"postroom user add {address}")
    return entry


async def add_account(
    directory: DirectoryStore, text: str, password: str, quota: int, now: float, *, make: MakePassword
) -> Address:
    """A new account; ``password`` is ``""`` for one without. Refused if its domain is not ours."""
    address = read_address(text)
    if await directory.find_domain(address.domain) is None:
        raise Refused(f"{address.domain} is not a domain of this server", f"postroom domain add {address.domain}")
    new = await _new_password(directory, password, address, Logins(), make) if password else NewPassword()
    await directory.change([AddAccount(address, new.hash, quota, now, new.keys)])
    return address


async def change_account(
    directory: DirectoryStore,
    text: str,
    *,
    quota: int | None = None,
    enabled: bool | None = None,
    app_passwords_only: bool | None = None,
) -> Address:
    """Change what is given. Refused if there is no such account."""
    account = await find_account(directory, read_address(text))
    await directory.change([ChangeAccount(account.address, None, quota, enabled, app_passwords_only)])
    return account.address


async def set_forwards(directory: DirectoryStore, text: str, targets: Sequence[str], *, keep: bool) -> AccountView:
    """Forward the account's mail, which stays in its mailbox too with ``keep``; no targets: forward it no more."""
    account = await find_account(directory, read_address(text))
    read = tuple(dict.fromkeys(read_address(target) for target in targets))
    if account.address.key in {target.key for target in read}:
        raise Refused(f"{account.address} would forward to itself", "leave it out: the mailbox keeps its mail anyway")
    await directory.change([SetForwards(account.address, read, keep)])
    return await show_account(directory, text)


async def set_password(directory: DirectoryStore, text: str, password: str, *, make: MakePassword) -> Address:
    """A new password in place of the old one; app passwords stay. Refused if there is no such account."""
    account = await find_account(directory, read_address(text))
    logins = await directory.logins(account.address.key)
    new = await _new_password(directory, password, account.address, logins, make)
    await directory.change([ChangeAccount(account.address, password=new.hash, keys=new.keys)])
    return account.address


async def remove_account(directory: DirectoryStore, text: str) -> Address:
    """Remove the account and its mailbox. Refused if there is no such account."""
    account = await find_account(directory, read_address(text))
    await directory.change([RemoveAccount(account.address)])
    return account.address


async def _new_password(
    directory: DirectoryStore, password: str, address: Address, logins: Logins, make: MakePassword
) -> NewPassword:
    return await asyncio.to_thread(make, password, address, await directory.secret(), logins)


def _view(account: Account, usage: Usage, aliases: tuple[str, ...] = ()) -> AccountView:
    return AccountView(
        address=str(account.address),
        enabled=account.enabled,
        quota=account.quota,
        octets=usage.octets,
        messages=usage.messages,
        has_password=bool(account.password),
        app_passwords_only=account.app_passwords_only,
        created_at=iso(account.created_at),
        aliases=aliases,
        forwards=tuple(str(target) for target in account.forwards),
        keep=account.keep,
    )
