"""The port to what is counted for DMARC reports and must outlive the process.

A server holds it in memory, loads it at the start and writes behind. A day is the number of its midnight in UTC, days
since the Unix epoch.
"""

from collections.abc import Sequence
from typing import Protocol

from postroom.mail.value import value


@value(frozen=True, slots=True)
class DmarcCount:
    """Messages of one day for one policy domain, under one policy and alike in what was found out about them.

    ``policy`` and ``row`` are JSON as ``tally`` writes it; ``row`` is ``""`` for those that there was no room for.
    """

    day: int
    domain: str
    policy: str
    row: str
    count: int


class DmarcStore(Protocol):
    """Any method may raise ``StoreUnavailable``."""

    async def load(self, now: float) -> Sequence[DmarcCount]:
        """All counts of days that may still be reported at ``now``."""
        ...

    async def save(self, counts: Sequence[DmarcCount]) -> None:
        """Put counts, all of them or none; what is there of the same day, domain, policy and row is replaced."""
        ...

    async def reported(self, day: int, domain: str) -> None:
        """The counts of a day and a domain are dealt with: remove them."""
        ...

    async def forget(self, now: float) -> int:
        """Remove the counts of days that are over; returns how many."""
        ...
