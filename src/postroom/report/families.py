"""Families of numbers for Prometheus: counters, gauges and durations, plain until someone asks for them.

Not locked: counted and asked for on one thread. What a family holds can be had as plain lists (``state``), and be
taken up by the same family elsewhere (``add``).
"""

from bisect import bisect_left
from itertools import accumulate
from time import time
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric, Sample

_PREFIX = "postroom_"

State = list[list[Any]]
"""What a family holds: for each set of labels a list of their values, and its numbers."""


class Numbers(dict[tuple[str, ...], float]):
    """One family of numbers, by the values of its labels. A number starts at 0, when it is first counted."""

    __slots__ = ("labels", "name", "started", "text")

    def __init__(self, name: str, text: str, *labels: str) -> None:
        super().__init__()
        self.name, self.text, self.labels = _PREFIX + name, text, labels
        self.started: dict[tuple[str, ...], float] = {}

    def __missing__(self, key: tuple[str, ...]) -> float:
        self.started[key] = time()
        return 0


class Counter(Numbers):
    """Numbers that only grow."""

    __slots__ = ()

    def __init__(self, name: str, text: str, *labels: str) -> None:
        super().__init__(name, text, *labels)
        if not labels:
            self[()] = self[()]  # it has but one number, which is shown from the beginning

    def family(self) -> Metric:
        """As Prometheus has it."""
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for key, number in self.items():
            family.add_metric(key, number, created=self.started[key])
        return family

    def state(self) -> State:
        """Each number, and since when it is counted."""
        return [[key, number, self.started[key]] for key, number in self.items()]

    def add(self, state: State) -> None:
        """Count what was counted elsewhere too. ValueError or TypeError where that is no such state."""
        for labels, number, started in state:
            key = _key(labels, self.labels)
            self[key] += number
            self.started[key] = min(self.started[key], started)


class Gauge(Numbers):
    """Numbers that go up and down. What nobody set is no part of its state."""

    __slots__ = ()

    def family(self) -> Metric:
        """As Prometheus has it."""
        family = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        for key, number in self.items():
            family.add_metric(key, number)
        if not self and not self.labels:
            family.add_metric((), 0)  # it has but one number, which is shown from the beginning
        return family

    def state(self) -> State:
        """Each number."""
        return [[key, number] for key, number in self.items()]

    def add(self, state: State) -> None:
        """Have these numbers instead of one's own. ValueError or TypeError where that is no such state."""
        for labels, number in state:
            self[_key(labels, self.labels)] = number + 0.0


class _Spread:
    """The durations under one set of labels. Each bucket counts its own; Prometheus' sums are made when asked for."""

    __slots__ = ("counts", "started", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0
        self.started = time()


class Histogram:
    """A family of durations in seconds, by the values of its labels. ``bounds`` ascend and belong to their bucket."""

    __slots__ = ("bounds", "labels", "name", "spreads", "text")

    def __init__(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> None:
        self.name, self.text, self.bounds, self.labels = _PREFIX + name, text, bounds, labels
        self.spreads: dict[tuple[str, ...], _Spread] = {}
        if not labels:
            self._start(())

    def observe(self, seconds: float, *key: str) -> None:
        """Count one duration."""
        spread = self.spreads.get(key) or self._start(key)
        spread.counts[bisect_left(self.bounds, seconds)] += 1
        spread.total += seconds

    def family(self) -> Metric:
        """As Prometheus has it."""
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        for key, spread in self.spreads.items():
            family.add_metric(key, list(zip(names, accumulate(spread.counts), strict=True)), spread.total)
            labels = dict(zip(self.labels, key, strict=True))
            family.samples.append(Sample(self.name + "_created", labels, spread.started))
        return family

    def state(self) -> State:
        """Each spread: its counts, its total, and since when it is counted."""
        return [[key, spread.counts, spread.total, spread.started] for key, spread in self.spreads.items()]

    def add(self, state: State) -> None:
        """Count what was counted elsewhere too. ValueError or TypeError where that is no such state."""
        for labels, counts, total, started in state:
            key = _key(labels, self.labels)
            spread = self.spreads.get(key) or self._start(key)
            spread.counts = [ours + theirs for ours, theirs in zip(spread.counts, counts, strict=True)]
            spread.total += total
            spread.started = min(spread.started, started)

    def _start(self, key: tuple[str, ...]) -> _Spread:
        spread = self.spreads[key] = _Spread(len(self.bounds) + 1)
        return spread


def _key(values: Any, labels: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(values, list) or len(values) != len(labels) or not all(isinstance(each, str) for each in values):
        raise ValueError(f"{values!r} are no values of {labels!r}")
    return tuple(values)
