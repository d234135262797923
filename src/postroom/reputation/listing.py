"""The suppression list as the door asks it: from memory, followed by a counter, free where the list is empty."""

from postroom.config.road import SuppressionSettings
from postroom.mail.address import Address
from postroom.reputation.model import Suppression
from postroom.reputation.store import Key, SuppressionStore

MOST_REMEMBERED = 50_000
"""Answers that are kept in memory, some 20 MB at worst; with more of them all are forgotten."""


class SuppressionList:
    """Answers about single addresses. ``refresh`` is for twice a second or so."""

    def __init__(self, store: SuppressionStore, settings: SuppressionSettings) -> None:
        self._store = store
        self._bounces = settings.bounces
        self._generation: int | None = None
        self._known: dict[Key, Suppression | None] = {}
        self.is_empty = not settings.enabled
        """Nobody stands on it, so that nothing need be asked."""
        self._enabled = settings.enabled

    async def refresh(self) -> None:
        """Take over what was changed by whatever process. StoreUnavailable leaves everything as it is."""
        if not self._enabled:
            return
        generation = await self._store.generation()
        if generation == self._generation:
            return
        self.is_empty = await self._store.is_empty()
        self._known.clear()
        self._generation = generation

    async def find(self, sender_domain: str, recipient: Address, now: float) -> Suppression | None:
        """Why the domain better does not write to the address; None where nothing speaks against it.

        Raises StoreUnavailable.
        """
        if self.is_empty:
            return None
        key = (sender_domain, recipient.key)
        if key in self._known:
            found = self._known[key]
        else:
            generation = self._generation
            found = (await self._store.find([key]))[0]
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            if generation == self._generation:
                self._known[key] = found
        return found if found is not None and found.stands(self._bounces, now) else None
