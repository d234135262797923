"""Changes of an account's further credentials: SCRAM keys, app passwords, and when these were used."""

from collections.abc import Sequence
from typing import assert_never

import apsw

from postroom.directory.model import (
    MAX_APP_PASSWORDS,
    AddAppPassword,
    DirectoryError,
    KeepKeys,
    RemoveAppPassword,
    ScramKey,
)
from postroom.storage.batch import Kind
from postroom.storage.sqlite.statements import as_json, rows_of


def change_credentials(
    connection: apsw.Connection, account_id: int, change: KeepKeys | AddAppPassword | RemoveAppPassword
) -> None:
    """Do one change of an account that exists. Raises DirectoryError if it is refused."""
    match change:
        case KeepKeys():
            _keep_keys(connection, account_id, change)
        case AddAppPassword():
            _add_app_password(connection, account_id, change)
        case RemoveAppPassword():
            _remove_app_password(connection, account_id, change)
        case _:
            assert_never(change)


def put_keys(connection: apsw.Connection, account_id: int, app_password_id: int, keys: tuple[ScramKey, ...]) -> None:
    """The keys of one password (0: the account's own), in place of those it had."""
    connection.execute(
        "DELETE FROM scram_key WHERE account_id = ? AND app_password_id = ?", (account_id, app_password_id)
    )
    connection.executemany(
        """INSERT INTO scram_key (account_id, app_password_id, algorithm, salt, iterations, stored_key, server_key)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        [
            (account_id, app_password_id, key.algorithm, key.salt, key.iterations, key.stored_key, key.server_key)
            for key in keys
        ],
    )


def _keep_keys(connection: apsw.Connection, account_id: int, change: KeepKeys) -> None:
    password = connection.execute("SELECT password FROM account WHERE account_id = ?", (account_id,)).get
    if password != change.password:
        raise DirectoryError(f"{change.address} has another password by now")
    put_keys(connection, account_id, 0, change.keys)


def _add_app_password(connection: apsw.Connection, account_id: int, change: AddAppPassword) -> None:
    added = change.app_password
    labels = rows_of(connection, "SELECT json_group_array(label) FROM app_password WHERE account_id = ?", (account_id,))
    if added.label in labels:
        raise DirectoryError(f"{change.address} has an app password {added.label!r} already")
    if len(labels) >= MAX_APP_PASSWORDS:
        raise DirectoryError(f"{change.address} has {len(labels)} app passwords already: remove one first")
    connection.execute(
        """INSERT INTO app_password (account_id, label, protocols, digest, created_at, last_used)
           VALUES (?, ?, ?, ?, ?, ?)""",
        (account_id, added.label, as_json(added.protocols), added.digest, added.created_at, added.last_used),
    )
    put_keys(connection, account_id, connection.last_insert_rowid(), added.keys)


def _remove_app_password(connection: apsw.Connection, account_id: int, change: RemoveAppPassword) -> None:
    connection.execute("DELETE FROM app_password WHERE account_id = ? AND label = ?", (account_id, change.label))
    if not connection.changes():
        raise DirectoryError(f"{change.address} has no app password {change.label!r}")


def _used(connection: apsw.Connection, calls: Sequence[Sequence[tuple[int, float]]]) -> Sequence[None]:
    connection.executemany(
        "UPDATE app_password SET last_used = max(coalesce(last_used, 0), ?) WHERE app_password_id = ?",
        [(at, app_password_id) for app_passwords in calls for app_password_id, at in app_passwords],
    )
    return [None] * len(calls)


USED: Kind[apsw.Connection, Sequence[tuple[int, float]], None] = Kind("used", _used)
