"""Counts by day, domain, policy and detail, in memory; nothing in it grows without bound."""

from collections.abc import Iterable, Iterator
from itertools import islice

from postroom.mail.value import value

DAY = 86400
"""Seconds. A day is the number of its midnight in UTC, days since the Unix epoch."""

TALLY_KEPT = 3
"""Days for which counts are kept: a report is tried for a day after the one that it is about (RFC 8460 §5.5)."""

CountKey = tuple[int, str, str, str]
"""Day, domain, policy, detail. The last two are texts that mean something to whoever counts."""


@value(frozen=True, slots=True)
class CountLimits:
    """``domains`` of one day, ``policies`` of one domain and day, ``details`` of one policy, ``octets`` of it all."""

    domains: int = 20_000
    policies: int = 20
    details: int = 200
    octets: int = 64 << 20


class DailyCounts:
    """``load`` brings counts that were kept, ``changed`` gives those that are to be kept."""

    def __init__(self, limits: CountLimits) -> None:
        self._limits = limits
        self._days: dict[int, dict[str, dict[str, dict[str, int]]]] = {}
        self._octets = 0
        self._changed: dict[CountKey, None] = {}

    def load(self, kept: Iterable[tuple[CountKey, int]]) -> None:
        """What was counted by an earlier process."""
        for (day, domain, policy, detail), count in kept:
            counts = self._days.setdefault(day, {}).setdefault(domain, {}).setdefault(policy, {})
            counts[detail] = counts.get(detail, 0) + count
            self._octets += _octets_of(domain, policy, detail)

    def changed(self, most: int | None = None) -> tuple[tuple[CountKey, int], ...]:
        """What has changed since this gave it last, ``most`` at a time, the longest ago first."""
        keys = list(islice(self._changed, most))
        for key in keys:
            del self._changed[key]
        found = [(key, self._count_of(*key)) for key in keys]
        return tuple([(key, count) for key, count in found if count])

    def days(self) -> tuple[int, ...]:
        """Days that something was counted on, the oldest first."""
        return tuple(sorted(self._days))

    def of_day(self, day: int) -> tuple[str, ...]:
        """The domains of a day."""
        return tuple(self._days.get(day, ()))

    def of_domain(self, day: int, domain: str) -> Iterator[tuple[CountKey, int]]:
        """What was counted for a domain on a day."""
        for policy, counts in self._days.get(day, {}).get(domain, {}).items():
            for detail, count in counts.items():
                yield (day, domain, policy, detail), count

    def drop(self, day: int, domain: str) -> None:
        """It is dealt with."""
        domains = self._days.get(day, {})
        for (_, _, policy, detail), _count in self.of_domain(day, domain):
            self._octets -= _octets_of(domain, policy, detail)
        domains.pop(domain, None)
        if not domains:
            self._days.pop(day, None)

    def forget(self, now: float) -> None:
        """Let go of days that are too long ago to be reported."""
        today = int(now // DAY)
        for day in [day for day in self._days if day <= today - TALLY_KEPT]:
            for domain in self.of_day(day):
                self.drop(day, domain)

    def add(self, key: CountKey, instead: str) -> None:
        """One more. Where there is no room for another detail it counts as ``instead``, or not at all."""
        day, domain, policy, detail = key
        counts = self._counts_for(day, domain, policy)
        if counts is None:
            return
        if detail not in counts and not self._has_room(counts, domain, policy, detail):
            detail = instead
        if detail not in counts:
            octets = _octets_of(domain, policy, detail)
            if self._octets + octets > self._limits.octets:
                return
            self._octets += octets
        counts[detail] = counts.get(detail, 0) + 1
        self._changed[day, domain, policy, detail] = None

    def _has_room(self, counts: dict[str, int], domain: str, policy: str, detail: str) -> bool:
        fits = self._octets + _octets_of(domain, policy, detail) <= self._limits.octets
        return fits and len(counts) < self._limits.details

    def _counts_for(self, day: int, domain: str, policy: str) -> dict[str, int] | None:
        """The counts by detail, None where there is no room for them."""
        limits = self._limits
        of_domain = self._days.get(day, {}).get(domain)
        if of_domain is None:
            if len(self._days.get(day, ())) >= limits.domains or self._octets >= limits.octets:
                return None
            of_domain = self._days.setdefault(day, {})[domain] = {}
        of_policy = of_domain.get(policy)
        if of_policy is None:
            if len(of_domain) >= limits.policies:
                return None
            of_policy = of_domain[policy] = {}
        return of_policy

    def _count_of(self, day: int, domain: str, policy: str, detail: str) -> int:
        return self._days.get(day, {}).get(domain, {}).get(policy, {}).get(detail, 0)


def _octets_of(domain: str, policy: str, detail: str) -> int:
    """About what a count takes in memory."""
    return 300 + len(domain) + len(policy) + len(detail)
