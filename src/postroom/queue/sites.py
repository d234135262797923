"""The port to how sites stand with our source addresses: what was learned of them, and what was sent.

A server counts in memory and writes behind; commands read. Times are seconds since the Unix epoch.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Protocol

from postroom.mail.value import value

DEFAULT_RULE = "default"
"""The name of the rule for whoever no other one is for."""

REMEMBERED = 30 * 86400.0
"""Seconds for which a site is kept that nothing is sent to any more."""


@value(frozen=True, slots=True)
class SiteStanding:
    """How one site stands with one source (``""``: the system's choice).

    ``rule`` is the rule of traffic it goes by and ``limits`` what that says. ``concurrency`` is how many requests may
    be under way now, ``rate`` the messages a minute that were learned (None: no limit is known) and ``rate_ceiling``
    what was pushed back, ``too_many`` the number of connections that was. ``why`` is the reply that caused the last
    change. ``backoff`` is the last pause of a blocked site in seconds, ``used`` two numbers for each rate of the
    rule: when the last message leaves its window, and how many are in it.

    ``minute``, ``hour`` and ``day`` are the messages taken within these before ``seen_at``; ``delivered``, ``deferred``
    and ``failed`` count recipients since ``since``, ``causes`` those of the latter two by cause.
    """

    site: str
    source: str
    rule: str
    limits: tuple[str, ...] = ()
    concurrency: int = 0
    rate: float | None = None
    rate_ceiling: float | None = None
    too_many: int | None = None
    why: str = ""
    changed_at: float | None = None
    blocked_until: float | None = None
    blocked_for: str = ""
    backoff: float = 0.0
    used: tuple[float, ...] = ()
    minute: int = 0
    hour: int = 0
    day: int = 0
    delivered: int = 0
    deferred: int = 0
    failed: int = 0
    causes: tuple[tuple[str, int], ...] = ()
    last_reply: str = ""
    since: float = 0.0
    seen_at: float = 0.0


@value(frozen=True, slots=True)
class WarmupCount:
    """Messages that a source sent to a provider on one day (days since the Unix epoch, UTC)."""

    source: str
    provider: str
    day: int
    messages: int


@value(frozen=True, slots=True)
class WarmupDay:
    """One day of a warm-up, counted from 1, and the messages to one provider on it. Day 0: it has not begun."""

    day: int
    limit: int


def warmup_day(daily: Sequence[int], since: date, now: float) -> WarmupDay | None:
    """Which day of its plan a source that began ``since`` has; None: it is warm."""
    day = (datetime.fromtimestamp(now, UTC).date() - since).days
    if day >= len(daily):
        return None
    return WarmupDay(day + 1, daily[day]) if day >= 0 else WarmupDay(0, 0)


def provider_of(site: str, rule: str) -> str:
    """To whom warm-up counts what goes to the site: the provider whose rule it goes by, or the site itself."""
    return site if rule == DEFAULT_RULE else rule


@value(frozen=True, slots=True)
class SiteRecord:
    """All of it as read, or what has changed since it was last written."""

    standings: tuple[SiteStanding, ...] = ()
    warmups: tuple[WarmupCount, ...] = ()

    def __len__(self) -> int:
        return len(self.standings) + len(self.warmups)


class SiteStore(Protocol):
    """Any method may raise ``StoreUnavailable``."""

    async def load(self, now: float) -> SiteRecord:
        """All sites that something was sent to lately, the latest first, and the counts of warm-up of today."""
        ...

    async def save(self, record: SiteRecord) -> None:
        """Put what changed, all of it or nothing; what is there of the same site and source is replaced."""
        ...

    async def forget(self, now: float) -> int:
        """Remove what is remembered no longer; returns how many rows."""
        ...

    async def find(self, pattern: str) -> Sequence[SiteStanding]:
        """Sites whose name or rule contains the text, case aside; by site and source."""
        ...
