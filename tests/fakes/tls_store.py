"""MemoryTlsStore: the port of what is known of TLS over dictionaries; its failures are fields."""

from dataclasses import dataclass, field, replace

from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.daily.counts import TALLY_KEPT
from postroom.outbound.tlsstore import LEVEL_KEPT, MOST_POLICIES, HostLevel, KeptPolicy, Tally, TlsRecord


@dataclass
class MemoryTlsStore:
    """``unavailable``: every method raises StoreUnavailable. ``saves`` counts the writes."""

    unavailable: bool = False
    saves: int = 0

    policies: dict[str, KeptPolicy] = field(default_factory=dict)
    levels: dict[str, HostLevel] = field(default_factory=dict)
    tallies: dict[tuple[int, str, str, str], Tally] = field(default_factory=dict)

    async def load(self, now: float) -> TlsRecord:
        self._ask()
        return TlsRecord(
            tuple(one for one in self.policies.values() if one.policy.expires_at > now),
            tuple(one for one in self.levels.values() if one.seen_at > now - LEVEL_KEPT),
            tuple(one for one in self.tallies.values() if one.day > int(now // 86400) - TALLY_KEPT),
        )

    async def save(self, record: TlsRecord) -> None:
        self._ask()
        self.saves += 1
        self.policies |= {one.policy.domain: one for one in record.policies}
        self.levels |= {one.host: one for one in record.levels}
        self.tallies |= {(one.day, one.domain, one.policy, one.failure): one for one in record.tallies}

    async def reported(self, day: int, domain: str) -> None:
        self._ask()
        self.tallies = {key: one for key, one in self.tallies.items() if key[:2] != (day, domain)}

    async def forget(self, now: float) -> int:
        kept = await self.load(now)
        newest = sorted(kept.policies, key=lambda one: one.fetched_at)[-MOST_POLICIES:]
        kept = replace(kept, policies=tuple(newest))
        before = len(self.policies) + len(self.levels) + len(self.tallies)
        self.policies = {one.policy.domain: one for one in kept.policies}
        self.levels = {one.host: one for one in kept.levels}
        self.tallies = {(one.day, one.domain, one.policy, one.failure): one for one in kept.tallies}
        return before - len(kept)

    def _ask(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the store is down, as the test wants")
