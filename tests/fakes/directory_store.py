"""MemoryDirectoryStore: the directory's port over dictionaries, its failures as fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from postroom.directory.model import (
    Account,
    AddAccount,
    AddDomain,
    Alias,
    ChangeAccount,
    DirectoryChange,
    DirectoryError,
    Domain,
    Entry,
    PutAlias,
    RemoveAccount,
    RemoveAlias,
    RemoveDomain,
    SetCatchAll,
    Usage,
)
from postroom.mail.address import Address
from postroom.mail.trouble import StoreUnavailable

EMPTY = Usage(0, 0)


@dataclass
class MemoryDirectoryStore:
    """``unavailable``: every method raises StoreUnavailable. ``questions`` counts the calls that read."""

    unavailable: bool = False
    questions: int = 0
    usages: dict[int, Usage] = field(default_factory=dict)

    _generation: int = 0
    _domains: dict[str, Domain] = field(default_factory=dict)
    _entries: dict[str, Entry] = field(default_factory=dict)
    _last_account: int = 0

    # Setting the scene.

    def add_domain(self, name: str, catch_all: str = "") -> Domain:
        """A domain of ours."""
        domain = Domain(name, 0.0, Address.parse(catch_all) if catch_all else None)
        self._domains[name] = domain
        self._generation += 1
        return domain

    def add_account(
        self, address: str, *, password: str = "", quota: int = 0, enabled: bool = True, created_at: float = 0.0
    ) -> Account:
        """An account; its domain becomes ours."""
        parsed = Address.parse(address)
        self._domains.setdefault(parsed.domain, Domain(parsed.domain, 0.0))
        self._last_account += 1
        account = Account(self._last_account, parsed, password, quota, enabled, created_at)
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
        if self.unavailable:
            raise StoreUnavailable("the fake store is unavailable")
        before = (dict(self._domains), dict(self._entries), self._last_account)
        try:
            for change in changes:
                self._change(change)
        except DirectoryError:
            self._domains, self._entries, self._last_account = before
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
                    del self._entries[key]
                del self._domains[name]
            case AddAccount(address, password, quota, created_at):
                self._need_domain(address.domain)
                _refuse(address.key in self._entries, f"{address} is taken")
                self._last_account += 1
                self._entries[address.key] = Account(self._last_account, address, password, quota, True, created_at)
            case ChangeAccount(address):
                self._change_account(change)
            case RemoveAccount(address):
                _refuse(not isinstance(self._entries.get(address.key), Account), f"there is no account {address}")
                del self._entries[address.key]
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

    def _change_account(self, change: ChangeAccount) -> None:
        account = self._entries.get(change.address.key)
        if not isinstance(account, Account):
            raise DirectoryError(f"there is no account {change.address}")
        self._entries[change.address.key] = replace(
            account,
            password=account.password if change.password is None else change.password,
            quota=account.quota if change.quota is None else change.quota,
            enabled=account.enabled if change.enabled is None else change.enabled,
        )

    def _need_domain(self, name: str) -> None:
        _refuse(name not in self._domains, f"there is no domain {name}")

    def _of(self, domain: str | None) -> list[Entry]:
        return [entry for _, entry in sorted(self._entries.items()) if domain in (None, entry.address.domain)]

    def _ask(self) -> None:
        self.questions += 1
        if self.unavailable:
            raise StoreUnavailable("the fake store is unavailable")


def _refuse(wrong: bool, text: str) -> None:
    if wrong:
        raise DirectoryError(text)
