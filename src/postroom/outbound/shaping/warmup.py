"""Warm-up: how much a new source address may send to one provider on each day, and what it has sent today.

Days are those of UTC. Counts outlive the process.
"""

from collections.abc import Sequence
from datetime import date

from postroom.config.sending import SourceSettings, WarmupSettings
from postroom.mail.value import value
from postroom.queue.sites import WarmupCount, warmup_day

DAY = 86400.0


@value(frozen=True, slots=True)
class Allowance:
    """Of one source, to one provider, on one day of its plan, counted from 1; 0: it has not begun."""

    day: int
    limit: int
    used: int

    @property
    def is_full(self) -> bool:
        """Nothing more today."""
        return self.used >= self.limit


class WarmupBook:
    """The plans and the counts. Times are seconds since the Unix epoch."""

    def __init__(self, plans: Sequence[WarmupSettings], sources: Sequence[SourceSettings]) -> None:
        daily = {plan.name: plan.daily for plan in plans}
        self._plans: dict[str, tuple[tuple[int, ...], date]] = {
            source.name: (daily[source.warmup], source.since)
            for source in sources
            if source.warmup in daily and source.since is not None
        }
        self._today = 0
        self._counts: dict[tuple[str, str], int] = {}
        self._changed: set[tuple[str, str]] = set()

    def is_warming(self, source: str) -> bool:
        """Whether the source has a plan at all, done with or not."""
        return source in self._plans

    def allowance(self, source: str, provider: str, now: float) -> Allowance | None:
        """What it may send; None: it is warm."""
        plan = self._plans.get(source)
        if plan is None:
            return None
        self._turn(now)
        today = warmup_day(*plan, now)
        if today is None:
            return None
        return Allowance(today.day, today.limit, self._counts.get((source, provider), 0))

    def use(self, source: str, provider: str, now: float, count: int = 1) -> None:
        """So many go out, or with a negative count came to nothing."""
        self._turn(now)
        key = source, provider
        self._counts[key] = max(self._counts.get(key, 0) + count, 0)
        self._changed.add(key)

    def restore(self, counts: Sequence[WarmupCount], now: float) -> None:
        """What an earlier process counted today."""
        self._turn(now)
        self._counts |= {(one.source, one.provider): one.messages for one in counts if one.day == self._today}

    def changed(self) -> tuple[WarmupCount, ...]:
        """What was counted since this was asked last."""
        found = [WarmupCount(*key, self._today, self._counts[key]) for key in self._changed]
        self._changed.clear()
        return tuple(found)

    def save_again(self, counts: Sequence[WarmupCount]) -> None:
        """These could not be written."""
        self._changed.update([(one.source, one.provider) for one in counts if one.day == self._today])

    def _turn(self, now: float) -> None:
        today = int(now // DAY)
        if today != self._today:
            self._today = today
            self._counts.clear()
            self._changed.clear()


def until_midnight(now: float) -> float:
    """Seconds until the next day begins, in UTC."""
    return DAY - now % DAY
