"""A published rate is kept whichever way the site counts: by the clock, or by its last seconds."""

import itertools
import random

import pytest

from postroom.config.section import Rate
from postroom.outbound.shaping.quota import PIECES, Quota


def taken(quota: Quota, begin: float, seconds: float, every: float) -> list[float]:
    """When something was taken, if one more is wanted ``every`` so many seconds."""
    times: list[float] = []
    for step in itertools.count():
        now = begin + step * every
        if now > begin + seconds:
            return times
        if not quota.wait(now):
            quota.take(now)
            times.append(now)
    raise AssertionError


def busiest(times: list[float], window: float) -> int:
    """The most in any window, both its ends included."""
    return max(sum(1 for other in times if at - window <= other <= at) for at in times)


@pytest.mark.parametrize("rate", [Rate(1, 60), Rate(3, 60), Rate(10, 10), Rate(100, 60), Rate(500, 3600)])
def test_no_window_has_more_and_little_is_lost(rate: Rate) -> None:
    times = taken(Quota(rate), 1000.3, rate.window * 5, rate.window / rate.count / 7)
    assert busiest(times, rate.window) == rate.count
    assert len(times) >= rate.count * 4.8


def test_a_burst_after_a_quiet_time_is_no_more() -> None:
    quota, chance = Quota(Rate(20, 10.0)), random.Random(1)
    times: list[float] = []
    now = 50.0
    for _ in range(400):
        now += chance.choice([0.0, 0.01, 0.3, 4.0, 11.0])
        if not quota.wait(now):
            quota.take(now)
            times.append(now)
    assert busiest(times, 10.0) <= 20


def test_the_wait_is_long_enough_and_not_much_longer() -> None:
    rate = Rate(3, 60.0)
    quota = Quota(rate)
    for at in (100.0, 110.0, 119.0):
        assert quota.wait(at) == 0
        quota.take(at)
    wait = quota.wait(120.0)
    assert 40 < wait <= 40 + 3 * 60 / PIECES
    assert quota.wait(120.0 + wait) == 0


def test_what_is_kept_counts_as_late_as_it_can() -> None:
    rate = Rate(4, 86400.0)
    quota = Quota(rate)
    for at in (1000.0, 2000.0, 3000.0):
        quota.take(at)
    later = Quota(rate)
    later.restore(*quota.kept(50_000.0), now=50_000.0)
    assert later.wait(50_000.0) == 0
    later.take(50_000.0)
    assert 3000 + 86400 - 50_000 < later.wait(50_000.0) <= 3000 + 86400 - 50_000 + 3 * 86400 / PIECES
    forgotten = Quota(rate)
    forgotten.restore(*quota.kept(50_000.0), now=3000.0 + 86400.0)
    assert forgotten.kept(3000.0 + 86400.0)[1] == 0


@pytest.mark.parametrize("slowest", [0.05, 1.0, 9.0])
def test_no_window_of_the_site_has_more_however_late_it_counts(slowest: float) -> None:
    """A message is counted there at some moment while it is under way."""
    quota, chance = Quota(Rate(10, 10.0)), random.Random(7)
    seen: list[float] = []
    ends: list[float] = []
    now = 100.0
    while now < 400.0:
        while ends and ends[0] <= now:
            quota.take(ends.pop(0))
        if not quota.wait(now, len(ends)):
            seconds = chance.uniform(0.01, slowest)
            seen.append(now + chance.uniform(0.0, seconds))
            ends = sorted([*ends, now + seconds])
        now += 0.03
    assert busiest(seen, 10.0) <= 10
    assert len(seen) > 100
