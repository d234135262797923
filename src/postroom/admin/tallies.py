"""What went in and out since some time: by domain and by what happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from postroom.admin.moments import iso
from postroom.mail.domain import show_domain
from postroom.report.history import HistoryStore

KINDS = ("accepted", "placed", "relayed", "deferred", "failed", "expired", "removed", "dsn")
"""What is counted, in the order in which it is shown."""


@dataclass(frozen=True, slots=True)
class DomainTally:
    """How often each kind of thing happened for one domain; ``""`` is the null sender's."""

    domain: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of them together."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since ``since``: over all, and by domain, the busiest first."""

    since: str
    totals: Mapping[str, int]
    domains: tuple[DomainTally, ...]


async def count(history: HistoryStore, since: float) -> Stats:
    """Count what happened since ``since`` (seconds since the Unix epoch)."""
    totals = dict.fromkeys(KINDS, 0)
    domains: dict[str, dict[str, int]] = {}
    for tally in await history.tallies(since):
        totals[tally.kind] = totals.get(tally.kind, 0) + tally.count
        counts = domains.setdefault(tally.domain, {})
        counts[tally.kind] = counts.get(tally.kind, 0) + tally.count
    listed = [DomainTally(show_domain(domain), counts) for domain, counts in domains.items()]
    return Stats(iso(since), totals, tuple(sorted(listed, key=lambda tally: (-tally.total, tally.domain))))


def shown_kinds(stats: Stats) -> Sequence[str]:
    """The kinds that have a count, in order."""
    return [kind for kind in (*KINDS, *sorted(set(stats.totals) - set(KINDS))) if stats.totals.get(kind)]
