"""Counts what the rooms report while they are simulated, by time and by destination."""

from collections import defaultdict
from dataclasses import dataclass, field

from postroom.admin.moments import iso, maybe_iso
from postroom.admin.simulation.sample import Sample
from postroom.admin.simulation.views import DestinationView, SpanView
from postroom.mail.delivery import RecipientState
from postroom.mail.message import QueueId
from postroom.queue.lines import site_trouble
from postroom.report.events import AttemptMade, DsnMade, Report

COUNTED = ("attempts", "delivered", "deferred", "warned", "failed", "expired", "dsns")

_KINDS = {
    RecipientState.DELIVERED: "delivered",
    RecipientState.RELAYED: "delivered",
    RecipientState.DEFERRED: "deferred",
    RecipientState.FAILED: "failed",
    RecipientState.EXPIRED: "expired",
}
_Counts = defaultdict[str, float]

_GONE = ("delivered", "failed", "expired")


@dataclass(slots=True)
class _Destination:
    recipients: float = 0.0
    counts: _Counts = field(default_factory=lambda: defaultdict(float))
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)


class Tally:
    """A listener of reports. ``now`` is told by the caller; ``every`` is the length of a span in seconds."""

    def __init__(self, sample: Sample, start: float, every: float) -> None:
        self._start = start
        self._every = every
        self._spans: dict[int, _Counts] = {}
        self._destinations: dict[str, _Destination] = {}
        self._weights: dict[tuple[QueueId, str], tuple[float, str]] = {}
        self._messages: dict[QueueId, tuple[float, str]] = {}
        for entry in sample.entries:
            queue_id = entry.message.queue_id
            for one in entry.recipients:
                weight, name = sample.weights[queue_id, one.number], one.waits_under
                self._weights[queue_id, str(one.recipient.address)] = weight, name
                self._messages.setdefault(queue_id, (weight, name))
                self._destinations.setdefault(name, _Destination()).recipients += weight
        self.now = start
        self.reports = 0

    def tell(self, report: Report) -> None:
        """Take a report that belongs to this moment."""
        match report:
            case AttemptMade():
                self.reports += 1
                weight, name = self._weights[report.queue_id, report.recipient]
                kind = _KINDS[report.state]
                self._count(kind, weight, name)
                if not report.outcome.detail.startswith("not attempted"):
                    # Where a whole site does not work, the others wait for whoever goes to find out
                    alone = site_trouble([report.outcome]) is not None
                    self._count("attempts", 1.0 if alone else weight, name)
            case DsnMade():
                weight, name = self._messages[report.about]
                self._count("dsns", weight, name)
                if report.kind == "delayed":
                    self._count("warned", weight, name)
            case _:
                pass

    def _count(self, kind: str, weight: float, name: str) -> None:
        number = int((self.now - self._start) // self._every)
        self._spans.setdefault(number, defaultdict(float))[kind] += weight
        destination = self._destinations[name]
        destination.counts[kind] += weight
        destination.first.setdefault(kind, self.now)
        destination.last[kind] = self.now

    def totals(self) -> dict[str, int]:
        """By the names of a span."""
        return {kind: round(sum(span[kind] for span in self._spans.values())) for kind in COUNTED}

    def timeline(self, until: float) -> tuple[SpanView, ...]:
        """All spans up to ``until``, quiet ones too."""
        waiting = sum(each.recipients for each in self._destinations.values())
        views = []
        number = 0
        while number == 0 or self._start + number * self._every < until:
            span = self._spans.get(number, defaultdict(float))
            waiting -= sum(span[kind] for kind in _GONE)
            counted = {kind: round(span[kind]) for kind in COUNTED}
            views.append(SpanView(iso(self._start + number * self._every), **counted, waiting=round(abs(waiting))))
            number += 1
        return tuple(views)

    def destinations(self, assumed: dict[str, str]) -> tuple[DestinationView, ...]:
        """The fullest first."""
        ordered = sorted(self._destinations.items(), key=lambda item: (-item[1].recipients, item[0]))
        return tuple([_view(name, each, assumed.get(name, "")) for name, each in ordered])


def _view(name: str, each: _Destination, assumed: str) -> DestinationView:
    counts = {kind: round(each.counts[kind]) for kind in COUNTED}
    left = each.recipients - sum(each.counts[kind] for kind in _GONE)
    return DestinationView(
        destination=name,
        recipients=round(each.recipients),
        assumed=assumed,
        attempts=counts["attempts"],
        first_attempt=maybe_iso(each.first.get("attempts")),
        last_attempt=maybe_iso(each.last.get("attempts")),
        delivered=counts["delivered"],
        warned=counts["warned"],
        first_warning=maybe_iso(each.first.get("warned")),
        last_warning=maybe_iso(each.last.get("warned")),
        failed=counts["failed"],
        expired=counts["expired"],
        first_expiry=maybe_iso(each.first.get("expired")),
        last_expiry=maybe_iso(each.last.get("expired")),
        waiting=round(abs(left)),
    )
