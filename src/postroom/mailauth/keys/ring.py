"""The keys that sign now, in memory: nothing on the way of a message waits for the store or opens a seal."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from postroom.mailauth.keys.lifecycle import signers
from postroom.mailauth.keys.model import KeyName, KeyPair, name_of
from postroom.mailauth.keys.sealing import Sealer, SealError
from postroom.mailauth.keys.store import DkimKeyStore
from postroom.report.keys import DkimTrouble
from postroom.report.reporter import Reporter

Key = TypeVar("Key")

MOST_PARENTS = 10
"""Domains above one that are asked for a key."""


class KeyRing(Generic[Key]):
    """``load`` makes of a key pair and its private half (PKCS #8) what signs, or raises ValueError."""

    def __init__(
        self,
        store: DkimKeyStore,
        sealer: Sealer,
        load: Callable[[KeyPair, bytes], Key],
        reporter: Reporter,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._load = load
        self._reporter = reporter
        self._generation: int | None = None
        self._loaded: dict[KeyName, Key] = {}
        self._by_domain: dict[str, tuple[Key, ...]] = {}
        self._selectors: dict[str, frozenset[str]] = {}
        self._told: dict[KeyName, str] = {}

    async def refresh(self) -> bool:
        """Ask whether keys were changed by whatever process, and take up what changed; True if something did.

        To be called about every half second. Raises StoreUnavailable; the ring stays as it was then.
        """
        generation = await self._store.generation()
        if generation == self._generation:
            return False
        by_domain: dict[str, list[KeyPair]] = {}
        for key in await self._store.keys():
            by_domain.setdefault(key.domain, []).append(key)
        chosen = {domain: signers(keys) for domain, keys in by_domain.items()}
        loaded = await self._take_up([key for keys in chosen.values() for key in keys])
        self._by_domain = {
            domain: tuple([loaded[name_of(key)] for key in keys if name_of(key) in loaded])
            for domain, keys in chosen.items()
        }
        self._by_domain = {domain: keys for domain, keys in self._by_domain.items() if keys}
        self._selectors = {domain: frozenset(key.selector for key in keys) for domain, keys in chosen.items()}
        self._loaded = loaded
        self._generation = generation
        return True

    def keys_for(self, domain: str) -> tuple[Key, ...]:
        """Those that sign for an author at ``domain``: its own, else those of the nearest domain above it that has any
        (relaxed alignment takes them for its own, RFC 9989 §5.1); none: ``()``.
        """
        for _ in range(MOST_PARENTS):
            keys = self._by_domain.get(domain)
            if keys is not None:
                return keys
            domain = domain.partition(".")[2]
            if "." not in domain:
                break
        return ()

    def knows(self, domain: str, selector: str) -> bool:
        """Whether this is a key of ours that signs now."""
        return selector in self._selectors.get(domain, ())

    def __len__(self) -> int:
        return len(self._loaded)

    async def _take_up(self, wanted: Sequence[KeyPair]) -> dict[KeyName, Key]:
        """Those of the keys that can be used; what is wrong with the others is told once."""
        loaded = {name_of(key): self._loaded[name_of(key)] for key in wanted if name_of(key) in self._loaded}
        missing = [key for key in wanted if name_of(key) not in loaded]
        told: dict[KeyName, str] = {}
        for key, kept in zip(missing, await self._store.secrets([name_of(key) for key in missing]), strict=True):
            name = name_of(key)
            if kept is None:  # it was given up just now
                continue
            try:
                loaded[name] = self._load(key, self._sealer.open(name, kept))
            except SealError as error:
                told[name] = f"{error.what}; {error.remedy}"
            except ValueError as error:
                told[name] = f"the key {key.selector} of {key.domain} cannot be used: {error}"
        for name, trouble in told.items():
            if self._told.get(name) != trouble:
                self._reporter.tell(DkimTrouble(name[0], name[1], trouble))
        self._told = told
        return loaded
