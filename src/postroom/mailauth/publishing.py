"""The port to a zone that we may change by ourselves (RFC 2136); whoever has none publishes by hand."""

from collections.abc import Sequence
from typing import Protocol

from postroom.dns.record import PublishFailed, ZoneRecord

__all__ = ["PublishFailed", "Publisher", "ZoneRecord"]


class Publisher(Protocol):
    """Changes zones. Each call is one update: all of it or nothing."""

    def covers(self, name: str) -> bool:
        """Whether a zone with this name is ours to change."""
        ...

    async def change(self, add: Sequence[ZoneRecord], remove: Sequence[ZoneRecord] = ()) -> None:
        """Add and remove single records; what is there already, or gone already, is no failure. Raises
        PublishFailed.
        """
        ...
