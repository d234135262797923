"""MemoryGuardStore: the port of what guards the door over dictionaries; its failures are fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from postroom.mail.trouble import StoreUnavailable
from postroom.policy.store import (
    ACQUAINTED,
    REMEMBERED,
    AccountLimits,
    Acquaintance,
    Ban,
    Failures,
    GuardRecord,
    Standing,
)

ACCOUNT_SCOPES = ("account_messages", "account_recipients")


@dataclass
class MemoryGuardStore:
    """``unavailable``: every method raises StoreUnavailable. ``saves`` counts the writes of a server."""

    unavailable: bool = False
    saves: int = 0

    _generation: int = 0
    _standings: dict[tuple[str, str, str], Standing] = field(default_factory=dict)
    _failures: dict[tuple[str, str], Failures] = field(default_factory=dict)
    _bans: dict[tuple[str, str], Ban] = field(default_factory=dict)
    _acquaintances: dict[tuple[str, str], Acquaintance] = field(default_factory=dict)
    _limits: dict[str, AccountLimits] = field(default_factory=dict)

    async def generation(self) -> int:
        self._ask()
        return self._generation

    async def load(self, now: float) -> GuardRecord:
        self._ask()
        return GuardRecord(
            tuple(one for one in self._standings.values() if one.tat > now),
            tuple(one for one in self._failures.values() if one.ends > now),
            tuple(one for one in self._bans.values() if one.until > now - REMEMBERED),
            tuple(one for one in self._acquaintances.values() if one.seen_at > now - ACQUAINTED),
        )

    async def save(self, record: GuardRecord) -> None:
        self._ask()
        self.saves += 1
        self._standings |= {(one.scope, one.subject, one.rate): one for one in record.standings}
        self._failures |= {(one.scope, one.subject): one for one in record.failures}
        self._bans |= {(one.scope, one.subject): one for one in record.bans}
        self._acquaintances |= {(one.account, one.network): one for one in record.acquaintances}

    async def forget(self, now: float) -> int:
        self._ask()
        kept = await self.load(now)
        before = len(self._standings) + len(self._failures) + len(self._bans) + len(self._acquaintances)
        self._standings = {(one.scope, one.subject, one.rate): one for one in kept.standings}
        self._failures = {(one.scope, one.subject): one for one in kept.failures}
        self._bans = {(one.scope, one.subject): one for one in kept.bans}
        self._acquaintances = {(one.account, one.network): one for one in kept.acquaintances}
        return before - len(kept)

    async def standings(self, subject: str) -> Sequence[Standing]:
        self._ask()
        found = [row for key, row in sorted(self._standings.items()) if row.subject == subject]
        return [row for row in found if row.scope in ACCOUNT_SCOPES]

    async def bans(self, now: float) -> Sequence[Ban]:
        self._ask()
        return [ban for _, ban in sorted(self._bans.items()) if ban.until > now - REMEMBERED]

    async def ban(self, bans: Sequence[Ban]) -> None:
        self._ask()
        self._bans |= {(one.scope, one.subject): one for one in bans}
        self._generation += 1

    async def lift(self, subjects: Sequence[tuple[str, str]], by: str, now: float) -> Sequence[bool]:
        self._ask()
        lifted = []
        for key in subjects:
            ban = self._bans.get(key)
            lifted.append(ban is not None and ban.holds(now))
            if ban is not None and ban.holds(now):
                self._bans[key] = replace(ban, until=now, lifted_by=by)
            self._failures = {each: row for each, row in self._failures.items() if each[1] != key[1]}
        self._generation += 1
        return lifted

    async def account_limits(self) -> Sequence[AccountLimits]:
        self._ask()
        return [self._limits[account] for account in sorted(self._limits)]

    async def limit(self, limits: Sequence[AccountLimits]) -> None:
        self._ask()
        for one in limits:
            if one.messages is None and one.recipients is None:
                self._limits.pop(one.account, None)
            else:
                self._limits[one.account] = one
        self._generation += 1

    def _ask(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the fake store is unavailable")
