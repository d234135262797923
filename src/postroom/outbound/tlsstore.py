"""The port to what is known of TLS on the road and must outlive the process: policies, levels, tallies for TLSRPT.

A server holds it in memory, loads it at the start and writes behind. Times are seconds since the Unix epoch; a day is
the number of its midnight in UTC, days since the epoch.
"""

from enum import Enum
from typing import Protocol

from postroom.mail.delivery import StsPolicy
from postroom.mail.value import value

LEVEL_KEPT = 90 * 86400.0
"""Seconds for which the level of a host that was not met again is kept."""

MOST_POLICIES = 20_000
"""Policies that are kept; more than a server holds in memory."""


class TlsLevel(Enum):
    """What TLS a host was last met with."""

    NONE = "none"
    ENCRYPTED = "encrypted"
    VERIFIED = "verified"


@value(frozen=True, slots=True)
class KeptPolicy:
    """A domain's MTA-STS policy, and when it was fetched."""

    policy: StsPolicy
    fetched_at: float


@value(frozen=True, slots=True)
class HostLevel:
    """The level of one MX host, since when it has had it, and when it was last met."""

    host: str
    level: TlsLevel
    since: float
    seen_at: float


@value(frozen=True, slots=True)
class Tally:
    """Sessions of one day with one policy domain, under one policy and with one result.

    ``policy`` and ``failure`` are JSON as ``outbound.tlsrpt`` writes it, ``failure`` is ``""`` for success.
    """

    day: int
    domain: str
    policy: str
    failure: str
    count: int


@value(frozen=True, slots=True)
class TlsRecord:
    """What a server knows: all of it as read at the start, or what has changed since it was last written."""

    policies: tuple[KeptPolicy, ...] = ()
    levels: tuple[HostLevel, ...] = ()
    tallies: tuple[Tally, ...] = ()

    def __len__(self) -> int:
        return len(self.policies) + len(self.levels) + len(self.tallies)


class TlsStore(Protocol):
    """Any method may raise ``StoreUnavailable``."""

    async def load(self, now: float) -> TlsRecord:
        """All that still counts at ``now``: policies that have not expired, levels, tallies of days not reported."""
        ...

    async def save(self, record: TlsRecord) -> None:
        """Put what changed, all of it or nothing; what is there of the same domain, host or tally is replaced."""
        ...

    async def reported(self, day: int, domain: str) -> None:
        """The tallies of a day and a domain are dealt with: remove them."""
        ...

    async def forget(self, now: float) -> int:
        """Remove what does not count any more, and of policies beyond MOST_POLICIES those fetched longest ago; returns
        how many rows.
        """
        ...
