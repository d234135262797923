"""The port to a zone that we may change by ourselves (RFC 2136); whoever has none publishes by hand."""

from collections.abc import Sequence
from typing import Protocol

from postroom.mail.value import value


@value(frozen=True, slots=True)
class ZoneRecord:
    """One record: ``name`` without a final dot, ``kind`` such as TXT, ``data`` as zone files have it."""

    name: str
    kind: str
    data: str
    ttl: int = 3600


class PublishFailed(Exception):
    """The zone was not changed; the text says why and what to do."""


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
