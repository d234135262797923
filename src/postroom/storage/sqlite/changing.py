"""Changes of the directory: each is done or refused with a reason for the person who asked."""

from collections.abc import Sequence
from typing import assert_never

import apsw

from postroom.directory.model import (
    AddAccount,
    AddAppPassword,
    AddDomain,
    ChangeAccount,
    DirectoryChange,
    DirectoryError,
    KeepKeys,
    PutAlias,
    RemoveAccount,
    RemoveAlias,
    RemoveAppPassword,
    RemoveDomain,
    SetCatchAll,
    SetForwards,
)
from postroom.mail.address import Address
from postroom.storage.batch import Kind
from postroom.storage.sqlite.credentials import change_credentials, put_keys
from postroom.storage.sqlite.mailbox import remove_entries
from postroom.storage.sqlite.statements import as_json, rows_of

_RAISE = "UPDATE counter SET value = value + 1 WHERE name = 'directory' RETURNING value"


def apply(connection: apsw.Connection, change: DirectoryChange) -> None:
    """Do one change. Raises DirectoryError if it is refused."""
    match change:
        case AddDomain():
            _add_domain(connection, change)
        case SetCatchAll():
            _set_catch_all(connection, change)
        case RemoveDomain():
            _remove_domain(connection, change)
        case AddAccount():
            _add_account(connection, change)
        case ChangeAccount():
            _change_account(connection, change)
        case SetForwards():
            _set_forwards(connection, change)
        case KeepKeys() | AddAppPassword() | RemoveAppPassword():
            change_credentials(connection, _require_account(connection, change.address), change)
        case RemoveAccount():
            _remove_account(connection, _require_account(connection, change.address))
        case PutAlias():
            _put_alias(connection, change)
        case RemoveAlias():
            if not _remove_alias(connection, change.address.key):
                raise DirectoryError(f"there is no alias {change.address}")
        case _:
            assert_never(change)


def _add_domain(connection: apsw.Connection, change: AddDomain) -> None:
    domain = change.domain
    if _has_domain(connection, domain.name):
        raise DirectoryError(f"the domain {domain.name} exists already")
    connection.execute(
        "INSERT INTO domain (name, created_at, catch_all_local, catch_all_domain) VALUES (?, ?, ?, ?)",
        (domain.name, domain.created_at, *_columns(domain.catch_all)),
    )


def _set_catch_all(connection: apsw.Connection, change: SetCatchAll) -> None:
    connection.execute(
        "UPDATE domain SET catch_all_local = ?, catch_all_domain = ? WHERE name = ?",
        (*_columns(change.target), change.domain),
    )
    if not connection.changes():
        raise DirectoryError(f"{change.domain} is not a domain of this server")


def _remove_domain(connection: apsw.Connection, change: RemoveDomain) -> None:
    _require_domain(connection, change.name)
    accounts = rows_of(connection, "SELECT json_group_array(account_id) FROM account WHERE domain = ?", (change.name,))
    aliases = rows_of(connection, "SELECT json_group_array(key) FROM alias WHERE domain = ?", (change.name,))
    if (accounts or aliases) and not change.with_content:
        raise DirectoryError(f"the domain {change.name} still has {len(accounts)} accounts and {len(aliases)} aliases")
    for account_id in accounts:
        _remove_account(connection, account_id)
    for key in aliases:
        _remove_alias(connection, key)
    connection.execute("DELETE FROM domain WHERE name = ?", (change.name,))


def _add_account(connection: apsw.Connection, change: AddAccount) -> None:
    address, key = change.address, change.address.key
    _require_domain(connection, address.domain)
    if _account_id(connection, key) is not None:
        raise DirectoryError(f"the account {address} exists already")
    if _has_alias(connection, key):
        raise DirectoryError(f"{address} is an alias")
    connection.execute(
        "INSERT INTO account (key, local, domain, password, quota, enabled, created_at) VALUES (?, ?, ?, ?, ?, 1, ?)",
        (key, address.local, address.domain, change.password, change.quota, change.created_at),
    )
    put_keys(connection, connection.last_insert_rowid(), 0, change.keys)


def _change_account(connection: apsw.Connection, change: ChangeAccount) -> None:
    account_id = _require_account(connection, change.address)
    connection.execute(
        """UPDATE account SET password = coalesce(?, password), quota = coalesce(?, quota),
           enabled = coalesce(?, enabled), app_passwords_only = coalesce(?, app_passwords_only)
           WHERE account_id = ?""",
        (change.password, change.quota, _flag(change.enabled), _flag(change.app_passwords_only), account_id),
    )
    if change.password is not None:
        put_keys(connection, account_id, 0, change.keys)


def _set_forwards(connection: apsw.Connection, change: SetForwards) -> None:
    account_id = _require_account(connection, change.address)
    if change.address.key in {target.key for target in change.targets}:
        raise DirectoryError(f"{change.address} would forward to itself")
    forwards = as_json([[target.local, target.domain] for target in change.targets]) if change.targets else None
    connection.execute(
        "UPDATE account SET forwards = ?, keep = ? WHERE account_id = ?",
        (forwards, int(change.keep or not change.targets), account_id),
    )


def _remove_account(connection: apsw.Connection, account_id: int) -> None:
    entries = rows_of(connection, "SELECT json_group_array(entry_id) FROM entry WHERE account_id = ?", (account_id,))
    remove_entries(connection, account_id, entries)
    connection.execute("DELETE FROM account WHERE account_id = ?", (account_id,))


def _put_alias(connection: apsw.Connection, change: PutAlias) -> None:
    address, key, targets = change.alias.address, change.alias.address.key, change.alias.targets
    _require_domain(connection, address.domain)
    if _account_id(connection, key) is not None:
        raise DirectoryError(f"{address} is an account")
    if not targets:
        raise DirectoryError(f"the alias {address} needs a target")
    _remove_alias(connection, key)
    connection.execute("INSERT INTO alias (key, local, domain) VALUES (?, ?, ?)", (key, address.local, address.domain))
    connection.executemany(
        "INSERT INTO alias_target (alias_key, position, target_key, local, domain) VALUES (?, ?, ?, ?, ?)",
        [(key, position, one.key, one.local, one.domain) for position, one in enumerate(targets)],
    )


def _remove_alias(connection: apsw.Connection, key: str) -> bool:
    connection.execute("DELETE FROM alias_target WHERE alias_key = ?", (key,))
    connection.execute("DELETE FROM alias WHERE key = ?", (key,))
    return connection.changes() > 0


def _has_domain(connection: apsw.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM domain WHERE name = ?", (name,)).get is not None


def _require_domain(connection: apsw.Connection, name: str) -> None:
    if not _has_domain(connection, name):
        raise DirectoryError(f"{name} is not a domain of this server")


def _require_account(connection: apsw.Connection, address: Address) -> int:
    account_id = _account_id(connection, address.key)
    if account_id is None:
        raise DirectoryError(f"there is no account {address}")
    return account_id


def _account_id(connection: apsw.Connection, key: str) -> int | None:
    found = connection.execute("SELECT account_id FROM account WHERE key = ?", (key,)).get
    return None if found is None else int(found)


def _has_alias(connection: apsw.Connection, key: str) -> bool:
    return connection.execute("SELECT 1 FROM alias WHERE key = ?", (key,)).get is not None


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)


def _columns(address: Address | None) -> tuple[str | None, str | None]:
    return (None, None) if address is None else (address.local, address.domain)


def _change(connection: apsw.Connection, calls: Sequence[Sequence[DirectoryChange]]) -> Sequence[int]:
    generations = []
    for changes in calls:
        for change in changes:
            apply(connection, change)
        generations.append(int(connection.execute(_RAISE).get))
    return generations


CHANGE: Kind[apsw.Connection, Sequence[DirectoryChange], int] = Kind("change", _change)
