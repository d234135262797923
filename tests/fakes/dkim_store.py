"""MemoryDkimStore: the port of stored signing keys over dictionaries; its failures are fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.keys.model import GONE, WAITING, KeyName, KeyPair, name_of
from postroom.mailauth.keys.store import NewKey


@dataclass
class MemoryDkimStore:
    """``unavailable``: every method raises StoreUnavailable. ``saves`` counts the pairs that were written."""

    unavailable: bool = False
    saves: int = 0
    number: int = 0
    pairs: dict[KeyName, KeyPair] = field(default_factory=dict)
    kept: dict[KeyName, bytes] = field(default_factory=dict)

    async def generation(self) -> int:
        self._ask()
        return self.number

    async def keys(self, domain: str = "") -> Sequence[KeyPair]:
        self._ask()
        found = [pair for pair in self.pairs.values() if domain in ("", pair.domain)]
        return sorted(found, key=lambda pair: (pair.domain, pair.made_at, pair.selector))

    async def secrets(self, names: Sequence[KeyName]) -> Sequence[bytes | None]:
        self._ask()
        return [self.kept.get(name) for name in names]

    async def begin(self, new: NewKey) -> bool:
        self._ask()
        line = new.pair.domain, new.pair.algorithm
        if any((pair.domain, pair.algorithm) == line and pair.state in WAITING for pair in self.pairs.values()):
            return False
        return await self.bring(new)

    async def bring(self, new: NewKey) -> bool:
        self._ask()
        name = name_of(new.pair)
        if name in self.pairs:
            return False
        self.pairs[name], self.kept[name] = new.pair, new.secret
        self.number += 1
        return True

    async def save(self, pairs: Sequence[KeyPair]) -> Sequence[bool]:
        self._ask()
        saved = []
        for pair in pairs:
            name = name_of(pair)
            standing = self.pairs.get(name)
            saved.append(standing is not None and standing.version == pair.version)
            if saved[-1] and standing is not None:
                self.pairs[name] = replace(
                    pair,
                    version=pair.version + 1,
                    record=standing.record,
                    algorithm=standing.algorithm,
                    made_at=standing.made_at,
                )
                self.saves += 1
                if pair.state in GONE:
                    self.kept.pop(name, None)
        self.number += any(saved)
        return saved

    async def reseal(self, secrets: Sequence[tuple[KeyName, bytes]]) -> None:
        self._ask()
        self.kept |= {name: secret for name, secret in secrets if name in self.kept}
        self.number += 1

    def _ask(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the store is down, as the test wants")
