"""A rate lets through what it says, at once or spread; a table of them neither grows nor forgets who is at a limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.config.section import read_rate
from postroom.net.gcra import GcraTable, gcra

NOW = 1_800_000_000.0


def test_a_burst_and_then_one_by_one() -> None:
    tat = 0.0
    for _ in range(10):
        tat, wait = gcra(tat, NOW, 6, 60)
        assert wait == 0
    again, wait = gcra(tat, NOW, 6, 60)
    assert again == tat
    assert wait == pytest.approx(6)
    tat, wait = gcra(tat, NOW + 6, 6, 60)
    assert wait == 0
    assert gcra(tat, NOW + 6, 6, 60)[1] == pytest.approx(6)
    assert gcra(tat, NOW + 1000, 6, 60) == (NOW + 1006, 0)


def test_more_than_the_burst_may_never_come() -> None:
    assert gcra(7.0, NOW, 61, 60) == (7.0, float("inf"))


@given(st.integers(1, 50), st.lists(st.floats(0, 20), max_size=200))
def test_no_window_sees_more_than_twice_the_count(count: int, gaps: list[float]) -> None:
    """The known bound of a leaky bucket: what was saved up, plus what the window itself allows."""
    table = GcraTable[str]([read_rate(f"{count}/1m")])
    now, passed = NOW, list[float]()
    for gap in gaps:
        now += gap
        if table.take("a", now) is None:
            passed.append(now)
    for start in passed:
        assert sum(start <= each <= start + 60 for each in passed) <= 2 * count + 1


def test_layers_hold_at_once_and_the_longest_wait_is_told() -> None:
    table = GcraTable[str]([read_rate("2/1m"), read_rate("3/1h")])
    assert table.take("a", NOW) is None
    assert table.take("a", NOW) is None
    first = table.take("a", NOW)
    assert first is not None
    assert str(first.rate) == "2/1m"
    assert first.wait == pytest.approx(30)
    assert table.take("a", NOW + 60) is None
    second = table.take("a", NOW + 60)
    assert second is not None
    assert str(second.rate) == "3/1h"
    assert table.take("b", NOW) is None  # another key is another count


def test_all_or_nothing() -> None:
    table = GcraTable[str]([read_rate("10/1m"), read_rate("3/1h")])
    assert table.take("a", NOW, 3) is None
    before = table.peek("a")
    assert table.take("a", NOW) is not None
    assert table.check("a", NOW) is not None
    assert table.peek("a") == before


def test_cost_share_and_giving_back() -> None:
    table = GcraTable[str]([read_rate("10/1m")])
    assert table.take("a", NOW, 8) is None
    assert [share for _, share in table.used("a", NOW)] == [pytest.approx(0.8)]
    assert table.take("a", NOW, 3) is not None
    never = table.take("a", NOW, 11)
    assert never is not None
    assert never.wait == float("inf")
    table.give_back("a", 8)
    table.give_back("unknown")
    assert table.take("a", NOW, 10) is None
    table.forget("a")
    assert [share for _, share in table.used("a", NOW)] == [0]


def test_kept_elsewhere_and_set_again() -> None:
    table = GcraTable[str]([read_rate("1/1m")])
    table.take("a", NOW)
    again = GcraTable[str]([read_rate("1/1m")])
    for key, tats in table.items():
        again.put(key, tats)
    assert again.take("a", NOW + 1) is not None
    with pytest.raises(ValueError, match="rates"):
        again.put("a", (1.0, 2.0))


def test_no_rates_no_memory() -> None:
    table = GcraTable[str]([])
    assert all(table.take("a", NOW) is None for _ in range(1000))
    assert len(table) == 0


def test_it_forgets_those_who_used_up_nothing_first() -> None:
    table = GcraTable[int]([read_rate("10/1m")], limit=100)
    for key in range(100):
        table.take(key, NOW)
    table.take(100, NOW + 10)
    assert len(table) == 1
    assert table.peek(0) == (0.0,)


def test_it_stays_bounded_and_knows_whoever_is_at_a_limit() -> None:
    table = GcraTable[int]([read_rate("10/1m")], limit=100)
    table.take(-1, NOW, 10)
    for key in range(10_000):
        table.take(key, NOW)
    assert len(table) <= 100
    assert table.take(-1, NOW) is not None
