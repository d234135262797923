"""MemoryDmarcStore: the port of the counts for DMARC reports over a dictionary; its failures are fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroom.mail.trouble import StoreUnavailable
from postroom.outbound.daily.counts import TALLY_KEPT
from postroom.outbound.dmarcrpt.store import DmarcCount


@dataclass
class MemoryDmarcStore:
    """``unavailable``: every method raises StoreUnavailable. ``saves`` counts the writes."""

    unavailable: bool = False
    saves: int = 0
    counts: dict[tuple[int, str, str, str], DmarcCount] = field(default_factory=dict)

    async def load(self, now: float) -> Sequence[DmarcCount]:
        self._ask()
        return tuple(one for one in self.counts.values() if one.day > int(now // 86400) - TALLY_KEPT)

    async def save(self, counts: Sequence[DmarcCount]) -> None:
        self._ask()
        self.saves += 1
        self.counts |= {(one.day, one.domain, one.policy, one.row): one for one in counts}

    async def reported(self, day: int, domain: str) -> None:
        self._ask()
        self.counts = {key: one for key, one in self.counts.items() if key[:2] != (day, domain)}

    async def forget(self, now: float) -> int:
        kept = await self.load(now)
        gone = len(self.counts) - len(kept)
        self.counts = {(one.day, one.domain, one.policy, one.row): one for one in kept}
        return gone

    def _ask(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the store is down, as the test wants")
