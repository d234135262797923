"""Counts sessions by day, policy domain, policy and result (RFC 8460 §4.2, §4.3); nothing in it grows without bound."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from postroom.clock import Clock
from postroom.outbound.tlsmet import AppliedPolicy, TlsMet
from postroom.outbound.tlsstore import TALLY_KEPT, Tally

DAY = 86400

MAX_DOMAINS = 20_000
"""Policy domains counted on one day; those beyond are not reported to."""

MAX_FAILURES = 200
"""Kinds of failure told apart for one domain and policy; those beyond are counted by their result type alone."""

MAX_POLICIES = 20
"""Policies told apart for one domain on one day."""

MAX_OCTETS = 64 << 20
"""Octets of all that is counted together; what would need more is not counted."""

_LONGEST_REASON = 300  # characters


@dataclass(slots=True)
class _OfPolicy:
    """Counts by failure (JSON, ``""`` for success)."""

    counts: dict[str, int] = field(default_factory=dict)


_OfDomain = dict[str, _OfPolicy]


class TlsTally:
    """The counts, in memory. ``load`` brings those that were kept, ``changed`` gives those that are to be kept."""

    def __init__(self, clock: Clock, *, enabled: bool) -> None:
        self._clock = clock
        self._enabled = enabled
        self._days: dict[int, dict[str, _OfDomain]] = {}
        self._octets = 0
        self._changed: set[tuple[int, str, str, str]] = set()

    def load(self, tallies: Iterable[Tally]) -> None:
        """What was counted by an earlier process."""
        for one in tallies:
            of_domain = self._days.setdefault(one.day, {}).setdefault(one.domain, {})
            counts = of_domain.setdefault(one.policy, _OfPolicy()).counts
            counts[one.failure] = counts.get(one.failure, 0) + one.count
            self._octets += _octets_of(one.domain, one.policy, one.failure)

    def changed(self) -> tuple[Tally, ...]:
        """What has changed since this was asked last."""
        changed, self._changed = self._changed, set()
        found = [(key, self._count_of(*key)) for key in changed]
        return tuple([Tally(*key, count) for key, count in found if count])

    def note(self, met: TlsMet) -> None:
        """One session, or one that failed. Without domains it does not count."""
        if not self._enabled or not met.domains:
            return
        failure = "" if not met.failure else _show_failure(met)
        for domain in met.domains:
            self._add(domain, met.applied, failure, met.failure)

    def note_sts_failure(self, domain: str, applied: AppliedPolicy, result: str, reason: str) -> None:
        """A policy could not be had (RFC 8461 §6)."""
        if self._enabled:
            failure = json.dumps(
                {"result-type": result, "failure-reason-code": reason[:_LONGEST_REASON]}, sort_keys=True
            )
            self._add(domain, applied, failure, result)

    def days(self) -> tuple[int, ...]:
        """Days that something was counted on, the oldest first."""
        return tuple(sorted(self._days))

    def of_day(self, day: int) -> tuple[str, ...]:
        """The domains of a day."""
        return tuple(self._days.get(day, ()))

    def of_domain(self, day: int, domain: str) -> tuple[Tally, ...]:
        """What was counted for a domain on a day."""
        found = self._days.get(day, {}).get(domain, {})
        return tuple(
            Tally(day, domain, policy, failure, count)
            for policy, of_policy in found.items()
            for failure, count in of_policy.counts.items()
        )

    def drop(self, day: int, domain: str) -> None:
        """It is dealt with."""
        domains = self._days.get(day, {})
        for tally in self.of_domain(day, domain):
            self._octets -= _octets_of(domain, tally.policy, tally.failure)
        domains.pop(domain, None)
        if not domains:
            self._days.pop(day, None)

    def forget(self) -> None:
        """Let go of days that are too long ago to be reported."""
        today = int(self._clock.now() // DAY)
        for day in [day for day in self._days if day <= today - TALLY_KEPT]:
            for domain in self.of_day(day):
                self.drop(day, domain)

    def _add(self, domain: str, applied: AppliedPolicy, failure: str, result: str) -> None:
        day = int(self._clock.now() // DAY)
        counts = self._counts_for(day, domain, applied)
        if counts is None:
            return
        if failure not in counts and len(counts) >= MAX_FAILURES:
            failure = json.dumps({"result-type": result}) if result else ""
        if failure not in counts:
            octets = _octets_of(domain, applied.text, failure)
            if self._octets + octets > MAX_OCTETS:
                return
            self._octets += octets
        counts[failure] = counts.get(failure, 0) + 1
        self._changed.add((day, domain, applied.text, failure))

    def _counts_for(self, day: int, domain: str, applied: AppliedPolicy) -> dict[str, int] | None:
        """The counts by failure, None where there is no room for them."""
        of_domain = self._days.get(day, {}).get(domain)
        if of_domain is None:
            full = len(self._days.get(day, ())) >= MAX_DOMAINS or self._octets >= MAX_OCTETS
            if full or domain.startswith("["):
                return None
            of_domain = self._days.setdefault(day, {})[domain] = {}
        of_policy = of_domain.get(applied.text)
        if of_policy is None:
            if len(of_domain) >= MAX_POLICIES:
                return None
            of_policy = of_domain[applied.text] = _OfPolicy()
        return of_policy.counts

    def _count_of(self, day: int, domain: str, policy: str, failure: str) -> int:
        of_policy = self._days.get(day, {}).get(domain, {}).get(policy)
        return 0 if of_policy is None else of_policy.counts.get(failure, 0)


def _show_failure(met: TlsMet) -> str:
    """The failure as JSON, as ``failure-details`` has it (RFC 8460 §4.4), without its count."""
    shown = {
        "result-type": met.failure,
        "sending-mta-ip": met.peer.source,
        "receiving-mx-hostname": met.peer.host,
        "receiving-ip": met.peer.address,
        "failure-reason-code": met.reason[:_LONGEST_REASON],
    }
    return json.dumps({key: text for key, text in shown.items() if text}, sort_keys=True)


def _octets_of(domain: str, policy: str, failure: str) -> int:
    """About what a tally takes in memory."""
    return 300 + len(domain) + len(policy) + len(failure)
