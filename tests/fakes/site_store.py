"""MemorySiteStore: the port to how sites stand over dictionaries; its failures are fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroom.mail.trouble import StoreUnavailable
from postroom.queue.sites import REMEMBERED, SiteRecord, SiteStanding, WarmupCount


@dataclass
class MemorySiteStore:
    """``unavailable``: every method raises StoreUnavailable. ``saves`` counts the writes."""

    unavailable: bool = False
    saves: int = 0

    standings: dict[tuple[str, str], SiteStanding] = field(default_factory=dict)
    _warmups: dict[tuple[str, str, int], WarmupCount] = field(default_factory=dict)

    async def load(self, now: float) -> SiteRecord:
        self._ask()
        found = [one for one in self.standings.values() if one.seen_at > now - REMEMBERED]
        return SiteRecord(
            tuple(sorted(found, key=lambda one: -one.seen_at)),
            tuple(one for one in self._warmups.values() if one.day == int(now // 86400)),
        )

    async def save(self, record: SiteRecord) -> None:
        self._ask()
        self.saves += 1
        self.standings |= {(one.site, one.source): one for one in record.standings}
        self._warmups |= {(one.source, one.provider, one.day): one for one in record.warmups}

    async def forget(self, now: float) -> int:
        self._ask()
        before = len(self.standings) + len(self._warmups)
        self.standings = {key: one for key, one in self.standings.items() if one.seen_at > now - REMEMBERED}
        self._warmups = {key: one for key, one in self._warmups.items() if one.day >= int(now // 86400)}
        return before - len(self.standings) - len(self._warmups)

    async def find(self, pattern: str) -> Sequence[SiteStanding]:
        self._ask()
        text = pattern.lower()
        return [
            one for _, one in sorted(self.standings.items()) if text in one.site.lower() or text in one.rule.lower()
        ]

    def _ask(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the fake store is unavailable")
