"""MemorySuppressionStore: the port of the suppression list over a dictionary; its failures are fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroom.mail.trouble import StoreUnavailable
from postroom.reputation.model import Suppression, SuppressionFilter, joined
from postroom.reputation.store import Key


@dataclass
class MemorySuppressionStore:
    """``unavailable``: every method raises StoreUnavailable. ``asked`` counts the calls of ``find``."""

    unavailable: bool = False
    asked: int = 0
    listed: dict[Key, Suppression] = field(default_factory=dict)
    _generation: int = 0

    async def generation(self) -> int:
        self._ask()
        return self._generation

    async def is_empty(self) -> bool:
        self._ask()
        return not self.listed

    async def note(self, events: Sequence[Suppression]) -> None:
        self._ask()
        for event in events:
            self.listed[event.key] = joined(self.listed.get(event.key), event)
        self._generation += bool(events)

    async def put(self, entries: Sequence[Suppression]) -> None:
        self._ask()
        self.listed |= {one.key: one for one in entries}
        self._generation += bool(entries)

    async def remove(self, keys: Sequence[Key]) -> Sequence[bool]:
        self._ask()
        self._generation += bool(keys)
        return [self.listed.pop(key, None) is not None for key in keys]

    async def find(self, keys: Sequence[Key]) -> Sequence[Suppression | None]:
        self._ask()
        self.asked += 1
        return [self.listed.get(key) for key in keys]

    async def entries(self, which: SuppressionFilter, *, limit: int, after: Key = ("", "")) -> Sequence[Suppression]:
        self._ask()
        found = [one for key, one in sorted(self.listed.items()) if key > after and _matches(which, one)]
        return found[:limit]

    async def expire(self, now: float) -> int:
        self._ask()
        gone = [key for key, one in self.listed.items() if one.until <= now]
        for key in gone:
            del self.listed[key]
        self._generation += bool(gone)
        return len(gone)

    def _ask(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the fake store is unavailable")


def _matches(which: SuppressionFilter, one: Suppression) -> bool:
    return (
        which.sender_domain in ("", one.sender_domain)
        and which.recipient in ("", one.recipient.key)
        and which.recipient_domain in ("", one.recipient.domain)
        and which.cause in ("", one.cause)
        and which.origin in (None, one.origin)
        and (which.holds_at is None or one.until > which.holds_at)
    )
