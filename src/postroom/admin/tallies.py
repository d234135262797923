"""What went in and out since some time: by domain and by what happened, and what stood in the way of the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from postroom.admin.moments import iso
from postroom.mail.cause import Cause
from postroom.mail.domain import show_domain
from postroom.report.history import HistoryStore, OutcomeTally

KINDS = (
    "accepted", "placed", "relayed", "deferred", "failed", "expired", "removed", "dsn", "bounced", "delayed",
    "complained",
)  # fmt: skip
"""What is counted, in the order in which it is shown."""

OBSTACLES = ("deferred", "failed", "expired", "delayed", "bounced")
"""The kinds that have a cause."""


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
class CauseTally:
    """How often a cause stood in the way (``outcome``: one of OBSTACLES) of mail of one domain to another.

    ``blame`` is on whose side it lies: recipient, sender, us, them, network.
    """

    sender_domain: str
    recipient_domain: str
    outcome: str
    cause: str
    blame: str
    count: int


@dataclass(frozen=True, slots=True)
class SenderTally:
    """What became of the mail of one sending domain that left the house; rates are shares of what was relayed."""

    sender_domain: str
    relayed: int
    bounced: int
    complained: int
    bounce_rate: float
    complaint_rate: float


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since ``since``: over all, by domain, by cause, and by sending domain, the busiest first."""

    since: str
    totals: Mapping[str, int]
    domains: tuple[DomainTally, ...]
    causes: tuple[CauseTally, ...]
    senders: tuple[SenderTally, ...]


async def count(history: HistoryStore, since: float) -> Stats:
    """Count what happened since ``since`` (seconds since the Unix epoch)."""
    totals = dict.fromkeys(KINDS, 0)
    domains: dict[str, dict[str, int]] = {}
    for tally in await history.tallies(since):
        totals[tally.kind] = totals.get(tally.kind, 0) + tally.count
        counts = domains.setdefault(tally.domain, {})
        counts[tally.kind] = counts.get(tally.kind, 0) + tally.count
    listed = [DomainTally(show_domain(domain), counts) for domain, counts in domains.items()]
    outcomes = await history.outcomes(since)
    return Stats(
        iso(since),
        totals,
        tuple(sorted(listed, key=lambda tally: (-tally.total, tally.domain))),
        _causes(outcomes),
        _senders(outcomes),
    )


def shown_kinds(stats: Stats) -> Sequence[str]:
    """The kinds that have a count, in order."""
    return [kind for kind in (*KINDS, *sorted(set(stats.totals) - set(KINDS))) if stats.totals.get(kind)]


def by_cause(causes: Iterable[CauseTally]) -> Mapping[tuple[str, str], Mapping[str, int]]:
    """Cause and blame over all domains: how often, by outcome; the most frequent first."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for tally in causes:
        counts = found.setdefault((tally.cause, tally.blame), dict.fromkeys(OBSTACLES, 0))
        counts[tally.outcome] += tally.count
    return dict(sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0])))


def _causes(outcomes: Iterable[OutcomeTally]) -> tuple[CauseTally, ...]:
    found: dict[tuple[str, str, str, str, str], int] = {}
    for tally in outcomes:
        if tally.kind in OBSTACLES:
            cause = _read_cause(tally.cause)
            domains = show_domain(tally.sender_domain), show_domain(tally.recipient_domain)
            key = (*domains, tally.kind, cause.value, cause.blame.value)
            found[key] = found.get(key, 0) + tally.count
    listed = [CauseTally(*key, count) for key, count in found.items()]
    return tuple(sorted(listed, key=lambda tally: (-tally.count, tally.sender_domain, tally.recipient_domain)))


def _senders(outcomes: Iterable[OutcomeTally]) -> tuple[SenderTally, ...]:
    found: dict[str, dict[str, int]] = {}
    for tally in outcomes:
        if tally.kind in ("relayed", "bounced", "complained"):
            counts = found.setdefault(tally.sender_domain, dict.fromkeys(("relayed", "bounced", "complained"), 0))
            counts[tally.kind] += tally.count
    listed = [
        SenderTally(
            show_domain(domain),
            **counts,
            bounce_rate=_share(counts["bounced"], counts["relayed"]),
            complaint_rate=_share(counts["complained"], counts["relayed"]),
        )
        for domain, counts in found.items()
    ]
    return tuple(sorted(listed, key=lambda tally: (-tally.relayed, tally.sender_domain)))


def _read_cause(text: str) -> Cause:
    """The cause; OTHER where the history names none, or one of a newer program."""
    try:
        return Cause(text)
    except ValueError:
        return Cause.OTHER


def _share(part: int, whole: int) -> float:
    """A share, 0 where nothing was relayed in that time."""
    return round(part / whole, 6) if whole else 0.0
