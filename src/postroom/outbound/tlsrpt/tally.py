"""Counts sessions by day, policy domain, policy and result (RFC 8460 §4.2, §4.3); nothing in it grows without bound."""

import json
from collections.abc import Iterable

from postroom.clock import Clock
from postroom.outbound.daily.counts import DAY, CountLimits, DailyCounts
from postroom.outbound.tlsmet import AppliedPolicy, TlsMet
from postroom.outbound.tlsstore import Tally

LIMITS = CountLimits()
"""Policy domains beyond are not reported to; kinds of failure beyond are counted by their result type alone."""

_LONGEST_REASON = 300  # characters


class TlsTally:
    """The counts, in memory. ``load`` brings those that were kept, ``changed`` gives those that are to be kept."""

    def __init__(self, clock: Clock, *, enabled: bool, limits: CountLimits = LIMITS) -> None:
        self._clock = clock
        self._enabled = enabled
        self.counts = DailyCounts(limits)

    def load(self, tallies: Iterable[Tally]) -> None:
        """What was counted by an earlier process."""
        self.counts.load([((one.day, one.domain, one.policy, one.failure), one.count) for one in tallies])

    def changed(self) -> tuple[Tally, ...]:
        """What has changed since this was asked last."""
        return tuple([Tally(*key, count) for key, count in self.counts.changed()])

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

    def of_domain(self, day: int, domain: str) -> tuple[Tally, ...]:
        """What was counted for a domain on a day."""
        return tuple([Tally(*key, count) for key, count in self.counts.of_domain(day, domain)])

    def _add(self, domain: str, applied: AppliedPolicy, failure: str, result: str) -> None:
        if domain.startswith("["):
            return
        day = int(self._clock.now() // DAY)
        by_result = json.dumps({"result-type": result}) if result else ""
        self.counts.add((day, domain, applied.text, failure), by_result)


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
