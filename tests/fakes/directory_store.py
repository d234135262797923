"""MemoryDirectoryStore: the directory's port over dictionaries, its failures as fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from postroom.directory.model import (
    MAX_APP_PASSWORDS,
    Account,
    AddAccount,
    AddAppPassword,
    AddDomain,
    Alias,
    ChangeAccount,
    DirectoryChange,
    DirectoryError,
    Domain,
    Entry,
    KeepKeys,
    Logins,
    PutAlias,
    RemoveAccount,
    RemoveAlias,
    RemoveAppPassword,
    RemoveDomain,
    SetCatchAll,
    SetForwards,
    Usage,
)
from postroom.mail.address import Address
from postroom.mail.trouble import StoreUnavailable

EMPTY = Usage(0, 0)
NO_LOGINS = Logins()


@dataclass
class MemoryDirectoryStore:
    """``unavailable``: every method raises StoreUnavailable, ``read_only``: those that write. ``questions`` counts the
    calls that read.
    """

    unavailable: bool = False
    read_only: bool = False
    questions: int = 0
    usages: dict[int, Usage] = field(default_factory=dict)

    _generation: int = 0
    _domains: dict[str, Domain] = field(default_factory=dict)
    _entries: dict[str, Entry] = field(default_factory=dict)
    _logins: dict[int, Logins] = field(default_factory=dict)
    _last_account: int = 0
    _last_app_password: int = 0

    # Setting the scene.

    def add_domain(self, name: str, catch_all: str = "") -> Domain:
        """A domain of ours."""
        domain = Domain(name, 0.0, Address.parse(catch_all) if catch_all else None)
        self._domains[name] = domain
        self._generation += 1
        return domain

    def add_account(
        self,
        address: str,
        *,
        password: str = "",
        quota: int = 0,
        enabled: bool = True,
        created_at: float = 0.0,
        forwards: Sequence[str] = (),
        keep: bool = True,
    ) -> Account:
        """An account; its domain becomes ours."""
        parsed = Address.parse(address)
        self._domains.setdefault(parsed.domain, Domain(parsed.domain, 0.0))
        self._last_account += 1
        targets = tuple(Address.parse(target) for target in forwards)
        account = Account(self._last_account, parsed, password, quota, enabled, created_at, forwards=targets, keep=keep)
        self._entries[parsed.key] = account
        self._generation += 1
        return account

    def add_alias(self, address: str, *targets: str) -> Alias:
        """An alias; its domain becomes ours."""
        parsed = Address.parse(address)
        self._domains.setdefault(parsed.domain, Domain(parsed.domain, 0.0))
        alias = Alias(parsed, tuple(Address.parse(target) for target in targets))
        self._entries[parsed.key] = alias
        self._generation += 1
        return alias

    # The port.

    async def generation(self) -> int:
        """A counter of changes."""
        self._ask()
        return self._generation

    async def find_domain(self, name: str) -> Domain | None:
        """The domain, if it is ours."""
        self._ask()
        return self._domains.get(name)

    async def find(self, keys: Sequence[str]) -> Sequence[Entry | None]:
        """The account or alias of each key."""
        self._ask()
        return [self._entries.get(key) for key in keys]

    async def aliases_to(self, address: Address) -> Sequence[Alias]:
        """The aliases that name the address as a direct target."""
        return [alias for alias in await self.aliases() if address.key in {target.key for target in alias.targets}]

    async def usage(self, account_ids: Sequence[int]) -> Sequence[Usage]:
        """What each mailbox holds."""
        self._ask()
        return [self.usages.get(account_id, EMPTY) for account_id in account_ids]

    async def logins(self, key: str) -> Logins:
        """The SCRAM keys and app passwords of an account."""
        self._ask()
        entry = self._entries.get(key)
        return self._logins.get(entry.account_id, NO_LOGINS) if isinstance(entry, Account) else NO_LOGINS

    async def secret(self) -> bytes:
        """32 octets that never change."""
        self._ask()
        return bytes(range(32))

    async def used(self, app_passwords: Sequence[tuple[int, float]]) -> None:
        """App passwords were used."""
        self._write()
        times = dict(app_passwords)
        for account_id, logins in self._logins.items():
            noted = [
                replace(app, last_used=times.get(app.app_password_id, app.last_used)) for app in logins.app_passwords
            ]
            self._logins[account_id] = replace(logins, app_passwords=tuple(noted))

    async def domains(self) -> Sequence[Domain]:
        """All domains by name."""
        self._ask()
        return [self._domains[name] for name in sorted(self._domains)]

    async def accounts(self, domain: str | None = None) -> Sequence[Account]:
        """All accounts, or a domain's."""
        self._ask()
        return [entry for entry in self._of(domain) if isinstance(entry, Account)]

    async def aliases(self, domain: str | None = None) -> Sequence[Alias]:
        """All aliases, or a domain's."""
        self._ask()
        return [entry for entry in self._of(domain) if isinstance(entry, Alias)]

    async def change(self, changes: Sequence[DirectoryChange]) -> None:
        """All of the changes or none."""
        self._write()
        before = (dict(self._domains), dict(self._entries), dict(self._logins), self._last_account)
        try:
            for change in changes:
                self._change(change)
        except DirectoryError:
            self._domains, self._entries, self._logins, self._last_account = before
            raise
        self._generation += 1

    def _change(self, change: DirectoryChange) -> None:
        match change:
            case AddDomain(domain):
                _refuse(domain.name in self._domains, f"the domain {domain.name} exists")
                self._domains[domain.name] = domain
            case SetCatchAll(name, target):
                self._need_domain(name)
                self._domains[name] = replace(self._domains[name], catch_all=target)
            case RemoveDomain(name, with_content):
                self._need_domain(name)
                inside = [entry.address.key for entry in self._of(name)]
                _refuse(bool(inside) and not with_content, f"the domain {name} has accounts or aliases")
                for key in inside:
                    self._remove(key)
                del self._domains[name]
            case AddAccount(address, password, quota, created_at, keys):
                self._need_domain(address.domain)
                _refuse(address.key in self._entries, f"{address} is taken")
                self._last_account += 1
                self._entries[address.key] = Account(self._last_account, address, password, quota, True, created_at)
                self._logins[self._last_account] = Logins(keys)
            case ChangeAccount() | SetForwards():
                self._change_account(change)
            case KeepKeys(address, password, keys):
                account = self._account(address)
                _refuse(account.password != password, f"{address} has another password by now")
                self._logins[account.account_id] = replace(self._logins_of(account), keys=keys)
            case AddAppPassword() | RemoveAppPassword():
                self._change_app_passwords(change)
            case RemoveAccount(address):
                self._remove(self._account(address).address.key)
            case PutAlias(alias):
                self._need_domain(alias.address.domain)
                taken = isinstance(self._entries.get(alias.address.key), Account)
                _refuse(taken, f"{alias.address} is an account")
                self._entries[alias.address.key] = alias
            case RemoveAlias(address):
                _refuse(not isinstance(self._entries.get(address.key), Alias), f"there is no alias {address}")
                del self._entries[address.key]
            case _:
                assert_never(change)

    def _change_account(self, change: ChangeAccount | SetForwards) -> None:
        account = self._account(change.address)
        if isinstance(change, SetForwards):
            _refuse(account.address.key in {target.key for target in change.targets}, "it would forward to itself")
            keep = change.keep or not change.targets
            self._entries[change.address.key] = replace(account, forwards=change.targets, keep=keep)
            return
        if change.password is not None:
            self._logins[account.account_id] = replace(self._logins_of(account), keys=change.keys)
        self._entries[change.address.key] = replace(
            account,
            password=account.password if change.password is None else change.password,
            quota=account.quota if change.quota is None else change.quota,
            enabled=account.enabled if change.enabled is None else change.enabled,
            app_passwords_only=(
                account.app_passwords_only if change.app_passwords_only is None else change.app_passwords_only
            ),
        )

    def _change_app_passwords(self, change: AddAppPassword | RemoveAppPassword) -> None:
        account = self._account(change.address)
        logins = self._logins_of(account)
        by_label = {app.label: app for app in logins.app_passwords}
        if isinstance(change, AddAppPassword):
            _refuse(change.app_password.label in by_label, "it has an app password of this label")
            _refuse(len(by_label) >= MAX_APP_PASSWORDS, "it has too many app passwords")
            self._last_app_password += 1
            by_label[change.app_password.label] = replace(change.app_password, app_password_id=self._last_app_password)
        else:
            _refuse(change.label not in by_label, "it has no app password of this label")
            del by_label[change.label]
        self._logins[account.account_id] = replace(logins, app_passwords=tuple(by_label.values()))

    def _account(self, address: Address) -> Account:
        account = self._entries.get(address.key)
        if not isinstance(account, Account):
            raise DirectoryError(f"there is no account {address}")
        return account

    def _logins_of(self, account: Account) -> Logins:
        return self._logins.get(account.account_id, NO_LOGINS)

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key)
        if isinstance(entry, Account):
            self._logins.pop(entry.account_id, None)

    def _need_domain(self, name: str) -> None:
        _refuse(name not in self._domains, f"there is no domain {name}")

    def _of(self, domain: str | None) -> list[Entry]:
        return [entry for _, entry in sorted(self._entries.items()) if domain in (None, entry.address.domain)]

    def _write(self) -> None:
        if self.unavailable or self.read_only:
            raise StoreUnavailable("the fake store is unavailable")

    def _ask(self) -> None:
        self.questions += 1
        if self.unavailable:
            raise StoreUnavailable("the fake store is unavailable")


def _refuse(wrong: bool, text: str) -> None:
    if wrong:
        raise DirectoryError(text)
