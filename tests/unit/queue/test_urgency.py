"""Who goes first (RFC 6710 §5.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.queue.urgency import HEAD_START, HIGHEST, LOWEST, PriorityLine, rank

PRIORITIES = st.integers(LOWEST, HIGHEST)


def test_higher_priority_goes_first_and_equals_in_turn() -> None:
    line: PriorityLine[str] = PriorityLine()
    for since, (name, priority) in enumerate([("a", 0), ("bulk", -4), ("b", 0), ("urgent", 4), ("c", 0), ("more", 4)]):
        line.push(name, priority, since)
    assert line.drain() == ["urgent", "more", "a", "b", "c", "bulk"]
    assert not line


def test_nobody_waits_for_ever() -> None:
    line: PriorityLine[str] = PriorityLine()
    line.push("patient", LOWEST, 0.0)
    bound = (HIGHEST - LOWEST) * HEAD_START
    for hour in range(100):
        line.push(f"urgent {hour}", HIGHEST, hour * HEAD_START)
    assert line.drain()[: int(bound / HEAD_START) + 2][-1] == "patient"  # those up to the bound, itself included


def test_one_in_the_middle_is_taken_out() -> None:
    line: PriorityLine[str] = PriorityLine()
    for since, name in enumerate("abc"):
        line.push(name, 0, since)
    line.push("u", 4, 3)
    line.remove("b", 0)
    line.remove("u", 4)
    with pytest.raises(ValueError, match="not in line"):
        line.remove("u", 4)
    assert (line.first_priority, line.drain()) == (0, ["a", "c"])


def test_an_empty_line_has_no_first() -> None:
    with pytest.raises(IndexError):
        PriorityLine[str]().pop()


@given(st.lists(st.tuples(PRIORITIES, st.floats(0, 3 * HEAD_START))))
def test_the_line_is_in_the_order_of_ranks(waiting: list[tuple[int, float]]) -> None:
    line: PriorityLine[tuple[int, float]] = PriorityLine()
    since = 0.0
    for priority, pause in waiting:
        since += pause
        line.push((priority, since), priority, since)
    order = [rank(at, priority) for priority, at in line.drain()]
    assert order == sorted(order)
    assert len(order) == len(waiting)
