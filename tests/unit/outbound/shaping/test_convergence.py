"""A site's limit that nobody told us is found within 20 % in ten minutes, and hardly ever pushed against afterwards."""

from collections.abc import Callable

import pytest
from tests.unit.outbound.shaping.simulated import (
    BUSY,
    Backlog,
    Connections,
    FixedWindow,
    House,
    Limit,
    SlidingWindow,
    TokenBucket,
)

from postroom.config.road import OutboundSettings

START = 120.0
"""Seconds in which the first pushbacks come: nobody can know before."""

KINDS: dict[str, Callable[[float, int], Limit]] = {
    "bucket that holds a minute's worth": lambda limit, _: TokenBucket(limit),
    "bucket of 20": lambda limit, _: TokenBucket(limit, 20),
    "calendar minute": lambda limit, seed: FixedWindow(limit, ahead=seed * 7.0),
    "any sixty seconds": lambda limit, _: SlidingWindow(limit),
}
SEEDS = range(4)


def is_near(found: float | None, limit: float) -> bool:
    return found is not None and 0.8 * limit <= found <= 1.2 * limit


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("limit", "later"), [(50, 300), (300, 50), (100, 400)])
def test_an_unknown_rate_is_found_and_found_again_when_it_changes(kind: str, limit: int, later: int, seed: int) -> None:
    house = House()
    site = KINDS[kind](limit, seed)
    backlog = Backlog(house, site, seed)
    change = 1200.0 + 37 * seed
    backlog.run(600)
    assert is_near(house.rate(), limit)
    backlog.run(change - 600)
    site.limit = later
    backlog.run(600)
    assert is_near(house.rate(), later)
    backlog.run(600)
    assert backlog.share_deferred(START) < 0.01
    assert backlog.share_deferred(START, change) < 0.01
    # What was found is also used: the backlog moves as fast as the site allows, or nearly so.
    assert backlog.taken(600, change) >= 0.8 * limit * (change - 600) / 60
    assert backlog.taken(change + 600, change + 1200) >= 0.8 * later * 10


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("most", [1, 3, 10])
def test_an_unknown_number_of_connections_is_found(most: int, seed: int) -> None:
    house = House()
    backlog = Backlog(house, Connections(most), seed)
    backlog.run(600)
    assert abs(house.width() - most) <= max(1, 0.2 * most)
    backlog.run(600)
    assert backlog.share_deferred(START) < 0.01
    backlog.limit.limit = 2 * most + 2
    backlog.run(1800)
    assert house.width() >= min(20, 0.8 * (2 * most + 2))
    assert backlog.share_deferred(START) < 0.01


def test_a_site_without_limits_is_sent_all_at_once_within_a_second() -> None:
    house = House()
    backlog = Backlog(house, Connections(1000), latency=(0.005, 0.02))
    backlog.run(1)
    assert house.width() == 20
    assert house.rate() is None
    backlog.run(1)
    assert backlog.taken(1, 2) > 1000
    assert backlog.most == 20


def test_a_site_that_gives_no_reason_is_not_run_against_either() -> None:
    house = House()
    backlog = Backlog(house, Connections(3, BUSY))
    backlog.run(3600)
    assert backlog.share_deferred(300) < 0.02
    assert backlog.taken(300, 3600) > 0


def test_where_nothing_is_to_adapt_the_limits_stay() -> None:
    house = House(outbound=OutboundSettings(adapt=False, concurrency_per_site=7))
    backlog = Backlog(house, SlidingWindow(50))
    backlog.run(60)
    assert house.rate() is None
    assert house.width() == 7
