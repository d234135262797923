"""The directory's port on SQLite: reading who lives here. Changes are in ``changing``."""

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from postroom.directory.model import (
    Account,
    Alias,
    AppPassword,
    DirectoryChange,
    Domain,
    Entry,
    Logins,
    ScramKey,
    Usage,
)
from postroom.mail.address import Address
from postroom.storage.batch import Writer
from postroom.storage.sqlite.changing import CHANGE
from postroom.storage.sqlite.credentials import USED
from postroom.storage.sqlite.reader import Reader
from postroom.storage.sqlite.statements import Value, as_json, rows_of

_ACCOUNT = """json_array(account_id, local, domain, password, quota, enabled, created_at, app_passwords_only,
    json(forwards), keep)"""
_TARGETS = """json((SELECT json_group_array(json_array(t.local, t.domain) ORDER BY t.position)
    FROM alias_target AS t WHERE t.alias_key = alias.key))"""
_ALIAS = f"json_array(local, domain, {_TARGETS})"
_KEY = "json_array(algorithm, hex(salt), iterations, hex(stored_key), hex(server_key))"
_DOMAIN = "json_array(name, created_at, catch_all_local, catch_all_domain)"

# ruff: noqa: S608 - the texts above are our own, values are bound
_GENERATION = "SELECT value FROM counter WHERE name = 'directory'"
_FIND_DOMAIN = f"SELECT json_group_array({_DOMAIN}) FROM domain WHERE name = ?"
_DOMAINS = f"SELECT json_group_array({_DOMAIN} ORDER BY name) FROM domain"
_FIND = f"""
SELECT json_group_array(json_array(
    json((SELECT {_ACCOUNT} FROM account WHERE account.key = asked.value)),
    json((SELECT {_ALIAS} FROM alias WHERE alias.key = asked.value))) ORDER BY asked.key)
FROM json_each(?) AS asked
"""
_ALIASES_TO = f"""
SELECT json_group_array({_ALIAS} ORDER BY key) FROM alias
WHERE key IN (SELECT alias_key FROM alias_target WHERE target_key = ?)
"""
_USAGE = """
SELECT json_group_array(json_array(coalesce(octets, 0), coalesce(messages, 0)) ORDER BY asked.key)
FROM json_each(?) AS asked LEFT JOIN account ON account_id = asked.value
"""
_ACCOUNTS = f"SELECT json_group_array({_ACCOUNT} ORDER BY key) FROM account WHERE ?1 IS NULL OR domain = ?1"
_ALIASES = f"SELECT json_group_array({_ALIAS} ORDER BY key) FROM alias WHERE ?1 IS NULL OR domain = ?1"
_LOGINS = f"""
SELECT json_array(
    json((SELECT json_group_array({_KEY} ORDER BY algorithm) FROM scram_key AS k
        WHERE k.account_id = account.account_id AND k.app_password_id = 0)),
    json((SELECT json_group_array(json_array(
            app_password_id, label, json(protocols), hex(digest), created_at, last_used,
            json((SELECT json_group_array({_KEY} ORDER BY algorithm) FROM scram_key AS k
                WHERE k.account_id = account.account_id AND k.app_password_id = app_password.app_password_id))
        ) ORDER BY app_password_id) FROM app_password WHERE app_password.account_id = account.account_id)))
FROM account WHERE key = ?
"""
_RANDOM = "SELECT value FROM secret WHERE name = 'scram'"


class SqliteDirectory:
    """See ``postroom.directory.store.DirectoryStore``.

    ``generation`` may be asked for at every RCPT, so its answer is remembered for ``freshness`` seconds (monotonic, by
    ``clock``): that is how late another process's changes show. One's own show at once.
    """

    def __init__(
        self,
        writer: Writer[apsw.Connection],
        reader: Reader,
        *,
        clock: Callable[[], float],
        freshness: float,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._freshness = freshness
        self._generation = 0
        self._asked_at = float("-inf")

    async def generation(self) -> int:
        """A counter that every committed change raises, whichever process made it. Cheap enough for every RCPT."""
        now = self._clock()
        if now - self._asked_at >= self._freshness:
            found = await self._reader.run(lambda connection: int(connection.execute(_GENERATION).get))
            self._generation, self._asked_at = max(found, self._generation), now
        return self._generation

    async def find_domain(self, name: str) -> Domain | None:
        """The domain, if it is ours."""
        rows = await self._ask(_FIND_DOMAIN, name)
        return _domain(*rows[0]) if rows else None

    async def find(self, keys: Sequence[str]) -> Sequence[Entry | None]:
        """The account or alias of each key, in order."""
        return [_entry(account, alias) for account, alias in await self._ask(_FIND, as_json(list(keys)))]

    async def aliases_to(self, address: Address) -> Sequence[Alias]:
        """The aliases that name the address as a direct target, by address."""
        return [_alias(*row) for row in await self._ask(_ALIASES_TO, address.key)]

    async def usage(self, account_ids: Sequence[int]) -> Sequence[Usage]:
        """What each mailbox holds now, in order; nothing for an account that is gone."""
        return [Usage(*row) for row in await self._ask(_USAGE, as_json(list(account_ids)))]

    async def logins(self, key: str) -> Logins:
        """The SCRAM keys and app passwords of an account; empty ones for a key that is no account's."""
        rows = await self._ask(_LOGINS, key)
        if not rows:
            return Logins()
        keys, app_passwords = rows
        return Logins(_keys(keys), tuple([_app_password(row) for row in app_passwords]))

    async def secret(self) -> bytes:
        """32 random octets, the same ones as long as the store lives."""
        return await self._reader.run(lambda connection: bytes(connection.execute(_RANDOM).get))

    async def used(self, app_passwords: Sequence[tuple[int, float]]) -> None:
        """App passwords (by id) were used at a time; those that are gone are passed over. No change of the counter."""
        await self._writer.submit(USED, app_passwords, len(app_passwords))

    async def domains(self) -> Sequence[Domain]:
        """All domains by name."""
        rows = await self._reader.run(lambda connection: rows_of(connection, _DOMAINS))
        return [_domain(*row) for row in rows]

    async def accounts(self, domain: str | None = None) -> Sequence[Account]:
        """All accounts, or a domain's, by address."""
        return [_account(row) for row in await self._ask(_ACCOUNTS, domain)]

    async def aliases(self, domain: str | None = None) -> Sequence[Alias]:
        """All aliases, or a domain's, by address."""
        return [_alias(*row) for row in await self._ask(_ALIASES, domain)]

    async def change(self, changes: Sequence[DirectoryChange]) -> None:
        """All of the changes or none. Raises DirectoryError for the first that is refused."""
        generation = await self._writer.submit(CHANGE, changes, len(changes))
        self._generation = max(generation, self._generation)

    async def _ask(self, sql: str, binding: Value) -> list[Any]:
        return await self._reader.run(lambda connection: rows_of(connection, sql, (binding,)))


def _domain(name: str, created_at: float, local: str | None, domain: str | None) -> Domain:
    return Domain(name, created_at, None if local is None or domain is None else Address(local, domain))


def _account(row: list[Any]) -> Account:
    account_id, local, domain, password, quota, enabled, created_at, only, forwards, keep = row
    return Account(
        account_id,
        Address(local, domain),
        password,
        quota,
        bool(enabled),
        created_at,
        bool(only),
        tuple([Address(*target) for target in forwards or ()]),
        bool(keep),
    )


def _keys(rows: list[tuple[str, str, int, str, str]]) -> tuple[ScramKey, ...]:
    return tuple(
        [
            ScramKey(algorithm, bytes.fromhex(salt), iterations, bytes.fromhex(stored), bytes.fromhex(server))
            for algorithm, salt, iterations, stored, server in rows
        ]
    )


def _app_password(row: list[Any]) -> AppPassword:
    app_password_id, label, protocols, digest, created_at, last_used, keys = row
    return AppPassword(
        app_password_id, label, tuple(protocols), bytes.fromhex(digest), created_at, last_used, _keys(keys)
    )


def _alias(local: str, domain: str, targets: list[tuple[str, str]]) -> Alias:
    return Alias(Address(local, domain), tuple([Address(*target) for target in targets]))


def _entry(account: list[Any] | None, alias: list[Any] | None) -> Entry | None:
    if account is not None:
        return _account(account)
    return None if alias is None else _alias(*alias)
