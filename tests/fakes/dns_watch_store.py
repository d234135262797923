"""MemoryDnsWatchStore: what looks at the DNS found, in a dictionary; its failures are fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroom.admin.dnswatch.model import WatchedDomain
from postroom.mail.trouble import StoreUnavailable


@dataclass
class MemoryDnsWatchStore:
    """``unavailable``: every method raises StoreUnavailable."""

    unavailable: bool = False
    known: dict[str, WatchedDomain] = field(default_factory=dict)

    async def load(self) -> Sequence[WatchedDomain]:
        self._ask()
        return [self.known[domain] for domain in sorted(self.known)]

    async def save(self, domains: Sequence[WatchedDomain]) -> None:
        self._ask()
        self.known |= {each.domain: each for each in domains}

    async def forget(self, domains: Sequence[str]) -> None:
        self._ask()
        for domain in domains:
            self.known.pop(domain, None)

    def _ask(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the store is down, as the test wants")
