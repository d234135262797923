"""The port to the servers of a zone themselves, past every cache: whether each of them has a record already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What one server has at a name: the TXT records, strings joined; None where it did not tell."""

    server: str
    records: tuple[bytes, ...] | None


class Authorities(Protocol):
    """Whoever can ask the servers of a zone."""

    async def txt(self, name: str) -> Sequence[ServerAnswer]:
        """What each server of the zone of ``name`` has there; empty where they cannot be found. Raises nothing."""
        ...
