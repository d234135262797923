"""When the report on a domain's day is due, when it is tried again, and when it is given up. Pure."""

from collections.abc import Callable, Iterator

from postroom.mail.value import value
from postroom.outbound.daily.counts import DAY, DailyCounts

FIRST_RETRY = 900.0
GIVEN_UP_AFTER = 86400.0
"""Seconds for which a report that nobody takes is tried (RFC 8460 §5.5)."""

AT_ONCE = 50
"""Domains dealt with in one round, so that mail comes in between."""


@value(frozen=True, slots=True)
class _Retry:
    first: float
    at: float
    wait: float


class DailyRounds:
    """``begins`` says when the report on a day and a domain may leave: always the same, after the day's end."""

    def __init__(self, counts: DailyCounts, begins: Callable[[int, str], float]) -> None:
        self._counts = counts
        self._begins = begins
        self._retries: dict[tuple[int, str], _Retry] = {}

    def due(self, now: float) -> Iterator[tuple[int, str]]:
        """Days and domains whose time has come, AT_ONCE at most. Days that are over are let go of first."""
        self._counts.forget(now)
        days = self._counts.days()
        self._retries = {key: retry for key, retry in self._retries.items() if key[0] in days}
        left = AT_ONCE
        for day in days:
            if now < (day + 1) * DAY:
                break
            for domain in self._counts.of_day(day):
                retry = self._retries.get((day, domain))
                if now < (self._begins(day, domain) if retry is None else retry.at):
                    continue
                yield day, domain
                left -= 1
                if not left:
                    return

    def put_off(self, day: int, domain: str, now: float) -> bool:
        """Try again later, after a wait that doubles. False: it was tried for long enough."""
        before = self._retries.get((day, domain))
        first = now if before is None else before.first
        wait = FIRST_RETRY if before is None else before.wait * 2
        if now + wait > first + GIVEN_UP_AFTER:
            return False
        self._retries[(day, domain)] = _Retry(first, now + wait, wait)
        return True

    def done(self, day: int, domain: str) -> None:
        """It is dealt with: nothing of it is kept."""
        self._counts.drop(day, domain)
        self._retries.pop((day, domain), None)
