"""The port to the stored suppression list. Every write takes a batch."""

from collections.abc import Sequence
from typing import Protocol

from postroom.reputation.model import Suppression, SuppressionFilter

Key = tuple[str, str]
"""Sending domain and ``Address.key`` of the recipient."""


class SuppressionStore(Protocol):
    """Any method may raise ``StoreUnavailable``; a write then changed nothing."""

    async def generation(self) -> int:
        """A counter that every change of the list raises, whichever process made it."""
        ...

    async def is_empty(self) -> bool:
        """Whether there is no entry at all."""
        ...

    async def note(self, events: Sequence[Suppression]) -> None:
        """Something happened again: each is joined with what stands there (see ``model.joined``)."""
        ...

    async def put(self, entries: Sequence[Suppression]) -> None:
        """Set entries instead of what stands there."""
        ...

    async def remove(self, keys: Sequence[Key]) -> Sequence[bool]:
        """Take entries off the list; whether there was one, in order."""
        ...

    async def find(self, keys: Sequence[Key]) -> Sequence[Suppression | None]:
        """The entry of each key, in order, whether it stands or not."""
        ...

    async def entries(self, which: SuppressionFilter, *, limit: int, after: Key = ("", "")) -> Sequence[Suppression]:
        """At most ``limit`` entries in order of their keys, those after ``after``."""
        ...

    async def expire(self, now: float) -> int:
        """Forget what has ended by ``now``; returns how many."""
        ...
