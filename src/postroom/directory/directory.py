"""Who lives here, answered from memory: what an address resolves to, who may send as it, who is over quota.

Every answer comes from the store and is cached until the store's generation moves, so that an answer that is known
costs no wait. Any method may raise ``StoreUnavailable`` where the answer is not known yet.
"""

from collections.abc import Iterable, Sequence

from postroom.clock import Clock
from postroom.config.model import DeliverySettings
from postroom.directory.cache import LruCache
from postroom.directory.model import (
    Account,
    Alias,
    Domain,
    Entry,
    Logins,
    NotLocal,
    Resolution,
    Resolved,
    Unknown,
)
from postroom.directory.store import DirectoryStore
from postroom.mail.address import Address

POSTMASTER = "postmaster"
USAGE_SECONDS = 2.0
"""How long what a mailbox holds is believed: quotas are a promise about size, not about the last message."""

_CACHED = 20_000  # resolutions, weighed by their recipients; some 10 MB at worst
_CACHED_DOMAINS = 10_000
_CACHED_ACCOUNTS = 10_000
_CACHED_LOGINS = 10_000  # weighed by the app passwords; some 15 MB at worst
_CACHED_USAGES = 10_000

_NOT_LOCAL = NotLocal()
_UNKNOWN = Unknown()
_NO_DOMAIN = Domain(name="", created_at=0.0)  # stands in the cache for a domain that is not ours


class Directory:
    """The directory of this node. Results are sorted by address; the same question has the same answer everywhere."""

    def __init__(self, store: DirectoryStore, settings: DeliverySettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._generation: int | None = None
        self._epoch = 0  # counts the clearings, so that an answer read before one is not kept after it
        self._domains: LruCache[str, Domain] = LruCache(_CACHED_DOMAINS)
        self._resolutions: LruCache[tuple[str, str], Resolution] = LruCache(_CACHED)  # by local part and domain
        self._accounts: LruCache[str, Account | Unknown] = LruCache(_CACHED_ACCOUNTS)
        self._logins: LruCache[str, Logins] = LruCache(_CACHED_LOGINS)
        self._secret = b""
        self._usages: LruCache[int, tuple[float, int]] = LruCache(_CACHED_USAGES)
        self._postmaster = _read_postmaster(settings.postmaster)

    async def refresh(self) -> bool:
        """Ask whether the directory was changed by whatever process, and forget what is cached if so; True if it was.

        Called about every half second. StoreUnavailable leaves everything as it is: yesterday's knowledge beats none.
        """
        generation = await self._store.generation()
        if generation == self._generation:
            return False
        self._generation = generation
        self.forget()
        return True

    def forget(self) -> None:
        """Forget everything that is cached: after a change made in this process."""
        self._epoch += 1
        self._domains.clear()
        self._resolutions.clear()
        self._accounts.clear()
        self._logins.clear()
        self._usages.clear()

    async def is_local(self, domain: str) -> bool:
        """Whether mail for the domain (normalised) is ours; the bare postmaster's ``""`` is."""
        return not domain or await self._domain(domain) is not None

    async def resolve(self, address: Address) -> Resolution:
        """Who receives mail for the address.

        In this order: an account or alias of exactly this address, then without the plus part, then for ``postmaster``
        its stand-in, then the domain's catch-all. Aliases and forwards are followed through each other; a target that
        leads nowhere is left out as long as another one remains, and where none does an account gets the mail that it
        forwards. Disabled accounts receive.
        """
        known_as = (address.local, address.domain)  # found in a third of the time that an Address takes
        found = self._resolutions.get(known_as)
        if found is not None:
            return found
        epoch = self._epoch
        resolution = await self._resolve(address)
        if epoch == self._epoch:
            weight = 1
            if isinstance(resolution, Resolved):
                weight += len(resolution.accounts) + len(resolution.forwards)
            self._resolutions.put(known_as, resolution, weight)
        return resolution

    async def account(self, name: str) -> Account | None:
        """The account whose address is ``name``, in any writing of it; aliases and plus forms are not accounts."""
        try:
            key = Address.parse(name).key
        except ValueError:
            return None
        found = self._accounts.get(key)
        if found is None:
            epoch = self._epoch
            entry = (await self._store.find([key]))[0]
            found = entry if isinstance(entry, Account) else _UNKNOWN
            if epoch == self._epoch:  # strangers are kept too, so that they take as long as those we know
                self._accounts.put(key, found)
        return None if isinstance(found, Unknown) else found

    async def logins(self, key: str) -> Logins:
        """By what else the account of this key logs in; nothing, and as fast, for a key that is no account's."""
        found = self._logins.get(key)
        if found is None:
            epoch = self._epoch
            found = await self._store.logins(key)
            if epoch == self._epoch:
                self._logins.put(key, found, 1 + len(found.app_passwords))
        return found

    async def secret(self) -> bytes:
        """What this store alone has: random octets that never change."""
        if not self._secret:
            self._secret = await self._store.secret()
        return self._secret

    async def may_send_as(self, account: Account, address: Address) -> bool:
        """Whether mail for ``address`` reaches the account: own, plus form, alias, catch-all (RFC 6409 §6.1)."""
        if address == account.address:
            return True
        if not address.domain:
            return False
        resolution = await self.resolve(address)
        if not isinstance(resolution, Resolved):
            return False
        if resolution.senders is not None:
            return account.account_id in resolution.senders
        return any(receiver.account_id == account.account_id for receiver in resolution.accounts)

    async def over_quota(self, account: Account, size: int) -> bool:
        """Whether ``size`` octets more (0: not known yet) are too much for the mailbox; known to about two seconds."""
        if not account.quota:
            return False
        now = self._clock.monotonic()
        known = self._usages.get(account.account_id)
        if known is None or known[0] <= now:
            octets = (await self._store.usage([account.account_id]))[0].octets
            known = (now + USAGE_SECONDS, octets)
            self._usages.put(account.account_id, known)
        return known[1] + max(size, 1) > account.quota

    async def _domain(self, name: str) -> Domain | None:
        found = self._domains.get(name)
        if found is None:
            epoch = self._epoch
            found = await self._store.find_domain(name) or _NO_DOMAIN
            if epoch == self._epoch:
                self._domains.put(name, found)
        return None if found is _NO_DOMAIN else found

    async def _resolve(self, address: Address) -> Resolution:
        if not await self.is_local(address.domain):
            return _NOT_LOCAL
        resolution = await self._expand(address)
        if isinstance(resolution, Unknown) and _is_postmaster(address):
            account = await self._oldest_account(address.domain)
            return resolution if account is None else Resolved((account,))
        return resolution

    async def _expand(self, address: Address) -> Resolution:
        walk = _Walk(address)
        for _ in range(self._settings.max_alias_depth + 1):
            level = walk.next_level()
            if not level:
                return walk.result()
            ours = []
            for target in level:
                if await self.is_local(target.domain):
                    ours.append(target)
                else:
                    walk.forwards[target.key] = target
            for target, entry in await self._entries(ours):
                walk.take(target, entry)
            if len(walk.accounts) + len(walk.forwards) + len(walk.waiting) > self._settings.max_alias_targets:
                return Unknown(f"it expands to more than {self._settings.max_alias_targets} recipients")
        return (
            Unknown(f"its aliases nest deeper than {self._settings.max_alias_depth}") if walk.waiting else walk.result()
        )

    async def _entries(self, addresses: Sequence[Address]) -> Iterable[tuple[Address, Entry]]:
        """What each local address leads to; one question to the store. Addresses that lead nowhere are left out."""
        exact = [address.key for address in addresses]
        plain = [self._without_tag(address) for address in addresses]
        keys = list(dict.fromkeys([*exact, *(key for key in plain if key)]))
        by_key = dict(zip(keys, await self._store.find(keys) if keys else (), strict=True))
        entries = []
        for address, key, plain_key in zip(addresses, exact, plain, strict=True):
            entry = by_key[key] or (by_key[plain_key] if plain_key else None) or await self._stand_in(address)
            if entry is not None:
                entries.append((address, entry))
        return entries

    def _without_tag(self, address: Address) -> str:
        """The key of ``user@domain`` for ``user+tag@domain``; ``""`` where there is no tag."""
        separator = self._settings.plus_separator
        if not separator:
            return ""
        end = address.local.find(separator)
        return Address(address.local[:end], address.domain).key if end > 0 else ""

    async def _stand_in(self, address: Address) -> Entry | None:
        """Who receives for a local address that is neither account nor alias.

        RFC 5321 §4.5.1: postmaster is always delivered, bare or at any domain of ours. That is ``delivery.postmaster``
        of the settings; else the domain's catch-all; else the domain's oldest account, and where it has none the oldest
        of all. Only a server without a single account has no postmaster.
        """
        postmaster = _is_postmaster(address)
        if postmaster and self._postmaster is not None and self._postmaster != address:
            return Alias(address, (self._postmaster,))
        domain = await self._domain(address.domain) if address.domain else None
        if domain is not None and domain.catch_all is not None:
            return Alias(address, (domain.catch_all,))
        return await self._oldest_account(address.domain) if postmaster else None

    async def _oldest_account(self, domain: str) -> Account | None:
        """The oldest account, an enabled one first, of the domain, else of all domains."""
        accounts = (await self._store.accounts(domain) if domain else ()) or await self._store.accounts()
        return min(accounts, key=lambda each: (not each.enabled, each.created_at, each.account_id), default=None)


class _Walk:
    """The expansion of one address, level by level; no address is visited twice."""

    def __init__(self, start: Address) -> None:
        self.accounts: dict[int, Account] = {}
        self.forwards: dict[str, Address] = {}
        self.waiting: list[Address] = [start]
        self._seen = {start.key}
        self._aliased = False
        self._forwarding: dict[int, Account] = {}  # those who do not keep what they forward
        self._passed_on: set[str] = set()  # targets that are only reached because an account forwards
        self._senders: set[int] = set()

    def next_level(self) -> list[Address]:
        level, self.waiting = self.waiting, []
        return level

    def take(self, asked: Address, entry: Entry) -> None:
        """What stands behind the address ``asked`` of the last level."""
        passed_on = asked.key in self._passed_on
        if isinstance(entry, Account):
            if not passed_on:
                self._senders.add(entry.account_id)
            receiving = self.accounts if entry.keep or not entry.forwards else self._forwarding
            receiving[entry.account_id] = entry
            self._follow(entry.forwards, passed_on=True)
        else:
            self._aliased = True
            self._follow(entry.targets, passed_on=passed_on)

    def _follow(self, targets: Iterable[Address], *, passed_on: bool) -> None:
        for target in targets:
            if target.key not in self._seen:  # a loop ends here
                self._seen.add(target.key)
                self.waiting.append(target)
                if passed_on:
                    self._passed_on.add(target.key)

    def result(self) -> Resolution:
        accounts = self.accounts
        if not accounts and not self.forwards:
            accounts = self._forwarding  # its targets are gone: better kept than lost
        if not accounts and not self.forwards:
            return Unknown("its alias leads nowhere") if self._aliased else _UNKNOWN
        return Resolved(
            tuple(sorted(accounts.values(), key=lambda account: account.address.key)),
            tuple(address for _, address in sorted(self.forwards.items())),
            None if self._senders == accounts.keys() else frozenset(self._senders),
        )


def _is_postmaster(address: Address) -> bool:
    return address.local.lower() == POSTMASTER


def _read_postmaster(text: str) -> Address | None:
    """The postmaster of the settings. ValueError, for whoever reads the settings, if it is no address."""
    if not text:
        return None
    address = Address.parse(text)
    if not address.domain:
        raise ValueError("delivery.postmaster needs a full address")
    return address
