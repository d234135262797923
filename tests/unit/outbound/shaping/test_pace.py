"""The pace by itself: where it stays, when it climbs, and what it does not conclude."""

from postroom.outbound.shaping.pace import Pace


def send(pace: Pace, now: float) -> None:
    pace.granted(now)
    pace.accepted(now)


def learned(rate: int, now: float) -> Pace:
    """A pace that was pushed back after so many within a second."""
    pace = Pace()
    for _ in range(rate):
        send(pace, now)
    assert pace.refused(now, 0)
    return pace


def use_up(pace: Pace, now: float, seconds: float, step: float = 0.05) -> float:
    """Send whatever may go; the time afterwards."""
    end = now + seconds
    while now < end:
        if pace.wait(now, 0) == 0:
            send(pace, now)
        now += step
    return now


def test_after_a_pushback_nothing_goes_until_a_minute_has_room_again() -> None:
    pace = learned(100, 1000.0)
    assert pace.known == 90
    assert 59 <= pace.wait(1000.0, 0) <= 61
    assert pace.wait(1061.0, 0) == 0
    send(pace, 1061.0)
    assert 0.3 < pace.wait(1061.0, 0) < 0.67  # spread evenly, as exactly as waiting is


def test_only_the_first_of_those_under_way_changes_the_pace() -> None:
    pace = learned(100, 1000.0)
    for _ in range(19):
        assert not pace.refused(1000.1, 0)
    assert pace.known == 90


def test_a_pace_that_is_not_used_up_does_not_climb() -> None:
    pace = learned(100, 1000.0)
    for minute in range(60):
        now = 1100.0 + 60 * minute
        assert pace.wait(now, 0) == 0
        send(pace, now)
        pace.wait(now, 0)
    assert pace.known == 90


def test_a_pace_without_a_ceiling_climbs_faster_and_faster_while_it_is_used_up() -> None:
    pace = learned(100, 1000.0)
    now = use_up(pace, 1061.0, 46)
    assert pace.rate == 90 * 1.25
    now = use_up(pace, now, 46)
    assert pace.rate == 90 * 1.25 * 1.6
    use_up(pace, now, 300)
    assert (pace.rate or 0) > 1000


def test_the_first_after_a_pushback_goes_alone() -> None:
    pace = learned(100, 1000.0)
    assert pace.wait(1061.0, 0) == 0
    pace.granted(1061.0)
    assert pace.wait(1063.0, 1) > 0
    pace.accepted(1063.0)
    assert pace.wait(1063.0, 1) == 0


def test_pushbacks_with_nothing_between_them_are_strikes_with_longer_and_longer_pauses() -> None:
    pace = Pace()
    now = 1000.0
    pauses = []
    for _ in range(7):
        assert pace.wait(now, 0) == 0
        pace.granted(now)
        assert pace.refused(now, pace.epoch)
        pauses.append(pace.wait(now, 0))
        now += pauses[-1]
    assert pauses == [10, 20, 40, 80, 160, 300, 300]
    assert pace.strikes == 7
    assert pace.known is None  # no rate is to be learned from that
    send(pace, now)
    assert pace.is_free


def test_what_was_learned_before_is_not_undone_by_a_window_that_has_just_begun() -> None:
    pace = Pace()
    pace.restore(300, 350, 1000.0)
    now = use_up(pace, 1000.0, 5)
    assert pace.refused(now, pace.epoch)
    assert (pace.known or 0) > 240
